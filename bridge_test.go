package trunkcast_test

import (
	"context"
	"errors"
	"log/slog"
	"net/netip"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/trunkcast/trunkcast"
	"github.com/trunkcast/trunkcast/media"
	"github.com/trunkcast/trunkcast/rtmp"
	"github.com/trunkcast/trunkcast/trunk"
	"github.com/trunkcast/trunkcast/trunk/trunktest"
)

// serve runs a bridge on a trunk of loopback and returns its SIP address.
func serve(t *testing.T, b *trunkcast.Bridge, change func(*trunk.Config)) netip.AddrPort {
	t.Helper()
	addr, _ := serveLogged(t, b, change)
	return addr
}

// serveLogged is serve, with its log.
func serveLogged(t *testing.T, b *trunkcast.Bridge, change func(*trunk.Config)) (netip.AddrPort, *syncBuilder) {
	t.Helper()
	no := false
	cfg := trunk.Config{Name: "t", ListenAddress: "127.0.0.1", ProxyIP: "127.0.0.1", Register: &no}
	if change != nil {
		change(&cfg)
	}
	log := &syncBuilder{}
	b.Logger = slog.New(slog.NewTextHandler(log, nil))
	srv := &trunk.Server{Trunks: []trunk.Config{cfg}, Handler: b, Logger: b.Logger}
	if err := srv.Start(context.Background()); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), 200*time.Millisecond)
		defer cancel()
		_ = srv.Shutdown(ctx) // phones of tests that are gone confirm nothing
		if err := b.Close(); err != nil {
			t.Errorf("bridge: %v", err)
		}
		_ = srv.Close()
		if t.Failed() {
			t.Log(log.String())
		}
	})
	return srv.Trunk("t").Addr(), log
}

type syncBuilder struct {
	mu sync.Mutex
	b  strings.Builder
}

func (s *syncBuilder) Write(p []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.b.Write(p)
}

func (s *syncBuilder) String() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.b.String()
}

func eventually(t *testing.T, what string, ok func() bool) {
	t.Helper()
	for deadline := time.Now().Add(20 * time.Second); time.Now().Before(deadline); time.Sleep(5 * time.Millisecond) {
		if ok() {
			return
		}
	}
	t.Fatalf("not in 20 s: %s", what)
}

// TestPanicsOfTheProgram: each ends at most its call, and leaves nothing of it.
func TestPanicsOfTheProgram(t *testing.T) {
	for name, b := range map[string]*trunkcast.Bridge{
		"event": {OnEvent: func(e trunkcast.Event) { panic(e.Type.String()) }},
		"plan":  {Plan: func(context.Context, *trunk.Call) (*trunkcast.Plan, error) { panic("plan") }},
		"target": {
			Plan: func(_ context.Context, c *trunk.Call) (*trunkcast.Plan, error) {
				return &trunkcast.Plan{Name: "x", Targets: []trunkcast.Target{{URL: "rtmp://127.0.0.1:1/live"}}}, nil
			},
			OpenTarget: func(trunkcast.TargetRequest) (media.Sink, error) { panic("target") },
		},
	} {
		t.Run(name, func(t *testing.T) {
			addr := serve(t, b, nil)
			peer := trunktest.NewPeer(t, "udp")
			for range 2 { // the second call is served as the first
				leg := peer.Invite(addr, "100", trunktest.Offer)
				switch name {
				case "plan":
					leg.Expect("INVITE", 500)
				case "target":
					leg.Expect("INVITE", 200)
					leg.ACK("")
					peer.Response(leg.Await("BYE"), 200, "", "", "")
				default:
					leg.Expect("INVITE", 200)
					leg.ACK("")
					leg.Request("BYE", "", "")
					leg.Expect("BYE", 200)
				}
				eventually(t, "nothing left", func() bool { return len(b.Sessions()) == 0 && len(b.Streams.Names()) == 0 })
			}
		})
	}
}

// TestReplaceVanishedPhone: a phone that is gone confirms no BYE, and its name
// goes to the next call all the same; of several the newest gets it.
func TestReplaceVanishedPhone(t *testing.T) {
	b := &trunkcast.Bridge{}
	addr := serve(t, b, func(c *trunk.Config) { c.SameNumber = "replace" })
	gone := trunktest.NewPeer(t, "udp")
	gone.Establish(addr, "100")
	first := b.Sessions()[0]
	begun := time.Now()
	peer := trunktest.NewPeer(t, "udp")
	second := peer.Invite(addr, "100", trunktest.Offer)
	second.Expect("INVITE", 200)
	second.ACK("")
	t.Logf("replaced in %v", time.Since(begun).Round(time.Millisecond))
	<-first.Done()
	eventually(t, "one session", func() bool { return len(b.Sessions()) == 1 })
	if got := b.Sessions()[0].Stream().Name; got != "rtmp_100" {
		t.Errorf("stream %s", got)
	}
	if e := (*trunk.EndError)(nil); !errors.As(first.Err(), &e) || !strings.Contains(e.Reason, "replaced") {
		t.Errorf("first ended by %v", first.Err())
	}
	second.Request("BYE", "", "")
	second.Expect("BYE", 200)
}

// TestOutputAfterTheEnd: the target is refused and closed, and what its
// closing tells may ask the session.
func TestOutputAfterTheEnd(t *testing.T) {
	var asked atomic.Int32
	b := &trunkcast.Bridge{OnEvent: func(e trunkcast.Event) {
		if e.Session != nil {
			_ = e.Session.Stats()
			_ = e.Session.Outputs()
		}
		if e.Type == trunkcast.OutputState && e.State == rtmp.Closed {
			asked.Add(1)
			if e.Output != "rtmp://127.0.0.1:1/live" {
				t.Errorf("output is called %q", e.Output)
			}
		}
	}}
	addr := serve(t, b, nil)
	peer := trunktest.NewPeer(t, "udp")
	leg := peer.Establish(addr, "100")
	eventually(t, "session", func() bool { return len(b.Sessions()) == 1 })
	s := b.Sessions()[0]
	leg.Request("BYE", "", "")
	leg.Expect("BYE", 200)
	<-s.Done()
	_, err := s.AddOutput(trunkcast.Target{URL: "rtmp://user:secret@127.0.0.1:1/live?token=secret"})
	if !errors.Is(err, trunkcast.ErrEnded) {
		t.Errorf("AddOutput: %v", err)
	}
	eventually(t, "closing told", func() bool { return asked.Load() == 1 })
}
