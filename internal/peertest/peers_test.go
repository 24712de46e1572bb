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
	if size := peertest.Snapshot(t, n.RTMPURL+"/live/sample", 0).Bounds().Size(); size.X != 640 || size.Y != 360 {
		t.Errorf("a picture of %v", size)
	}
	// Half a second apart, one of two pictures is no flash.
	_, one := peertest.Luma(peertest.Snapshot(t, m.File, 2*time.Second))
	_, other := peertest.Luma(peertest.Snapshot(t, m.File, 2500*time.Millisecond))
	if max(one, other) < 20 {
		t.Errorf("the pictures have the deviations %.1f and %.1f", one, other)
	}
}
