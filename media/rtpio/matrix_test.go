package rtpio

import (
	"testing"
	"testing/synctest"
	"time"

	"github.com/trunkcast/trunkcast/internal/timeline"
)

// matrix is every weather.
func matrix() (all []weather) {
	for _, loss := range []float64{0, 0.01, 0.05, 0.1} {
		for _, bursts := range []bool{false, true} {
			for _, nack := range []bool{true, false} {
				if loss == 0 && (bursts || !nack) {
					continue
				}
				for _, jitter := range []time.Duration{0, 30 * ms, 100 * ms} {
					for _, mess := range []bool{false, true} {
						for _, rate := range []int{0, 1_500_000} {
							for _, ppm := range []int64{0, 200, -200} {
								for r := reportsRight; r <= reportsWrong; r++ {
									all = append(all, weather{loss: loss, bursts: bursts, jitter: jitter, mess: mess, rate: rate, ppm: ppm, reports: r, nack: nack})
								}
							}
						}
					}
				}
			}
		}
	}
	return all
}

// TestMatrix has a caller in every weather, in a time that runs faster than
// ours: all of it in the long run, else a sample.
func TestMatrix(t *testing.T) {
	t.Parallel()
	all := matrix()
	for i := 0; i < len(all); i += matrixStep {
		w := all[i]
		t.Run(w.String(), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) { w.check(t, 40*time.Second, uint64(i)) })
		})
	}
}

// check runs a weather for d and holds it to its goals.
func (w weather) check(t *testing.T, d time.Duration, seed uint64) {
	const settle = 20 * time.Second
	o := w.live(t, d, settle, seed)
	s := &o.seen
	now := time.Since(o.start)
	sound, picture := o.r.line(0).stats(now), o.r.line(1).stats(now)
	median, p95 := percentile(s.offsets, 50), percentile(s.offsets, 95)
	target := percentile(s.targets, 50)
	frozen := float64(picture.Frozen) / float64(d)
	t.Logf("|A-V| median %v p95 %v; frozen %.3f in %d freezes; delay sound %v picture %v, target %v; concealed %v; lost %d of %d",
		median, p95, frozen, picture.Freezes, percentile(s.delays[0], 50), percentile(s.delays[1], 50), target,
		sound.Concealed, picture.Lost, picture.Packets)
	if s.broken > 0 {
		t.Errorf("%d pictures without the one before", s.broken)
	}
	if came := int(sound.Packets - sound.Duplicate); s.count[0] < came*98/100-20 {
		t.Errorf("%d pieces of sound came, %d were given", came, s.count[0])
	}
	// Without reports that can be believed the camera's own latency stays.
	apart := time.Duration(0)
	if w.reports == reportsMissing || w.reports == reportsWrong {
		apart = cameraLatency
	}
	if median > apart+40*ms || p95 > apart+60*ms {
		t.Errorf("sound and picture are %v apart, 95 %% up to %v", median, p95)
	}
	if apart > timeline.MaxBias {
		t.Fatal("the test is beyond the stated bound")
	}
	if frozen > w.mayFreeze() {
		t.Errorf("the picture stands %.3f of the time", frozen)
	}
	// The sound waits for the camera. In jitter even the fastest packets wait.
	if target > o.r.clock.Longest()+cameraLatency+10*ms+w.jitter/2 {
		t.Errorf("the jitter buffer is %v long", target)
	}
	for line, list := range s.extra {
		late := 30 * ms
		if line == 1 {
			late += max(median-apart, 0) // what it is behind the sound
		}
		if got := percentile(list, 50); got > late {
			t.Errorf("line %d: %v from sending to giving beyond the jitter buffer", line, got)
		}
	}
}

// mayFreeze is the share of the time for which the picture may stand: it is
// repaired where lost packets are sent again, else it waits a second and more
// for the next key frame.
func (w weather) mayFreeze() float64 {
	switch {
	case w.loss == 0:
		return 0.02
	case !w.nack:
		return 1
	case w.loss <= 0.01:
		return 0.08
	case w.loss <= 0.05:
		return 0.25
	case w.rate == 0:
		return 0.4
	}
	return 0.7 // repetitions do not fit through either
}

// TestRepetitionsAreLost: requests and repetitions fare no better than the
// packets; the play-out soon waits for more than one.
func TestRepetitionsAreLost(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		const d = time.Minute
		o := weather{loss: 0.05, nack: true}.live(t, d, d, 1)
		st := o.r.line(1).stats(time.Since(o.start))
		if st.Frozen > d/20 || st.Delay < 150*ms || st.Delay > o.r.clock.Longest() {
			t.Errorf("frozen for %v, delay %v", st.Frozen, st.Delay)
		}
	})
}

// TestDeafCaller: nobody waits longer than once for a caller who agreed to
// send again what is lost and never does.
func TestDeafCaller(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		const d = time.Minute
		o := weather{loss: 0.05, nack: true, deaf: true, reports: reportsMissing}.live(t, d, d, 1)
		if got := o.r.line(1).stats(time.Since(o.start)).Delay; got > 2*oneWay+repairTime+20*ms {
			t.Errorf("delay %v", got)
		}
	})
}

// TestNothingIsSentAgain: who agreed to no repetitions loses a part of nearly
// every key frame of some packets; what is seen then is for the user to choose.
// A picture of which nothing is left stands for two even when all is passed on.
func TestNothingIsSentAgain(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name        string
		w           weather
		least, most float64 // share of the time for which the picture stands
	}{
		{"held", weather{}, 0.8, 1},
		{"held for a second", weather{thaw: time.Second}, 0.4, 0.75},
		{"passed on", weather{pass: true}, 0.1, 0.35},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				const d = 2 * time.Minute
				c.w.loss = 0.05
				o := c.w.live(t, d, d, 1)
				st := o.r.line(1).stats(time.Since(o.start))
				frozen := float64(st.Frozen) / float64(d)
				t.Logf("the picture stands for %.3f of the time, %d pictures, %d of them without the one before", frozen, o.seen.count[1], o.seen.broken)
				if frozen < c.least || frozen > c.most {
					t.Errorf("the picture stands for %.3f of the time", frozen)
				}
				if c.name == "held" && o.seen.broken > 0 {
					t.Errorf("%d pictures without the one before", o.seen.broken)
				}
			})
		})
	}
}
