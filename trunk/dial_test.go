package trunk

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/emiago/sipgo/sip"

	"github.com/trunkcast/trunkcast/internal/sipnet"
	"github.com/trunkcast/trunkcast/trunk/trunktest"
)

// serverFor is a server whose trunk has p for its PBX.
func serverFor(t *testing.T, p *trunktest.Peer, cfg Config) *Server {
	cfg.RemotePort = int(p.Addr().Port())
	return serve(t, &Server{Trunks: []Config{cfg}})
}

// dialled starts a Dial and returns what it will return.
func dialled(ctx context.Context, s *Server, n Negotiator, o DialOptions) <-chan error {
	done := make(chan error, 1)
	go func() {
		_, err := s.list[0].Dial(ctx, n, o)
		done <- err
	}()
	return done
}

func TestDialInvite(t *testing.T) {
	p := trunktest.NewPeer(t, "udp")
	s := serverFor(t, p, Config{Login: "gw", Domain: "pbx.example", VisibleName: `The "Gate"`})
	for _, tt := range []struct {
		name    string
		o       DialOptions
		uri     string
		to      string
		from    string
		callID  string
		headers map[string]string
	}{
		{name: "number", o: DialOptions{Number: "+49 30"}, uri: "sip:+49%2030@pbx.example", to: "<sip:+49%2030@pbx.example>",
			from: `"The \"Gate\"" <sip:gw@pbx.example>`, headers: map[string]string{
				"Contact": "<sip:gw@127.0.0.1:", "Supported": "timer", "Allow": "INVITE", "Content-Type": "application/sdp", "Max-Forwards": "70"}},
		{name: "uri", o: DialOptions{To: "sip:bob@far.example:5070;x=y", From: "me", DisplayName: "Me", CallID: "my@id",
			Headers: []sip.Header{sip.NewHeader("X-Note", "a"), sip.NewHeader("Call-ID", "no")}},
			uri: "sip:bob@far.example:5070;x=y", to: "<sip:bob@far.example:5070>", from: `"Me" <sip:me@pbx.example>`,
			callID: "my@id", headers: map[string]string{"X-Note": "a"}},
		{name: "tel", o: DialOptions{To: "tel:+4930;phone-context=x"}, uri: "tel:+4930;phone-context=x", to: "<tel:+4930;phone-context=x>"},
		{name: "direct", o: DialOptions{To: "sip:bob@" + p.Addr().String(), Direct: true}, uri: "sip:bob@" + p.Addr().String()},
	} {
		t.Run(tt.name, func(t *testing.T) {
			done := dialled(context.Background(), s, &trunktest.Negotiator{}, tt.o)
			req := p.Request("INVITE")
			from, _, _ := strings.Cut(req.Header("From"), ";tag=")
			if req.URI() != tt.uri || tt.from != "" && from != tt.from || tt.to != "" && req.Header("To") != tt.to ||
				tt.callID != "" && req.Header("Call-ID") != tt.callID {
				t.Errorf("%s\nFrom %q\nTo %q\nCall-ID %q", req.Line, req.Header("From"), req.Header("To"), req.Headers("Call-ID"))
			}
			for name, want := range tt.headers {
				if got := req.Header(name); !strings.Contains(got, want) {
					t.Errorf("%s: %q, want %q", name, got, want)
				}
			}
			p.Response(req, 486, "x", "Warning: 399 pbx \"line \\\"busy\\\"\"\r\n", "")
			p.Request("ACK")
			var status *StatusError
			if err := get(t, done, "Dial"); !errors.As(err, &status) || status.Code != 486 || status.Warning != `line "busy"` {
				t.Errorf("error %v", err)
			}
		})
	}
}

