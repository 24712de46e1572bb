package timeline

import (
	"cmp"
	"math/rand/v2"
	"testing"
	"time"
)

// source is a caller's camera or microphone. Its clock runs ppm faster than
// ours; latency passes from capture to departure, and the network adds up to
// jitter.
type source struct {
	rate    int64
	base    uint32
	ppm     int64
	latency time.Duration
	jitter  time.Duration
	period  time.Duration
}

// rtp is the RTP time of what is captured at c.
func (s *source) rtp(c time.Duration) uint32 {
	c += time.Duration(int64(c/time.Microsecond) * s.ppm / 1000)
	return s.base + uint32(int64(c/time.Second)*s.rate+int64(c%time.Second)*s.rate/int64(time.Second))
}

// ntp is the caller's wall clock at c.
func ntp(c time.Duration) uint64 {
	const epoch = 3_900_000_000
	return uint64(epoch+c/time.Second)<<32 | uint64(c%time.Second)<<32/uint64(time.Second)
}

// call runs both sources for d and checks what always holds. tick is called
// each second of capture time; check gets the PTS of both for one moment of
// capture.
type call struct {
	t            *testing.T
	tl           Timeline
	audio, video *Track
	a, v         source
	r            *rand.Rand
	lastA, lastV time.Duration
}

func newCall(t *testing.T) *call {
	c := &call{t: t, r: rand.New(rand.NewPCG(1, 2)),
		a: source{rate: 8000, base: 0xffff_0000, latency: 20 * time.Millisecond, jitter: 30 * time.Millisecond, period: 40 * time.Millisecond},
		v: source{rate: 90000, base: 0xfff0_0000, latency: 20 * time.Millisecond, jitter: 30 * time.Millisecond, period: 40 * time.Millisecond},
	}
	c.audio = c.tl.Add(8000, true, nil)
	c.video = c.tl.Add(90000, false, nil)
	return c
}

// at is when what was captured at c arrives. One packet in four waits nowhere.
func (c *call) at(s *source, at time.Duration) time.Duration {
	wait := time.Duration(0)
	if c.r.IntN(4) > 0 {
		wait = time.Duration(c.r.Int64N(int64(s.jitter) + 1))
	}
	return at + s.latency + wait
}

func (c *call) run(from, d time.Duration, tick func(at time.Duration), check func(at, audio, video time.Duration)) {
	for at := from; at < from+d; at += c.a.period {
		now := c.at(&c.a, at)
		c.audio.Arrive(c.a.rtp(at), now)
		pa := c.audio.Map(c.a.rtp(at), now)
		if want := c.lastA + c.a.period; at > from && (pa-want).Abs() > time.Millisecond {
			c.t.Fatalf("%v: audio goes from %v to %v", at, c.lastA, pa)
		}
		c.lastA = pa
		if (at-from)%c.v.period != 0 {
			continue
		}
		now = c.at(&c.v, at)
		c.video.Arrive(c.v.rtp(at), now)
		pv := c.video.Map(c.v.rtp(at), now)
		if step := pv - c.lastV; at > from && (step-c.v.period).Abs() > c.v.period*FastSlew/time.Second+time.Second/90000 {
			c.t.Fatalf("%v: video goes from %v to %v", at, c.lastV, pv)
		}
		c.lastV = pv
		if at%time.Second == 0 && tick != nil {
			tick(at)
		}
		check(at, pa, pv)
		if p := c.tl.Playout(now); p > now-pa+500*time.Millisecond {
			c.t.Fatalf("%v: play-out %v, audio came after %v", at, p, now-pa)
		}
	}
}

// apart fails when sound and picture are more than limit apart after settle.
func apart(t *testing.T, settle, limit time.Duration) func(at, audio, video time.Duration) {
	worst := time.Duration(0)
	t.Cleanup(func() { t.Logf("worst |A-V| %v", worst) })
	return func(at, audio, video time.Duration) {
		d := (audio - video).Abs()
		if at < settle {
			return
		}
		worst = max(worst, d)
		if d > limit {
			t.Fatalf("%v: sound at %v, picture at %v", at, audio, video)
		}
	}
}

