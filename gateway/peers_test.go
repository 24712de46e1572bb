//go:build peers

package gateway_test

import (
	"context"
	"fmt"
	"log/slog"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/trunkcast/trunkcast"
	"github.com/trunkcast/trunkcast/gateway"
	"github.com/trunkcast/trunkcast/internal/peertest"
	"github.com/trunkcast/trunkcast/trunk"
)

// running is a gateway under test with what it told.
type running struct {
	*gateway.Gateway
	t      testing.TB
	mu     sync.Mutex
	events []trunkcast.Event
	states []trunk.Registration
}

// startGateway runs a gateway until the end of the test.
func startGateway(t testing.TB, cfg gateway.Config, opts gateway.Options) *running {
	t.Helper()
	r := &running{t: t}
	ready := make(chan *gateway.Gateway, 1)
	opts.OnReady = func(g *gateway.Gateway) { ready <- g }
	opts.OnEvent = func(e trunkcast.Event) {
		r.mu.Lock()
		defer r.mu.Unlock()
		r.events = append(r.events, e)
	}
	opts.OnRegistration = func(_ *trunk.Trunk, s trunk.Registration) {
		r.mu.Lock()
		defer r.mu.Unlock()
		r.states = append(r.states, s)
	}
	var out logBuffer
	if opts.Logger == nil {
		opts.Logger = slog.New(slog.NewTextHandler(&out, &slog.HandlerOptions{Level: slog.LevelDebug}))
	}
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- gateway.Run(ctx, cfg, opts) }()
	t.Cleanup(func() {
		began := time.Now()
		cancel()
		if err := <-ended; err != nil {
			t.Errorf("gateway: %v", err)
		}
		t.Logf("gateway ended in %v", time.Since(began).Round(time.Millisecond))
		if t.Failed() {
			t.Logf("gateway log:\n%s", out.String())
		}
	})
	select {
	case r.Gateway = <-ready:
	case err := <-ended:
		ended <- err
		t.Fatalf("gateway: %v", err)
	case <-time.After(20 * time.Second):
		t.Fatal("gateway not ready in 20 s")
	}
	return r
}

type logBuffer struct {
	mu sync.Mutex
	b  strings.Builder
}

func (l *logBuffer) Write(b []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(b)
}

func (l *logBuffer) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}

// has tells whether an event of that type has come.
func (r *running) has(typ trunkcast.EventType) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, e := range r.events {
		if e.Type == typ {
			return true
		}
	}
	return false
}

func (r *running) registered(state trunk.RegistrationState) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, s := range r.states {
		if s.State == state {
			return true
		}
	}
	return false
}

// addr is the SIP address of the only trunk.
func (r *running) addr(name string) netip.AddrPort {
	a := r.Trunks.Trunk(name).Addr()
	if a.Addr().IsUnspecified() {
		a = netip.AddrPortFrom(netip.MustParseAddr("127.0.0.1"), a.Port())
	}
	return a
}