func TestDialErrors(t *testing.T) {
	p := trunktest.NewPeer(t, "udp")
	s := serverFor(t, p, Config{MaxCalls: 1})
	tr := s.Trunk("t0")
	for _, o := range []DialOptions{{}, {To: "http://x"}, {To: "nonsense"}, {Number: "1", CallID: "a b"}, {To: "tel:+1", Direct: true}} {
		if _, err := tr.Dial(context.Background(), &trunktest.Negotiator{}, o); err == nil {
			t.Errorf("%+v was dialled", o)
		}
	}
	n := &trunktest.Negotiator{OnOffer: func(context.Context) ([]byte, error) { return nil, errors.New("no ports") }}
	if _, err := tr.Dial(context.Background(), n, DialOptions{Number: "1"}); err == nil || !strings.Contains(err.Error(), "no ports") {
		t.Errorf("error %v", err)
	}
	done := dialled(context.Background(), s, &trunktest.Negotiator{}, DialOptions{Number: "1"})
	req := p.Request("INVITE")
	if _, err := tr.Dial(context.Background(), &trunktest.Negotiator{}, DialOptions{Number: "1"}); !errors.Is(err, ErrTooManyCalls) {
		t.Errorf("error %v", err)
	}
	p.Response(req, 302, "x", "Contact: <sip:else@where>\r\n", "")
	var status *StatusError
	if err := get(t, done, "Dial"); !errors.As(err, &status) || status.Code != 302 {
		t.Errorf("error %v", err)
	}
	if n := len(s.Calls()); n != 0 {
		t.Errorf("%d calls", n)
	}
}

// A challenge is answered by a new INVITE with the next CSeq, a wrong password
// is not tried for ever.
func TestDialChallenged(t *testing.T) {
	p := trunktest.NewPeer(t, "udp")
	s := serverFor(t, p, Config{Login: "gw", AuthUser: "auth", Password: "secret"})
	for _, tt := range []struct {
		name   string
		stale  bool
		final  int
		rounds int
	}{{"right", false, 200, 1}, {"stale", true, 200, 2}, {"wrong", false, 401, 1}} {
		t.Run(tt.name, func(t *testing.T) {
			done := dialled(context.Background(), s, &trunktest.Negotiator{}, DialOptions{Number: "1"})
			req := p.Request("INVITE")
			for i := range tt.rounds {
				challenge := fmt.Sprintf("WWW-Authenticate: Digest realm=\"r\", nonce=\"%d\", qop=\"auth\", algorithm=SHA-256", i)
				if i > 0 {
					challenge += ", stale=true"
				}
				p.Response(req, 401, "x", challenge+"\r\n", "")
				if ack := p.Request("ACK"); ack.Seq() != req.Seq() {
					t.Errorf("ACK %d to %d", ack.Seq(), req.Seq())
				}
				again := p.Request("INVITE")
				if again.Seq() != req.Seq()+1 || again.Header("Call-ID") != req.Header("Call-ID") || again.Header("From") != req.Header("From") {
					t.Errorf("CSeq %d after %d", again.Seq(), req.Seq())
				}
				if a := again.Header("Authorization"); !strings.Contains(a, `username="auth"`) || !strings.Contains(a, fmt.Sprintf(`nonce="%d"`, i)) {
					t.Errorf("Authorization %q", a)
				}
				req = again
			}
			p.Response(req, tt.final, "x", "Contact: "+p.Contact()+"\r\nWWW-Authenticate: Digest realm=\"r\", nonce=\"n\"\r\n", "v=0\r\n")
			p.Request("ACK")
			if err := get(t, done, "Dial"); (err == nil) != (tt.final == 200) {
				t.Errorf("error %v", err)
			}
		})
	}
}

// A dial that is given up is cancelled; an answer that comes all the same is
// acknowledged and ended.
func TestDialGivenUp(t *testing.T) {
	for _, late := range []bool{false, true} {
		for _, why := range []string{"context", "ring time", "shutdown"} {
			t.Run(fmt.Sprint(why, " ", late), func(t *testing.T) {
				p := trunktest.NewPeer(t, "udp")
				s := serverFor(t, p, Config{})
				ctx, cancel := context.WithCancel(context.Background())
				defer cancel()
				o := DialOptions{Number: "1"}
				if why == "ring time" {
					o.RingTime = 200 * time.Millisecond
				}
				rang := make(chan int, 1)
				o.OnProgress = func(res *sip.Response) { rang <- res.StatusCode }
				n := &trunktest.Negotiator{}
				done := dialled(ctx, s, n, o)
				req := p.Request("INVITE")
				leg := p.LegOf(req)
				p.Response(req, 100, "", "", "")
				p.Response(req, 180, "x", "", "")
				if code := get(t, rang, "progress"); code != 180 {
					t.Errorf("progress %d", code)
				}
				shut := make(chan error, 1)
				switch why {
				case "context":
					cancel()
				case "shutdown":
					go func() { shut <- s.Shutdown(context.Background()) }()
				}
				cncl := p.Request("CANCEL")
				if !strings.HasPrefix(cncl.Header("Reason"), "SIP;cause=") {
					t.Errorf("Reason %q", cncl.Header("Reason"))
				}
				err := get(t, done, "Dial")
				switch want := map[string]error{"context": context.Canceled, "ring time": ErrRingTime}[why]; {
				case err == nil, want != nil && !errors.Is(err, want):
					t.Errorf("error %v", err)
				}
				if got := strings.Join(n.Log(), " "); got != "Offer Rollback" {
					t.Errorf("negotiation %q", got)
				}
				p.Response(cncl, 200, "x", "", "")
				if late {
					p.Response(req, 200, "x", "Contact: "+p.Contact()+"\r\n", "v=0\r\n")
					leg.Await("ACK")
					p.Response(leg.Await("BYE"), 200, "", "", "")
				} else {
					p.Response(req, 487, "x", "", "")
					p.Request("ACK")
				}
				if why == "shutdown" {
					if err := get(t, shut, "Shutdown"); err != nil {
						t.Error(err)
					}
				}
			})
		}
	}
}

