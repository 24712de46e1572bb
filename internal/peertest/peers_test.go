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
	peertest.Start(t, "ffmpeg", "-v", "error", "-re", "-i", clip.Video, "-i", clip.Audio,
		"-c:v", "copy", "-c:a", "aac", "-f", "flv", n.RTMPURL+"/live/sample")
	n.WaitStream("sample", 10*time.Second)
	m := peertest.Watch(t, n.RTMPURL+"/live/sample", 5*time.Second)
	t.Logf("measured: %v", m)
	m.Check(t, peertest.Expect{Width: 640, Height: 360, FrameRate: 25, MaxOffset: 80 * time.Millisecond})
}

// TestPeerKamailioBaresip lets two softphones talk through the proxy, and
// looks at what the registrar, the calls and the control connection do.
func TestPeerKamailioBaresip(t *testing.T) {
	clip := peertest.MakeClip(t, peertest.ClipOptions{Seconds: 20})
	for _, transport := range []string{"udp", "tcp"} {
		t.Run(transport, func(t *testing.T) {
			k := peertest.StartKamailio(t, "127.0.0.1:9", transport)
			proxy := k.Addr()
			called := peertest.StartBaresip(t, peertest.BaresipOptions{
				User: "202", Proxy: proxy, Transport: transport, Video: clip.Video, Audio: clip.Audio,
			})
			caller := peertest.StartBaresip(t, peertest.BaresipOptions{
				User: "201", Proxy: proxy, Transport: transport, Video: clip.Video, Audio: clip.Audio,
			})
			caller.Do("dial", "sip:202@"+proxy)
			called.Wait("CALL_INCOMING", 30*time.Second)
			called.Do("accept", "")
			caller.Wait("CALL_ESTABLISHED", 30*time.Second)
			caller.Hangup()
			called.Wait("CALL_CLOSED", 30*time.Second)
		})
	}
}
