package trunkcast_test

import (
	"math"
	"testing"
	"time"

	"github.com/trunkcast/trunkcast"
	"github.com/trunkcast/trunkcast/media/rtpio"
	"github.com/trunkcast/trunkcast/media/sdp"
)

// TestMOS holds the estimate to values that follow from ITU-T G.107: ratings
// and delays of its figures, annex B for the score.
func TestMOS(t *testing.T) {
	for _, c := range []struct {
		delay time.Duration
		loss  float64
		want  float64
	}{
		{0, 0, 4.41},                        // R 93.2
		{100 * time.Millisecond, 0, 4.41},   // nothing is heard of it
		{150 * time.Millisecond, 0, 4.40},   // Idd 0.2
		{200 * time.Millisecond, 0, 4.34},   // Idd 3.0
		{400 * time.Millisecond, 0, 3.56},   // Idd 24.1
		{0, 0.01, 4.32},                     // Ie-eff 3.6
		{0, 0.05, 3.94},                     // Ie-eff 15.8
		{0, 0.2, 2.64},                      // Ie-eff 42.1
		{time.Hour, 1, 1},                   // the end of the scale
		{-time.Second, math.Inf(-1), 4.41},  // nonsense is no gain
		{10 * time.Millisecond, 1.5, 1.177}, // R 17.3
	} {
		if got := trunkcast.EstimateMOS(c.delay, c.loss); math.Abs(got-c.want) > 0.02 {
			t.Errorf("%v, loss %g: %.3f, want %.2f", c.delay, c.loss, got, c.want)
		}
	}
	last := 5.0
	for loss := 0.0; loss <= 1; loss += 0.01 {
		got := trunkcast.EstimateMOS(0, loss)
		if got > last || got < 1 {
			t.Fatalf("loss %g: %g after %g", loss, got, last)
		}
		last = got
	}
}

func TestQuality(t *testing.T) {
	if q := (trunkcast.Stats{}).Quality(); q != (trunkcast.Quality{}) {
		t.Errorf("of nothing: %+v", q)
	}
	sync := rtpio.Sync{Known: true, Offset: 12 * time.Millisecond}
	st := trunkcast.Stats{Media: rtpio.Stats{RTT: 60 * time.Millisecond, Sync: sync, Lines: []rtpio.LineStats{
		// 1000 were sent: 940 came, 10 of them twice, 20 too late.
		{Kind: sdp.Audio, Received: rtpio.ReceiveStats{Packets: 950, Lost: 50, Duplicate: 10, Late: 20,
			Jitter: 7 * time.Millisecond, Delay: 50 * time.Millisecond, Concealed: time.Second}},
		{Kind: sdp.Video, Received: rtpio.ReceiveStats{Packets: 300, Lost: 100, Freezes: 3, Frozen: 2 * time.Second, KeyRequests: 4}},
	}}}
	want := trunkcast.Quality{
		RTT: 60 * time.Millisecond, Jitter: 7 * time.Millisecond, Delay: 50 * time.Millisecond, LossAudio: 0.08, LossVideo: 0.25,
		Concealed: time.Second, Freezes: 3, Frozen: 2 * time.Second, KeyRequests: 4, Sync: sync,
		MOS: trunkcast.EstimateMOS(100*time.Millisecond, 0.08),
	}
	if q := st.Quality(); q != want {
		t.Errorf("%+v, want %+v", q, want)
	}
}
