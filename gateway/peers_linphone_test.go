//go:build peers

package gateway_test

import (
	"fmt"
	"testing"
	"time"

	"github.com/trunkcast/trunkcast/internal/peertest"
)

// TestPeerLinphone has another softphone, with a stack of its own, call with
// sound and the still picture that is its camera, one frame a second.
func TestPeerLinphone(t *testing.T) {
	n := peertest.StartNginx(t)
	clip := peertest.MakeClip(t, peertest.ClipOptions{})
	g := toServer(t, n.RTMPURL+"/live", nil)
	l := peertest.StartLinphone(t, peertest.LinphoneOptions{Audio: clip.Audio})
	l.Dial(fmt.Sprintf("sip:100@%s", g.addr("pbx")))
	n.WaitStream("rtmp_100", 20*time.Second)
	// ffmpeg would look at one picture a second for long before it plays.
	m := peertest.MeasureFile(t, peertest.Rtmpdump(t, n.RTMPURL+"/live/rtmp_100", 8*time.Second))
	t.Logf("measured: %v", m)
	m.Check(t, peertest.Expect{MinBeeps: 3, AnyErrors: true}) // the last tag is cut
	if m.Width < 320 || m.Height < 240 || m.Frames < 2 {
		t.Errorf("video of %dx%d, %d frames", m.Width, m.Height, m.Frames)
	}
	if m.AudioSeconds < 6 {
		t.Errorf("%.1f s of sound", m.AudioSeconds)
	}
	l.Hangup()
	n.WaitGone("rtmp_100", 20*time.Second)
}
