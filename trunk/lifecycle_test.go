package trunk

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/trunkcast/trunkcast/listener"
	"github.com/trunkcast/trunkcast/trunk/trunktest"
)

// Shutdown: no new calls, BYE to those that run, and the Handlers are waited
// for.
func TestShutdown(t *testing.T) {
	calls := make(chan *Call, 2)
	slow := make(chan struct{})
	s := serve(t, &Server{Handler: HandlerFunc(func(ctx context.Context, c *Call) {
		calls <- c
		if c.Number() == "1" {
			c.Answer(ctx, &trunktest.Negotiator{})
		}
		<-ctx.Done()
		<-slow
	})})
	p := trunktest.NewPeer(t, "udp")
	leg := p.Establish(addrOfServer(s), "1")
	ringing := p.Invite(addrOfServer(s), "2", trunktest.Offer)
	get(t, calls, "call")
	get(t, calls, "call")
	if n := len(s.Calls()); n != 2 {
		t.Errorf("%d calls", n)
	}
	done := make(chan error, 1)
	go func() { done <- s.Shutdown(context.Background()) }()
	bye := leg.Await("BYE")
	if bye.Header("Reason") != `SIP;cause=503;text="shutting down"` {
		t.Errorf("Reason %q", bye.Header("Reason"))
	}
	if res := ringing.Expect("INVITE", 503); !strings.Contains(res.Header("Warning"), "shutting down") {
		t.Errorf("Warning %q", res.Header("Warning"))
	}
	p.Invite(addrOfServer(s), "3", trunktest.Offer).Expect("INVITE", 503)
	if _, err := s.Trunk("t0").Dial(context.Background(), &trunktest.Negotiator{}, DialOptions{Number: "1"}); !errors.Is(err, ErrServerClosed) {
		t.Errorf("Dial: %v", err)
	}
	p.Response(bye, 200, "", "", "")
	select {
	case <-done:
		t.Error("the Handlers were not waited for")
	case <-time.After(50 * time.Millisecond):
	}
	close(slow)
	if err := get(t, done, "Shutdown"); err != nil {
		t.Error(err)
	}
	if err := s.Shutdown(context.Background()); err != nil {
		t.Errorf("the second Shutdown: %v", err)
	}
}

// Shutdown ends with its context, whatever Handlers and peers do.
func TestShutdownInTime(t *testing.T) {
	free := make(chan struct{})
	s := serve(t, &Server{Handler: HandlerFunc(func(ctx context.Context, c *Call) {
		c.Answer(ctx, &trunktest.Negotiator{})
		<-free
	})})
	p := trunktest.NewPeer(t, "udp")
	p.Establish(addrOfServer(s), "1")
	ctx, cancel := context.WithTimeout(context.Background(), 50*time.Millisecond)
	defer cancel()
	if err := s.Shutdown(ctx); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("error %v", err)
	}
	close(free)
}

func TestListenAndServe(t *testing.T) {
	for _, how := range []string{"context", "close", "shutdown"} {
		t.Run(how, func(t *testing.T) {
			no := false
			s := &Server{Trunks: []Config{{Name: "a", ProxyIP: "127.0.0.1", ListenAddress: "127.0.0.1", Register: &no}}}
			if s.Trunk("a") != nil {
				t.Error("a trunk before Start")
			}
			ctx, cancel := context.WithCancel(context.Background())
			defer cancel()
			done := make(chan error, 1)
			go func() { done <- s.ListenAndServe(ctx) }()
			eventually(t, "started", func() bool { return s.Trunk("a") != nil })
			switch how {
			case "context":
				cancel()
			case "close":
				var wg sync.WaitGroup
				for range 3 {
					wg.Go(func() { s.Close() })
				}
				wg.Wait()
			case "shutdown":
				s.Shutdown(context.Background())
			}
			if err := get(t, done, "ListenAndServe"); !errors.Is(err, ErrServerClosed) {
				t.Errorf("error %v", err)
			}
			s.Close()
			if err := s.Start(context.Background()); err == nil {
				t.Error("started again")
			}
		})
	}
}

