package inject

import (
	"fmt"

	"github.com/trunkcast/trunkcast/media"
)

// L16 is linear PCM, 16 bits a sample, the high byte first, channels
// interleaved (RFC 3551, section 4.5.11): what a WAV file holds. No output
// takes it, so it is always transcoded; L16Codec is the AudioCodec for that.
const L16 media.Codec = "L16"

// L16Codec is a media.AudioCodec for [L16]. The zero value is ready.
type L16Codec struct{}

// Codec is L16.
func (L16Codec) Codec() media.Codec { return L16 }

// NewDecoder returns a decoder for frames of t.
func (L16Codec) NewDecoder(t *media.Track) (media.AudioDecoder, error) {
	if err := checkL16(t); err != nil {
		return nil, err
	}
	return l16Decoder{rate: t.ClockRate, channels: t.Channels}, nil
}

// NewEncoder returns an encoder with frames of 20 ms. Its defaults are 48 kHz
// and one channel.
func (L16Codec) NewEncoder(t *media.Track, _ media.EncoderOptions) (media.AudioEncoder, error) {
	full := media.Track{Codec: L16, ClockRate: t.ClockRate, Channels: t.Channels}
	if full.ClockRate == 0 {
		full.ClockRate = 48000
	}
	if full.Channels == 0 {
		full.Channels = 1
	}
	if err := checkL16(&full); err != nil {
		return nil, err
	}
	return &l16Encoder{track: &full}, nil
}

const (
	minRate = 4000
	maxRate = 192000
)

func checkL16(t *media.Track) error {
	if t.Codec != L16 || t.ClockRate < minRate || t.ClockRate > maxRate || t.Channels < 1 || t.Channels > 2 {
		return &ErrUnsupportedCodec{Codec: string(t.Codec),
			Reason: fmt.Sprintf("%d Hz, %d channels", t.ClockRate, t.Channels)}
	}
	return nil
}

type l16Decoder struct{ rate, channels int }

func (d l16Decoder) SampleRate() int { return d.rate }
func (d l16Decoder) Channels() int   { return d.channels }
func (d l16Decoder) Close()          {}

func (d l16Decoder) Decode(pcm []float32, data []byte) ([]float32, error) {
	if len(data)%(2*d.channels) != 0 {
		return pcm, boundsError("L16 frame of %d bytes", len(data))
	}
	for i := 0; i < len(data); i += 2 {
		pcm = append(pcm, float32(int16(uint16(data[i])<<8|uint16(data[i+1])))/32768)
	}
	return pcm, nil
}

// Conceal gives silence: files lose nothing.
func (d l16Decoder) Conceal(pcm []float32, samples int, _ []byte) []float32 {
	return append(pcm, make([]float32, samples*d.channels)...)
}

type l16Encoder struct{ track *media.Track }

func (e *l16Encoder) Track() *media.Track { return e.track }
func (e *l16Encoder) FrameSize() int      { return e.track.ClockRate / 50 }
func (e *l16Encoder) Delay() int          { return 0 }
func (e *l16Encoder) Close()              {}

func (e *l16Encoder) Encode(dst []byte, pcm []float32) ([]byte, error) {
	if want := e.FrameSize() * e.track.Channels; len(pcm) != want {
		return dst, fmt.Errorf("inject: L16 frame of %d samples, want %d", len(pcm), want)
	}
	for _, v := range pcm {
		s := uint16(int16(min(max(v*32768, -32768), 32767)))
		dst = append(dst, byte(s>>8), byte(s))
	}
	return dst, nil
}
