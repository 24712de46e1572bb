//go:build peers

package gateway_test

import (
	"context"
	"net/http"
	"os"
	"runtime"
	"testing"
	"time"

	"github.com/trunkcast/trunkcast"
	"github.com/trunkcast/trunkcast/gateway"
	"github.com/trunkcast/trunkcast/internal/peertest"
	"github.com/trunkcast/trunkcast/media/rtpio"
	"github.com/trunkcast/trunkcast/trunk"
)

// resources are what calls take and must give back.
type resources struct {
	goroutines, descriptors int
	heap                    uint64 // bytes
}

func measureResources(t *testing.T) (r resources) {
	t.Helper()
	http.DefaultTransport.(*http.Transport).CloseIdleConnections() // to the statistics page
	runtime.GC()
	runtime.GC() // what finalizers have let go
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	fds, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		t.Fatal(err)
	}
	return resources{goroutines: runtime.NumGoroutine(), descriptors: len(fds), heap: m.HeapAlloc}
}

// loadOffer knows feedback: without it key frames are asked for by INFO, at
// which SIPp gives a call up.
const loadOffer = `v=0
o=sipp 1 1 IN IP4 [local_ip]
s=-
c=IN IP4 [media_ip]
t=0 0
m=audio [rtpstream_audio_port] RTP/AVP 8
a=rtpmap:8 PCMA/8000
m=video [media_port+2] RTP/AVP 96
a=rtpmap:96 H264/90000
a=fmtp:96 profile-level-id=42e01f;packetization-mode=1
a=rtcp-fb:96 nack pli
a=rtcp-fb:96 ccm fir
`

// TestPeerLoad: calls with sound and picture at 20 a second, held for 3 s. None
// fails; when the last timer of RFC 3261 (32 s) has ended, all is given back.
func TestPeerLoad(t *testing.T) {
	const slack = 4 << 20 // bytes of heap: pools, tables that have grown
	n := peertest.StartNginx(t)
	clip := peertest.MakeClip(t, peertest.ClipOptions{Seconds: 6})
	ports := &rtpio.Ports{}
	g := startGateway(t, gateway.Config{Trunks: []trunk.Config{pbx(n.RTMPURL + "/live")}, RTMPListen: "off"}, gateway.Options{
		Plan: func(_ context.Context, _ *trunk.Call, p *trunkcast.Plan) error {
			p.Ports = ports
			return nil
		},
	})
	before := measureResources(t)
	// What the test itself keeps for SIPp ends with this.
	t.Run("calls", func(t *testing.T) { load(t, n, g, clip) })
	g.forget()
	var after resources
	defer func() { t.Logf("before %+v, after %+v", before, after) }()
	peertest.Eventually(t, 90*time.Second, "resources are given back", func() bool {
		time.Sleep(500 * time.Millisecond)
		after = measureResources(t)
		return after.goroutines <= before.goroutines && after.descriptors <= before.descriptors &&
			after.heap <= before.heap+slack
	})
	if n := ports.InUse(); n != 0 {
		t.Errorf("%d pairs of ports in use", n)
	}
	for _, s := range n.Streams() {
		if s.Publishing() {
			t.Errorf("%s is still published", s.Name)
		}
	}
}

// load makes the calls.
func load(t *testing.T, n *peertest.Nginx, g *running, clip peertest.Clip) {
	sipp := peertest.StartSIPp(t, peertest.SIPpOptions{
		Target: g.addr("pbx").String(), Calls: loadCalls, Rate: 20, Hold: 3 * time.Second,
		SDP:   loadOffer,
		Audio: peertest.PCMA(t, clip.Audio), VideoPcap: peertest.VideoPcap(t, clip.Video, 25, 96),
	})
	eventually(t, "a stream with sound and picture", func() bool {
		s := n.Stream("rtmp_100")
		return s.Publishing() && s.Meta.Video.Width == 640 && s.Meta.Audio.Codec == "AAC"
	})
	sipp.MustPass(loadCalls/20*time.Second + 90*time.Second)
	eventually(t, "all calls ended", func() bool { return g.count(trunkcast.CallEnded) == loadCalls })
	if n := g.count(trunkcast.OutputEnded); n != 0 {
		t.Errorf("%d outputs ended before their calls", n)
	}
}

// forget lets go of what the test has noted: events hold their sessions.
func (r *running) forget() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.events = nil
	r.log.mu.Lock()
	defer r.log.mu.Unlock()
	r.log.b.Reset()
}