// Close and Shutdown may come while Start is under way.
func TestCloseMeetsStart(t *testing.T) {
	p := trunktest.NewPeer(t, "udp") // a registrar that is silent
	for i := range 40 {
		s := &Server{Trunks: []Config{{Name: "a", ProxyIP: "127.0.0.1", RemotePort: int(p.Addr().Port()), ListenAddress: "127.0.0.1"}}}
		started := make(chan error, 1)
		go func() { started <- s.Start(context.Background()) }()
		time.Sleep(time.Duration(i%8) * 50 * time.Microsecond) // any order
		ctx, cancel := context.WithTimeout(context.Background(), patience)
		if i%2 == 0 {
			s.Close()
		} else if err := s.Shutdown(ctx); err != nil {
			t.Fatal(err)
		}
		cancel()
		get(t, started, "Start")
		s.Close()
		if s.Trunk("a") != nil {
			s.Trunk("a").Registration()
		}
	}
}

func TestStartErrors(t *testing.T) {
	taken, err := net.ListenUDP("udp4", &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1)})
	if err != nil {
		t.Fatal(err)
	}
	defer taken.Close()
	port := taken.LocalAddr().(*net.UDPAddr).Port
	good := Config{Name: "good", ProxyIP: "127.0.0.1", ListenAddress: "127.0.0.1"}
	change := func(f func(*Config)) Config { c := good; c.Name = "bad"; f(&c); return c }
	for _, tt := range []struct {
		name   string
		trunks []Config
		want   string
	}{
		{"none", nil, "no trunks"},
		{"twice", []Config{good, good}, "trunk good: two trunks have this name"},
		{"no proxy", []Config{good, change(func(c *Config) { c.ProxyIP = "" })}, "trunk bad: no proxyIp"},
		{"listen", []Config{change(func(c *Config) { c.ListenAddress = "here" })}, `trunk bad: listenAddress "here"`},
		{"transport", []Config{change(func(c *Config) { c.Transport = "sctp" })}, `trunk bad: transport "sctp"`},
		{"certificate", []Config{good, change(func(c *Config) { c.TLSCert, c.TLSKey = "/none", "/none" })}, "trunk bad: open /none"},
		{"authorities", []Config{change(func(c *Config) { c.TLSCA = "/none" })}, "trunk bad: open /none"},
		{"taken", []Config{good, change(func(c *Config) { c.LocalPort = port })}, fmt.Sprintf("trunk bad: listen on udp 127.0.0.1:%d", port)},
	} {
		t.Run(tt.name, func(t *testing.T) {
			s := &Server{Trunks: tt.trunks}
			err := s.Start(context.Background())
			if err == nil || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("error %v, want %s", err, tt.want)
			}
			var l *ListenError
			if tt.name == "taken" && (!errors.As(err, &l) || l.Trunk != "bad" || l.Transport != "udp" || int(l.Addr.Port()) != port) {
				t.Errorf("%+v", l)
			}
			s.Close()
		})
	}
}

// A panic ends its call, and no other.
func TestPanic(t *testing.T) {
	s := serve(t, &Server{Handler: HandlerFunc(func(ctx context.Context, c *Call) {
		switch c.Number() {
		case "early":
			panic("early")
		case "late":
			c.Answer(ctx, &trunktest.Negotiator{})
			panic("late")
		}
		if c.Answer(ctx, &trunktest.Negotiator{}) == nil {
			<-ctx.Done()
		}
	})})
	p := trunktest.NewPeer(t, "udp")
	good := p.Establish(addrOfServer(s), "good")
	p.Invite(addrOfServer(s), "early", trunktest.Offer).Expect("INVITE", 500)
	late := p.Establish(addrOfServer(s), "late")
	bye := late.Await("BYE")
	if !strings.HasPrefix(bye.Header("Reason"), "SIP;cause=500") {
		t.Errorf("Reason %q", bye.Header("Reason"))
	}
	p.Response(bye, 200, "", "", "")
	good.Request("BYE", "", "")
	good.Expect("BYE", 200)
}

// A Handler that returns ends its call.
func TestHandlerReturns(t *testing.T) {
	s := serve(t, &Server{Handler: HandlerFunc(func(ctx context.Context, c *Call) {
		if c.Number() == "answered" {
			c.Answer(ctx, &trunktest.Negotiator{})
		}
	})})
	p := trunktest.NewPeer(t, "udp")
	p.Invite(addrOfServer(s), "1", trunktest.Offer).Expect("INVITE", 480)
	leg := p.Establish(addrOfServer(s), "answered")
	bye := leg.Await("BYE")
	if bye.Header("Reason") != "Q.850;cause=16" {
		t.Errorf("Reason %q", bye.Header("Reason"))
	}
	p.Response(bye, 200, "", "", "")
}

