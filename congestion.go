package trunkcast

import (
	"time"

	"github.com/trunkcast/trunkcast/media/sdp"
	"github.com/trunkcast/trunkcast/rtmp"
)

const (
	// congestionLook is how often the targets of a call are looked at.
	congestionLook = 2 * time.Second
	// congestionCalm is how long nothing is dropped before a caller may send
	// more again; after each relapse it is twice as long, up to congestionPatience.
	congestionCalm     = 10 * time.Second
	congestionPatience = 2 * time.Minute
	// lowestLimit is the least that a caller is told, in bit/s: a small picture.
	lowestLimit = 150_000
	// noLimit is what a caller without a limit is told in the end, in bit/s: a
	// limit once told cannot be taken back (RFC 5104 section 3.5.4).
	noLimit = 100_000_000
)

// congestion finds the bit rate for a caller that the targets of the call can
// take: less at once when they drop pictures, more again bit by bit.
type congestion struct {
	ceiling int // bit/s; 0: none
	limit   int // told to the caller; 0: the ceiling, or none

	targets map[targetKey]targetCount
	changed time.Time // limit
	calm    time.Duration
	raised  bool // since it was lowered
}

// targetKey tells targets apart, whose names may be equal.
type targetKey struct {
	name   string
	output *Output
}

// targetCount is what a target had done at the last look.
type targetCount struct {
	connects, dropped, bytes uint64

	moved  time.Time // when bytes were seen to go out last
	behind bool      // pictures were dropped since then
}

// look takes the counters of the targets at now. ok tells that limit is news.
func (c *congestion) look(outputs []OutputStats, now time.Time) (limit int, ok bool) {
	before := c.targets
	c.targets = map[targetKey]targetCount{}
	carried := 0
	for _, o := range outputs {
		if o.RTMP == nil || o.RTMP.State != rtmp.Live {
			continue
		}
		n := targetCount{connects: o.RTMP.Connects, dropped: o.Dropped + o.RTMP.VideoDropped, bytes: o.RTMP.Bytes, moved: now}
		// One that was away has dropped for that. One that takes nothing at all
		// would take no less either.
		key := targetKey{o.Name, o.output}
		if p, known := before[key]; known && p.connects == n.connects {
			n.behind = p.behind || n.dropped > p.dropped
			switch {
			case n.bytes <= p.bytes:
				n.moved = p.moved
			case n.behind:
				n.behind = false
				rate := int(float64(n.bytes-p.bytes) * 8 / now.Sub(p.moved).Seconds())
				if carried == 0 || rate < carried {
					carried = rate
				}
			}
		}
		c.targets[key] = n
	}
	if carried > 0 {
		return c.lower(carried, now)
	}
	return c.raise(now)
}

// lower sets the limit below what was carried, of sound and picture together.
func (c *congestion) lower(carried int, now time.Time) (int, bool) {
	switch {
	case c.calm == 0:
		c.calm = congestionCalm
	case c.raised:
		c.calm = min(2*c.calm, congestionPatience)
	}
	c.changed, c.raised = now, false
	limit := carried * 8 / 10
	if c.limit > 0 { // and that was still too much
		limit = min(limit, c.limit*9/10)
	}
	limit = max(limit, lowestLimit)
	if c.ceiling > 0 {
		limit = min(limit, c.ceiling)
	}
	told := c.limit
	c.limit = limit
	return limit, limit != told
}

// raise lets the caller send an eighth more when all was calm.
func (c *congestion) raise(now time.Time) (int, bool) {
	if c.limit == 0 || now.Sub(c.changed) < c.calm {
		return 0, false
	}
	c.limit += max(c.limit/8, 1)
	c.changed, c.raised = now, true
	most := c.ceiling
	if most == 0 {
		most = noLimit
	}
	if c.limit >= most {
		c.limit = 0
		return most, true
	}
	return c.limit, true
}

// limitCaller begins to follow the congestion of the targets if the caller can
// be told of it.
func (s *Session) limitCaller() {
	if !limitable(s.media.Agreed()) {
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.ended && !s.limiting {
		s.limiting = true
		s.watchers.Go(s.followCongestion)
	}
}

// followCongestion keeps the caller from sending more pictures than the targets
// take, if it understands that.
func (s *Session) followCongestion() {
	tick := time.NewTicker(congestionLook)
	defer tick.Stop()
	c := congestion{ceiling: s.plan.MaxVideoBitRate}
	for {
		select {
		case <-tick.C:
		case <-s.media.Done():
			return
		}
		var outputs []OutputStats
		for _, o := range s.Outputs() {
			outputs = append(outputs, o.Stats())
		}
		if limit, ok := c.look(outputs, time.Now()); ok {
			s.log.Info("bit rate for the caller's pictures", "bits_per_second", limit)
			s.media.SetMaxVideoBitRate(limit)
		}
	}
}

// limitable tells whether the caller can be told a bit rate.
func limitable(a *sdp.Agreed) bool {
	l := a.Line(sdp.Video)
	return l != nil && l.Direction.Receives() && (l.Feedback.TMMBR || l.Feedback.REMB)
}
