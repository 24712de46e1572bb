package trunk

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/emiago/sipgo/sip"

	"github.com/trunkcast/trunkcast/trunk/trunktest"
)

func newInfo() *sip.Request {
	req := sip.NewRequest(sip.INFO, sip.Uri{})
	typ := sip.ContentTypeHeader("application/dtmf-relay")
	req.AppendHeader(&typ)
	req.SetBody([]byte("Signal=5\r\n"))
	return req
}

// Requests within the dialog, each answered within its call, which goes on.
func TestInDialog(t *testing.T) {
	notAcceptable := func(context.Context, []byte) ([]byte, error) {
		return nil, fmt.Errorf("wrapped: %w", &trunktest.NotAcceptable{Status: 488, Warning: 305})
	}
	for _, tt := range []struct {
		name, method, extra, body string
		onAnswer                  func(context.Context, []byte) ([]byte, error)
		ack                       string // body of the ACK, "-" for an empty one
		code                      int
		headers                   map[string]string
		log                       string
	}{
		{name: "options", method: "OPTIONS", code: 200, headers: map[string]string{"Allow": "UPDATE"}},
		{name: "info", method: "INFO", code: 200},
		{name: "refer", method: "REFER", code: 603, headers: map[string]string{"Warning": "transfers"}},
		{name: "extension", method: "INVITE", extra: "Require: foo\r\n", body: trunktest.Offer, code: 420,
			headers: map[string]string{"Unsupported": "foo"}},
		{name: "other body", method: "INVITE", extra: "Content-Type: text/plain\r\n", body: "x", code: 415,
			headers: map[string]string{"Accept": "application/sdp"}},
		{name: "re-invite", method: "INVITE", body: trunktest.Offer, ack: "-", code: 200,
			headers: map[string]string{"Content-Type": "application/sdp", "Contact": "sip:"}, log: "Answer"},
		{name: "re-invite refused", method: "INVITE", body: trunktest.Offer, onAnswer: notAcceptable, code: 488,
			headers: map[string]string{"Warning": `305 trunkcast "wrapped: not acceptable (305)"`}, log: "Answer"},
		{name: "re-invite without offer", method: "INVITE", ack: "v=0\r\n", code: 200,
			headers: map[string]string{"Content-Type": "application/sdp"}, log: "Offer Accept"},
		{name: "update without offer", method: "UPDATE", code: 200, headers: map[string]string{"Contact": "sip:"}},
		{name: "update", method: "UPDATE", body: trunktest.Offer, code: 200,
			headers: map[string]string{"Content-Type": "application/sdp"}, log: "Answer"},
		{name: "update refused", method: "UPDATE", body: trunktest.Offer, onAnswer: notAcceptable, code: 488, log: "Answer"},
		{name: "negotiator panics", method: "INVITE", body: trunktest.Offer, code: 500,
			onAnswer: func(context.Context, []byte) ([]byte, error) { panic("oops") }, log: "Answer"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			calls := make(chan *Call, 1)
			n := &trunktest.Negotiator{}
			s := serve(t, &Server{Handler: answering(n, calls)})
			p := trunktest.NewPeer(t, "udp")
			leg := p.Establish(addrOfServer(s), "1")
			c := get(t, calls, "call")
			infos := make(chan string, 1)
			c.OnInfo(func(req *sip.Request) { infos <- string(req.Method) })
			n.Set(func(n *trunktest.Negotiator) { n.OnAnswer = tt.onAnswer })
			leg.Request(tt.method, tt.extra, tt.body)
			res := leg.Expect(tt.method, tt.code)
			for name, want := range tt.headers {
				if got := strings.Join(res.Headers(name), " "); !strings.Contains(got, want) {
					t.Errorf("%s: %q, want %q", name, got, want)
				}
			}
			if tt.ack != "" {
				leg.ACK(strings.TrimPrefix(tt.ack, "-"))
			}
			if tt.method == "INFO" {
				get(t, infos, "OnInfo")
			}
			want := strings.TrimSpace("Answer " + tt.log)
			eventually(t, want, func() bool { return strings.Join(n.Log(), " ") == want })
			if c.Err() != nil {
				t.Errorf("the call ended: %v", c.Err())
			}
			// The next exchange works.
			n.Set(func(n *trunktest.Negotiator) { n.OnAnswer = nil })
			leg.Request("INVITE", "", trunktest.Offer)
			leg.Expect("INVITE", 200)
			leg.ACK("")
			leg.Request("BYE", "", "")
			leg.Expect("BYE", 200)
			if n.Fault() != "" {
				t.Error(n.Fault())
			}
		})
	}
}