// A 2xx that comes again is acknowledged again; one of another branch is
// acknowledged and ended (RFC 3261 section 13.2.2.4).
func TestForkedAnswer(t *testing.T) {
	p := trunktest.NewPeer(t, "udp")
	s := serverFor(t, p, Config{})
	var req *trunktest.Message
	c, n := dial(t, s, func() {
		req = p.Request("INVITE")
		p.Response(req, 200, "one", "Contact: "+p.Contact()+"\r\n", "v=0\r\n")
		p.Request("ACK")
	}, DialOptions{Number: "1"})
	p.Response(req, 200, "one", "Contact: "+p.Contact()+"\r\n", "v=0\r\n")
	if ack := p.Request("ACK"); ack.Tag("To") != "one" {
		t.Errorf("ACK to %q", ack.Tag("To"))
	}
	for range 2 {
		p.Response(req, 200, "two", "Contact: "+p.Contact()+"\r\n", "v=0\r\n")
		if ack := p.Request("ACK"); ack.Tag("To") != "two" || ack.Seq() != req.Seq() {
			t.Errorf("ACK to %q", ack.Tag("To"))
		}
	}
	bye := p.Request("BYE")
	if bye.Tag("To") != "two" {
		t.Errorf("BYE to %q", bye.Tag("To"))
	}
	p.Response(bye, 200, "", "", "")
	if m := p.Try(50*time.Millisecond, func(m *trunktest.Message) bool { return m.Method == "BYE" }); m != nil {
		t.Error("a second BYE")
	}
	if c.Err() != nil || strings.Join(n.Log(), " ") != "Offer Accept" {
		t.Errorf("call %v, negotiation %q", c.Err(), n.Log())
	}
	go c.Hangup(context.Background(), "")
	p.Response(p.Request("BYE"), 200, "", "", "")
	endOf(t, c)
	p.Response(req, 200, "one", "Contact: "+p.Contact()+"\r\n", "v=0\r\n")
	if ack := p.Request("ACK"); ack.Tag("To") != "one" {
		t.Errorf("after the end ACK to %q", ack.Tag("To"))
	}
}

// A 2xx without a session description: that of the 183 counts, and without one
// the call ends.
func TestDialWithoutAnswer(t *testing.T) {
	for _, early := range []bool{true, false} {
		t.Run(fmt.Sprint(early), func(t *testing.T) {
			p := trunktest.NewPeer(t, "udp")
			s := serverFor(t, p, Config{})
			n := &trunktest.Negotiator{}
			done := dialled(context.Background(), s, n, DialOptions{Number: "1"})
			req := p.Request("INVITE")
			if early {
				p.Response(req, 183, "x", "", "v=0\r\n")
			}
			p.Response(req, 200, "x", "Contact: "+p.Contact()+"\r\n", "")
			p.Request("ACK")
			if early {
				if err := get(t, done, "Dial"); err != nil {
					t.Error(err)
				}
				return
			}
			p.Response(p.Request("BYE"), 200, "", "", "")
			if err := get(t, done, "Dial"); !errors.Is(err, ErrNoAnswerSDP) {
				t.Errorf("error %v", err)
			}
		})
	}
}

