package opus

import (
	"fmt"
	"slices"
	"sync"

	"github.com/thesyncim/gopus"

	"github.com/trunkcast/trunkcast/media"
)

// decoders holds unused ones, by channels less one.
var decoders [2]sync.Pool

type decoder struct {
	codec    *gopus.Decoder // nil once closed
	channels int
	last     int // samples of the last packet, for those that do not say
}

func newDecoder(channels int) (media.AudioDecoder, error) {
	d := &decoder{channels: channels, last: frameSize}
	if c, ok := decoders[channels-1].Get().(*gopus.Decoder); ok {
		c.Reset()
		d.codec = c
		return d, nil
	}
	c, err := gopus.NewDecoder(gopus.DecoderConfig{
		SampleRate: rate, Channels: channels, MaxPacketSamples: maxSamples, MaxPacketBytes: maxPacket,
	})
	if err != nil {
		return nil, fmt.Errorf("opus: new decoder: %w", err)
	}
	d.codec = c
	return d, nil
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
	pcm = slices.Grow(pcm, room)
	n, err := d.codec.Decode(data, pcm[from:from+room])
	if err != nil {
		return pcm, fmt.Errorf("%w: %w", ErrFrame, err)
	}
	d.last = samples
	return pcm[:from+min(n, samples)*d.channels], nil
}

// Conceal uses the copy of the last lost frame in next, if there is one, and
// extends the sound from before the gap up to there.
func (d *decoder) Conceal(pcm []float32, samples int, next []byte) []float32 {
	if samples <= 0 {
		return pcm
	}
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
		n, err := d.codec.DecodeWithFEC(next, pcm[at:at+spare*d.channels], true)
		if err == nil {
			pcm = pcm[:at+min(n, spare)*d.channels]
		}
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
		n, err := d.codec.Decode(nil, pcm[at:at+ask*d.channels])
		if err != nil || n <= 0 {
			return pcm
		}
		n = min(n, ask, samples)
		pcm = pcm[:at+n*d.channels]
		samples -= n
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
		decoders[d.channels-1].Put(d.codec)
		d.codec = nil
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
