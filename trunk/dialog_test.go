package trunk

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/emiago/sipgo/sip"

	"github.com/trunkcast/trunkcast/listener"
	"github.com/trunkcast/trunkcast/trunk/trunktest"
)

// Requests of ours follow Record-Route, loosely and strictly (RFC 3261 section
// 12.2.1.1).
func TestRouteSet(t *testing.T) {
	p, proxy := trunktest.NewPeer(t, "udp"), trunktest.NewPeer(t, "udp")
	loose := fmt.Sprintf("<sip:%s;lr>", proxy.Addr())
	strict := fmt.Sprintf("<sip:%s;x=y>", proxy.Addr())
	for _, tt := range []struct {
		name, record, uri string
		routes            []string
		at                *trunktest.Peer
	}{
		{"none", "", "sip:peer@" + p.Addr().String(), nil, p},
		{"loose", "Record-Route: " + loose + ", <sip:far.example;lr>\r\n", "sip:peer@" + p.Addr().String(),
			[]string{loose, "<sip:far.example;lr>"}, proxy},
		{"strict", "Record-Route: " + strict + "\r\nRecord-Route: <sip:far.example;lr>\r\n", strings.Trim(strict, "<>"),
			[]string{"<sip:far.example;lr>", "<sip:peer@" + p.Addr().String() + ">"}, proxy},
		{"parameters of the header", "Record-Route: \"P\" " + loose + ";x=y\r\n", "sip:peer@" + p.Addr().String(),
			[]string{loose}, proxy},
	} {
		t.Run(tt.name, func(t *testing.T) {
			calls := make(chan *Call, 1)
			s := serve(t, &Server{Handler: answering(&trunktest.Negotiator{}, calls)})
			leg := p.NewLeg(addrOfServer(s), "1")
			leg.Request("INVITE", tt.record, trunktest.Offer)
			res := leg.Expect("INVITE", 200)
			if got := len(res.Headers("Record-Route")); got != strings.Count(tt.record, "<") {
				t.Errorf("Record-Route: %q", res.Headers("Record-Route"))
			}
			leg.ACK("")
			go get(t, calls, "call").Hangup(context.Background(), "")
			bye := tt.at.Request("BYE")
			if got := bye.Headers("Route"); bye.URI() != tt.uri || fmt.Sprint(got) != fmt.Sprint(tt.routes) {
				t.Errorf("%s\n Route %q\n want %s %q", bye.Line, got, tt.uri, tt.routes)
			}
			tt.at.Response(bye, 200, "", "", "")
		})
	}
}

// A proxy with a hop on each side, TCP towards us and UDP towards the caller,
// records both: requests of ours go to the nearer one, over its transport, and
// name the farther one.
func TestTwoHopsOfDifferentTransports(t *testing.T) {
	caller, proxy := trunktest.NewPeer(t, "udp"), trunktest.NewPeer(t, "tcp")
	near := fmt.Sprintf("<sip:%s;transport=tcp;lr;r2=on>", proxy.Addr())
	far := "<sip:198.51.100.7:5060;lr;r2=on>"
	calls := make(chan *Call, 1)
	s := serve(t, &Server{Handler: answering(&trunktest.Negotiator{}, calls)})
	leg := caller.NewLeg(addrOfServer(s), "1")
	leg.Request("INVITE", "Record-Route: "+near+"\r\nRecord-Route: "+far+"\r\n", trunktest.Offer)
	leg.Expect("INVITE", 200)
	leg.ACK("")
	c := get(t, calls, "call")
	for _, method := range []string{"INVITE", "BYE"} {
		done := make(chan error, 1)
		go func() {
			if method == "BYE" {
				done <- c.Hangup(context.Background(), "")
			} else {
				done <- c.Renegotiate(context.Background())
			}
		}()
		req := proxy.Request(method)
		if got := fmt.Sprint(req.Headers("Route")); got != "["+near+" "+far+"]" || req.URI() != "sip:peer@"+caller.Addr().String() {
			t.Errorf("%s\n Route %s", req.Line, got)
		}
		proxy.Response(req, 200, "", "Contact: "+caller.Contact()+"\r\n", "v=0\r\n")
		if method == "INVITE" {
			if ack := proxy.Request("ACK"); fmt.Sprint(ack.Headers("Route")) != "["+near+" "+far+"]" {
				t.Errorf("ACK by %q", ack.Headers("Route"))
			}
		}
		if err := get(t, done, method); err != nil {
			t.Error(err)
		}
	}
}

// Our INVITE learns its route set backwards, and the ACK takes it.
func TestRouteSetOfAnswer(t *testing.T) {
	p, proxy := trunktest.NewPeer(t, "udp"), trunktest.NewPeer(t, "udp")
	s := serve(t, &Server{Trunks: []Config{{RemotePort: int(p.Addr().Port())}}})
	c, _ := dial(t, s, func() {
		p.Accept(fmt.Sprintf("Record-Route: <sip:far.example;lr>, <sip:%s;lr>\r\n", proxy.Addr()), "v=0\r\n")
		ack := proxy.Request("ACK")
		if got := ack.Headers("Route"); len(got) != 2 || got[1] != "<sip:far.example;lr>" || ack.Seq() == 0 {
			t.Errorf("Route %q", got)
		}
	}, DialOptions{Number: "1"})
	go c.Hangup(context.Background(), "")
	proxy.Response(proxy.Request("BYE"), 200, "", "", "")
}