// The far side of an outgoing call hangs up, from an address that is no trunk's.
func TestDialledPeerLeaves(t *testing.T) {
	p := trunktest.NewPeer(t, "udp")
	s := serve(t, &Server{Trunks: []Config{{ProxyIP: "192.0.2.1", Strangers: "silent"}}})
	c, _ := dial(t, s, func() {
		leg, _ := p.Accept("", "v=0\r\n")
		leg.Await("ACK")
		leg.Request("BYE", "", "")
		leg.Expect("BYE", 200)
		eventually(t, "the door is closed behind it", func() bool { return s.sockets[0].admit(p.Addr(), "udp") == sipnet.Silent })
		leg.Request("OPTIONS", "", "")
		if m := p.Try(100*time.Millisecond, func(*trunktest.Message) bool { return true }); m != nil {
			t.Errorf("then %s", m.Line)
		}
	}, DialOptions{To: "sip:x@" + p.Addr().String(), Direct: true})
	if e := endOf(t, c); !e.ByPeer {
		t.Errorf("end %+v", e)
	}
}

// Over UDP the next address of a name is tried when one has no service (RFC
// 3263 section 4.3).
func TestDialNextAddress(t *testing.T) {
	p, q := trunktest.NewPeer(t, "udp"), trunktest.NewPeer(t, "udp")
	s := serve(t, &Server{})
	list := []netip.AddrPort{p.Addr(), q.Addr()}
	s.list[0].proxy.Store(&list)
	c, _ := dial(t, s, func() {
		p.Response(p.Request("INVITE"), 503, "x", "", "")
		leg, _ := q.Accept("", "v=0\r\n")
		leg.Await("ACK")
	}, DialOptions{Number: "1"})
	go c.Hangup(context.Background(), "")
	q.Response(q.Request("BYE"), 200, "", "", "")
}

// An answer that is repeated before the one who dials has looked at it is not
// taken for that of another branch, and ended.
func TestAnswerRepeatedAtOnce(t *testing.T) {
	for range 5 {
		p := trunktest.NewPeer(t, "udp")
		s := serve(t, &Server{Trunks: []Config{{RemotePort: int(p.Addr().Port())}}})
		answered := make(chan bool)
		c, _ := dial(t, s, func() {
			req := p.Request("INVITE")
			p.Response(req, 180, "x", "", "")
			for range 3 {
				p.Response(req, 200, "x", "Contact: "+p.Contact()+"\r\n", "v=0\r\n")
			}
			eventually(t, "four responses", func() bool { return s.sockets[0].ep.Stats().Received >= 4 })
			close(answered)
		}, DialOptions{Number: "1", OnProgress: func(*sip.Response) { <-answered }})
		p.Request("ACK")
		if p.Try(50*time.Millisecond, func(m *trunktest.Message) bool { return m.Method == "BYE" }) != nil || c.Err() != nil {
			t.Fatalf("the call was ended: %v", c.Err())
		}
		go c.Hangup(context.Background(), "")
		p.Response(p.Request("BYE"), 200, "", "", "")
	}
}

// Two servers of this package call each other, many at once.
func TestServersCall(t *testing.T) {
	const calls = 40
	for _, transport := range []string{"udp", "tcp"} {
		t.Run(transport, func(t *testing.T) {
			b := serve(t, &Server{Handler: answering(&syncNegotiator{}, nil)})
			a := serve(t, &Server{Trunks: []Config{{RemotePort: int(addrOfServer(b).Port()), Transport: transport}}})
			var wg sync.WaitGroup
			for i := range calls {
				wg.Go(func() {
					c, err := a.list[0].Dial(context.Background(), &trunktest.Negotiator{}, DialOptions{Number: fmt.Sprint(i)})
					if err != nil {
						t.Error(err)
						return
					}
					if err := c.Renegotiate(context.Background()); err != nil {
						t.Error(err)
					}
					if err := c.Hangup(context.Background(), "done"); err != nil {
						t.Error(err)
					}
				})
			}
			wg.Wait()
			eventually(t, "no calls", func() bool { return len(a.Calls()) == 0 && len(b.Calls()) == 0 })
			for _, s := range []*Server{a, b} {
				eventually(t, "no dialogs", func() bool {
					k := s.sockets[0]
					k.mu.Lock()
					defer k.mu.Unlock()
					return len(k.dialogs) == 0 && len(k.near) == 0
				})
			}
		})
	}
}

// syncNegotiator may be shared by calls.
type syncNegotiator struct{}

func (*syncNegotiator) Offer(context.Context) ([]byte, error)          { return []byte("v=0\r\n"), nil }
func (*syncNegotiator) Answer(context.Context, []byte) ([]byte, error) { return []byte("v=0\r\n"), nil }
func (*syncNegotiator) Accept(context.Context, []byte) error           { return nil }
func (*syncNegotiator) Rollback()                                      {}
