package rtpio

import (
	"time"

	"github.com/trunkcast/trunkcast/media/sdp"
)

const (
	// keyGrace is how long a stream that begins may take to bring its first
	// key frame by itself.
	keyGrace = 250 * time.Millisecond
	// keyPatience is the number of requests after which they become rare: the
	// caller does not know them, or has no key frame.
	keyPatience = 10
	keyRare     = 5 * time.Second
	// keyTries is the number of RTCP requests before SIP INFO is tried too.
	keyTries = 2
)

// keyAsk is how a key frame is asked by RTCP.
type keyAsk uint8

const (
	askNone keyAsk = iota
	askPLI         // RFC 4585 section 6.3.1
	askFIR         // RFC 5104 section 4.3.1
)

// keyMeans are the ways to ask that one call has.
type keyMeans struct {
	feedback sdp.Feedback
	force    bool // ForceFeedback
	sip      bool
	interval time.Duration
}

// keyFrames is the ladder of requests for one line: PLI if agreed, else FIR,
// else INFO; FIR and INFO as well when two tries brought nothing. It ends
// with the key frame. It is guarded by the session's mutex.
type keyFrames struct {
	wanted bool
	begun  time.Time // when a key frame was wanted
	tries  int
	last   time.Time // last request, kept over ladders: they share the pace
	came   time.Time // last key frame
	firSeq uint8
	asked  uint64 // requests so far
}

// want begins a ladder unless one is under way. patient gives the caller a
// moment to send one without being asked.
func (k *keyFrames) want(now time.Time, patient bool) {
	if k.wanted {
		return
	}
	k.wanted, k.tries, k.begun = true, 0, now
	if patient {
		k.begun = now.Add(keyGrace)
	}
}

// got ends the ladder.
func (k *keyFrames) got(now time.Time) { k.wanted, k.came = false, now }

// old tells that the last key frame came a period ago. One that has not come
// at all is no matter of the period: the caller has keyGrace to send it unasked.
func (k *keyFrames) old(now time.Time, period time.Duration) bool {
	return period > 0 && !k.came.IsZero() && now.Sub(k.came) >= period
}

// next is when something is to be asked; ok is false if nothing is.
func (k *keyFrames) next(m keyMeans) (at time.Time, ok bool) {
	if !k.wanted {
		return at, false
	}
	interval := m.interval
	if k.tries >= keyPatience {
		interval = max(interval, keyRare)
	}
	at = k.begun
	if !k.last.IsZero() && k.last.Add(interval).After(at) {
		at = k.last.Add(interval)
	}
	return at, true
}

// ask tells how to ask now, and counts it.
func (k *keyFrames) ask(m keyMeans, now time.Time) (rtcp keyAsk, sip bool) {
	at, ok := k.next(m)
	if !ok || now.Before(at) {
		return askNone, false
	}
	pli, fir := m.feedback.PLI || m.force, m.feedback.FIR || m.force
	late := k.tries >= keyTries
	switch {
	case pli && !(late && fir && k.tries%2 == 1):
		rtcp = askPLI
	case fir:
		rtcp = askFIR
	}
	sip = m.sip && (rtcp == askNone || late)
	k.last = now
	k.tries++
	if rtcp != askNone || sip {
		k.asked++
	}
	return rtcp, sip
}
