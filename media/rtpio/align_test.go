package rtpio

import (
	"slices"
	"testing"
	"time"
)

// TestAlign has frames fall due each 20 or 40 ms, by a clock that may be fast or
// slow, at every distance from the ticks. Soon the ticks come when they are
// due: every other one of those that come twice as often.
func TestAlign(t *testing.T) {
	for _, every := range []time.Duration{20 * ms, 40 * ms} {
		for _, drift := range []time.Duration{0, ms / 5, -ms / 5, ms, -ms} { // a second
			for phase := time.Duration(0); phase < calmInterval; phase += 700 * time.Microsecond {
				var a aligner
				slot, due := slotLength, phase
				var waited []time.Duration
				for now := epoch.Add(slot); now.Before(epoch.Add(time.Minute)); now = now.Add(untilTick(now, slot, calmInterval)) {
					for !epoch.Add(due).After(now) {
						after := now.Sub(epoch.Add(due))
						a.left(after, now)
						if due > 3*time.Second {
							waited = append(waited, after)
						}
						due += every + drift*every/time.Second
					}
					slot = (slot + calmInterval - a.shift(now)) % calmInterval
				}
				slices.Sort(waited)
				usual := waited[len(waited)*int(every/ms)/100] // the middle of those that are due at a tick
				if usual > alignStep+ms || waited[len(waited)-1] > calmInterval {
					t.Errorf("each %v, drift %v, phase %v: frames wait %v, %v at most", every, drift, phase, usual, waited[len(waited)-1])
				}
			}
		}
	}
}

// TestAlignNothing: without frames, or with some that are due at every moment,
// the ticks stay where they are.
func TestAlignNothing(t *testing.T) {
	var a aligner
	now := epoch
	for i := range 1000 {
		now = now.Add(calmInterval)
		if i > 500 {
			a.left(time.Duration(i%40)*ms, now)
			a.left(time.Duration((i+20)%40)*ms, now)
		}
		if d := a.shift(now); d != 0 {
			t.Fatalf("ticks are moved by %v", d)
		}
	}
}
