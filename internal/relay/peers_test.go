//go:build peers

package relay_test

import (
	"net/netip"
	"testing"
	"time"

	"github.com/trunkcast/trunkcast/internal/peertest"
	"github.com/trunkcast/trunkcast/internal/relay"
)

// TestPeerRelay: a softphone calls another over a bad network, and what it
// loses is missing at the other side.
func TestPeerRelay(t *testing.T) {
	clip := peertest.MakeClip(t, peertest.ClipOptions{Seconds: 20})
	o := peertest.BaresipOptions{Video: clip.Video, Audio: clip.Audio, Codecs: []string{"PCMA/8000"}}
	caller := peertest.StartBaresip(t, o)
	o.User, o.AutoAnswer = "100", true
	called := peertest.StartBaresip(t, o)

	bad := relay.Impairments{Loss: 0.1, Delay: 20 * time.Millisecond, Jitter: 10 * time.Millisecond, Filter: relay.DropSenderReports}
	s, err := relay.NewSIP(netip.MustParseAddrPort(called.Addr), relay.Options{Seed: 1, FromA: bad})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	caller.Dial("sip:100@" + s.Addr().String())
	time.Sleep(6 * time.Second)
	pairs := s.Pairs()
	if len(pairs) != 2 {
		t.Fatalf("%d streams, want sound and picture", len(pairs))
	}
	called.Hangup() // by the Contact, which names the relay
	caller.Wait("CALL_CLOSED", 30*time.Second)
	for i, p := range pairs {
		there, back := p.Stats(relay.A), p.Stats(relay.B)
		t.Logf("measured: stream %d: %+v, back %+v", i, there, back)
		// Sound comes 50 times a second.
		if there.Received < 150 || there.Lost < there.Received/30 || there.Lost > there.Received/4 {
			t.Errorf("stream %d: %+v", i, there)
		}
		if back.Received < 150 || back.Lost != 0 || back.Sent < back.Received-2 {
			t.Errorf("stream %d, back: %+v", i, back)
		}
	}
	lossy, whole := peertest.MeasureLoudness(t, called.Heard()), peertest.MeasureLoudness(t, caller.Heard())
	t.Logf("measured: %+v over the bad way, %+v over the good one", lossy, whole)
	if lossy.Peak < -12 || whole.Peak < -12 || lossy.Length < 3*time.Second || whole.Length < 3*time.Second {
		t.Errorf("heard %+v and %+v", lossy, whole)
	}
}
