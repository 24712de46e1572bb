//go:build peers

package peertest_test

import (
	"testing"
	"time"

	"github.com/trunkcast/trunkcast/internal/peertest"
)

// TestPeerBaresip: one softphone calls another without a proxy, with each
// codec, twice, and each hears the other.
func TestPeerBaresip(t *testing.T) {
	clip := peertest.MakeClip(t, peertest.ClipOptions{Seconds: 20})
	for _, codec := range []string{"opus/48000/2", "PCMA/8000", "PCMU/8000", "G722/16000"} {
		t.Run(codec, func(t *testing.T) {
			t.Parallel()
			o := peertest.BaresipOptions{Audio: clip.Audio, Codecs: []string{codec}}
			caller := peertest.StartBaresip(t, o)
			o.User, o.AutoAnswer = "202", true
			called := peertest.StartBaresip(t, o)
			for range 2 {
				caller.Dial("sip:202@" + called.Addr)
				called.Wait("CALL_ESTABLISHED", 30*time.Second)
				time.Sleep(2 * time.Second)
				called.Hangup()
				caller.Wait("CALL_CLOSED", 30*time.Second)
				for name, b := range map[string]*peertest.Baresip{"caller": caller, "called": called} {
					h := peertest.MeasureLoudness(t, b.Heard())
					t.Logf("measured: %s heard %+v", name, h)
					if h.Peak < -12 || h.Length < time.Second || h.Silent < 400*time.Millisecond {
						t.Errorf("%s heard %+v", name, h)
					}
				}
			}
		})
	}
}
