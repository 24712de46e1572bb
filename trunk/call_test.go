package trunk

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/trunkcast/trunkcast/trunk/trunktest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const patience = trunktest.Patience

// serve runs a server on loopback until the test ends. Trunks without a
// ProxyIP belong to 127.0.0.1, and do not register unless told.
func serve(t testing.TB, s *Server) *Server {
	t.Helper()
	if err := prepared(s).Start(context.Background()); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Close() })
	return s
}

func prepared(s *Server) *Server {
	if len(s.Trunks) == 0 {
		s.Trunks = []Config{{}}
	}
	for i := range s.Trunks {
		c := &s.Trunks[i]
		no := false
		if c.Name == "" {
			c.Name = "t" + string(rune('0'+i))
		}
		if c.ProxyIP == "" {
			c.ProxyIP = "127.0.0.1"
		}
		if c.Register == nil {
			c.Register = &no
		}
		c.ListenAddress = "127.0.0.1"
	}
	return s
}

func addrOfServer(s *Server) netip.AddrPort { return s.list[0].Addr() }

// answering is a Handler that answers with n, tells of the call and waits for
// its end.
func answering(n Negotiator, calls chan<- *Call) Handler {
	return HandlerFunc(func(ctx context.Context, c *Call) {
		if calls != nil {
			calls <- c
		}
		if c.Answer(ctx, n) == nil {
			<-ctx.Done()
		}
	})
}

func get[T any](t testing.TB, c <-chan T, what string) T {
	t.Helper()
	select {
	case v := <-c:
		return v
	case <-time.After(patience):
		t.Fatalf("%s: nothing came", what)
	}
	panic("unreachable")
}

func endOf(t testing.TB, c *Call) *EndError {
	t.Helper()
	get(t, c.Done(), "end of the call")
	e, ok := c.Err().(*EndError)
	if !ok {
		t.Fatalf("Err is %v", c.Err())
	}
	return e
}

func TestIncomingCall(t *testing.T) {
	for _, transport := range []string{"udp", "tcp"} {
		t.Run(transport, func(t *testing.T) {
			n := &trunktest.Negotiator{}
			calls := make(chan *Call, 1)
			s := serve(t, &Server{Handler: answering(n, calls)})
			p := trunktest.NewPeer(t, transport)
			leg := p.Invite(addrOfServer(s), "001201234", trunktest.Offer)
			res := leg.Expect("INVITE", 200)
			if res.Body != "v=0\r\ns=our answer\r\n" || res.Header("Content-Type") != "application/sdp" {
				t.Errorf("body %q, type %q", res.Body, res.Header("Content-Type"))
			}
			if want := fmt.Sprintf("@%s", addrOfServer(s)); !strings.Contains(res.Header("Contact"), want) {
				t.Errorf("Contact %q", res.Header("Contact"))
			}
			leg.ACK("")
			c := get(t, calls, "call")
			if c.Number() != "001201234" || c.Caller() != "peer" || c.CallerName() != "Peer" || !c.Incoming() ||
				c.ID() != leg.CallID || c.Trunk().Name() != "t0" || c.MediaAddr() != addrOfServer(s).Addr() {
				t.Errorf("number %q, caller %q %q, id %q, media %v", c.Number(), c.Caller(), c.CallerName(), c.ID(), c.MediaAddr())
			}
			leg.Request("BYE", "Reason: Q.850;cause=16;text=\"done\"\r\n", "")
			leg.Expect("BYE", 200)
			if e := endOf(t, c); !e.ByPeer || e.Code != 0 || e.Reason != "done" {
				t.Errorf("end %+v", e)
			}
			if got := fmt.Sprint(n.Log()); got != "[Answer]" {
				t.Errorf("negotiation %s", got)
			}
		})
	}
}

