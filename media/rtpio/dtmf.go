package rtpio

import (
	"context"
	"fmt"
	"net/netip"
	"strings"
	"time"

	"github.com/trunkcast/trunkcast/media/sdp"
)

const (
	defaultDigit = 160 * time.Millisecond
	minDigit     = 40 * time.Millisecond
	maxDigit     = 8 * time.Second
	digitGap     = 80 * time.Millisecond
	digitPause   = time.Second // a comma
	eventPacket  = 20 * time.Millisecond
	eventEnds    = 3  // RFC 4733 section 2.5.1.4
	eventVolume  = 10 // -10 dBm0
	eventEndBit  = 0x80

	// dtmfDigits are in the order of their event codes (RFC 4733 section 3.2).
	dtmfDigits = "0123456789*#ABCD"
)

// SendDTMF sends digits (0-9 * # A-D, and a comma for a second's pause) as
// telephone-events (RFC 4733), each for that duration: default 160 ms, 40 ms
// to 8 s. It returns when they are sent. Sound is not sent meanwhile. Only one
// string is sent at a time; another call waits.
//
// The error is [ErrNoEvents] if the caller does not take them (SIP INFO may be
// tried then), [ErrNotSending] during hold, [ErrClosed], or that of ctx.
func (s *Session) SendDTMF(ctx context.Context, digits string, duration time.Duration) error {
	s.init()
	if duration == 0 {
		duration = defaultDigit
	}
	if duration < minDigit || duration > maxDigit {
		return fmt.Errorf("rtpio: a digit of %v: 40 ms to 8 s are possible", duration)
	}
	digits = strings.ToUpper(digits)
	for _, d := range digits {
		if d != ',' && !strings.ContainsRune(dtmfDigits, d) {
			return fmt.Errorf("rtpio: %q is not a DTMF digit", d)
		}
	}
	select {
	case s.dial <- struct{}{}:
		defer func() { <-s.dial }()
	case <-ctx.Done():
		return ctx.Err()
	case <-s.ctx.Done():
		return ErrClosed
	}
	defer s.setDialling(false)
	for i, d := range digits {
		if d == ',' {
			if err := s.pause(ctx, digitPause); err != nil {
				return err
			}
			continue
		}
		if i > 0 {
			if err := s.pause(ctx, digitGap); err != nil {
				return err
			}
		}
		if err := s.sendEvent(ctx, byte(strings.IndexRune(dtmfDigits, d)), duration); err != nil {
			return err
		}
	}
	return nil
}

func (s *Session) setDialling(on bool) {
	s.mu.Lock()
	s.dialling = on
	s.mu.Unlock()
}

func (s *Session) pause(ctx context.Context, d time.Duration) error {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	case <-s.ctx.Done():
		return ErrClosed
	}
}

// sendEvent sends one digit: a packet each 20 ms with the same timestamp and
// a growing duration, the last one three times with the end bit.
func (s *Session) sendEvent(ctx context.Context, code byte, d time.Duration) error {
	s.setDialling(true)
	e := event{code: code}
	begun := time.Now()
	for length := eventPacket; ; length += eventPacket {
		end := length >= d
		if end {
			length = d
		}
		repeats := 1
		if end {
			repeats = eventEnds
		}
		for range repeats {
			if err := s.eventPacket(&e, length, end); err != nil {
				return err
			}
		}
		if end {
			return nil
		}
		if err := s.pause(ctx, time.Until(begun.Add(length+eventPacket))); err != nil {
			return err
		}
	}
}

// event is a digit under way. One that is longer than its field of 16 bits can
// tell is sent in segments, each with a timestamp of its own.
type event struct {
	code   byte
	begun  bool
	ts     uint32 // of the segment
	before int64  // ticks in the segments before it
}

// eventPacket tells how long the digit is by now: in one packet, or in two
// where a segment ends.
func (s *Session) eventPacket(e *event, length time.Duration, end bool) error {
	for {
		more, err := s.sendSegment(e, length, end)
		if err != nil || !more {
			return err
		}
	}
}

// sendSegment sends a packet about the segment of now. more tells that it ended
// there, and that the digit goes on in the next one (RFC 4733 section 2.5.1.3).
func (s *Session) sendSegment(e *event, length time.Duration, end bool) (more bool, err error) {
	s.mu.Lock()
	l, c, to, format, err := s.eventFormat()
	if err != nil {
		s.mu.Unlock()
		return false, err
	}
	t := &l.send
	marker := !e.begun
	if !e.begun {
		// The digit stands where sound would stand next.
		e.begun = true
		e.ts, _ = t.audioTimestamp(s.at(time.Now()), 0)
	}
	n := ticks(length, format.ClockRate) - e.before
	t.nextTS = e.ts + uint32(n)
	more = n > eventSegment
	flags := byte(eventVolume)
	if end && !more {
		flags |= eventEndBit
	}
	n = min(n, eventSegment)
	b := append(t.put(s.eventOut[:0], format.PayloadType, marker, e.ts), e.code, flags, byte(n>>8), byte(n))
	if more {
		e.ts += eventSegment
		e.before += eventSegment
	}
	b, err = t.seal(b, c.out)
	l.counts.packets++
	l.counts.bytes += uint64(len(b))
	s.mu.Unlock()
	if err == nil {
		l.sendRTP(b, to)
	}
	return more, err
}

// eventFormat finds how events are sent now. The mutex is held.
func (s *Session) eventFormat() (l *line, c *lineConfig, to netip.AddrPort, format *sdp.Format, err error) {
	if s.closed {
		return nil, nil, to, nil, ErrClosed
	}
	agreed := s.agreed.Load().Line(sdp.Audio)
	if agreed == nil || agreed.Index >= len(s.lines) || s.lines[agreed.Index] == nil {
		return nil, nil, to, nil, ErrNoEvents
	}
	l = s.lines[agreed.Index]
	c, to, ok := l.target(time.Now())
	if !ok {
		return nil, nil, to, nil, ErrNotSending
	}
	if l.send.format == nil {
		if first := c.send.First(); first != nil {
			l.send.use(first)
		}
	}
	format = c.send.Event(clockRate(l.send.format))
	if format == nil || l.send.format == nil {
		return nil, nil, to, nil, ErrNoEvents
	}
	return l, c, to, format, nil
}

func clockRate(f *sdp.Format) int {
	if f == nil {
		return 8000
	}
	return f.ClockRate
}
