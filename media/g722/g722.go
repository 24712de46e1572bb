// Package g722 decodes and encodes ITU-T G.722 at 64 kbit/s: 16000 Hz, mono,
// although the RTP clock says 8000 (RFC 3551 section 4.5.2). Lost frames are
// concealed in the manner of G.711 Appendix I.
//
//	           +- low band --> ADPCM, 6 bits -+
//	PCM --QMF--+                              +--> one octet for two samples
//	           +- high band -> ADPCM, 2 bits -+
//
// It is our own because the implementations at hand let loud samples overflow
// from one full scale to the other where the recommendation wants a limit.
package g722

import (
	"errors"
	"fmt"

	"github.com/trunkcast/trunkcast/internal/plc"
	"github.com/trunkcast/trunkcast/media"
)

const (
	rate      = 16000
	frameSize = 320 // samples, 20 ms
	// delay of both filter banks together, in samples.
	delay = 22
)

var (
	// ErrTrack tells that a track is not G.722 of 16000 Hz, mono.
	ErrTrack = errors.New("g722: track not supported")
	// ErrFrame tells that a frame is empty, or that samples do not fill one.
	ErrFrame = errors.New("g722: bad frame")
)

// Codec is the [media.AudioCodec] of G.722.
type Codec struct{}

// Codec returns media.G722.
func (Codec) Codec() media.Codec { return media.G722 }

// NewDecoder returns a decoder for t, whose rate and channels may be left 0.
func (Codec) NewDecoder(t *media.Track) (media.AudioDecoder, error) {
	if err := check(t); err != nil {
		return nil, err
	}
	d := &decoder{plc: plc.New(rate)}
	d.low, d.high = newBands()
	return d, nil
}

// NewEncoder returns an encoder of frames of 20 ms. There is nothing that the
// options could change.
func (Codec) NewEncoder(t *media.Track, _ media.EncoderOptions) (media.AudioEncoder, error) {
	if err := check(t); err != nil {
		return nil, err
	}
	e := &encoder{track: &media.Track{Codec: media.G722, ClockRate: rate, Channels: 1}}
	e.low, e.high = newBands()
	return e, nil
}

// check tells what in t is not what the codec can do.
func check(t *media.Track) error {
	switch {
	case t == nil:
		return fmt.Errorf("%w: none given", ErrTrack)
	case t.Codec != media.G722:
		return fmt.Errorf("%w: codec %q, not %s", ErrTrack, t.Codec, media.G722)
	case t.ClockRate != 0 && t.ClockRate != rate:
		return fmt.Errorf("%w: %d Hz, not %d", ErrTrack, t.ClockRate, rate)
	case t.Channels != 0 && t.Channels != 1:
		return fmt.Errorf("%w: %d channels, not 1", ErrTrack, t.Channels)
	}
	return nil
}

type decoder struct {
	low, high band
	filter    qmf
	plc       *plc.Concealer
}

func (d *decoder) SampleRate() int { return rate }

func (d *decoder) Channels() int { return 1 }

// Decode appends two samples for each byte.
func (d *decoder) Decode(pcm []float32, data []byte) ([]float32, error) {
	if len(data) == 0 {
		return pcm, fmt.Errorf("%w: it is empty", ErrFrame)
	}
	from := len(pcm)
	for _, b := range data {
		low, high := d.low.decodeLow(int(b&0x3f)), d.high.decodeHigh(int(b>>6))
		d.filter.push(low+high, low-high)
		even, odd := d.filter.sums()
		pcm = append(pcm, float32(saturate(even>>11))/32768, float32(saturate(odd>>11))/32768)
	}
	d.plc.Good(pcm[from:])
	return pcm, nil
}

// Conceal repeats the last pitch periods, fading to silence within 60 ms.
func (d *decoder) Conceal(pcm []float32, samples int, _ []byte) []float32 {
	return d.plc.Conceal(pcm, samples)
}

func (d *decoder) Close() {}

type encoder struct {
	low, high band
	filter    qmf
	track     *media.Track
}

func (e *encoder) Track() *media.Track { return e.track }

func (e *encoder) FrameSize() int { return frameSize }

func (e *encoder) Delay() int { return delay }

// Encode appends a byte for two samples. What is over full scale is clipped.
func (e *encoder) Encode(dst []byte, pcm []float32) ([]byte, error) {
	if len(pcm) != frameSize {
		return dst, fmt.Errorf("%w: %d samples, not %d", ErrFrame, len(pcm), frameSize)
	}
	for i := 0; i < frameSize; i += 2 {
		e.filter.push(linear(pcm[i]), linear(pcm[i+1]))
		even, odd := e.filter.sums()
		low, high := limit15((even+odd)>>14), limit15((even-odd)>>14)
		dst = append(dst, byte(e.low.encodeLow(low)|e.high.encodeHigh(high)<<6))
	}
	return dst, nil
}

func (e *encoder) Close() {}

// linear returns the nearest 16 bit sample. NaN is silence.
func linear(s float32) int {
	switch s *= 32768; {
	case s >= 32767:
		return 32767
	case s <= -32768:
		return -32768
	case s >= 0:
		return int(s + 0.5)
	case s < 0:
		return -int(0.5 - s)
	default:
		return 0
	}
}
