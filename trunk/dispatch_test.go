package trunk

import (
	"context"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/trunkcast/trunkcast/trunk/trunktest"
)

// What is answered without a call, and with which headers.
func TestRefusals(t *testing.T) {
	const sdpType = "Content-Type: application/sdp\r\n"
	for _, tt := range []struct {
		name    string
		method  string
		uri     string // Request-URI, default the server's
		number  string
		extra   string
		body    string
		code    int
		headers map[string]string // parts of values wanted
		rule    string            // told OnRefused; empty: not told
	}{
		{name: "options", method: "OPTIONS", code: 200,
			headers: map[string]string{"Allow": "INVITE, ACK, BYE", "Accept": "application/sdp", "Supported": "timer"}},
		{name: "register", method: "REGISTER", code: 405, headers: map[string]string{"Allow": "INVITE"}},
		{name: "message", method: "MESSAGE", code: 405, headers: map[string]string{"Allow": "INVITE"}},
		{name: "unknown method", method: "FOO", code: 405, headers: map[string]string{"Allow": "INVITE"}},
		{name: "stray bye", method: "BYE", extra: "", code: 481},
		{name: "stray info", method: "INFO", code: 481},
		{name: "stray update", method: "UPDATE", code: 481},
		{name: "precondition", method: "INVITE", extra: "Require: 100rel, precondition\r\n", body: trunktest.Offer, code: 420,
			headers: map[string]string{"Unsupported": "precondition", "Warning": `399 trunkcast "extension`}, rule: "extension not supported"},
		{name: "two extensions", method: "INVITE", extra: "Require: timer, foo,bar\r\n", body: trunktest.Offer, code: 420,
			headers: map[string]string{"Unsupported": "foo"}, rule: "extension"},
		{name: "other body", method: "INVITE", extra: "Content-Type: text/plain\r\n", body: "hello", code: 415,
			headers: map[string]string{"Accept": "application/sdp"}, rule: "body"},
		{name: "encoded body", method: "INVITE", extra: sdpType + "Content-Encoding: gzip\r\n", body: "hello", code: 415,
			headers: map[string]string{"Accept-Encoding": "identity"}, rule: "body"},
		{name: "multipart without sdp", method: "INVITE", extra: "Content-Type: multipart/mixed;boundary=x\r\n",
			body: "--x\r\nContent-Type: text/plain\r\n\r\nhi\r\n--x--\r\n", code: 415, rule: "body"},
		{name: "no sdp accepted", method: "INVITE", extra: "Accept: text/plain\r\n", body: trunktest.Offer, code: 406, rule: "accepted"},
		{name: "no contact", method: "INVITE", extra: "X-Contact: none\r\n", body: trunktest.Offer, code: 400, rule: "no Contact"},
		{name: "tel contact", method: "INVITE", extra: "Contact: <tel:+1>\r\n", body: trunktest.Offer, code: 400, rule: "no Contact"},
		{name: "scheme", method: "INVITE", uri: "http://example.com/", body: trunktest.Offer, code: 416, rule: "scheme http"},
		{name: "no number", method: "INVITE", uri: "sip:127.0.0.1", body: trunktest.Offer, code: 484, rule: "no number by numberFrom request-uri"},
		{name: "only spaces", method: "INVITE", uri: "sip:%20@127.0.0.1", body: trunktest.Offer, code: 484, rule: "no number by numberFrom request-uri"},
		{name: "long number", method: "INVITE", uri: "sip:" + strings.Repeat("1", 129) + "@127.0.0.1", body: trunktest.Offer, code: 414,
			rule: "the number has 129 bytes, at most 128 are taken"},
		{name: "short session", method: "INVITE", extra: "Supported: timer\r\nSession-Expires: 60\r\n", body: trunktest.Offer, code: 422,
			headers: map[string]string{"Min-SE": "90"}, rule: "session interval"},
		{name: "bad session", method: "INVITE", extra: "Session-Expires: often\r\n", body: trunktest.Offer, code: 400, rule: "Session-Expires"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			refused := make(chan Refusal, 1)
			s := serve(t, &Server{
				Trunks:    []Config{{NumberFrom: "request-uri"}},
				Handler:   answering(&trunktest.Negotiator{}, nil),
				OnRefused: func(r Refusal) { refused <- r },
			})
			p := trunktest.NewPeer(t, "udp")
			leg := p.NewLeg(addrOfServer(s), "1")
			if tt.uri != "" {
				leg.Target = tt.uri
			}
			text := leg.Text(tt.method, leg.Target, "z9hG4bKx", 1, tt.extra, tt.body)
			if strings.Contains(tt.extra, "X-Contact") {
				text = strings.Replace(text, "\r\nContact: "+p.Contact(), "", 1)
			}
			leg.InviteBranch, leg.InviteSeq, leg.InviteTarget, leg.Seq = "z9hG4bKx", 1, leg.Target, 1
			p.Send(leg.Server, text)
			res := leg.Expect(tt.method, tt.code)
			for name, want := range tt.headers {
				if got := strings.Join(res.Headers(name), " "); !strings.Contains(got, want) {
					t.Errorf("%s: %q, want %q", name, got, want)
				}
			}
			if tt.rule == "" {
				return
			}
			r := get(t, refused, "OnRefused")
			if !strings.Contains(r.Rule, tt.rule) || r.Code != tt.code || r.Trunk != "t0" || r.CallID != leg.CallID || r.Remote != p.Addr() {
				t.Errorf("refusal %+v", r)
			}
			if !strings.Contains(res.Header("Warning"), r.Rule) {
				t.Errorf("Warning %q, rule %q", res.Header("Warning"), r.Rule)
			}
			if n := len(s.Calls()); n != 0 {
				t.Errorf("%d calls", n)
			}
		})
	}
}

