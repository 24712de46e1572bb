//go:build peers

package network

import (
	"context"
	"fmt"
	"log/slog"
	"net/netip"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/trunkcast/trunkcast"
	"github.com/trunkcast/trunkcast/gateway"
	"github.com/trunkcast/trunkcast/internal/relay"
	"github.com/trunkcast/trunkcast/media/rtpio"
	"github.com/trunkcast/trunkcast/trunk"
)

var loopback = netip.MustParseAddr("127.0.0.1")

const (
	maxBitRate = 4_000_000 // of pictures, as callers are told
	jitterMin  = 60 * time.Millisecond
)

// rig is a gateway under test.
type rig struct {
	*gateway.Gateway
	t   testing.TB
	log logBuffer
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

// startGateway runs a gateway that publishes to url until the end of the test.
// The trunk is configured otherwise by edit.
func startGateway(t testing.TB, url string, edit ...func(*trunk.Config)) *rig {
	t.Helper()
	no := false
	r := &rig{t: t}
	ready := make(chan *gateway.Gateway, 1)
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	pbx := trunk.Config{
		Name: "pbx", ListenAddress: "127.0.0.1", ProxyIP: "127.0.0.1", Register: &no, URL: url,
		Allow:           []netip.Prefix{netip.PrefixFrom(loopback, 8)},
		MaxVideoBitRate: maxBitRate, JitterMin: jitterMin,
	}
	for _, f := range edit {
		f(&pbx)
	}
	cfg := gateway.Config{RTMPListen: "off", HTTPListen: "off", Trunks: []trunk.Config{pbx}}
	go func() {
		ended <- gateway.Run(ctx, cfg, gateway.Options{
			OnReady: func(g *gateway.Gateway) { ready <- g },
			Logger:  slog.New(slog.NewTextHandler(&r.log, nil)),
		})
	}()
	t.Cleanup(func() {
		cancel()
		if err := <-ended; err != nil {
			t.Errorf("gateway: %v", err)
		}
		if t.Failed() {
			t.Logf("gateway log:\n%s", r.log.String())
		}
	})
	select {
	case r.Gateway = <-ready:
	case err := <-ended:
		ended <- err
		t.Fatalf("gateway: %v", err)
	case <-time.After(30 * time.Second):
		t.Fatal("gateway not ready in 30 s")
	}
	return r
}

func (r *rig) addr() netip.AddrPort { return r.Trunks.Trunk("pbx").Addr() }

// session is the gateway's side of the call to a number.
func (r *rig) session(number string) *trunkcast.Session {
	r.t.Helper()
	for _, s := range r.Bridge.Sessions() {
		if s.Call().Number() == number {
			return s
		}
	}
	r.t.Fatalf("no call to %s", number)
	return nil
}

// caller is a call that sends what a camera shows.
type caller struct {
	t      testing.TB
	camera *camera
	media  *rtpio.Session
	call   *trunk.Call
	ua     *trunk.Server
	ctx    context.Context // ends with the call
	stop   context.CancelFunc
	done   chan struct{} // nil: nothing is sent yet
	once   sync.Once
}

// dial calls a number at an address and sends from then on, when prepare has
// been called. The call lasts to the end of the test, or to hangup.
func dial(t testing.TB, to netip.AddrPort, number string, f *film, prepare func()) *caller {
	t.Helper()
	c := connect(t, to, number)
	c.camera.film.Store(f)
	if prepare != nil {
		prepare()
	}
	c.send(func(ctx context.Context) error { return c.camera.run(ctx, c.media) })
	return c
}

// connect calls a number at an address. The caller's media is otherwise by edit.
func connect(t testing.TB, to netip.AddrPort, number string, edit ...func(*rtpio.Session)) *caller {
	t.Helper()
	no := false
	c := &caller{t: t, camera: &camera{}, ua: &trunk.Server{Trunks: []trunk.Config{{
		Name: "caller", ListenAddress: "127.0.0.1", ProxyIP: "127.0.0.1", RemotePort: int(to.Port()), Register: &no,
	}}}}
	c.media = &rtpio.Session{
		Ports: &rtpio.Ports{First: 30000, Last: 31999, Addr: loopback}, MediaTimeout: -1,
		OnKeyFrameRequested: func() { c.camera.asked.Store(true) },
	}
	for _, f := range edit {
		f(c.media)
	}
	ctx, cancel := context.WithCancel(context.Background())
	c.ctx, c.stop = ctx, cancel
	t.Cleanup(func() { c.hangup() })
	if err := c.ua.Start(ctx); err != nil {
		t.Fatal(err)
	}
	dialling, cancel := context.WithTimeout(ctx, 30*time.Second)
	defer cancel()
	call, err := c.ua.Trunk("caller").Dial(dialling, c.media, trunk.DialOptions{Number: number})
	if err != nil {
		t.Fatalf("call to %s: %v", number, err)
	}
	c.call = call
	return c
}

// send runs what sends until the call ends.
func (c *caller) send(run func(context.Context) error) {
	c.done = make(chan struct{})
	go func() {
		defer close(c.done)
		if err := run(c.ctx); err != nil {
			c.t.Errorf("caller: %v", err)
		}
	}()
}

// hangup ends the call and tells how long the gateway took to answer the BYE.
func (c *caller) hangup() (took time.Duration) {
	c.once.Do(func() {
		if c.call != nil {
			ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
			defer cancel()
			begun := time.Now()
			if err := c.call.Hangup(ctx, ""); err != nil {
				c.t.Errorf("BYE: %v", err)
			}
			took = time.Since(begun)
		}
		if c.done != nil {
			c.stop()
			<-c.done
		}
		c.stop()
		_ = c.media.Close()
		c.ua.Close()
	})
	return took
}

// way is a network: what it does to sound and picture from the caller to the
// gateway, and back.
type way struct {
	sound, picture, back relay.Impairments
}

// both is a way on which sound and picture fare the same; a round trip takes
// 50 ms more than the impairments say.
func both(i relay.Impairments) way {
	i.Delay += 25 * time.Millisecond
	return way{sound: i, picture: i, back: relay.Impairments{Delay: 25 * time.Millisecond, Loss: i.Loss}}
}

// over calls a number of the gateway over a network.
func (r *rig) over(w way, number string, f *film, seed uint64) (*caller, *relay.SIP) {
	r.t.Helper()
	s, err := relay.NewSIP(r.addr(), relay.Options{Seed: seed})
	if err != nil {
		r.t.Fatal(err)
	}
	r.t.Cleanup(s.Close)
	c := dial(r.t, s.Addr(), number, f, func() {
		pairs := s.Pairs()
		if len(pairs) != 2 {
			r.t.Fatalf("%d media streams", len(pairs))
		}
		for i, there := range []relay.Impairments{w.sound, w.picture} {
			pairs[i].Set(relay.A, there)
			pairs[i].Set(relay.B, w.back)
		}
	})
	return c, s
}

// relayed describes what a network has done.
func relayed(s *relay.SIP) string {
	var b strings.Builder
	for i, p := range s.Pairs() {
		st := p.Stats(relay.A)
		fmt.Fprintf(&b, " %s %d sent %d lost %d overflowed %d reordered %d doubled,",
			[]string{"sound", "picture"}[i], st.Received, st.Lost, st.Overflowed, st.Reordered, st.Duplicated)
	}
	return strings.TrimSuffix(b.String(), ",")
}