// The listener sees messages with the name of their trunk, and can change the
// number.
func TestListener(t *testing.T) {
	var mu sync.Mutex
	seen := map[string]string{}
	calls := make(chan *Call, 1)
	s := serve(t, &Server{
		Handler: answering(&trunktest.Negotiator{}, calls),
		Listener: listener.Func(func(_ context.Context, m *listener.Message) error {
			mu.Lock()
			defer mu.Unlock()
			if m.Request != nil {
				seen[m.Direction.String()+" "+string(m.Request.Method)] = m.Trunk
				m.Request.Recipient.User = strings.TrimPrefix(m.Request.Recipient.User, "99")
			} else {
				seen[m.Direction.String()+" "+fmt.Sprint(m.Response.StatusCode)] = m.Trunk
			}
			return nil
		}),
	})
	p := trunktest.NewPeer(t, "udp")
	leg := p.Establish(addrOfServer(s), "99123")
	c := get(t, calls, "call")
	if c.Number() != "123" {
		t.Errorf("number %q", c.Number())
	}
	go c.Hangup(context.Background(), "")
	p.Response(leg.Await("BYE"), 200, "", "", "")
	endOf(t, c)
	mu.Lock()
	defer mu.Unlock()
	for _, what := range []string{"incoming INVITE", "outgoing 200", "incoming ACK", "outgoing BYE"} {
		if seen[what] != "t0" {
			t.Errorf("%s: trunk %q", what, seen[what])
		}
	}
}

// A name is looked up again, and the old addresses stay when that fails.
func TestNameMoves(t *testing.T) {
	dns := &fakeDNS{addr: netip.MustParseAddr("127.0.0.1")}
	s := &Server{Trunks: []Config{{ProxyIP: "pbx.example", MediaAddress: "media.example"}}}
	s.resolver.DNS = dns
	s.clock.resolve = 10 * time.Millisecond
	serve(t, s)
	tr := s.Trunk("t0")
	p := trunktest.NewPeer(t, "udp")
	leg := p.NewLeg(addrOfServer(s), "1")
	leg.Request("OPTIONS", "", "")
	leg.Expect("OPTIONS", 200)
	dns.set(netip.Addr{})
	time.Sleep(50 * time.Millisecond)
	if _, known := tr.knows(p.Addr().Addr()); !known {
		t.Error("forgotten when the look-up failed")
	}
	dns.set(netip.MustParseAddr("192.0.2.7"))
	eventually(t, "the name has moved", func() bool {
		_, known := tr.knows(netip.MustParseAddr("192.0.2.7"))
		return known && tr.media.Load().String() == "192.0.2.7"
	})
	if _, known := tr.knows(p.Addr().Addr()); known {
		t.Error("the old address is still let in")
	}
}

type fakeDNS struct {
	mu   sync.Mutex
	addr netip.Addr
}

func (d *fakeDNS) set(a netip.Addr) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.addr = a
}

func (d *fakeDNS) LookupSRV(context.Context, string, string, string) (string, []*net.SRV, error) {
	return "", nil, errors.New("none")
}

func (d *fakeDNS) LookupNetIP(context.Context, string, string) ([]netip.Addr, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if !d.addr.IsValid() {
		return nil, errors.New("no such host")
	}
	return []netip.Addr{d.addr}, nil
}

// TestByesCross: the far side says BYE when we do, and is gone then. Its BYE
// is answered, and ours needs no answer.
func TestByesCross(t *testing.T) {
	calls := make(chan *Call, 1)
	s := serve(t, &Server{Handler: answering(&trunktest.Negotiator{}, calls)})
	peer := trunktest.NewPeer(t, "udp")
	leg := peer.Establish(addrOfServer(s), "100")
	c := get(t, calls, "call")
	hung := make(chan error, 1)
	go func() { hung <- c.Hangup(t.Context(), "test") }()
	leg.Await("BYE")
	leg.Request("BYE", "", "")
	leg.Expect("BYE", 200)
	select {
	case err := <-hung:
		if err != nil {
			t.Errorf("Hangup: %v", err)
		}
	case <-time.After(3 * time.Second): // the BYE's transaction takes 32 s
		t.Error("Hangup waits for an answer to its BYE")
	}
}
