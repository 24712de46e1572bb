//go:build peers

package peertest_test

import (
	"testing"
	"time"

	"github.com/trunkcast/trunkcast/internal/peertest"
)

// TestPeerNginx publishes with ffmpeg and looks at the statistics page.
func TestPeerNginx(t *testing.T) {
	n := peertest.StartNginx(t)
	clip := peertest.MakeClip(t, peertest.ClipOptions{Seconds: 10})
	clip.Publish(t, n.RTMPURL+"/live/sample")
	n.WaitStream("sample", 30*time.Second)
	m := peertest.Watch(t, n.RTMPURL+"/live/sample", 5*time.Second)
	t.Logf("measured: %v", m)
	m.Check(t, peertest.Expect{
		Width: 640, Height: 360, FrameRate: 25, MinFlashes: 3, MinBeeps: 3, MinPairs: 3,
		MaxOffset: 80 * time.Millisecond, MaxFrozen: time.Millisecond, MaxSilent: time.Millisecond, MaxGap: 80 * time.Millisecond,
	})
	// A stream begins on a key frame, which is the start of a flash here.
	if _, deviation := peertest.Luma(peertest.Snapshot(t, n.RTMPURL+"/live/sample", 600*time.Millisecond)); deviation < 20 {
		t.Errorf("half a second after a flash the picture has the deviation %.1f", deviation)
	}
}