// A multipart body with a session description is read.
func TestMultipart(t *testing.T) {
	offers := make(chan string, 1)
	n := &trunktest.Negotiator{OnAnswer: func(_ context.Context, offer []byte) ([]byte, error) {
		offers <- string(offer)
		return []byte("v=0\r\n"), nil
	}}
	s := serve(t, &Server{Handler: answering(n, nil)})
	p := trunktest.NewPeer(t, "udp")
	leg := p.NewLeg(addrOfServer(s), "1")
	leg.Request("INVITE", "Content-Type: multipart/mixed; boundary=\"-b 1\"\r\n",
		"preamble\r\n---b 1\r\nContent-Type: application/isup\r\n\r\n\x01\x02\r\n---b 1\r\nContent-Type: Application/SDP\r\n\r\n"+
			trunktest.Offer+"\r\n---b 1--\r\n")
	leg.Expect("INVITE", 200)
	if got := get(t, offers, "offer"); got != trunktest.Offer {
		t.Errorf("offer %q", got)
	}
	leg.ACK("")
}

// Limits refuse with their names, and give way when calls end.
func TestLimits(t *testing.T) {
	for _, tt := range []struct {
		name string
		s    *Server
		code int
		rule string
	}{
		{"trunk", &Server{Trunks: []Config{{MaxCalls: 1}}}, 486, "maxCalls of 1 of trunk t0"},
		{"server", &Server{Limits: Limits{MaxCalls: 1}}, 503, "limit of 1 calls"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			calls := make(chan *Call, 2)
			tt.s.Handler = answering(&trunktest.Negotiator{}, calls)
			s := serve(t, tt.s)
			p := trunktest.NewPeer(t, "udp")
			first := p.Establish(addrOfServer(s), "1")
			second := p.Invite(addrOfServer(s), "2", trunktest.Offer)
			if res := second.Expect("INVITE", tt.code); !strings.Contains(res.Header("Warning"), tt.rule) {
				t.Errorf("Warning %q", res.Header("Warning"))
			}
			first.Request("BYE", "", "")
			first.Expect("BYE", 200)
			p.Establish(addrOfServer(s), "3")
		})
	}
}