// An INVITE without an offer: ours in the 200, the answer in the ACK.
func TestOfferless(t *testing.T) {
	for _, tt := range []struct {
		name, ack string
		onAccept  func(context.Context, []byte) error
		reason    string
		log       string
	}{
		{"good", "v=0\r\n", nil, "", "Offer Accept"},
		{"none", "", nil, "SIP;cause=488", "Offer Rollback"},
		{"bad", "v=0\r\n", func(context.Context, []byte) error { return &trunktest.NotAcceptable{Status: 488, Warning: 304} }, "SIP;cause=488", "Offer Accept"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			calls := make(chan *Call, 1)
			n := &trunktest.Negotiator{OnAccept: tt.onAccept}
			answered := make(chan error, 1)
			s := serve(t, &Server{Handler: HandlerFunc(func(ctx context.Context, c *Call) {
				calls <- c
				answered <- c.Answer(ctx, n)
				<-ctx.Done()
			})})
			p := trunktest.NewPeer(t, "udp")
			leg := p.Invite(addrOfServer(s), "1", "")
			if res := leg.Expect("INVITE", 200); res.Body != "v=0\r\ns=our offer\r\n" {
				t.Errorf("offer %q", res.Body)
			}
			leg.ACK(tt.ack)
			err := get(t, answered, "Answer")
			if got := strings.Join(n.Log(), " "); got != tt.log {
				t.Errorf("negotiation %q", got)
			}
			if tt.reason == "" {
				if err != nil {
					t.Error(err)
				}
				return
			}
			if err == nil {
				t.Error("no error")
			}
			bye := leg.Await("BYE")
			if !strings.HasPrefix(bye.Header("Reason"), tt.reason) {
				t.Errorf("Reason %q", bye.Header("Reason"))
			}
			p.Response(bye, 200, "", "", "")
			endOf(t, get(t, calls, "call"))
		})
	}
}

// An offer that is refused refuses the call with the status of the error.
func TestAnswerRefused(t *testing.T) {
	for _, tt := range []struct {
		err     error
		code    int
		warning string
	}{
		{&trunktest.NotAcceptable{Status: 488, Warning: 304}, 488, "304 trunkcast"},
		{&trunktest.NotAcceptable{Status: 400, Warning: 399}, 400, "399 trunkcast"},
		{&trunktest.NotAcceptable{Status: 200, Warning: 999}, 488, "399 trunkcast"},
		{errors.New("a \"quoted\"\r\nthing"), 488, `399 trunkcast "a \"quoted\"  thing"`},
	} {
		t.Run(fmt.Sprint(tt.code, tt.warning), func(t *testing.T) {
			calls := make(chan *Call, 1)
			n := &trunktest.Negotiator{OnAnswer: func(context.Context, []byte) ([]byte, error) { return nil, tt.err }}
			s := serve(t, &Server{Handler: answering(n, calls)})
			p := trunktest.NewPeer(t, "udp")
			res := p.Invite(addrOfServer(s), "1", trunktest.Offer).Expect("INVITE", tt.code)
			if !strings.HasPrefix(res.Header("Warning"), tt.warning) {
				t.Errorf("Warning %q", res.Header("Warning"))
			}
			if e := endOf(t, get(t, calls, "call")); e.Code != tt.code || !errors.Is(e, tt.err) {
				t.Errorf("end %+v", e)
			}
		})
	}
}

