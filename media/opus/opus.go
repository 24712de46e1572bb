// Package opus decodes and encodes Opus (RFC 6716, RFC 7587) at 48000 Hz, mono
// or stereo. It is the only package that imports the codec itself, so that a
// program that does without it carries none of it.
//
// Decoders and encoders hold a few hundred kilobytes each and are reused: see
// Close in [media.AudioCodec].
package opus

import (
	"errors"
	"fmt"

	"github.com/trunkcast/trunkcast/media"
)

const (
	rate      = 48000
	frameSize = 960 // samples that an encoder puts into a frame, 20 ms

	// maxSamples is the longest packet, 120 ms (RFC 6716 section 3.2.5).
	maxSamples = rate * 120 / 1000
	// maxPacket in bytes is such a packet at 510 kbit/s, the highest rate, and
	// its framing.
	maxPacket = maxBitRate/8*120/1000 + 512
)

var (
	// ErrTrack tells that a track is not Opus of 48000 Hz, mono or stereo.
	ErrTrack = errors.New("opus: track not supported")
	// ErrFrame tells that a packet is malformed, or that samples do not fill
	// one.
	ErrFrame = errors.New("opus: bad frame")
)

// Codec is the [media.AudioCodec] of Opus. The zero value suits calls.
type Codec struct {
	// Complexity of encoding, 1 to 10: a higher one costs more CPU time and
	// sounds a little better. Default 5; 10 takes nearly twice as much.
	Complexity int
	// Loss is the share of packets, in per cent, that are expected to be lost
	// on the way. Above 0, encoders use the coder for speech and add a spare
	// copy of each frame to the next one (in-band FEC, RFC 6716 section
	// 2.1.7). Default 0: none.
	Loss int
}

// Codec returns media.Opus.
func (Codec) Codec() media.Codec { return media.Opus }

// NewDecoder returns a decoder that gives as many channels as t says, whatever
// is in the packets: RTP calls every Opus stream stereo (RFC 7587 section 7).
// Rate and channels of t may be left 0, for 48000 Hz mono.
func (Codec) NewDecoder(t *media.Track) (media.AudioDecoder, error) {
	channels, err := check(t)
	if err != nil {
		return nil, err
	}
	return newDecoder(channels)
}

// NewEncoder returns an encoder of frames of 20 ms at 32 kbit/s for each
// channel, unless the options say otherwise. Rate and channels of t may be
// left 0, for 48000 Hz mono.
func (c Codec) NewEncoder(t *media.Track, o media.EncoderOptions) (media.AudioEncoder, error) {
	channels, err := check(t)
	if err != nil {
		return nil, err
	}
	if c.Complexity < 0 || c.Complexity > 10 {
		return nil, fmt.Errorf("opus: complexity %d is not 1 to 10", c.Complexity)
	}
	if c.Loss < 0 || c.Loss > 100 {
		return nil, fmt.Errorf("opus: loss of %d per cent", c.Loss)
	}
	if o.BitRate < 0 || o.Bandwidth < 0 {
		return nil, fmt.Errorf("opus: bit rate %d, bandwidth %d", o.BitRate, o.Bandwidth)
	}
	return newEncoder(c, channels, o)
}

// check returns the channels of t, or what in it is not what the codec can do.
func check(t *media.Track) (channels int, err error) {
	switch {
	case t == nil:
		return 0, fmt.Errorf("%w: none given", ErrTrack)
	case t.Codec != media.Opus:
		return 0, fmt.Errorf("%w: codec %q, not %s", ErrTrack, t.Codec, media.Opus)
	case t.ClockRate != 0 && t.ClockRate != rate:
		return 0, fmt.Errorf("%w: %d Hz, not %d", ErrTrack, t.ClockRate, rate)
	case t.Channels < 0 || t.Channels > 2:
		return 0, fmt.Errorf("%w: %d channels, not 1 or 2", ErrTrack, t.Channels)
	}
	return max(1, t.Channels), nil
}
