package rtpio

import (
	"slices"
	"testing"
	"time"

	"github.com/pion/rtp"

	"github.com/trunkcast/trunkcast/media/sdp"
)

// TestPictureLoss: a lost packet stops the pictures until a key frame, or
// damages one.
func TestPictureLoss(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		lost    func(i, packet, of int) bool
		pass    bool
		want    []int
		damaged uint64
		freezes uint64
	}{
		"middle of a picture":   {lost: func(i, p, _ int) bool { return i == 30 && p == 1 }, want: slices.Concat(upTo(0, 30), upTo(50, 100)), damaged: 20, freezes: 1},
		"first packet":          {lost: func(i, p, _ int) bool { return i == 30 && p == 0 }, want: slices.Concat(upTo(0, 30), upTo(50, 100)), damaged: 20, freezes: 1},
		"last packet":           {lost: func(i, p, n int) bool { return i == 30 && p == n-1 }, want: slices.Concat(upTo(0, 30), upTo(50, 100)), damaged: 20, freezes: 1},
		"a whole picture":       {lost: func(i, _, _ int) bool { return i == 30 }, want: slices.Concat(upTo(0, 30), upTo(50, 100)), damaged: 19, freezes: 1},
		"the second key frame":  {lost: func(i, p, _ int) bool { return i == 50 && p == 2 }, want: upTo(0, 50), damaged: 50, freezes: 1},
		"the first key frame":   {lost: func(i, p, _ int) bool { return i == 0 && p == 2 }, want: upTo(50, 100), damaged: 50},
		"before the key frame":  {lost: func(i, _, _ int) bool { return i == 49 }, want: slices.Concat(upTo(0, 49), upTo(50, 100))},
		"passed on":             {lost: func(i, p, _ int) bool { return i == 30 && p == 1 }, pass: true, want: slices.Concat(upTo(0, 30), upTo(31, 100)), damaged: 20, freezes: 1},
		"passed on, the middle": {lost: func(i, _, _ int) bool { return i == 30 }, pass: true, want: slices.Concat(upTo(0, 30), upTo(31, 100)), damaged: 19},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			l := newLab(t, &Session{PassDamaged: c.pass})
			cam := &camera{t: t, format: h264Format(1), ssrc: 3}
			l.film(cam, 0, 100, each(50), func(i int, list []rtp.Packet) (kept []rtp.Packet) {
				for j, p := range list {
					if !c.lost(i, j, len(list)) {
						kept = append(kept, p)
					}
				}
				return kept
			})
			l.run()
			if got := numbers(l.of(true)); !slices.Equal(got, c.want) {
				t.Errorf("pictures %v", got)
			}
			for _, f := range l.of(true) {
				if f.PTS != time.Duration(nth(f))*40*ms && nth(f) < 50 && name != "the first key frame" {
					t.Fatalf("%s, number %d", describe(f), nth(f))
				}
			}
			st := l.stats(1)
			if st.DamagedFrames != c.damaged || st.Freezes != c.freezes {
				t.Errorf("%d damaged, %d freezes", st.DamagedFrames, st.Freezes)
			}
			if c.freezes > 0 && !c.pass && st.Frozen < 700*ms {
				t.Errorf("frozen for %v", st.Frozen)
			}
			if wanted := l.r.KeyFrameWanted(1); wanted != (name == "the second key frame") {
				t.Errorf("key frame wanted: %v", wanted)
			}
		})
	}
}

// TestPictureThaws: a picture that stands for too long goes on damaged, until a
// clean key frame; the next one is held again.
func TestPictureThaws(t *testing.T) {
	t.Parallel()
	l := newLab(t, &Session{MaxFreeze: 200 * ms})
	cam := &camera{t: t, format: h264Format(1), ssrc: 3}
	l.film(cam, 0, 100, each(50), func(i int, list []rtp.Packet) []rtp.Packet {
		if i == 30 || i == 70 {
			list = append(list[:1:1], list[2:]...)
		}
		return list
	})
	l.run()
	want := slices.Concat(upTo(0, 30), upTo(34, 70), upTo(74, 100))
	if got := numbers(l.of(true)); !slices.Equal(got, want) {
		t.Errorf("pictures %v", got)
	}
	if st := l.stats(1); st.Freezes != 2 || st.Frozen < 400*ms || st.Frozen > 500*ms {
		t.Errorf("%d freezes, %v", st.Freezes, st.Frozen)
	}
	for _, f := range l.of(true) {
		if f.Key != (nth(f)%50 == 0) {
			t.Errorf("number %d: %s", nth(f), describe(f))
		}
	}
}

