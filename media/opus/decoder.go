package opus

import (
	"errors"
	"fmt"
	"slices"
	"sync"

	"github.com/thesyncim/gopus"

	"github.com/trunkcast/trunkcast/media"
)

// decoders holds unused ones, by channels less one.
var decoders [2]sync.Pool

// engine is the codec.
type engine interface {
	Decode(data []byte, pcm []float32) (int, error)
	DecodeWithFEC(data []byte, pcm []float32, fec bool) (int, error)
	Reset()
}

type decoder struct {
	codec    engine // nil once closed
	channels int
	last     int // samples of the last packet, for those that do not say
	still    still
}

func newDecoder(channels int) (media.AudioDecoder, error) {
	d := &decoder{channels: channels, last: frameSize}
	if c, ok := decoders[channels-1].Get().(engine); ok {
		d.codec = c
		return d, nil
	}
	if err := d.renew(); err != nil {
		return nil, err
	}
	return d, nil
}

// renew gives d a new codec.
func (d *decoder) renew() error {
	c, err := gopus.NewDecoder(gopus.DecoderConfig{
		SampleRate: rate, Channels: d.channels, MaxPacketSamples: maxSamples, MaxPacketBytes: maxPacket,
	})
	if err != nil {
		return fmt.Errorf("opus: new decoder: %w", err)
	}
	d.codec = c
	return nil
}

func (d *decoder) SampleRate() int { return rate }

func (d *decoder) Channels() int { return d.channels }

// Decode appends the samples of a packet of any duration. In one without
// content (0 bytes, or hardly more than its first: discontinuous transmission)
// it is comfort noise.
func (d *decoder) Decode(pcm []float32, data []byte) ([]float32, error) {
	if d.codec == nil {
		return pcm, media.ErrClosed
	}
	if len(data) == 0 {
		return d.Conceal(pcm, d.last, nil), nil
	}
	samples := frameSamples(data[0]) * frameCount(data)
	switch {
	case samples == 0 || samples > maxSamples:
		return pcm, fmt.Errorf("%w: %d samples in %d bytes", ErrFrame, samples, len(data))
	case len(data) > maxPacket:
		return pcm, fmt.Errorf("%w: %d bytes, more than %d", ErrFrame, len(data), maxPacket)
	}
	from, room := len(pcm), samples*d.channels
	if d.still.again(data) {
		return silence(pcm, room), nil
	}
	pcm = slices.Grow(pcm, room)
	n, err := d.run(data, pcm[from:from+room], false)
	if err != nil {
		d.still.count = 0
		return pcm, err
	}
	d.last = samples
	pcm = pcm[:from+n]
	d.still.decoded(data, pcm[from:])
	return pcm, nil
}

// run decodes a packet, or the spare copy in it, into pcm, and returns how many
// samples of all channels that are. What comes from the network must not end
// the program or ruin the calls after it, whatever the codec makes of it: a
// panic of it is an error, and samples stay within full scale.
func (d *decoder) run(data []byte, pcm []float32, spare bool) (n int, err error) {
	defer func() {
		if p := recover(); p != nil {
			n, err = 0, errors.Join(fmt.Errorf("%w: the codec failed: %v", ErrFrame, p), d.renew())
		}
	}()
	if spare {
		n, err = d.codec.DecodeWithFEC(data, pcm, true)
	} else {
		n, err = d.codec.Decode(data, pcm)
	}
	if err != nil {
		return 0, fmt.Errorf("%w: %w", ErrFrame, err)
	}
	n = max(0, min(n*d.channels, len(pcm)))
	if !limit(pcm[:n]) {
		d.codec.Reset()
		return 0, fmt.Errorf("%w: it decodes to what is no sound", ErrFrame)
	}
	return n, nil
}

// limit clips to full scale, which damaged packets can exceed a thousandfold.
// It returns false if there is something that is no number.
func limit(pcm []float32) bool {
	for i, s := range pcm {
		switch {
		case s >= -1 && s <= 1:
		case s > 1:
			pcm[i] = 1
		case s < -1:
			pcm[i] = -1
		default:
			return false
		}
	}
	return true
}

// Conceal uses the copy of the last lost frame in next, if there is one, and
// extends the sound from before the gap up to there.
func (d *decoder) Conceal(pcm []float32, samples int, next []byte) []float32 {
	if samples <= 0 {
		return pcm
	}
	d.still.count = 0
	from := len(pcm)
	pcm = slices.Grow(pcm, samples*d.channels)
	if d.codec == nil {
		return silence(pcm, samples*d.channels)
	}
	spare := 0
	if len(next) <= maxPacket && gopus.PacketHasLBRR(next) {
		if n := frameSamples(next[0]); n <= samples {
			spare = n
		}
	}
	pcm = d.extend(pcm, samples-spare)
	if spare > 0 {
		at := len(pcm)
		// After an error there are no samples.
		n, _ := d.run(next, pcm[at:at+spare*d.channels], true)
		pcm = pcm[:at+n]
	}
	return silence(pcm, samples*d.channels-(len(pcm)-from))
}

// extend appends samples made up from what came before, at most 20 ms at a
// time, as the codec would do for lost packets.
func (d *decoder) extend(pcm []float32, samples int) []float32 {
	// The codec counts in 2.5 ms.
	const unit = rate / 400
	for samples > 0 {
		at := len(pcm)
		ask := min((samples+unit-1)/unit*unit, frameSize)
		pcm = slices.Grow(pcm, ask*d.channels)
		n, err := d.run(nil, pcm[at:at+ask*d.channels], false)
		if err != nil || n == 0 {
			return pcm
		}
		n = min(n, samples*d.channels)
		pcm = pcm[:at+n]
		samples -= n / d.channels
	}
	return pcm
}

// silence appends n zeros.
func silence(pcm []float32, n int) []float32 {
	if n <= 0 {
		return pcm
	}
	at := len(pcm)
	pcm = slices.Grow(pcm, n)[:at+n]
	clear(pcm[at:])
	return pcm
}

// Close keeps the codec for another decoder.
func (d *decoder) Close() {
	if d.codec != nil {
		d.codec.Reset()
		decoders[d.channels-1].Put(d.codec)
		d.codec, d.still = nil, still{}
	}
}

// frameSamples is the length of one frame of a packet by the packet's first
// byte (RFC 6716 section 3.1).
func frameSamples(toc byte) int {
	switch config := toc >> 3; {
	case config < 12: // SILK
		return [4]int{480, 960, 1920, 2880}[config&3]
	case config < 16: // hybrid
		return [2]int{480, 960}[config&1]
	default: // CELT
		return 120 << (config & 3)
	}
}

// frameCount is the number of frames in a packet (RFC 6716 section 3.2), 0 if
// it does not say.
func frameCount(data []byte) int {
	switch {
	case data[0]&3 == 0:
		return 1
	case data[0]&3 < 3:
		return 2
	case len(data) < 2:
		return 0
	default:
		return int(data[1] & 0x3f)
	}
}
