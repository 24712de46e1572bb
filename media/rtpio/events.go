package rtpio

import (
	"encoding/binary"
	"time"

	"github.com/trunkcast/trunkcast/media/sdp"
)

const (
	// eventTimeout is how long after its last packet a digit whose end is
	// lost is told: packets come each 50 ms at most (RFC 4733 section 2.5.1.2).
	eventTimeout = 300 * time.Millisecond
	// eventSegment is the longest duration of one timestamp; longer events go
	// on under a new one (RFC 4733 section 2.5.1.3).
	eventSegment = 0xffff
)

// events tells the DTMF digits of a line, each once: RFC 4733, whose packets
// repeat the digit with the timestamp of its beginning and a growing duration.
type events struct {
	known   bool // the fields below are of a digit
	ts      uint32
	code    byte
	ticks   uint32 // duration so far, in this segment
	before  uint32 // in those before
	rate    int
	heard   time.Duration
	pending bool
}

// packet takes the packets in order:
//
//	| event (8) | E R volume (6) | duration (16) |
func (e *events) packet(l *inLine, f *sdp.Format, p inPacket) {
	if len(p.payload) < 4 {
		l.malformed++
		return
	}
	code, end := p.payload[0], p.payload[1]&eventEndBit != 0
	ticks := uint32(binary.BigEndian.Uint16(p.payload[2:]))
	if int(code) >= len(dtmfDigits) {
		return // flash and tones
	}
	switch {
	case e.known && p.ts == e.ts && code == e.code:
		e.ticks = max(e.ticks, ticks)
	case e.known && int32(p.ts-e.ts) < 0 && p.arrival-e.heard < time.Minute:
		return // an old one
	case e.pending && code == e.code && e.continues(p.ts):
		e.before += p.ts - e.ts
		e.ts, e.ticks = p.ts, ticks
	default:
		e.end(l)
		*e = events{known: true, pending: true, ts: p.ts, code: code, ticks: ticks}
	}
	e.rate, e.heard = max(f.ClockRate, 1), p.arrival
	if end {
		e.end(l)
	}
}

// continues tells whether a timestamp is that of the next segment. The packet
// that ended the one before may be lost.
func (e *events) continues(ts uint32) bool {
	d := ts - e.ts
	return d == eventSegment || d < eventSegment && e.ticks >= eventSegment-1
}

// end tells the digit if that was not done.
func (e *events) end(l *inLine) {
	if !e.pending {
		return
	}
	e.pending = false
	d := time.Duration(e.before+e.ticks) * time.Second / time.Duration(e.rate)
	l.r.onDigit(digit{rune(dtmfDigits[e.code]), d})
	l.r.alarm = true
}

// overdue is when a digit whose end is lost is to be told.
func (e *events) overdue() (at time.Duration, ok bool) { return e.heard + eventTimeout, e.pending }

func (e *events) expire(l *inLine, now time.Duration) {
	if at, ok := e.overdue(); ok && at <= now {
		e.end(l)
	}
}