// TestRepair: a packet that is asked again comes in time.
func TestRepair(t *testing.T) {
	t.Parallel()
	l := newLab(t, &Session{})
	l.nack = true
	l.r.SetRTT(80 * ms)
	cam := &camera{t: t, format: h264Format(1), ssrc: 3, seq: 65500}
	var lost []rtp.Packet
	l.film(cam, 0, 100, first, func(i int, list []rtp.Packet) []rtp.Packet {
		if i%10 == 5 {
			lost = append(lost, list[1])
			l.send(1, time.Duration(i)*40*ms+2*ms+askAfter+80*ms, list[1])
			list = append(list[:1:1], list[2:]...)
		}
		return list
	})
	l.run()
	if got := numbers(l.of(true)); !slices.Equal(got, upTo(0, 100)) {
		t.Errorf("pictures %v", got)
	}
	if st := l.stats(1); st.Lost != 0 || st.Freezes != 0 || st.Delay < 90*ms {
		t.Errorf("%+v", st)
	}
}

// TestRepairIsTimed: without reports, the first repetitions tell how long the
// next ones are waited for. What came late by itself tells little.
func TestRepairIsTimed(t *testing.T) {
	t.Parallel()
	l := newLab(t, &Session{})
	l.nack = true
	cam := &camera{t: t, format: h264Format(1), ssrc: 3, seq: 65500}
	l.film(cam, 0, 200, each(50), func(i int, list []rtp.Packet) []rtp.Packet {
		if i%10 == 5 {
			l.send(1, time.Duration(i)*40*ms+2*ms+askAfter+150*ms, list[1])
			list = append(list[:1:1], list[2:]...)
		}
		return list
	})
	l.run()
	if d := l.r.roundTrip(); d < 140*ms || d > 160*ms {
		t.Errorf("a repair takes %v", d)
	}
	if got := numbers(l.of(true)); len(got) < 150 || !slices.Equal(got[len(got)-100:], upTo(100, 200)) {
		t.Errorf("pictures %v", got)
	}
	asked := l.r.line(1).stream
	if d, ok := asked.answered(&inPacket{seq: asked.highest}); ok {
		t.Errorf("a packet that was never missing is an answer after %v", d)
	}
}

func TestNackList(t *testing.T) {
	t.Parallel()
	l := newLab(t, &Session{})
	l.nack = true
	v := &voice{ssrc: 3, seq: 65530, pt: 96}
	put := func(at time.Duration, lost bool) {
		p := v.packet(10, 0x41)
		if !lost {
			l.r.Packet(1, &p, l.start.Add(at))
		}
	}
	for i := range 20 {
		put(time.Duration(i)*ms, i == 4 || i == 8 || i == 9)
	}
	ask := func(at time.Duration) []uint16 { return slices.Clone(l.r.Nacks(1, l.start.Add(at))) }
	if got := ask(13 * ms); len(got) != 0 {
		t.Errorf("%v asked before they can be late", got)
	}
	at, ok := l.r.Next()
	if !ok || at.Sub(l.start) > 15*ms {
		t.Errorf("the play-out goroutine looks again after %v %v", at.Sub(l.start), ok)
	}
	if got := ask(19 * ms); !slices.Equal(got, []uint16{65534}) {
		t.Errorf("%v", got)
	}
	if got := ask(25 * ms); !slices.Equal(got, []uint16{2, 3}) {
		t.Errorf("%v", got)
	}
	if got := ask(26 * ms); len(got) != 0 {
		t.Errorf("%v at once again", got)
	}
	if got := ask(60 * ms); !slices.Equal(got, []uint16{65534, 2, 3}) {
		t.Errorf("%v", got)
	}
	n := 0
	for i := range 100 {
		n += len(ask(60*ms + time.Duration(i)*40*ms))
	}
	if n != 3*(askTries-2) {
		t.Errorf("asked %d times more", n)
	}
}

