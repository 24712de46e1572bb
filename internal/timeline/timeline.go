package timeline

import (
	"slices"
	"time"
)

const (
	defaultMin = 40 * time.Millisecond
	defaultMax = 400 * time.Millisecond

	// margin is kept beyond the slowest packet.
	margin = 5 * time.Millisecond
	// shrinkRate is how fast the play-out delay goes down, in time per second.
	shrinkRate = 20 * time.Millisecond
)

// Timeline is what the tracks of one caller share. The zero value is ready.
// All times "now" and arrivals are offsets from one arbitrary start and 0 at
// least.
type Timeline struct {
	// Min and Max bound the jitter buffer: what the play-out is behind the
	// fastest packets. Defaults 40 and 400 ms.
	Min, Max time.Duration

	tracks []*Track
	begun  bool
	lag    time.Duration // arrival less PTS of the fastest packets, last known

	delay   time.Duration // of Playout
	updated time.Duration
	playing bool
}

// Add makes a track with that RTP clock rate in Hz. Of the tracks that are
// masters, the one added first leads. after is the track whose place it takes,
// nil if it is new: the PTS then go on behind those of after, which is removed.
func (tl *Timeline) Add(rate int, master bool, after *Track) *Track {
	t := &Track{tl: tl, rate: int64(max(rate, 1)), master: master}
	if i := slices.Index(tl.tracks, after); i >= 0 {
		t.floor = after.end()
		t.usual, t.usualAt, t.settled = after.usual, after.usualAt, after.settled
		tl.tracks[i] = t
	} else {
		tl.tracks = append(tl.tracks, t)
	}
	tl.renew()
	return t
}

// renew lets the next reports tell a new bias at once: a clock began anew.
// Until then the old one stands, for it is mostly the same camera.
func (tl *Timeline) renew() {
	for _, t := range tl.tracks {
		t.biases = median{}
	}
}

// Remove takes a track away.
func (tl *Timeline) Remove(t *Track) {
	tl.tracks = slices.DeleteFunc(tl.tracks, func(o *Track) bool { return o == t })
}

// leader is the track that t follows; nil if t is the leader, or there is
// none that lives.
func (tl *Timeline) leader(t *Track, now time.Duration) *Track {
	for _, o := range tl.tracks {
		if !o.master || !o.mapped {
			continue
		}
		if o == t {
			return nil
		}
		if _, _, ok := o.transit.get(now); ok {
			return o
		}
	}
	return nil
}

// lagAt is how far PTS are behind the arrival of the fastest packets, by the
// tracks other than t, or as it was last.
func (tl *Timeline) lagAt(t *Track, now time.Duration) time.Duration {
	if o := tl.leader(t, now); o != nil {
		lag, _ := o.lag(now)
		return lag
	}
	for _, o := range tl.tracks {
		if o == t || !o.mapped {
			continue
		}
		if lag, ok := o.lag(now); ok {
			return lag + o.bias
		}
	}
	return tl.lag
}

// Playout returns the delay of the play-out at now: a frame is due at its PTS
// plus that. It grows at once when packets come late, and shrinks slowly.
func (tl *Timeline) Playout(now time.Duration) time.Duration {
	low, high := tl.bounds()
	target, any := time.Duration(0), false
	for _, t := range tl.tracks {
		fast, slow, ok := t.transit.get(now)
		if !ok || !t.mapped {
			continue
		}
		fast, slow = fast-t.offset, slow-t.offset
		d := max(slow+margin, fast+low, fast+t.reserve)
		d = min(d, fast+high)
		if !any || d > target {
			target, any = d, true
		}
	}
	if !any {
		return tl.delay
	}
	if tl.playing && target < tl.delay {
		elapsed := min(max(now-tl.updated, 0), time.Second)
		target = max(target, tl.delay-elapsed*shrinkRate/time.Second)
	}
	tl.delay, tl.updated, tl.playing = target, now, true
	return target
}

// Buffered is how far the play-out is behind the fastest packets.
func (tl *Timeline) Buffered(now time.Duration) time.Duration {
	best, any := time.Duration(0), false
	for _, t := range tl.tracks {
		if lag, ok := t.lag(now); ok && t.mapped && (!any || lag < best) {
			best, any = lag, true
		}
	}
	if !any {
		return 0
	}
	return max(tl.delay-best, 0)
}

func (tl *Timeline) bounds() (low, high time.Duration) {
	low, high = tl.Min, tl.Max
	if low <= 0 {
		low = defaultMin
	}
	if high <= 0 {
		high = defaultMax
	}
	return low, max(low, high)
}

// Delay is what Playout returned last.
func (tl *Timeline) Delay() time.Duration { return tl.delay }

// Shortest and Longest are the bounds of the jitter buffer.
func (tl *Timeline) Shortest() time.Duration {
	low, _ := tl.bounds()
	return low
}

// Longest is the other bound.
func (tl *Timeline) Longest() time.Duration {
	_, high := tl.bounds()
	return high
}