// Overlapping exchanges: 500 with Retry-After while theirs is under way, 491
// while ours is.
func TestOverlap(t *testing.T) {
	calls := make(chan *Call, 1)
	n := &trunktest.Negotiator{}
	s := serve(t, &Server{Handler: answering(n, calls)})
	p := trunktest.NewPeer(t, "udp")
	leg := p.Establish(addrOfServer(s), "1")
	c := get(t, calls, "call")

	entered, leave := make(chan bool), make(chan bool)
	n.Set(func(n *trunktest.Negotiator) {
		n.OnAnswer = func(context.Context, []byte) ([]byte, error) {
			entered <- true
			<-leave
			return []byte("v=0\r\n"), nil
		}
	})
	leg.Request("INVITE", "", trunktest.Offer)
	get(t, entered, "re-INVITE")
	branch, seq := leg.InviteBranch, leg.InviteSeq
	for _, method := range []string{"INVITE", "UPDATE"} {
		leg.Request(method, "", trunktest.Offer)
		if res := leg.Expect(method, 500); res.Header("Retry-After") == "" {
			t.Errorf("%s: no Retry-After", method)
		}
	}
	close(leave)
	leg.InviteBranch, leg.InviteSeq = branch, seq
	leg.Expect("INVITE", 200)
	leg.ACK("")
	n.Set(func(n *trunktest.Negotiator) { n.OnAnswer = nil })

	done := make(chan error, 1)
	go func() { done <- c.Renegotiate(context.Background()) }()
	ours := leg.Await("INVITE")
	for _, method := range []string{"INVITE", "UPDATE"} {
		leg.Request(method, "", trunktest.Offer)
		leg.Expect(method, 491)
	}
	p.Response(ours, 200, "", "Contact: "+p.Contact()+"\r\n", "v=0\r\n")
	leg.Await("ACK")
	if err := get(t, done, "Renegotiate"); err != nil {
		t.Error(err)
	}
	if got := strings.Join(n.Log(), " "); got != "Answer Answer Offer Accept" || n.Fault() != "" {
		t.Errorf("negotiation %q %s", got, n.Fault())
	}
}

func TestRenegotiate(t *testing.T) {
	for _, tt := range []struct {
		name  string
		codes []int
		body  string
		log   string
		err   bool
		ends  bool
	}{
		{"accepted", []int{200}, "v=0\r\n", "Answer Offer Accept", false, false},
		{"glare, then accepted", []int{491, 491, 200}, "v=0\r\n", "Answer Offer Rollback Offer Rollback Offer Accept", false, false},
		{"refused", []int{488}, "", "Answer Offer Rollback", true, false},
		{"challenged without a password", []int{401}, "", "Answer Offer Rollback", true, false},
		{"glare for ever", []int{491, 491, 491, 491, 491}, "", "Answer" + strings.Repeat(" Offer Rollback", 5), true, false},
		{"no answer in it", []int{200}, "", "Answer Offer Rollback", true, true},
		{"dialog unknown", []int{481}, "", "Answer Offer Rollback", true, true},
	} {
		t.Run(tt.name, func(t *testing.T) {
			calls := make(chan *Call, 1)
			n := &trunktest.Negotiator{}
			s := &Server{Handler: answering(n, calls)}
			s.clock.glare = 10000 // ns
			serve(t, s)
			p := trunktest.NewPeer(t, "udp")
			leg := p.Establish(addrOfServer(s), "1")
			c := get(t, calls, "call")
			done := make(chan error, 1)
			go func() { done <- c.Renegotiate(context.Background()) }()
			last := 0
			for _, code := range tt.codes {
				req := leg.Await("INVITE")
				if req.Seq() <= last || req.Body != "v=0\r\ns=our offer\r\n" || !strings.Contains(req.Header("Contact"), addrOfServer(s).String()) {
					t.Errorf("CSeq %d after %d, body %q", req.Seq(), last, req.Body)
				}
				last = req.Seq()
				p.Response(req, code, "", "Contact: "+p.Contact()+"\r\n", tt.body)
				leg.Await("ACK")
			}
			if tt.ends {
				p.Response(leg.Await("BYE"), 200, "", "", "")
			}
			err := get(t, done, "Renegotiate")
			if (err != nil) != tt.err {
				t.Errorf("error %v", err)
			}
			var status *StatusError
			if code := tt.codes[len(tt.codes)-1]; tt.err && code > 299 && (!errors.As(err, &status) || status.Code != code) {
				t.Errorf("error %v", err)
			}
			if got := strings.Join(n.Log(), " "); got != tt.log {
				t.Errorf("negotiation %q, want %q", got, tt.log)
			}
			if tt.ends {
				endOf(t, c)
			} else if c.Err() != nil {
				t.Errorf("ended: %v", c.Err())
			}
		})
	}
}