func TestCallsPerSecond(t *testing.T) {
	s := serve(t, &Server{Limits: Limits{CallsPerSec: 1}, Handler: answering(&trunktest.Negotiator{}, nil)})
	p := trunktest.NewPeer(t, "udp")
	var refused int
	for range 5 {
		leg := p.Invite(addrOfServer(s), "1", trunktest.Offer)
		if res := leg.Response("INVITE"); res.Code == 503 {
			refused++
			if res.Header("Retry-After") == "" || !strings.Contains(res.Header("Warning"), "1 calls a second") {
				t.Errorf("503 with Warning %q", res.Header("Warning"))
			}
		} else {
			leg.ACK("")
		}
	}
	if refused == 0 {
		t.Error("none of 5 calls was refused")
	}
}

// The rate of calls that is allowed is not cut by the transactions that their
// ends leave behind for 32 s.
func TestTransactionsForRate(t *testing.T) {
	for rate, want := range map[int]int{0: 80_000, 50: 20_000, 2000: 160_000} {
		s := serve(t, &Server{Limits: Limits{CallsPerSec: rate}})
		if got := s.sockets[0].ep.Limits.Transactions; got != want {
			t.Errorf("%d calls a second: %d transactions, want %d", rate, got, want)
		}
	}
}

// A server without a Handler, or one that shuts down, takes nothing.
func TestNobody(t *testing.T) {
	s := serve(t, &Server{})
	p := trunktest.NewPeer(t, "udp")
	p.Invite(addrOfServer(s), "1", trunktest.Offer).Expect("INVITE", 480)
	s.mu.Lock()
	s.draining = true
	s.mu.Unlock()
	p.Invite(addrOfServer(s), "1", trunktest.Offer).Expect("INVITE", 503)
	leg := p.NewLeg(addrOfServer(s), "1")
	leg.Request("OPTIONS", "", "")
	leg.Expect("OPTIONS", 503)
}

// Strangers are turned away before parsing, those of Allow let in.
func TestStrangers(t *testing.T) {
	far := "192.0.2.1" // never ours
	for _, tt := range []struct {
		name      string
		allow     []netip.Prefix
		strangers string
		code      int
	}{
		{"refused", nil, "", 403},
		{"silent", nil, "silent", 0},
		{"allowed", []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8")}, "", 200},
	} {
		t.Run(tt.name, func(t *testing.T) {
			s := serve(t, &Server{Trunks: []Config{{ProxyIP: far, Allow: tt.allow, Strangers: tt.strangers}}})
			p := trunktest.NewPeer(t, "udp")
			leg := p.NewLeg(addrOfServer(s), "1")
			leg.Request("OPTIONS", "", "")
			if tt.code == 0 {
				if m := p.Try(200*time.Millisecond, func(*trunktest.Message) bool { return true }); m != nil {
					t.Errorf("got %s", m.Line)
				}
				return
			}
			leg.Expect("OPTIONS", tt.code)
		})
	}
}

// Trunks share a socket: the PBX's port tells them apart, then the user that
// each has registered.
func TestTrunkChoice(t *testing.T) {
	p, q := trunktest.NewPeer(t, "udp"), trunktest.NewPeer(t, "udp")
	names := make(chan string, 1)
	s := serveOnFreePort(t, func(port int) *Server {
		return &Server{
			Trunks: []Config{
				{Name: "a", LocalPort: port, RemotePort: int(p.Addr().Port()), Login: "alice"},
				{Name: "b", LocalPort: port, RemotePort: int(p.Addr().Port()), Login: "bob"},
				{Name: "c", LocalPort: port, RemotePort: int(q.Addr().Port())},
			},
			Handler: HandlerFunc(func(_ context.Context, c *Call) { names <- c.Trunk().Name() }),
		}
	})
	if len(s.sockets) != 1 {
		t.Fatalf("%d sockets", len(s.sockets))
	}
	for _, tt := range []struct {
		p            *trunktest.Peer
		number, want string
	}{{p, "alice", "a"}, {p, "bob", "b"}, {q, "alice", "c"}, {p, "nobody", "a"}} {
		leg := tt.p.Invite(addrOfServer(s), tt.number, trunktest.Offer)
		if got := get(t, names, "call"); got != tt.want {
			t.Errorf("call to %s came by %s, want %s", tt.number, got, tt.want)
		}
		leg.Expect("INVITE", 480)
	}
}
