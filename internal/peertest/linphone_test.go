//go:build peers

package peertest_test

import (
	"testing"
	"time"

	"github.com/trunkcast/trunkcast/internal/peertest"
)

// TestPeerLinphone registers, calls and is called, with sound and picture.
func TestPeerLinphone(t *testing.T) {
	clip := peertest.MakeClip(t, peertest.ClipOptions{Seconds: 20})
	for _, transport := range []string{"udp", "tcp"} {
		t.Run(transport, func(t *testing.T) {
			k := peertest.StartKamailio(t, "127.0.0.1:9", transport)
			b := peertest.StartBaresip(t, peertest.BaresipOptions{
				User: "201", Proxy: k.Addr(), Transport: transport, Video: clip.Video, Audio: clip.Audio, AutoAnswer: true,
			})
			l := peertest.StartLinphone(t, peertest.LinphoneOptions{
				User: "203", Proxy: k.Addr(), Transport: transport, Audio: clip.Audio, AutoAnswer: true,
			})
			if transport == "udp" {
				l.Dial("sip:201@" + k.Addr())
				b.Wait("CALL_ESTABLISHED", 30*time.Second)
			} else {
				b.Dial("sip:203@" + k.Addr())
				l.Established()
			}
			peertest.Eventually(t, 20*time.Second, "the picture of linphone is seen", func() bool {
				_, deviation := peertest.Luma(b.Seen())
				return deviation > 10
			})
			time.Sleep(3 * time.Second)
			l.Hangup()
			b.Wait("CALL_CLOSED", 30*time.Second)
			for name, file := range map[string]string{"baresip": b.Heard(), "linphone": l.Heard()} {
				h := peertest.MeasureLoudness(t, file)
				t.Logf("measured: %s heard %+v", name, h)
				if h.Peak < -20 || h.Length < 2*time.Second || h.Silent < h.Length/3 {
					t.Errorf("%s heard %+v", name, h)
				}
			}
		})
	}
}