func loopback() []netip.Prefix { return []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8")} }

// pbx is a trunk without registration on a port of the kernel's choice.
func pbx(url string) trunk.Config {
	no := false
	return trunk.Config{
		Name: "pbx", ListenAddress: "127.0.0.1", ProxyIP: "127.0.0.1", URL: url, Register: &no,
		Allow: loopback(),
	}
}

// TestPeerBaresip has a softphone call the trunk directly, with each audio
// codec; the stream is read from nginx-rtmp by ffmpeg.
func TestPeerBaresip(t *testing.T) {
	n := peertest.StartNginx(t)
	clip := peertest.MakeClip(t, peertest.ClipOptions{Seconds: 30})
	g := startGateway(t, gateway.Config{Trunks: []trunk.Config{pbx(n.RTMPURL + "/live")}, RTMPListen: "off"}, gateway.Options{})
	for _, c := range []struct{ codec, transport string }{
		{"opus/48000/2", "udp"}, {"PCMA/8000", "tcp"}, {"G722/16000", "udp"},
	} {
		name, _, _ := strings.Cut(c.codec, "/")
		t.Run(name, func(t *testing.T) {
			phone := peertest.StartBaresip(t, peertest.BaresipOptions{
				Transport: c.transport, Codecs: []string{c.codec}, Video: clip.Video, Audio: clip.Audio,
			})
			phone.Dial(fmt.Sprintf("sip:%s@%s;transport=%s", name, g.addr("pbx"), c.transport))
			stream := "rtmp_" + name
			n.WaitStream(stream, 15*time.Second)
			m := peertest.Watch(t, n.RTMPURL+"/live/"+stream, 6*time.Second)
			t.Logf("measured: %v", m)
			m.Check(t, peertest.Expect{Width: 640, Height: 360, FrameRate: 25, MaxOffset: 80 * time.Millisecond})
			phone.Hangup()
			n.WaitGone(stream, 5*time.Second)
		})
	}
}

// TestPeerHangupFromGateway ends a call from our side: the phone hears of it
// and the stream is gone.
func TestPeerHangupFromGateway(t *testing.T) {
	n := peertest.StartNginx(t)
	clip := peertest.MakeClip(t, peertest.ClipOptions{Seconds: 20})
	g := startGateway(t, gateway.Config{Trunks: []trunk.Config{pbx(n.RTMPURL + "/live")}, RTMPListen: "off"}, gateway.Options{})
	phone := peertest.StartBaresip(t, peertest.BaresipOptions{Video: clip.Video, Audio: clip.Audio})
	phone.Dial(fmt.Sprintf("sip:100@%s", g.addr("pbx")))
	n.WaitStream("rtmp_100", 15*time.Second)
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
	defer cancel()
	if err := g.Bridge.Sessions()[0].Hangup(ctx, "test"); err != nil {
		t.Fatal(err)
	}
	phone.Wait("CALL_CLOSED", 5*time.Second)
	n.WaitGone("rtmp_100", 5*time.Second)
}

// TestPeerSeedFile runs the product's own trunk file, with the names in it
// pointed at this host: Opus only, recvonly.
func TestPeerSeedFile(t *testing.T) {
	n := peertest.StartNginx(t)
	seed, err := os.ReadFile("../trunk/testdata/sip_trunk.seed.yml")
	if err != nil {
		t.Fatal(err)
	}
	port := peertest.Port(t)
	text := strings.NewReplacer("40000", fmt.Sprint(port), "pbx_address", "127.0.0.1",
		"rtmp://rtmp_server:1935", n.RTMPURL).Replace(string(seed))
	file := filepath.Join(t.TempDir(), "sip_trunk.yml")
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	trunks, err := trunk.LoadConfig(file)
	if err != nil {
		t.Fatal(err)
	}
	startGateway(t, gateway.Config{Trunks: trunks, RTMPListen: "off"}, gateway.Options{})
	clip := peertest.MakeClip(t, peertest.ClipOptions{Seconds: 20})
	phone := peertest.StartBaresip(t, peertest.BaresipOptions{Video: clip.Video, Audio: clip.Audio})
	phone.Dial(fmt.Sprintf("sip:001201234@127.0.0.1:%d", port))
	n.WaitStream("rtmp_001201234", 15*time.Second)
	m := peertest.Watch(t, n.RTMPURL+"/live/rtmp_001201234", 5*time.Second)
	t.Logf("measured: %v", m)
	m.Check(t, peertest.Expect{Width: 640, Height: 360, FrameRate: 25, MaxOffset: 80 * time.Millisecond})
}

// TestPeerRestartedServer stops the RTMP server for 5 s in mid-call.
func TestPeerRestartedServer(t *testing.T) {
	n := peertest.StartNginx(t)
	clip := peertest.MakeClip(t, peertest.ClipOptions{Seconds: 60})
	g := startGateway(t, gateway.Config{Trunks: []trunk.Config{pbx(n.RTMPURL + "/live")}, RTMPListen: "off"}, gateway.Options{})
	phone := peertest.StartBaresip(t, peertest.BaresipOptions{Video: clip.Video, Audio: clip.Audio})
	phone.Dial(fmt.Sprintf("sip:100@%s", g.addr("pbx")))
	n.WaitStream("rtmp_100", 15*time.Second)
	n.Stop()
	time.Sleep(5 * time.Second) // the outage
	n.Restart()
	n.WaitStream("rtmp_100", 20*time.Second)
	m := peertest.Watch(t, n.RTMPURL+"/live/rtmp_100", 5*time.Second)
	t.Logf("measured: %v", m)
	m.Check(t, peertest.Expect{Width: 640, Height: 360, FrameRate: 25, MaxOffset: 80 * time.Millisecond})
	if g.has(trunkcast.CallEnded) {
		t.Error("the call noticed")
	}
}