// A re-INVITE whose context ends is cancelled, and the call goes on.
func TestRenegotiateGivenUp(t *testing.T) {
	calls := make(chan *Call, 1)
	n := &trunktest.Negotiator{}
	s := serve(t, &Server{Handler: answering(n, calls)})
	p := trunktest.NewPeer(t, "udp")
	leg := p.Establish(addrOfServer(s), "1")
	c := get(t, calls, "call")
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- c.Renegotiate(ctx) }()
	req := leg.Await("INVITE")
	p.Response(req, 180, "", "", "")
	cancel()
	if err := get(t, done, "Renegotiate"); !errors.Is(err, context.Canceled) {
		t.Errorf("error %v", err)
	}
	p.Response(leg.Await("CANCEL"), 200, "", "", "")
	p.Response(req, 487, "", "", "")
	leg.Await("ACK")
	eventually(t, "rollback", func() bool { return strings.Join(n.Log(), " ") == "Answer Offer Rollback" })
	eventually(t, "the next one", func() bool {
		leg.Request("INVITE", "", trunktest.Offer)
		return leg.Response("INVITE").Code == 200 // 491 in the moment before our turn is given back
	})
	leg.ACK("")
}

func TestDo(t *testing.T) {
	calls := make(chan *Call, 1)
	s := serve(t, &Server{
		Trunks:  []Config{{AuthUser: "u", Password: "p"}},
		Handler: answering(&trunktest.Negotiator{}, calls),
	})
	p := trunktest.NewPeer(t, "udp")
	leg := p.Establish(addrOfServer(s), "1")
	c := get(t, calls, "call")
	type result struct {
		res *sip.Response
		err error
	}
	done := make(chan result, 1)
	go func() {
		res, err := c.Do(context.Background(), newInfo())
		done <- result{res, err}
	}()
	first := leg.Await("INFO")
	if first.Body != "Signal=5\r\n" || first.Header("Content-Type") != "application/dtmf-relay" || len(first.Headers("Contact")) != 1 {
		t.Errorf("body %q of %q", first.Body, first.Header("Content-Type"))
	}
	p.Response(first, 407, "", "Proxy-Authenticate: Digest realm=\"r\", nonce=\"n\", qop=\"auth\"\r\n", "")
	second := leg.Await("INFO")
	if second.Seq() != first.Seq()+1 || !strings.Contains(second.Header("Proxy-Authorization"), `username="u"`) {
		t.Errorf("CSeq %d, then %d with %q", first.Seq(), second.Seq(), second.Header("Proxy-Authorization"))
	}
	p.Response(second, 200, "", "", "")
	if r := get(t, done, "Do"); r.err != nil || r.res.StatusCode != 200 {
		t.Errorf("%+v", r)
	}
	if _, err := c.Do(context.Background(), sip.NewRequest(sip.BYE, sip.Uri{})); err == nil {
		t.Error("a BYE was done")
	}
}

// One who offers right behind our ACK, while the answer is being taken, waits for
// that: for it the exchange has ended.
func TestOfferBehindOurACK(t *testing.T) {
	for _, method := range []string{"INVITE", "UPDATE"} {
		calls := make(chan *Call, 1)
		entered, leave := make(chan bool), make(chan bool)
		n := &trunktest.Negotiator{OnAccept: func(context.Context, []byte) error {
			entered <- true
			<-leave
			return nil
		}}
		s := serve(t, &Server{Handler: answering(n, calls)})
		p := trunktest.NewPeer(t, "udp")
		leg := p.Establish(addrOfServer(s), "1")
		c := get(t, calls, "call")
		done := make(chan error, 1)
		eventually(t, "the ACK", func() bool { c.mu.Lock(); defer c.mu.Unlock(); return c.unacked == nil })
		go func() { done <- c.Renegotiate(context.Background()) }()
		p.Response(leg.Await("INVITE"), 200, "", "Contact: "+p.Contact()+"\r\n", "v=0\r\n")
		leg.Await("ACK")
		get(t, entered, "the answer")
		leg.Request(method, "", trunktest.Offer)
		time.AfterFunc(50*time.Millisecond, func() { close(leave) }) // it is here by then, most often
		if res := leg.Expect(method, 200); res.Body == "" {
			t.Error("no answer")
		}
		if err := get(t, done, "Renegotiate"); err != nil {
			t.Error(err)
		}
		if n.Fault() != "" {
			t.Error(n.Fault())
		}
	}
}