func TestHangupSendsBye(t *testing.T) {
	for _, transport := range []string{"udp", "tcp"} {
		t.Run(transport, func(t *testing.T) {
			calls := make(chan *Call, 1)
			s := serve(t, &Server{Handler: answering(&trunktest.Negotiator{}, calls)})
			p := trunktest.NewPeer(t, transport)
			leg := p.Establish(addrOfServer(s), "1")
			c := get(t, calls, "call")
			hung := make(chan error, 1)
			go func() { hung <- c.Hangup(context.Background(), "enough") }()
			bye := leg.Await("BYE")
			if got := bye.Header("Reason"); got != `Q.850;cause=16;text="enough"` {
				t.Errorf("Reason %q", got)
			}
			if bye.Tag("From") == "" || bye.Tag("To") == "" || !strings.HasPrefix(bye.URI(), "sip:peer@"+p.Addr().String()) {
				t.Errorf("BYE %s, From %q To %q", bye.Line, bye.Header("From"), bye.Header("To"))
			}
			p.Response(bye, 200, "", "", "")
			if err := get(t, hung, "Hangup"); err != nil {
				t.Error(err)
			}
			if e := endOf(t, c); e.ByPeer || e.Reason != "enough" {
				t.Errorf("end %+v", e)
			}
		})
	}
}

func TestCancel(t *testing.T) {
	calls := make(chan *Call, 1)
	s := serve(t, &Server{Handler: HandlerFunc(func(ctx context.Context, c *Call) {
		c.Ring(180, "")
		calls <- c
		<-ctx.Done()
	})})
	p := trunktest.NewPeer(t, "udp")
	leg := p.Invite(addrOfServer(s), "1", trunktest.Offer)
	leg.Expect("INVITE", 180)
	leg.CANCEL("Reason: SIP;cause=200;text=\"elsewhere\"\r\n")
	leg.Expect("CANCEL", 200)
	leg.Expect("INVITE", 487)
	if e := endOf(t, get(t, calls, "call")); !e.ByPeer || e.Code != 487 || e.Reason != "elsewhere" {
		t.Errorf("end %+v", e)
	}
}

func TestDial(t *testing.T) {
	for _, transport := range []string{"udp", "tcp"} {
		t.Run(transport, func(t *testing.T) {
			p := trunktest.NewPeer(t, transport)
			s := serve(t, &Server{Trunks: []Config{{RemotePort: int(p.Addr().Port()), Transport: transport, VisibleName: "Us"}}})
			n := &trunktest.Negotiator{}
			type result struct {
				c   *Call
				err error
			}
			dialled := make(chan result, 1)
			go func() {
				c, err := s.Trunk("t0").Dial(context.Background(), n, DialOptions{Number: "00#12"})
				dialled <- result{c, err}
			}()
			leg, req := p.Accept("", "v=0\r\ns=peer's answer\r\n")
			if !strings.HasPrefix(req.URI(), "sip:00%2312@127.0.0.1") || req.Body != "v=0\r\ns=our offer\r\n" {
				t.Errorf("%s, body %q", req.Line, req.Body)
			}
			leg.Await("ACK")
			r := get(t, dialled, "Dial")
			if r.err != nil {
				t.Fatal(r.err)
			}
			if got := fmt.Sprint(n.Log()); got != "[Offer Accept]" {
				t.Errorf("negotiation %s", got)
			}
			if r.c.Incoming() || r.c.Number() != "00#12" || r.c.Answered().IsZero() {
				t.Errorf("number %q", r.c.Number())
			}
			leg.Local = strings.Replace(leg.Local, "x", "x", 1)
			go r.c.Hangup(context.Background(), "")
			p.Response(leg.Await("BYE"), 200, "", "", "")
			endOf(t, r.c)
		})
	}
}

// serveOnFreePort is serve with a port that must be the same for several
// trunks: one that was free a moment ago, and another if it is not any more.
func serveOnFreePort(t testing.TB, make func(port int) *Server) *Server {
	t.Helper()
	for range 20 {
		l, err := net.Listen("tcp4", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		port := l.Addr().(*net.TCPAddr).Port
		l.Close()
		s := make(port)
		err = prepared(s).Start(context.Background())
		var taken *ListenError
		switch {
		case err == nil:
			t.Cleanup(func() { s.Close() })
			return s
		case !errors.As(err, &taken):
			t.Fatal(err)
		}
	}
	t.Fatal("no free port")
	return nil
}
