package rtpio

import (
	"testing"
	"time"
)

// TestSyncTold: a picture that is said to be taken 100 ms before it was sent
// moves there slowly, and the statistics tell how far it has come.
func TestSyncTold(t *testing.T) {
	t.Parallel()
	l := newLab(t, &Session{})
	if st := l.r.sync(l.start); st.Known {
		t.Errorf("told before there is anything: %+v", st)
	}
	sound, cam := &voice{ssrc: 1}, &camera{t: t, format: h264Format(1), ssrc: 2}
	second := func(n int) {
		for i := n * 50; i < (n+1)*50; i++ {
			at := time.Duration(i) * 20 * ms
			l.send(0, at, sound.packet(160, 0))
			for _, p := range cam.picture(uint32(i)*1800, h264Picture(testTrack, i%50 == 0, 500)) {
				l.send(1, at, p)
			}
		}
		l.runUntil(time.Duration(n+1) * time.Second)
	}
	second(0)
	second(1)
	if st := l.r.sync(l.start.Add(l.now)); !st.Known || st.Reported || st.Offset.Abs() > 5*ms {
		t.Errorf("by arrival: %+v", st)
	}
	const wall = 3_900_000_000 << 32
	l.r.SenderReport(0, 1, wall, 0, l.start.Add(l.now))
	l.r.SenderReport(1, 2, wall-1<<32/10, 0, l.start.Add(l.now)) // 100 ms
	if st := l.r.sync(l.start.Add(l.now)); !st.Reported || (st.Offset+100*ms).Abs() > 5*ms {
		t.Errorf("after the reports: %+v", st)
	}
	for n := 2; n < 14; n++ {
		second(n)
	}
	if st := l.r.sync(l.start.Add(l.now)); !st.Reported || st.Offset.Abs() > 5*ms {
		t.Errorf("in the end: %+v", st)
	}
}
