package timeline

import "time"

const (
	// SlewRate is how fast a track that follows another one is moved at least,
	// FastSlew at most, in time per second: a quarter of what it is astray, so
	// that a bad begin is made good in seconds and noise moves little. Pictures
	// 6 % too fast or slow are not seen to be.
	SlewRate = 10 * time.Millisecond
	FastSlew = 60 * time.Millisecond
	// deadBand is the error that is left alone.
	deadBand = 2 * time.Millisecond

	// jumpAhead and jumpBack are how far timestamps may run ahead of the
	// arrival and go back in order, before they are taken for a new clock.
	jumpAhead = 500 * time.Millisecond
	jumpBack  = time.Second
	// behind is how far packets may come after their time, for behindFor,
	// before the timestamps are taken to have stood still.
	behind    = 600 * time.Millisecond
	behindFor = time.Second
	// maxStall is how late a packet may be to count for the jitter buffer.
	maxStall = 2 * time.Second
	// maxProgress bounds what one frame may be moved for.
	maxProgress = time.Minute
	// maxSpan is the longest distance from one frame to the next that is
	// kept between what a new clock follows and its first frame.
	maxSpan = 100 * time.Millisecond
)

// Track maps the RTP time of one stream of packets to PTS.
type Track struct {
	tl     *Timeline
	rate   int64
	master bool

	mapped  bool
	rtp     uint32        // mapped last
	ext     int64         // rtp without wrap
	offset  time.Duration // PTS less RTP time
	high    time.Duration // highest RTP time mapped
	span    time.Duration // from one frame to the next
	floor   time.Duration // lowest PTS to come after a jump
	transit window        // arrival less RTP time
	usual   time.Duration // lag, when it was last plausible
	usualAt time.Duration
	settled bool // usual is known

	behindSince time.Duration
	isBehind    bool
	reserve     time.Duration

	reports reports
	bias    time.Duration
	biases  median
}

// Reserve makes the play-out wait for at least d behind the fastest packets:
// the time in which lost ones can be had again.
func (t *Track) Reserve(d time.Duration) { t.reserve = d }

// media is RTP time in nanoseconds; by parts, which do not overflow.
func (t *Track) media(ext int64) time.Duration {
	return time.Duration(ext/t.rate)*time.Second + time.Duration(ext%t.rate)*time.Second/time.Duration(t.rate)
}

// unwrap returns the RTP time nearest to the one mapped last.
func (t *Track) unwrap(rtp uint32) int64 { return t.ext + int64(int32(rtp-t.rtp)) }

// lag is how much later than their PTS the fastest packets come.
func (t *Track) lag(now time.Duration) (time.Duration, bool) {
	low, _, ok := t.transit.get(now)
	return low - t.offset, ok
}

// end is where a stream that takes the place of this one may begin.
func (t *Track) end() time.Duration {
	if !t.mapped {
		return t.floor
	}
	return t.high + t.offset + t.span
}

// Arrive takes note of a packet when it arrives, in whatever order. Times that
// cannot be the same clock are for Map to judge.
func (t *Track) Arrive(rtp uint32, now time.Duration) {
	if !t.mapped {
		return
	}
	v := now - t.media(t.unwrap(rtp))
	if excess := v - t.offset - t.usual; excess < -jumpAhead || excess > maxStall {
		return
	}
	t.transit.add(now, v)
}

// Peek is the PTS that Map would give if nothing jumps.
func (t *Track) Peek(rtp uint32) (pts time.Duration, ok bool) {
	return t.media(t.unwrap(rtp)) + t.offset, t.mapped
}

// Map returns the PTS of a frame. It is called in the order of the sequence
// numbers; arrival is that of the frame's first packet.
func (t *Track) Map(rtp uint32, arrival time.Duration) time.Duration {
	if !t.mapped {
		t.mapped, t.rtp, t.ext = true, rtp, int64(rtp)
		t.place(t.media(t.ext), arrival, t.tl.begun)
		t.tl.begun = true
		return t.high + t.offset
	}
	ext := t.unwrap(rtp)
	at := t.media(ext)
	step := at - t.media(t.ext)
	t.rtp, t.ext = rtp, ext
	if t.jumped(at, step, arrival) {
		t.floor = t.end()
		t.place(at, arrival, true)
		return at + t.offset
	}
	if at > t.high {
		t.follow(at-t.high, arrival)
		t.span = min(at-t.high, maxSpan)
		t.high = at
	}
	t.settle(arrival)
	return at + t.offset
}

// settle takes note of the lag while the packets are as they should be.
func (t *Track) settle(now time.Duration) {
	lag, ok := t.lag(now)
	if !ok || t.isBehind {
		return
	}
	t.usual, t.usualAt = lag, now
	if t.tl.leader(t, now) == nil {
		t.tl.lag = lag
	}
}

// place puts RTP time at where its arrival tells: as far behind it as this
// track, or the one before it, was lately, else as the other tracks are.
func (t *Track) place(at, arrival time.Duration, known bool) {
	pts := time.Duration(0)
	if known {
		lag := t.usual
		if !t.settled || arrival-t.usualAt > buckets*bucket {
			lag = t.tl.lagAt(t, arrival)
		}
		pts = max(arrival-lag, t.floor, 0)
	}
	t.offset = pts - at
	t.high = at
	t.isBehind = false
	t.transit.reset()
	t.transit.add(arrival, arrival-at)
	t.settled = true
	t.settle(arrival)
	t.reports, t.bias = reports{}, 0
	t.tl.renew()
}

// jumped tells that RTP time at, step after the last one, belongs to another
// clock.
func (t *Track) jumped(at, step, arrival time.Duration) bool {
	if step < -jumpBack || at < t.high-jumpBack { // at once, or by many small steps
		return true
	}
	switch excess := arrival - at - t.offset - t.usual; {
	case excess < -jumpAhead:
		return true
	case excess <= behind:
		t.isBehind = false
	case !t.isBehind:
		t.isBehind, t.behindSince = true, arrival
	default:
		return arrival-t.behindSince >= behindFor
	}
	return false
}

// follow moves the offset towards the leader's, for so much progress.
func (t *Track) follow(progress, now time.Duration) {
	err, ok := t.astray(now)
	if !ok || err.Abs() < deadBand {
		return
	}
	rate := min(max(err.Abs()/4, SlewRate), FastSlew)
	limit := min(progress, maxProgress) * rate / time.Second
	t.offset += min(max(err, -limit), limit)
}

// astray is how much later the PTS of a track that follows should be, by
// arrival and what was believed of the sender reports; ok is false if it
// follows none.
func (t *Track) astray(now time.Duration) (d time.Duration, ok bool) {
	l := t.tl.leader(t, now)
	if l == nil {
		return 0, false
	}
	ours, _, ok := t.transit.get(now)
	theirs, _, ok2 := l.transit.get(now)
	return l.offset + ours - theirs + t.bias - t.offset, ok && ok2
}