// TestNoConfig: a key frame whose parameter sets nobody told is of no use.
func TestNoConfig(t *testing.T) {
	t.Parallel()
	l := newLab(t, &Session{})
	cam := &camera{t: t, format: h264Format(1), ssrc: 3}
	for i := range 20 {
		track := testTrack
		if i < 10 {
			track = nil
		}
		for _, p := range cam.picture(uint32(i)*3600, h264Picture(track, i%5 == 0, 500)) {
			l.send(1, time.Duration(i)*40*ms, p)
		}
	}
	l.run()
	if n := len(l.of(true)); n != 10 {
		t.Errorf("%d pictures", n)
	}
}

// TestBigPicture: what is beyond the bound is lost, and nothing else.
func TestBigPicture(t *testing.T) {
	t.Parallel()
	l := newLab(t, &Session{})
	cam := &camera{t: t, format: h264Format(1), ssrc: 3, limit: 1400}
	for i, size := range []int{1000, 5 << 20, 1000, 3 << 20, 1000} {
		for j, p := range cam.picture(uint32(i)*9000, h264Picture(testTrack, true, size)) {
			l.send(1, time.Duration(i)*100*ms+time.Duration(j)*10*time.Microsecond, p)
		}
	}
	l.run()
	frames := l.of(true)
	if len(frames) != 4 || frames[2].Size() != 3<<20 {
		t.Errorf("%d pictures", len(frames))
	}
}

// TestJoinedLate: what begins in the middle of a key frame is no key frame.
func TestJoinedLate(t *testing.T) {
	t.Parallel()
	l := newLab(t, &Session{})
	f := h264Format(0)
	f.H264.SPS, f.H264.PPS = [][]byte{testSPS}, [][]byte{testPPS}
	l.r.setFormats(1, sdp.Video, formatList{f}, 0)
	cam := &camera{t: t, format: f, ssrc: 3}
	for i := range 20 {
		pic := h264Picture(nil, i%10 == 0, 300)
		second := nalUnit(400, pic.Data[0][0], 0x44, 0x84) // first_mb_in_slice is 1
		second[399] = byte(i)
		pic.Data = append(pic.Data, second)
		for j, p := range cam.picture(uint32(i)*3600, pic) {
			if i+j > 0 {
				l.send(1, time.Duration(i)*40*ms, p)
			}
		}
	}
	l.run()
	if got := numbers(l.of(true)); !slices.Equal(got, upTo(10, 20)) {
		t.Errorf("pictures %v", got)
	}
}

// TestLatePicture: sound does not wait beyond the bound; a picture that comes
// later is moved behind it and not lost.
func TestLatePicture(t *testing.T) {
	t.Parallel()
	l := newLab(t, &Session{JitterMax: 60 * ms})
	v := &voice{ssrc: 1}
	cam := &camera{t: t, format: h264Format(1), ssrc: 3}
	for i := range 100 {
		at := time.Duration(i) * 20 * ms
		l.send(0, at, v.packet(160, byte(i)))
		if i%2 == 0 {
			if i >= 50 && i < 60 {
				at = 60 * 20 * ms
			}
			for _, p := range cam.picture(uint32(i)*1800, h264Picture(testTrack, i == 0, 500)) {
				l.send(1, at, p)
			}
		}
	}
	l.run()
	moved := 0
	for i, f := range l.of(true) {
		if f.PTS != time.Duration(i)*40*ms {
			moved++
		}
	}
	if n := len(l.of(true)); n != 50 || len(l.of(false)) != 100 || moved == 0 || moved > 5 {
		t.Errorf("%d pictures, %d moved, %d frames of sound", n, moved, len(l.of(false)))
	}
}
