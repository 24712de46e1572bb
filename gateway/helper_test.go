package gateway_test

import (
	"context"
	"log/slog"
	"net/netip"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/trunkcast/trunkcast"
	"github.com/trunkcast/trunkcast/gateway"
	"github.com/trunkcast/trunkcast/trunk"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// running is a gateway under test with what it told.
type running struct {
	*gateway.Gateway
	t      testing.TB
	mu     sync.Mutex
	events []trunkcast.Event
	states []trunk.Registration
	log    logBuffer
}

// startGateway runs a gateway until the end of the test.
func startGateway(t testing.TB, cfg gateway.Config, opts gateway.Options) *running {
	t.Helper()
	r := &running{t: t}
	if cfg.HTTPListen == "" {
		cfg.HTTPListen = "127.0.0.1:0"
	}
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
	opts.Logger = slog.New(slog.NewTextHandler(&r.log, &slog.HandlerOptions{Level: slog.LevelDebug}))
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
			t.Logf("gateway log:\n%s", r.log.String())
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
func (r *running) has(typ trunkcast.EventType) bool { return r.count(typ) > 0 }

// count tells how many events of that type have come.
func (r *running) count(typ trunkcast.EventType) (n int) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, e := range r.events {
		if e.Type == typ {
			n++
		}
	}
	return n
}

// logged fails the test unless a line of the log has text in it.
func (r *running) logged(text string) {
	r.t.Helper()
	if !strings.Contains(r.log.String(), text) {
		r.t.Errorf("not in the log: %s", text)
	}
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