// dial places a call of which far plays the other side.
func dial(t *testing.T, s *Server, far func(), o DialOptions) (*Call, *trunktest.Negotiator) {
	t.Helper()
	n := &trunktest.Negotiator{}
	type result struct {
		c   *Call
		err error
	}
	dialled := make(chan result, 1)
	go func() {
		c, err := s.list[0].Dial(context.Background(), n, o)
		dialled <- result{c, err}
	}()
	far()
	r := get(t, dialled, "Dial")
	if r.err != nil {
		t.Fatal(r.err)
	}
	return r.c, n
}

// A refreshed target is used by the next request, and kept when refused.
func TestTargetRefresh(t *testing.T) {
	for _, tt := range []struct {
		name, method, body string
		err                error
		moved              bool
	}{
		{"re-INVITE", "INVITE", trunktest.Offer, nil, true},
		{"UPDATE", "UPDATE", "", nil, true},
		{"refused", "INVITE", trunktest.Offer, &trunktest.NotAcceptable{Status: 488, Warning: 304}, false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			calls := make(chan *Call, 1)
			n := &trunktest.Negotiator{}
			s := serve(t, &Server{Handler: answering(n, calls)})
			p, q := trunktest.NewPeer(t, "udp"), trunktest.NewPeer(t, "udp")
			leg := p.Establish(addrOfServer(s), "1")
			c := get(t, calls, "call")
			n.Set(func(n *trunktest.Negotiator) {
				n.OnAnswer = func(context.Context, []byte) ([]byte, error) { return []byte("v=0\r\n"), tt.err }
			})
			leg.Request(tt.method, fmt.Sprintf("Contact: <sip:new@%s>\r\n", q.Addr()), tt.body)
			if leg.Response(tt.method).Code == 200 && tt.method == "INVITE" {
				leg.ACK("")
			}
			at := p
			if tt.moved {
				at = q
			}
			go c.Hangup(context.Background(), "")
			at.Response(at.Request("BYE"), 200, "", "", "")
		})
	}
}

func TestCSeqOutOfOrder(t *testing.T) {
	s := serve(t, &Server{Handler: answering(&trunktest.Negotiator{}, nil)})
	p := trunktest.NewPeer(t, "udp")
	leg := p.Establish(addrOfServer(s), "1")
	leg.Seq = 10
	leg.Request("INFO", "", "")
	leg.Expect("INFO", 200)
	leg.Seq = 4
	leg.Request("INFO", "", "")
	if res := leg.Expect("INFO", 500); !strings.Contains(res.Header("Warning"), "CSeq") {
		t.Errorf("Warning %q", res.Header("Warning"))
	}
	leg.Seq = 11
	leg.Request("INFO", "", "")
	leg.Expect("INFO", 200)
}

// fast shortens T1 so that its multiples pass in a test.
func fast(s *Server) *Server {
	s.clock.t1, s.clock.t2 = 10*time.Millisecond, 40*time.Millisecond
	return s
}

// The 2xx is repeated on every transport until the ACK, and without one the
// call ends with BYE.
func TestRepeatedAnswer(t *testing.T) {
	t.Parallel() // it waits for timers
	for _, transport := range []string{"udp", "tcp"} {
		t.Run(transport, func(t *testing.T) {
			calls := make(chan *Call, 1)
			s := serve(t, fast(&Server{Handler: answering(&trunktest.Negotiator{}, calls)}))
			p := trunktest.NewPeer(t, transport)
			leg := p.Invite(addrOfServer(s), "1", trunktest.Offer)
			first := leg.Expect("INVITE", 200)
			for range 4 {
				if again := leg.Expect("INVITE", 200); again.Header("To") != first.Header("To") {
					t.Errorf("To %q, then %q", first.Header("To"), again.Header("To"))
				}
			}
			bye := leg.Await("BYE")
			if !strings.Contains(bye.Header("Reason"), "SIP;cause=408") {
				t.Errorf("Reason %q", bye.Header("Reason"))
			}
			p.Response(bye, 200, "", "", "")
			if e := endOf(t, get(t, calls, "call")); !errors.Is(e, ErrNoACK) || e.ByPeer {
				t.Errorf("end %+v", e)
			}
		})
	}
}

