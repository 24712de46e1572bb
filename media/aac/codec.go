package aac

import (
	"fmt"

	"github.com/trunkcast/trunkcast/media"
)

// Codec is AAC-LC for [media.Stream] and whoever else transcodes. The zero
// value suits live speech.
type Codec struct {
	// Rate tells how the bit rate is kept. It defaults to ConstantRate.
	Rate RateControl
	// LowDelay makes the encoder's delay 1024 samples (21 ms at 48 kHz)
	// instead of 1600 (33 ms). Some attacks are then coded worse.
	LowDelay bool
	// PlainNoise makes the encoder code noise as it is and not as a level of
	// noise (perceptual noise substitution, PNS). For players that are older
	// than MPEG-4.
	PlainNoise bool
}

// What an encoder can be asked for.
const (
	defaultRate = 48000 // Hz
	// Bits a second for each channel.
	defaultBitRate = 64000
	minBitRate     = 8000
)

// encoderRates are the sampling rates in Hz of the encoder.
var encoderRates = []int{48000, 44100, 32000, 24000, 22050, 16000}

// Codec implements media.AudioCodec.
func (Codec) Codec() media.Codec { return media.AAC }

// NewDecoder implements media.AudioCodec. Without Config, the track's
// ClockRate and Channels are taken. Of HE-AAC the decoder plays the lower half
// of the band, at half the rate.
func (Codec) NewDecoder(t *media.Track) (media.AudioDecoder, error) {
	if t.Codec != media.AAC {
		return nil, fmt.Errorf("aac: cannot decode %s", t.Codec)
	}
	c := Config{SampleRate: t.ClockRate, Channels: t.Channels}
	if len(t.Config) > 0 {
		var err error
		if c, err = ParseConfig(t.Config[0]); err != nil {
			return nil, err
		}
	}
	if err := c.check(); err != nil {
		return nil, err
	}
	d, _ := decoders[c.Channels-1].Get().(*decoder)
	if d == nil {
		d = newDecoder(c.Channels)
	}
	d.reset(c)
	return &pooledDecoder{config: c, decoder: d}, nil
}

// NewEncoder implements media.AudioCodec. The track may ask for a rate of 16,
// 22.05, 24, 32, 44.1 or 48 kHz and one or two channels; it defaults to 48 kHz
// mono. Bit rates go from 8000 a channel to what 6144 bits a frame and channel
// make, and default to 64000 a channel, or less at low rates.
func (k Codec) NewEncoder(t *media.Track, o media.EncoderOptions) (media.AudioEncoder, error) {
	c, err := encoderConfig(t)
	if err != nil {
		return nil, err
	}
	if o.BitRate < 0 || o.Bandwidth < 0 {
		return nil, fmt.Errorf("aac: bit rate %d bit/s, bandwidth %d Hz: want no negative values", o.BitRate, o.Bandwidth)
	}
	if k.Rate != ConstantRate && k.Rate != AverageRate {
		return nil, fmt.Errorf("aac: rate control %d is unknown", k.Rate)
	}
	e, _ := encoders[c.Channels-1].Get().(*encoder)
	if e == nil {
		e = newEncoder(c.Channels)
	}
	e.reset(k, c, o)
	track := &media.Track{Codec: media.AAC, ClockRate: c.SampleRate, Channels: c.Channels, Config: [][]byte{c.Marshal()}}
	return &pooledEncoder{track: track, delay: frameSize + e.ahead, encoder: e}, nil
}

// encoderConfig completes what a track leaves open.
func encoderConfig(t *media.Track) (Config, error) {
	if t.Codec != media.AAC && t.Codec != "" {
		return Config{}, fmt.Errorf("aac: cannot encode %s", t.Codec)
	}
	c := Config{SampleRate: t.ClockRate, Channels: t.Channels}
	if len(t.Config) > 0 {
		given, err := ParseConfig(t.Config[0])
		if err != nil {
			return Config{}, err
		}
		if c.SampleRate != 0 && c.SampleRate != given.SampleRate || c.Channels != 0 && c.Channels != given.Channels {
			return Config{}, fmt.Errorf("aac: track of %d Hz, %d channel(s) contradicts its configuration of %d Hz, %d",
				c.SampleRate, c.Channels, given.SampleRate, given.Channels)
		}
		c = given
	}
	if c.SampleRate == 0 {
		c.SampleRate = defaultRate
	}
	if c.Channels == 0 {
		c.Channels = 1
	}
	if c.Channels != 1 && c.Channels != 2 {
		return Config{}, &UnsupportedError{fmt.Sprintf("encoding of %d channels", c.Channels)}
	}
	for _, rate := range encoderRates {
		if rate == c.SampleRate {
			return c, nil
		}
	}
	return Config{}, &UnsupportedError{fmt.Sprintf("encoding at %d Hz (only %v)", c.SampleRate, encoderRates)}
}
