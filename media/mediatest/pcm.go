package mediatest

import (
	"encoding/binary"
	"errors"
	"sync/atomic"

	"github.com/trunkcast/trunkcast/media"
)

// PCM is a media.AudioCodec for tests: whatever codec it is called, a frame is
// 16-bit samples, so that what went through can be seen. It counts what was
// not closed.
type PCM struct {
	// Name is the codec that it passes for.
	Name media.Codec
	// Rate and Channels of the encoder and, where the track does not tell, of
	// the decoder. Defaults 48000 Hz and 1.
	Rate, Channels int
	// FrameSize of the encoder in samples. Default 20 ms.
	FrameSize int
	// Delay of the encoder in samples.
	Delay int
	// OnConceal is told what a decoder makes up. It may be called from several
	// goroutines.
	OnConceal func(samples int, next []byte)

	open atomic.Int64
}

// Codec returns Name.
func (c *PCM) Codec() media.Codec { return c.Name }

// Open is the number of decoders and encoders that were not closed.
func (c *PCM) Open() int { return int(c.open.Load()) }

func (c *PCM) rate() int {
	if c.Rate > 0 {
		return c.Rate
	}
	return 48000
}

// Bad is a frame that cannot be decoded.
var Bad = []byte{0xff}

var errBad = errors.New("mediatest: odd number of bytes in 16-bit samples")

// NewDecoder returns a decoder at the rate and channels of t.
func (c *PCM) NewDecoder(t *media.Track) (media.AudioDecoder, error) {
	c.open.Add(1)
	d := &pcmDecoder{codec: c, rate: t.ClockRate, channels: t.Channels}
	if d.rate == 0 {
		d.rate = c.rate()
	}
	if d.channels == 0 {
		d.channels = max(c.Channels, 1)
	}
	return d, nil
}

// NewEncoder returns an encoder at the rate and channels of t or, where they
// are 0, its own.
func (c *PCM) NewEncoder(t *media.Track, _ media.EncoderOptions) (media.AudioEncoder, error) {
	c.open.Add(1)
	e := &pcmEncoder{codec: c, track: media.Track{Codec: c.Name, ClockRate: t.ClockRate, Channels: t.Channels, Config: t.Config}}
	if e.track.ClockRate == 0 {
		e.track.ClockRate = c.rate()
	}
	if e.track.Channels == 0 {
		e.track.Channels = max(c.Channels, 1)
	}
	if c.Name == media.AAC && e.track.Config == nil {
		e.track.Config = [][]byte{{0x11, 0x88}} // AAC-LC, 48 kHz, mono
	}
	e.delayed = make([]float32, c.Delay*e.track.Channels)
	return e, nil
}

type pcmDecoder struct {
	codec          *PCM
	rate, channels int
	closed         bool
}

func (d *pcmDecoder) SampleRate() int { return d.rate }
func (d *pcmDecoder) Channels() int   { return d.channels }

func (d *pcmDecoder) Decode(pcm []float32, data []byte) ([]float32, error) {
	if d.closed {
		panic("mediatest: decoder used after Close")
	}
	if len(data)%(2*d.channels) != 0 {
		return pcm, errBad
	}
	for ; len(data) > 0; data = data[2:] {
		pcm = append(pcm, float32(int16(binary.LittleEndian.Uint16(data)))/32767)
	}
	return pcm, nil
}

// Concealed is the value of every sample that a decoder makes up.
const Concealed = 0.25

func (d *pcmDecoder) Conceal(pcm []float32, samples int, next []byte) []float32 {
	if d.codec.OnConceal != nil {
		d.codec.OnConceal(samples, next)
	}
	for range samples * d.channels {
		pcm = append(pcm, Concealed)
	}
	return pcm
}

func (d *pcmDecoder) Close() {
	if d.closed {
		panic("mediatest: decoder closed twice")
	}
	d.closed = true
	d.codec.open.Add(-1)
}

type pcmEncoder struct {
	codec   *PCM
	track   media.Track
	delayed []float32
	closed  bool
}

func (e *pcmEncoder) Track() *media.Track { return &e.track }
func (e *pcmEncoder) Delay() int          { return e.codec.Delay }

func (e *pcmEncoder) FrameSize() int {
	if e.codec.FrameSize > 0 {
		return e.codec.FrameSize
	}
	return e.track.ClockRate / 50
}

func (e *pcmEncoder) Encode(dst []byte, pcm []float32) ([]byte, error) {
	if e.closed {
		panic("mediatest: encoder used after Close")
	}
	if len(pcm) != e.FrameSize()*e.track.Channels {
		return dst, errors.New("mediatest: not a whole frame")
	}
	e.delayed = append(e.delayed, pcm...)
	dst = appendPCM(dst, e.delayed[:len(pcm)])
	e.delayed = e.delayed[:copy(e.delayed, e.delayed[len(pcm):])]
	return dst, nil
}

func (e *pcmEncoder) Close() {
	if e.closed {
		panic("mediatest: encoder closed twice")
	}
	e.closed = true
	e.codec.open.Add(-1)
}

func appendPCM(dst []byte, pcm []float32) []byte {
	for _, s := range pcm {
		s = max(-1, min(1, s)) * 32767
		if s < 0 {
			s--
		}
		dst = binary.LittleEndian.AppendUint16(dst, uint16(int16(s+0.5)))
	}
	return dst
}

// Samples returns the samples of a frame that [PCM] encoded, interleaved, full
// scale 1.
func Samples(f *media.Frame) []float32 {
	var pcm []float32
	for _, data := range f.Data {
		for ; len(data) >= 2; data = data[2:] {
			pcm = append(pcm, float32(int16(binary.LittleEndian.Uint16(data)))/32767)
		}
	}
	return pcm
}
