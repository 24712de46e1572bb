package trunk

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/trunkcast/trunkcast/trunk/trunktest"
)

// referring serves calls of a trunk that accepts transfers, or not, with f to
// carry them out.
func referring(t *testing.T, transfers string, f func(context.Context, *Referral) error) (*Server, chan *Call) {
	calls := make(chan *Call, 8)
	return serve(t, &Server{Trunks: []Config{{Transfers: transfers}}, Handler: HandlerFunc(func(ctx context.Context, c *Call) {
		if f != nil {
			c.OnRefer(f)
		}
		calls <- c
		if c.Answer(ctx, &syncNegotiator{}) == nil {
			<-ctx.Done()
		}
	})}), calls
}

// What a REFER is refused for; the call goes on.
func TestReferRefused(t *testing.T) {
	carry := func(context.Context, *Referral) error { return nil }
	for _, tt := range []struct {
		name, transfers string
		f               func(context.Context, *Referral) error
		extra           string
		code            int
		rule            string
	}{
		{"not configured", "", carry, "Refer-To: <sip:b@example.com>\r\n", 603, "transfers of trunk t0: refuse"},
		{"nobody", "accept", nil, "Refer-To: <sip:b@example.com>\r\n", 603, "nobody carries transfers out"},
		{"no target", "accept", carry, "", 400, "one Refer-To"},
		{"two targets", "accept", carry, "Refer-To: <sip:b@example.com>\r\nRefer-To: <sip:c@example.com>\r\n", 400, "one Refer-To"},
		{"malformed", "accept", carry, "Refer-To: <<<\r\n", 400, "one Refer-To"},
		{"web page", "accept", carry, "Refer-To: <http://example.com/>\r\n", 416, "scheme http"},
		{"another method", "accept", carry, "Refer-To: <sip:b@example.com;method=BYE>\r\n", 603, "asks for a BYE"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			s, _ := referring(t, tt.transfers, tt.f)
			p := trunktest.NewPeer(t, "udp")
			leg := p.Establish(addrOfServer(s), "1")
			leg.Request("REFER", tt.extra, "")
			if res := leg.Expect("REFER", tt.code); !strings.Contains(res.Header("Warning"), tt.rule) {
				t.Errorf("Warning %q", res.Header("Warning"))
			}
			leg.Request("BYE", "", "")
			leg.Expect("BYE", 200)
		})
	}
	s, _ := referring(t, "accept", carry)
	p := trunktest.NewPeer(t, "udp")
	leg := p.NewLeg(addrOfServer(s), "1")
	leg.Request("REFER", "Refer-To: <sip:b@example.com>\r\n", "")
	leg.Expect("REFER", 603)
}

// A transfer is carried out, and the far side told how it went.
func TestRefer(t *testing.T) {
	for _, tt := range []struct {
		name   string
		result error
		panics bool
		line   string
	}{
		{"done", nil, false, "SIP/2.0 200 OK"},
		{"busy", fmt.Errorf("dial: %w", &StatusError{Code: 486, Reason: "Busy Here"}), false, "SIP/2.0 486 Busy Here"},
		{"failed", errors.New("no media"), false, "SIP/2.0 503 Service Unavailable"},
		{"panic", nil, true, "SIP/2.0 503 Service Unavailable"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			got, leave := make(chan *Referral, 1), make(chan bool)
			s, calls := referring(t, "accept", func(_ context.Context, r *Referral) error {
				got <- r
				<-leave
				if tt.panics {
					panic("transfer")
				}
				return tt.result
			})
			p := trunktest.NewPeer(t, "udp")
			leg := p.Establish(addrOfServer(s), "1")
			leg.Request("REFER", "Refer-To: <sip:b@example.com?Replaces=x%40y%3Bto-tag%3D1%3Bfrom-tag%3D2>\r\nReferred-By: <sip:a@example.com>\r\n", "")
			leg.Expect("REFER", 202)
			id := fmt.Sprintf("refer;id=%d", leg.Seq)
			told := func(state, body string) {
				t.Helper()
				m := leg.Await("NOTIFY")
				if m.Header("Event") != id || !strings.HasPrefix(m.Header("Subscription-State"), state) || m.Body != body+"\r\n" ||
					!strings.HasPrefix(m.Header("Content-Type"), "message/sipfrag") {
					t.Errorf("NOTIFY %q, %q, %q", m.Header("Event"), m.Header("Subscription-State"), m.Body)
				}
				p.Response(m, 481, "", "", "") // of no interest: the call goes on
			}
			told("active", "SIP/2.0 100 Trying")
			r := get(t, got, "referral")
			if r.To.String() != "sip:b@example.com" || r.Replaces != "x@y;to-tag=1;from-tag=2" || r.By != "<sip:a@example.com>" {
				t.Errorf("%+v", r)
			}
			leg.Request("REFER", "Refer-To: <sip:c@example.com>\r\n", "")
			leg.Expect("REFER", 491)
			leave <- true
			told("terminated", tt.line)
			if c := get(t, calls, "call"); c.Err() != nil {
				t.Errorf("ended: %v", c.Err())
			}
			leg.Request("BYE", "", "")
			leg.Expect("BYE", 200)
		})
	}
}

