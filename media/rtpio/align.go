package rtpio

import "time"

const (
	// alignPeriod is how long frames are watched before the ticks are moved.
	alignPeriod = time.Second
	// alignStep is what they are moved by: the shorter the less frames wait, the
	// longer the more sessions wake at the same moment.
	alignStep = slotLength
)

// aligner moves the ticks of a session to where its frames are due. Those of a
// line come each 20 or 40 ms mostly, and all of them wait alike for the next
// tick: up to calmInterval, or, aligned, for about alignStep.
type aligner struct {
	spare time.Duration // all frames could have left so much earlier
	since time.Time     // zero: no frame yet
}

// left notes that a frame left so long after its time.
func (a *aligner) left(after time.Duration, now time.Time) {
	if a.since.IsZero() {
		a.since, a.spare = now, calmInterval
	}
	a.spare = min(a.spare, after)
}

// shift tells by how much earlier the ticks are to come from now on: a multiple
// of alignStep, mostly 0.
func (a *aligner) shift(now time.Time) time.Duration {
	if a.since.IsZero() || now.Sub(a.since) < alignPeriod {
		return 0
	}
	a.since = time.Time{}
	return max(a.spare, 0) / alignStep * alignStep
}

// align moves the ticks, after the frames that are due at now were taken out.
// The mutex is held.
func (s *Session) align(now time.Time) {
	until := s.at(now) - s.receiver.clock.Delay()
	for _, f := range s.frames {
		s.aligner.left(until-f.DTS, now)
	}
	s.slot = (s.slot + calmInterval - s.aligner.shift(now)) % calmInterval
}
