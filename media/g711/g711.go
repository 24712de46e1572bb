// Package g711 decodes and encodes PCMA and PCMU, the two laws of ITU-T G.711,
// at 8000 Hz, mono. Lost frames are concealed in the manner of its Appendix I.
package g711

import (
	"errors"
	"fmt"

	"github.com/trunkcast/trunkcast/internal/plc"
	"github.com/trunkcast/trunkcast/media"
)

const (
	rate      = 8000
	frameSize = 160 // samples, 20 ms
)

var (
	// ErrTrack tells that a track is not one of 8000 Hz, mono, of the codec.
	ErrTrack = errors.New("g711: track not supported")
	// ErrFrame tells that a frame is empty, or that samples do not fill one.
	ErrFrame = errors.New("g711: bad frame")
)

// ALaw is the [media.AudioCodec] of PCMA.
type ALaw struct{}

// Codec returns media.PCMA.
func (ALaw) Codec() media.Codec { return media.PCMA }

// NewDecoder returns a decoder for t, whose rate and channels may be left 0.
func (ALaw) NewDecoder(t *media.Track) (media.AudioDecoder, error) {
	return newDecoder(media.PCMA, t, &alawLevels)
}

// NewEncoder returns an encoder of frames of 20 ms, without delay. There is
// nothing that the options could change.
func (ALaw) NewEncoder(t *media.Track, _ media.EncoderOptions) (media.AudioEncoder, error) {
	return newEncoder(media.PCMA, t, encodeALaw)
}

// ULaw is the [media.AudioCodec] of PCMU.
type ULaw struct{}

// Codec returns media.PCMU.
func (ULaw) Codec() media.Codec { return media.PCMU }

// NewDecoder returns a decoder for t, whose rate and channels may be left 0.
func (ULaw) NewDecoder(t *media.Track) (media.AudioDecoder, error) {
	return newDecoder(media.PCMU, t, &ulawLevels)
}

// NewEncoder returns an encoder of frames of 20 ms, without delay. There is
// nothing that the options could change.
func (ULaw) NewEncoder(t *media.Track, _ media.EncoderOptions) (media.AudioEncoder, error) {
	return newEncoder(media.PCMU, t, encodeULaw)
}

// check tells what in t is not what the codec can do.
func check(codec media.Codec, t *media.Track) error {
	switch {
	case t == nil:
		return fmt.Errorf("%w: none given", ErrTrack)
	case t.Codec != codec:
		return fmt.Errorf("%w: codec %q, not %s", ErrTrack, t.Codec, codec)
	case t.ClockRate != 0 && t.ClockRate != rate:
		return fmt.Errorf("%w: %s of %d Hz, not %d", ErrTrack, codec, t.ClockRate, rate)
	case t.Channels != 0 && t.Channels != 1:
		return fmt.Errorf("%w: %s of %d channels, not 1", ErrTrack, codec, t.Channels)
	}
	return nil
}

type decoder struct {
	levels *[256]float32
	plc    *plc.Concealer
}

func newDecoder(codec media.Codec, t *media.Track, levels *[256]float32) (media.AudioDecoder, error) {
	if err := check(codec, t); err != nil {
		return nil, err
	}
	return &decoder{levels: levels, plc: plc.New(rate)}, nil
}

func (d *decoder) SampleRate() int { return rate }

func (d *decoder) Channels() int { return 1 }

// Decode appends a sample for each byte.
func (d *decoder) Decode(pcm []float32, data []byte) ([]float32, error) {
	if len(data) == 0 {
		return pcm, fmt.Errorf("%w: it is empty", ErrFrame)
	}
	from := len(pcm)
	for _, b := range data {
		pcm = append(pcm, d.levels[b])
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
	track  *media.Track
	encode func(int) byte
}

func newEncoder(codec media.Codec, t *media.Track, encode func(int) byte) (media.AudioEncoder, error) {
	if err := check(codec, t); err != nil {
		return nil, err
	}
	return &encoder{track: &media.Track{Codec: codec, ClockRate: rate, Channels: 1}, encode: encode}, nil
}

func (e *encoder) Track() *media.Track { return e.track }

func (e *encoder) FrameSize() int { return frameSize }

func (e *encoder) Delay() int { return 0 }

// Encode appends a byte for each sample. What is over full scale is clipped.
func (e *encoder) Encode(dst []byte, pcm []float32) ([]byte, error) {
	if len(pcm) != frameSize {
		return dst, fmt.Errorf("%w: %d samples, not %d", ErrFrame, len(pcm), frameSize)
	}
	for _, s := range pcm {
		dst = append(dst, e.encode(linear(s)))
	}
	return dst, nil
}

func (e *encoder) Close() {}