// A BYE waits for the ACK (RFC 3261 section 15).
func TestByeAfterAck(t *testing.T) {
	calls := make(chan *Call, 1)
	s := serve(t, &Server{Handler: answering(&trunktest.Negotiator{}, calls)})
	p := trunktest.NewPeer(t, "udp")
	leg := p.Invite(addrOfServer(s), "1", trunktest.Offer)
	leg.Expect("INVITE", 200)
	c := get(t, calls, "call")
	hung := make(chan error, 1)
	go func() { hung <- c.Hangup(context.Background(), "") }()
	endOf(t, c)
	if m := p.Try(100*time.Millisecond, func(m *trunktest.Message) bool { return m.Method == "BYE" }); m != nil {
		t.Error("BYE before the ACK")
	}
	leg.ACK("")
	p.Response(leg.Await("BYE"), 200, "", "", "")
	if err := get(t, hung, "Hangup"); err != nil {
		t.Error(err)
	}
	if err := c.Hangup(context.Background(), ""); err != nil {
		t.Errorf("the second Hangup: %v", err)
	}
}

// Requests of ours take the connection the peer has opened, and another one
// when it is gone.
func TestConnectionReuse(t *testing.T) {
	calls := make(chan *Call, 1)
	s := serve(t, &Server{Handler: answering(&trunktest.Negotiator{}, calls)})
	p := trunktest.NewPeer(t, "tcp")
	leg := p.Establish(addrOfServer(s), "1")
	c := get(t, calls, "call")
	go c.Do(context.Background(), newInfo())
	info := leg.Await("INFO")
	if info.From != addrOfServer(s) {
		t.Errorf("INFO came from %s, not over the connection to %s", info.From, addrOfServer(s))
	}
	p.Response(info, 200, "", "", "")
	p.CloseConns()
	eventually(t, "the connection is forgotten", func() bool { return s.sockets[0].ep.Stats().Connections == 0 })
	go c.Hangup(context.Background(), "")
	bye := leg.Await("BYE")
	if bye.From == addrOfServer(s) {
		t.Error("BYE over a connection that is closed")
	}
	p.Response(bye, 200, "", "", "")
	endOf(t, c)
}

func eventually(t testing.TB, what string, f func() bool) {
	t.Helper()
	for end := time.Now().Add(patience); !f(); {
		if time.Now().After(end) {
			t.Fatalf("never: %s", what)
		}
		time.Sleep(2 * time.Millisecond)
	}
}

// Provisional responses are repeated, and the far side sees our addresses by
// the rules for public ones.
func TestRingAgainAndPublicAddress(t *testing.T) {
	calls := make(chan *Call, 1)
	s := &Server{Trunks: []Config{{PublicAddress: "203.0.113.5"}}, Handler: HandlerFunc(func(ctx context.Context, c *Call) {
		if err := c.Ring(200, ""); err == nil {
			t.Error("200 rings")
		}
		c.Ring(183, "Wait\r\nfor it")
		calls <- c
		<-ctx.Done()
	})}
	s.clock.provisional = 20 * time.Millisecond
	serve(t, s)
	p := trunktest.NewPeer(t, "udp")
	leg := p.Invite(addrOfServer(s), "1", trunktest.Offer)
	for range 3 {
		res := leg.Expect("INVITE", 183)
		if want := fmt.Sprintf("@203.0.113.5:%d>", addrOfServer(s).Port()); !strings.HasSuffix(res.Header("Contact"), want) {
			t.Errorf("Contact %q, want %q", res.Header("Contact"), want)
		}
		if res.Line != "SIP/2.0 183 Wait  for it" {
			t.Errorf("line %q", res.Line)
		}
	}
	c := get(t, calls, "call")
	if c.MediaAddr().String() != "203.0.113.5" {
		t.Errorf("media at %s", c.MediaAddr())
	}
	if err := c.Reject(603, "", "not now"); err != nil {
		t.Error(err)
	}
	for res := leg.Response("INVITE"); res.Code != 603; res = leg.Response("INVITE") {
		if res.Code != 183 {
			t.Fatalf("got %s", res.Line)
		}
	}
	if err := c.Reject(486, "", ""); err == nil {
		t.Error("rejected twice")
	}
	if err := c.Ring(180, ""); err == nil {
		t.Error("rings after its end")
	}
}

// A lost ACK is sent again for the 200 that comes again.
func TestLostACK(t *testing.T) {
	p := trunktest.NewPeer(t, "udp")
	var lost atomic.Int32
	s := serve(t, &Server{
		Trunks: []Config{{RemotePort: int(p.Addr().Port())}},
		Listener: listener.Func(func(_ context.Context, m *listener.Message) error {
			if m.Direction == listener.Outgoing && m.Request != nil && m.Request.Method == sip.ACK && lost.Add(1) == 1 {
				return listener.Drop
			}
			return nil
		}),
	})
	c, _ := dial(t, s, func() {
		p.Accept("", "v=0\r\n")
		p.Request("ACK")
	}, DialOptions{Number: "1"})
	if n := lost.Load(); n < 2 {
		t.Errorf("%d ACKs", n)
	}
	go c.Hangup(context.Background(), "")
	p.Response(p.Request("BYE"), 200, "", "", "")
}