func TestSkewForAnHour(t *testing.T) {
	t.Parallel()
	const hour = time.Hour
	report := func(c *call, s *source, tr *Track, at time.Duration) {
		tr.SenderReport(ntp(at), s.rtp(at), at+50*time.Millisecond)
	}
	for name, x := range map[string]struct {
		ppmA, ppmV int64
		latency    time.Duration // of the camera
		settle     time.Duration
		limit      time.Duration // of |A-V|; default 40 ms
		tick       func(c *call, at time.Duration)
	}{
		"no reports":               {ppmA: 200, ppmV: -200, latency: 30 * time.Millisecond, settle: 15 * time.Second},
		"no reports, common clock": {ppmA: 200, ppmV: 200, latency: 30 * time.Millisecond, settle: 15 * time.Second},
		"reports, slow camera": {ppmA: 200, ppmV: -200, latency: 180 * time.Millisecond, settle: 30 * time.Second,
			tick: func(c *call, at time.Duration) {
				if at%(5*time.Second) == 0 {
					report(c, &c.a, c.audio, at)
					report(c, &c.v, c.video, at+time.Second/2)
				}
			}},
		"reports for a minute only": {ppmA: 200, ppmV: -200, latency: 180 * time.Millisecond, settle: 30 * time.Second,
			tick: func(c *call, at time.Duration) {
				if at < time.Minute {
					report(c, &c.a, c.audio, at)
					report(c, &c.v, c.video, at)
				}
			}},
		"one report in five is wrong": {ppmA: -200, ppmV: 200, latency: 180 * time.Millisecond, settle: 30 * time.Second, limit: 5 * time.Millisecond,
			tick: func(c *call, at time.Duration) {
				report(c, &c.a, c.audio, at)
				if n := at / time.Second; n%5 == 3 {
					wrong := time.Duration(c.r.Int64N(int64(800*time.Millisecond))) - 400*time.Millisecond
					c.video.SenderReport(ntp(at+wrong), c.v.rtp(at), at)
				} else {
					report(c, &c.v, c.video, at)
				}
			}},
		"reports come 8 s late": {ppmA: -200, ppmV: 200, latency: 180 * time.Millisecond, settle: 40 * time.Second,
			tick: func(c *call, at time.Duration) {
				if before := at - 8*time.Second; before > 0 {
					c.audio.SenderReport(ntp(before), c.a.rtp(before), at)
					c.video.SenderReport(ntp(at), c.v.rtp(at), at)
				}
			}},
		"reports of another world": {ppmA: 200, ppmV: -200, latency: 30 * time.Millisecond, settle: 15 * time.Second,
			tick: func(c *call, at time.Duration) {
				c.audio.SenderReport(ntp(at), c.a.rtp(at), at)
				if at > time.Second && c.video.SenderReport(ntp(at+time.Second), c.v.rtp(at), at) {
					c.t.Fatalf("%v: a second between the clocks is believed", at)
				}
			}},
		"reports without a clock": {ppmA: 200, ppmV: -200, latency: 30 * time.Millisecond, settle: 15 * time.Second,
			tick: func(c *call, at time.Duration) {
				if c.audio.SenderReport(0, c.a.rtp(at), at) {
					c.t.Fatal("NTP time 0 is believed")
				}
				c.video.SenderReport(0, c.v.rtp(at), at)
			}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			c := newCall(t)
			c.a.ppm, c.v.ppm, c.v.latency = x.ppmA, x.ppmV, x.latency
			var tick func(time.Duration)
			if x.tick != nil {
				tick = func(at time.Duration) { x.tick(c, at) }
			}
			c.run(0, hour, tick, apart(t, x.settle, cmp.Or(x.limit, 40*time.Millisecond)))
			if want := hour + hour/5000*time.Duration(x.ppmA)/200; (c.lastA - want).Abs() > 100*time.Millisecond {
				t.Errorf("sound ends at %v, want %v", c.lastA, want)
			}
		})
	}
}