// Who does not want to be told is not (RFC 4488).
func TestReferSilent(t *testing.T) {
	got := make(chan *Referral, 1)
	s, _ := referring(t, "accept", func(_ context.Context, r *Referral) error { got <- r; return nil })
	p := trunktest.NewPeer(t, "udp")
	leg := p.Establish(addrOfServer(s), "1")
	leg.Request("REFER", "Refer-To: <tel:+1234>\r\nRefer-Sub: false\r\n", "")
	if res := leg.Expect("REFER", 202); res.Header("Refer-Sub") != "false" {
		t.Errorf("Refer-Sub %q", res.Header("Refer-Sub"))
	}
	get(t, got, "referral")
	leg.Request("BYE", "", "")
	leg.Expect("BYE", 200)
	if m := p.Try(0, func(m *trunktest.Message) bool { return m.Method == "NOTIFY" }); m != nil {
		t.Error("a NOTIFY came")
	}
}

// An INVITE takes the place of another call, if it names one and may.
func TestReplaces(t *testing.T) {
	for _, tt := range []struct {
		name, transfers, value string // LOCAL and REMOTE stand for the tags
		code                   int
		rule                   string
	}{
		{"taken", "accept", "ID;to-tag=LOCAL;from-tag=REMOTE", 200, ""},
		{"not configured", "", "ID;to-tag=LOCAL;from-tag=REMOTE", 603, "transfers of trunk t0: refuse"},
		{"tags swapped", "accept", "ID;to-tag=REMOTE;from-tag=LOCAL", 481, "names no call"},
		{"no tag", "accept", "ID", 400, "malformed"},
		{"early only", "accept", "ID;to-tag=LOCAL;from-tag=REMOTE;early-only", 486, "was answered"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			s, calls := referring(t, tt.transfers, nil)
			p := trunktest.NewPeer(t, "udp")
			old := p.Establish(addrOfServer(s), "1")
			first := get(t, calls, "call")
			value := strings.NewReplacer("ID", old.CallID, "LOCAL", first.key.local, "REMOTE", first.key.remote).Replace(tt.value)
			leg := p.NewLeg(addrOfServer(s), "1")
			leg.Request("INVITE", "Replaces: "+value+"\r\n", trunktest.Offer)
			res := leg.Expect("INVITE", tt.code)
			if tt.code != 200 {
				if !strings.Contains(res.Header("Warning"), tt.rule) || first.Err() != nil {
					t.Errorf("Warning %q, the first call %v", res.Header("Warning"), first.Err())
				}
				return
			}
			leg.ACK("")
			if c := get(t, calls, "second call"); c.Replaced() != first || first.Replaced() != nil {
				t.Error("Replaced is another call")
			}
			bye := old.Await("BYE")
			if !strings.Contains(bye.Header("Reason"), "replaced") {
				t.Errorf("Reason %q", bye.Header("Reason"))
			}
			p.Response(bye, 200, "", "", "")
			endOf(t, first)
		})
	}
}

// Redirections are followed as far as is allowed, each place once.
func TestDialRedirected(t *testing.T) {
	p, q, r := trunktest.NewPeer(t, "udp"), trunktest.NewPeer(t, "udp"), trunktest.NewPeer(t, "udp")
	at := func(p *trunktest.Peer) string { return fmt.Sprintf("<sip:new@%s>", p.Addr()) }
	for _, tt := range []struct {
		name      string
		redirects int
		contacts  string
		then      []int // what q, then r answer; 0: they are not asked
		code      int   // of the error; 0: answered
	}{
		{"not followed", 0, at(q), []int{0, 0}, 302},
		{"followed", 1, at(q), []int{200, 0}, 0},
		{"the second place", 5, at(q) + ", " + at(r), []int{404, 200}, 0},
		{"one is enough", 1, at(q) + ", " + at(r), []int{404, 0}, 404},
		{"nowhere", 5, at(q), []int{603, 0}, 603},
		{"no place", 5, "<tel:+1>", []int{0, 0}, 302},
		{"for all", 5, at(q) + ", " + at(r), []int{603, 0}, 603},
		{"in a circle", 5, at(q), []int{302, 0}, 302},
		{"a place that is not found", 5, "<sip:x@no.such.host.invalid>, " + at(r), []int{0, 200}, 0},
	} {
		t.Run(tt.name, func(t *testing.T) {
			s := &Server{Trunks: []Config{{RemotePort: int(p.Addr().Port())}}}
			s.resolver.DNS = &fakeDNS{}
			serve(t, s)
			done := dialled(context.Background(), s, &trunktest.Negotiator{}, DialOptions{Number: "1", Redirects: tt.redirects})
			first := p.Request("INVITE")
			p.Response(first, 302, "x", "Contact: "+tt.contacts+"\r\n", "")
			for i, peer := range []*trunktest.Peer{q, r} {
				if tt.then[i] == 0 {
					continue
				}
				req := peer.Request("INVITE")
				if req.URI() != "sip:new@"+peer.Addr().String() || req.Header("Call-ID") != first.Header("Call-ID") || req.Seq() <= first.Seq() {
					t.Errorf("%s, CSeq %q after %q", req.Line, req.Header("CSeq"), first.Header("CSeq"))
				}
				peer.Response(req, tt.then[i], "y", "Contact: "+at(peer)+"\r\n", "v=0\r\n")
			}
			err := get(t, done, "Dial")
			var status *StatusError
			if tt.code == 0 && err != nil || tt.code != 0 && (!errors.As(err, &status) || status.Code != tt.code) {
				t.Fatalf("%v, want %d", err, tt.code)
			}
			if tt.name == "not followed" && !slices.Equal(status.Contacts, []string{strings.Trim(at(q), "<>")}) {
				t.Errorf("contacts %q", status.Contacts)
			}
		})
	}
}
