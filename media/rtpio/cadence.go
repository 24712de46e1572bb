package rtpio

import (
	"sync/atomic"
	"time"
)

const (
	// calmInterval is how often a session that polls its sockets wakes. What
	// it adds to the delay is half of it in the mean, less where the aligner can
	// do something about it.
	calmInterval = 40 * time.Millisecond
	// busyInterval is how often while lost packets are asked for again, by us
	// or by a caller who is sent pictures: the sooner they come the better.
	busyInterval = 20 * time.Millisecond
	// busyTime is how long that goes on after the last packet that was asked
	// for.
	busyTime = 5 * time.Second
	// rtcpTicks is how many wake-ups pass from one look at an RTCP socket to
	// the next while no pictures are sent.
	rtcpTicks = 3
	// slotCount is the number of moments within an interval at which sessions
	// wake, slotLength apart: few, so that one wake-up of the process serves
	// many of them, but not all at once.
	slotCount  = 2
	slotLength = busyInterval / slotCount
)

var (
	slots atomic.Uint32 // sessions so far
	epoch = time.Now()  // of the ticks
)

// untilTick is the time to the next moment at which a session of that slot
// wakes.
func untilTick(now time.Time, slot, interval time.Duration) time.Duration {
	return interval - (now.Sub(epoch)-slot)%interval
}

// interval is the one that holds now. The mutex is held.
func (s *Session) interval(now time.Time) time.Duration {
	if now.Before(s.busy) {
		return busyInterval
	}
	return calmInterval
}

// noteRepair looks whether lost packets are asked for, or may be. The mutex is
// held.
func (l *line) noteRepair(now time.Time) {
	if l.counts.nacks != l.repairs || l.sending.Load() {
		l.repairs = l.counts.nacks
		l.s.busy = now.Add(busyTime)
	}
}

// poll takes what has come on all sockets.
func (s *Session) poll() {
	if !polled || s.waiting {
		return
	}
	s.ticks++
	for _, l := range s.inUse() {
		l.readers[0].poll()
		if s.ticks%rtcpTicks == 0 || l.sending.Load() {
			l.readers[1].poll()
		}
	}
}