// TestBadBegin: the first picture comes 300 ms late, as on a network that
// stumbles. Sound and picture are in step again after seconds, and no picture
// jumps.
func TestBadBegin(t *testing.T) {
	t.Parallel()
	var tl Timeline
	audio, video := tl.Add(8000, true, nil), tl.Add(90000, false, nil)
	last, good := time.Duration(0), time.Duration(0)
	for i := range 1000 {
		at := time.Duration(i) * 20 * time.Millisecond
		a := audio.Map(uint32(i)*160, at)
		audio.Arrive(uint32(i)*160, at)
		now := at
		if i == 0 {
			now += 300 * time.Millisecond
		}
		v := video.Map(uint32(i)*1800, now)
		video.Arrive(uint32(i)*1800, now)
		if step := v - last; i > 0 && (step-20*time.Millisecond).Abs() > 20*time.Millisecond*FastSlew/time.Second+time.Microsecond {
			t.Fatalf("picture %d goes from %v to %v", i, last, v)
		}
		last = v
		if (a - v).Abs() > 40*time.Millisecond {
			good = at
		}
	}
	if good < time.Second || good > 10*time.Second {
		t.Errorf("in step after %v", good)
	}
}

func TestStartsNearZero(t *testing.T) {
	t.Parallel()
	var tl Timeline
	video := tl.Add(90000, false, nil)
	if pts := video.Map(12345, 7*time.Second); pts != 0 {
		t.Errorf("first frame at %v", pts)
	}
	audio := tl.Add(48000, true, nil)
	if pts := audio.Map(99, 8*time.Second); pts != time.Second {
		t.Errorf("sound a second later at %v", pts)
	}
	if pts := video.Map(12345+90000, 8*time.Second); pts != time.Second {
		t.Errorf("picture a second later at %v", pts)
	}
}

// feed gives frames of 20 ms of a clock of 8000 Hz from one moment on and
// returns their PTS.
func feed(tr *Track, rtp *uint32, now *time.Duration, n int) (list []time.Duration) {
	for range n {
		tr.Arrive(*rtp, *now)
		list = append(list, tr.Map(*rtp, *now))
		*rtp += 160
		*now += 20 * time.Millisecond
	}
	return list
}

func TestJumps(t *testing.T) {
	t.Parallel()
	for name, jump := range map[string]func(rtp *uint32, now *time.Duration){
		"far ahead":           func(rtp *uint32, _ *time.Duration) { *rtp += 1 << 30 },
		"far back":            func(rtp *uint32, _ *time.Duration) { *rtp -= 1 << 30 },
		"two seconds back":    func(rtp *uint32, _ *time.Duration) { *rtp -= 16000 },
		"to the other end":    func(rtp *uint32, _ *time.Duration) { *rtp += 1 << 31 },
		"still during a hold": func(_ *uint32, now *time.Duration) { *now += time.Minute },
		"after a pause":       func(rtp *uint32, now *time.Duration) { *now += time.Minute; *rtp += 8000 * 60 },
		"ahead after a pause": func(rtp *uint32, now *time.Duration) { *now += time.Minute; *rtp += 1 << 29 },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var tl Timeline
			tr := tl.Add(8000, true, nil)
			rtp, now := uint32(1000), time.Duration(0)
			before := feed(tr, &rtp, &now, 200)
			jump(&rtp, &now)
			after := feed(tr, &rtp, &now, 200)
			all := append(before, after...)
			for i := 1; i < len(all); i++ {
				if all[i] <= all[i-1] {
					t.Fatalf("frame %d: %v after %v", i, all[i], all[i-1])
				}
			}
			if end := all[len(all)-1]; (end - (now - 20*time.Millisecond)).Abs() > 100*time.Millisecond {
				t.Errorf("ends at %v, now is %v", end, now)
			}
		})
	}
}

// TestStall is a network that stands for a while and then gives all at once:
// the sound is contiguous.
func TestStall(t *testing.T) {
	t.Parallel()
	var tl Timeline
	tr := tl.Add(8000, true, nil)
	rtp, now := uint32(1000), time.Duration(0)
	list := feed(tr, &rtp, &now, 200)
	arrival := now + 1500*time.Millisecond
	for range 75 {
		tr.Arrive(rtp, arrival)
		list = append(list, tr.Map(rtp, arrival))
		rtp += 160
		now += 20 * time.Millisecond
	}
	if p := tl.Playout(arrival); p != tl.Longest() {
		t.Errorf("play-out delay %v after a stall", p)
	}
	list = append(list, feed(tr, &rtp, &now, 100)...)
	for i := 1; i < len(list); i++ {
		if list[i]-list[i-1] != 20*time.Millisecond {
			t.Fatalf("frame %d: %v after %v", i, list[i], list[i-1])
		}
	}
	for second := range 60 {
		before := tl.Delay()
		if p := tl.Playout(now); second > 0 && before-p > shrinkRate {
			t.Errorf("play-out delay goes from %v to %v in a second", before, p)
		}
		feed(tr, &rtp, &now, 50)
	}
	if p := tl.Playout(now); p > 50*time.Millisecond {
		t.Errorf("play-out delay %v a minute after a stall", p)
	}
}

