//go:build peers

package gateway_test

import (
	"fmt"
	"testing"
	"time"

	"github.com/trunkcast/trunkcast"
	"github.com/trunkcast/trunkcast/internal/peertest"
	"github.com/trunkcast/trunkcast/trunk"
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

// TestPeerLinphoneHold: a softphone behind a proxy puts the call on hold and
// takes it back; sound and picture are there again afterwards, both ways.
func TestPeerLinphoneHold(t *testing.T) {
	n := peertest.StartNginx(t)
	clip := peertest.MakeClip(t, peertest.ClipOptions{})
	for number, transport := range map[string]string{"100": "udp", "101": "tcp"} {
		t.Run(transport, func(t *testing.T) {
			t.Parallel()
			stream := "rtmp_" + number
			k, g := behindProxy(t, n, transport, peertest.KamailioPassword)
			eventually(t, "registered", func() bool { return g.registered(trunk.Registered) })
			l := peertest.StartLinphone(t, peertest.LinphoneOptions{Proxy: k.Addr(), Transport: transport, Audio: clip.Audio})
			l.Dial("sip:" + number + "@" + k.Addr())
			n.WaitStream(stream, 20*time.Second)
			for i := range 2 {
				l.Hold()
				eventually(t, "hold told", func() bool { return g.count(trunkcast.Hold) == i+1 })
				l.Resume()
				eventually(t, "resume told", func() bool { return g.count(trunkcast.Resume) == i+1 })
			}
			m := peertest.MeasureFile(t, peertest.Rtmpdump(t, n.RTMPURL+"/live/"+stream, 6*time.Second))
			t.Logf("measured: %v", m)
			m.Check(t, peertest.Expect{MinBeeps: 3, AnyErrors: true}) // the last tag is cut
			if m.Frames < 2 {
				t.Errorf("%d pictures after the resume", m.Frames)
			}
			l.Hangup()
			n.WaitGone(stream, 20*time.Second)
			if k.Seen("INVITE") < 5 {
				t.Errorf("the proxy has seen %d INVITEs of 5", k.Seen("INVITE"))
			}
		})
	}
}
