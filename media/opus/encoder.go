package opus

import (
	"cmp"
	"fmt"
	"math"
	"sync"

	"github.com/thesyncim/gopus"

	"github.com/trunkcast/trunkcast/media"
)

const (
	complexity = 5
	bitRate    = 32000 // for each channel
	maxBitRate = 510_000

	// flush is the number of frames without sound after which nothing is left
	// of those before.
	flush = 15

	// loudest sample that is not taken for an accident.
	loudest = 8
)

// machine is the codec and the memory that goes with it.
type machine struct {
	codec  *gopus.Encoder
	packet [1500]byte // longest frame: 1275 bytes (RFC 6716 section 3.2.1)
	clean  [2 * frameSize]float32
}

// machines holds unused ones, by coder (general, for speech) and by channels
// less one.
var machines [2][2]sync.Pool

func unused(c Codec, channels int) *sync.Pool {
	if c.Loss > 0 {
		return &machines[1][channels-1]
	}
	return &machines[0][channels-1]
}

type encoder struct {
	machine *machine // nil once closed
	pool    *sync.Pool
	track   *media.Track
	delay   int
}

func newEncoder(c Codec, channels int, o media.EncoderOptions) (media.AudioEncoder, error) {
	pool := unused(c, channels)
	m, ok := pool.Get().(*machine)
	if !ok {
		codec, err := gopus.NewEncoder(gopus.EncoderConfig{
			SampleRate: rate, Channels: channels, Application: application(c),
		})
		if err != nil {
			return nil, fmt.Errorf("opus: new encoder: %w", err)
		}
		m = &machine{codec: codec}
	}
	if err := m.configure(c, channels, o); err != nil {
		return nil, fmt.Errorf("opus: configure encoder: %w", err)
	}
	return &encoder{
		machine: m,
		pool:    pool,
		track:   &media.Track{Codec: media.Opus, ClockRate: rate, Channels: channels},
		delay:   m.codec.Lookahead(),
	}, nil
}

// application prefers the general coder, which is the faster one and does not
// spoil music, unless spare copies are wanted, which only that for speech can
// make.
func application(c Codec) gopus.Application {
	if c.Loss > 0 {
		return gopus.ApplicationVoIP
	}
	return gopus.ApplicationAudio
}

// configure sets all that an earlier user of m may have set.
func (m *machine) configure(c Codec, channels int, o media.EncoderOptions) error {
	m.codec.SetFEC(c.Loss > 0)
	return cmp.Or(
		m.codec.SetFrameSize(frameSize),
		m.codec.SetComplexity(cmp.Or(c.Complexity, complexity)),
		m.codec.SetBitrate(min(cmp.Or(o.BitRate, bitRate*channels), maxBitRate)),
		m.codec.SetPacketLoss(c.Loss),
		m.codec.SetMaxBandwidth(bandwidth(o.Bandwidth)),
	)
}

// bandwidth is the narrowest that holds frequencies up to hz (RFC 6716, table
// 1).
func bandwidth(hz int) gopus.Bandwidth {
	switch {
	case hz <= 0 || hz > 12000:
		return gopus.BandwidthFullband
	case hz <= 4000:
		return gopus.BandwidthNarrowband
	case hz <= 6000:
		return gopus.BandwidthMediumband
	case hz <= 8000:
		return gopus.BandwidthWideband
	default:
		return gopus.BandwidthSuperwideband
	}
}

func (e *encoder) Track() *media.Track { return e.track }

func (e *encoder) FrameSize() int { return frameSize }

func (e *encoder) Delay() int { return e.delay }

// Encode appends one packet. Samples that are no numbers are silence to it.
func (e *encoder) Encode(dst []byte, pcm []float32) ([]byte, error) {
	m := e.machine
	if m == nil {
		return dst, media.ErrClosed
	}
	if want := frameSize * e.track.Channels; len(pcm) != want {
		return dst, fmt.Errorf("%w: %d samples, not %d", ErrFrame, len(pcm), want)
	}
	n, err := m.codec.Encode(m.cleaned(pcm), m.packet[:])
	if err != nil {
		return dst, fmt.Errorf("opus: encode: %w", err)
	}
	return append(dst, m.packet[:n]...), nil
}

// cleaned returns pcm, or a copy in which no sample is so loud that it would
// upset the codec for long.
func (m *machine) cleaned(pcm []float32) []float32 {
	fine := true
	for _, s := range pcm {
		fine = fine && s >= -loudest && s <= loudest
	}
	if fine {
		return pcm
	}
	clean := m.clean[:len(pcm)]
	for i, s := range pcm {
		if math.IsNaN(float64(s)) {
			s = 0
		}
		clean[i] = max(-loudest, min(loudest, s))
	}
	return clean
}

// Close keeps the codec for another encoder.
func (e *encoder) Close() {
	if e.machine == nil {
		return
	}
	if e.machine.reset(e.track.Channels) == nil {
		e.pool.Put(e.machine)
	}
	e.machine = nil
}

// reset makes m as new. The codec's own Reset leaves its high-pass filters as
// they are, and the next user would begin with a thump: so silence goes through
// them first, which takes about a millisecond.
func (m *machine) reset(channels int) error {
	quiet := m.clean[:frameSize*channels]
	clear(quiet)
	for range flush {
		if _, err := m.codec.Encode(quiet, m.packet[:]); err != nil {
			return err
		}
	}
	m.codec.Reset()
	return nil
}