func TestAnotherSource(t *testing.T) {
	t.Parallel()
	c := newCall(t)
	c.v.latency = 120 * time.Millisecond
	c.run(0, 30*time.Second, func(at time.Duration) {
		c.audio.SenderReport(ntp(at), c.a.rtp(at), at)
		c.video.SenderReport(ntp(at), c.v.rtp(at), at)
	}, apart(t, 15*time.Second, 20*time.Millisecond))
	end := c.lastA
	c.audio = c.tl.Add(16000, true, c.audio)
	c.a.rate, c.a.base = 16000, 0x1234
	first := true
	c.run(30*time.Second, 30*time.Second, nil, func(at, audio, video time.Duration) {
		if first && (audio <= end || audio > end+100*time.Millisecond) {
			t.Fatalf("new sound at %v after %v", audio, end)
		}
		first = false
	})
	if d := (c.lastA - c.lastV).Abs(); d > 40*time.Millisecond {
		t.Errorf("%v apart after another source", d)
	}
}

// TestOneAfterTheOther: what takes the place of a track that came in a burst
// begins behind it.
func TestOneAfterTheOther(t *testing.T) {
	t.Parallel()
	var tl Timeline
	old := tl.Add(8000, true, nil)
	last := time.Duration(0)
	for i := range uint32(20) {
		last = old.Map(i*160, time.Second)
	}
	if next := tl.Add(48000, true, old).Map(7, time.Second+10*time.Millisecond); next != last+20*time.Millisecond {
		t.Errorf("begins at %v, the one before ended with %v", next, last)
	}
}

// FuzzTrack: whatever packets and reports come, masters never go back by more
// than the tolerance for reordered timestamps, and nothing is below 0 when a
// clock begins.
func FuzzTrack(f *testing.F) {
	f.Add([]byte{1, 0, 160, 20, 1, 0, 160, 20, 2, 9, 9, 9, 1, 0xff, 0, 20})
	f.Fuzz(func(t *testing.T, in []byte) {
		var tl Timeline
		tracks := []*Track{tl.Add(8000, true, nil), tl.Add(90000, false, nil)}
		rtp := [2]uint32{7, 9}
		last := [2]time.Duration{}
		now := time.Duration(0)
		for ; len(in) >= 4; in = in[4:] {
			i := int(in[0]) & 1
			tr := tracks[i]
			now += time.Duration(in[3]) * time.Millisecond
			step := int32(int8(in[1]))<<16 | int32(in[2])
			if in[0]&4 != 0 {
				step <<= 7
			}
			switch in[0] >> 1 & 1 {
			case 0:
				rtp[i] += uint32(step)
				tr.Arrive(rtp[i], now)
				pts := tr.Map(rtp[i], now)
				if pts < last[i]-jumpBack || pts < -jumpBack {
					t.Fatalf("track %d: %v after %v", i, pts, last[i])
				}
				last[i] = max(last[i], pts)
			default:
				tr.SenderReport(uint64(in[2])<<40|uint64(in[1]), rtp[i]+uint32(step), now)
			}
			low, high := tl.bounds()
			if d := tl.Playout(now); d > now+high+time.Second || d < -1<<40 {
				t.Fatalf("play-out delay %v at %v (%v to %v)", d, now, low, high)
			}
		}
	})
}

func BenchmarkTrack(b *testing.B) {
	var tl Timeline
	audio, video := tl.Add(8000, true, nil), tl.Add(90000, false, nil)
	now, rtp := time.Duration(0), uint32(0)
	b.ReportAllocs()
	for b.Loop() {
		audio.Arrive(rtp, now)
		audio.Map(rtp, now)
		video.Arrive(rtp*45/4, now)
		video.Map(rtp*45/4, now)
		tl.Playout(now)
		rtp += 160
		now += 20 * time.Millisecond
	}
}
