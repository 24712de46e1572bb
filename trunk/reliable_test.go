package trunk

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/emiago/sipgo/sip"

	"github.com/trunkcast/trunkcast/trunk/trunktest"
)

// early is a Handler that rings, gives early media and answers, each when it is
// told on next, and tells the error of each on done.
func earlyHandler(n Negotiator, next chan string, done chan error) Handler {
	return HandlerFunc(func(ctx context.Context, c *Call) {
		for {
			select {
			case what := <-next:
				switch what {
				case "ring":
					done <- c.Ring(180, "")
				case "early":
					done <- c.EarlyMedia(ctx, n)
				case "answer":
					done <- c.Answer(ctx, n)
				}
			case <-ctx.Done():
				return
			}
		}
	})
}

// prack acknowledges a reliable provisional response.
func prack(leg *trunktest.Leg, res *trunktest.Message, body string) *trunktest.Message {
	leg.Request("PRACK", fmt.Sprintf("RAck: %s %d INVITE\r\n", res.Header("RSeq"), leg.InviteSeq), body)
	return leg.Response("PRACK")
}

// Which provisional responses are reliable, and which callers are refused.
func TestReliableOrNot(t *testing.T) {
	const supported, required = "Supported: timer, 100rel\r\n", "Require: 100rel\r\n"
	for _, tt := range []struct {
		config, caller string
		code           int // of a refusal; 0: none
		ring, early    bool
	}{
		{"off", "", 0, false, false},
		{"off", supported, 0, false, false},
		{"off", required, 420, false, false},
		{"", "", 0, false, false},
		{"", supported, 0, false, true},
		{"", required, 0, true, true},
		{"required", "", 421, false, false},
		{"required", supported, 0, true, true},
		{"required", required, 0, true, true},
	} {
		t.Run(tt.config+" "+strings.TrimSpace(tt.caller), func(t *testing.T) {
			next, done := make(chan string), make(chan error, 1)
			s := serve(t, &Server{Trunks: []Config{{Reliable: tt.config}}, Handler: earlyHandler(&trunktest.Negotiator{}, next, done)})
			p := trunktest.NewPeer(t, "udp")
			leg := p.NewLeg(addrOfServer(s), "1")
			leg.Request("INVITE", tt.caller, trunktest.Offer)
			if tt.code != 0 {
				res := leg.Expect("INVITE", tt.code)
				if list := res.Header("Unsupported") + res.Header("Require"); list != "100rel" {
					t.Errorf("names %q", list)
				}
				return
			}
			var seqs []int
			look := func(what string, code int, want bool) {
				next <- what
				res := leg.Expect("INVITE", code)
				if got := res.Header("Require") == "100rel"; got != want || (res.Header("RSeq") != "") != want {
					t.Errorf("%s: Require %q, RSeq %q", what, res.Header("Require"), res.Header("RSeq"))
				} else if got {
					var n int
					fmt.Sscan(res.Header("RSeq"), &n)
					seqs = append(seqs, n)
					if res := prack(leg, res, ""); res.Code != 200 {
						t.Errorf("PRACK: %s", res.Line)
					}
				}
				if err := get(t, done, what); err != nil {
					t.Errorf("%s: %v", what, err)
				}
			}
			look("ring", 180, tt.ring)
			look("early", 183, tt.early)
			look("ring", 180, tt.ring)
			for i, n := range seqs {
				if n != seqs[0]+i {
					t.Errorf("RSeq %v", seqs)
				}
			}
			next <- "answer"
			if res := leg.Expect("INVITE", 200); (res.Body == "") != tt.early {
				t.Errorf("200 with %q after an answer in a 183", res.Body)
			}
			leg.ACK("")
			if err := get(t, done, "answer"); err != nil {
				t.Error(err)
			}
		})
	}
}

// A 183 with the answer is repeated until its PRACK, which the rest waits for;
// between it and the 200 the session may be modified.
func TestEarlyMediaReliable(t *testing.T) {
	next, done := make(chan string, 8), make(chan error, 8)
	n := &trunktest.Negotiator{}
	s := serve(t, fastButPatient(&Server{Handler: earlyHandler(n, next, done)}))
	for _, transport := range []string{"udp", "tcp"} {
		p := trunktest.NewPeer(t, transport)
		leg := p.NewLeg(addrOfServer(s), "1")
		leg.Request("INVITE", "Supported: 100rel\r\n", trunktest.Offer)
		next <- "early"
		next <- "answer"
		res := leg.Expect("INVITE", 183)
		if res.Body != "v=0\r\ns=our answer\r\n" {
			t.Errorf("183 with %q", res.Body)
		}
		for range 2 {
			if again := leg.Expect("INVITE", 183); again.Header("RSeq") != res.Header("RSeq") {
				t.Errorf("RSeq %s, then %s", res.Header("RSeq"), again.Header("RSeq"))
			}
		}
		for _, rack := range []string{"", "x", "1 1 INVITE", res.Header("RSeq") + " 1 BYE", res.Header("RSeq") + " 7 INVITE"} {
			leg.Request("PRACK", "RAck: "+rack+"\r\n", "")
			leg.Expect("PRACK", 481)
		}
		leg.Request("UPDATE", "", trunktest.Offer)
		leg.Expect("UPDATE", 500) // one exchange at a time
		if res := prack(leg, res, trunktest.Offer); res.Code != 200 || res.Body != "v=0\r\ns=our answer\r\n" {
			t.Errorf("PRACK with an offer: %s, %q", res.Line, res.Body)
		}
		if err := get(t, done, "early media"); err != nil {
			t.Error(err)
		}
		for res = leg.Response("INVITE"); res.Code == 183; res = leg.Response("INVITE") {
			continue // repeated before the PRACK came
		}
		if res.Code != 200 || res.Body != "" {
			t.Errorf("%s with %q", res.Line, res.Body)
		}
		leg.ACK("")
		if err := get(t, done, "answer"); err != nil {
			t.Error(err)
		}
		leg.Request("BYE", "", "")
		leg.Expect("BYE", 200)
	}
	if got := fmt.Sprint(n.Log()); got != "[Answer Answer Answer Answer]" || n.Fault() != "" {
		t.Errorf("%s %s", got, n.Fault())
	}
}

// fastButPatient repeats soon, and gives up late.
func fastButPatient(s *Server) *Server {
	s.clock.t1, s.clock.t2 = 400*time.Millisecond, 400*time.Millisecond
	return s
}

// The session may change before the 200 (RFC 3311 section 5.1).
func TestUpdateBeforeAnswer(t *testing.T) {
	next, done := make(chan string, 8), make(chan error, 8)
	s := serve(t, &Server{Handler: earlyHandler(&trunktest.Negotiator{}, next, done)})
	p := trunktest.NewPeer(t, "udp")
	leg := p.NewLeg(addrOfServer(s), "1")
	leg.Request("INVITE", "Supported: 100rel\r\n", trunktest.Offer)
	next <- "early"
	if res := prack(leg, leg.Expect("INVITE", 183), ""); res.Code != 200 {
		t.Fatal(res.Line)
	}
	leg.Request("UPDATE", "", trunktest.Offer)
	if res := leg.Expect("UPDATE", 200); res.Body != "v=0\r\ns=our answer\r\n" {
		t.Errorf("answered %q", res.Body)
	}
	next <- "answer"
	leg.Expect("INVITE", 200)
	leg.ACK("")
}

// Without reliable responses the 183 is a promise, and the 200 has the same.
func TestEarlyMediaUnreliable(t *testing.T) {
	next, done := make(chan string, 8), make(chan error, 8)
	n := &trunktest.Negotiator{}
	s := serve(t, &Server{Handler: earlyHandler(n, next, done)})
	p := trunktest.NewPeer(t, "udp")
	leg := p.Invite(addrOfServer(s), "1", trunktest.Offer)
	next <- "early"
	first := leg.Expect("INVITE", 183)
	next <- "early" // twice
	next <- "answer"
	if res := leg.Expect("INVITE", 200); res.Body != first.Body || res.Body == "" {
		t.Errorf("183 with %q, 200 with %q", first.Body, res.Body)
	}
	leg.ACK("")
	for _, want := range []error{nil, ErrCallState, nil} {
		if err := get(t, done, "result"); !errors.Is(err, want) {
			t.Errorf("%v, want %v", err, want)
		}
	}
	if got := fmt.Sprint(n.Log()); got != "[Answer]" {
		t.Error(got)
	}
}

// A trunk may be configured to let media flow before the answer: a 183 with the
// session description, and the 200 so much later.
func TestEarlyMediaByConfiguration(t *testing.T) {
	const early = 100 * time.Millisecond
	for _, tt := range []struct {
		name, extra, offer string
		reliable, early    bool
	}{
		{"reliable", "Supported: 100rel\r\n", trunktest.Offer, true, true},
		{"unreliable", "", trunktest.Offer, false, true},
		{"offerless", "Supported: 100rel\r\n", "", true, true},
		{"offerless and unreliable", "", "", false, false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			n := &trunktest.Negotiator{}
			s := serve(t, &Server{Trunks: []Config{{EarlyMedia: early}}, Handler: answering(n, nil)})
			p := trunktest.NewPeer(t, "udp")
			leg := p.NewLeg(addrOfServer(s), "1")
			leg.Request("INVITE", tt.extra, tt.offer)
			invite, began := leg.InviteSeq, time.Now()
			if tt.early {
				res := leg.Expect("INVITE", 183)
				if res.Body == "" || (res.Header("RSeq") != "") != tt.reliable {
					t.Errorf("183 with %q, RSeq %q", res.Body, res.Header("RSeq"))
				}
				if tt.reliable {
					body := ""
					if tt.offer == "" {
						body = trunktest.Offer
					}
					leg.Request("PRACK", fmt.Sprintf("RAck: %s %d INVITE\r\n", res.Header("RSeq"), invite), body)
					leg.Expect("PRACK", 200)
				}
			}
			leg.Expect("INVITE", 200)
			if took := time.Since(began); tt.early && took < early {
				t.Errorf("answered after %v", took)
			}
			if tt.offer == "" && !tt.early {
				leg.ACK(trunktest.Offer)
			} else {
				leg.ACK("")
			}
			leg.Request("BYE", "", "")
			leg.Expect("BYE", 200)
			if n.Fault() != "" || len(n.Log()) > 2 {
				t.Errorf("%v %s", n.Log(), n.Fault())
			}
		})
	}
	// One who gives up meanwhile.
	calls := make(chan *Call, 1)
	s := serve(t, &Server{Trunks: []Config{{EarlyMedia: time.Minute}}, Handler: answering(&trunktest.Negotiator{}, calls)})
	p := trunktest.NewPeer(t, "udp")
	leg := p.Invite(addrOfServer(s), "1", trunktest.Offer)
	leg.Expect("INVITE", 183)
	leg.CANCEL("")
	leg.Expect("CANCEL", 200)
	leg.Expect("INVITE", 487)
	if e := endOf(t, get(t, calls, "call")); !e.ByPeer || e.Code != 487 {
		t.Errorf("end %+v", e)
	}
}

// An INVITE without an offer gets ours in the 183, and the PRACK has the answer.
func TestEarlyMediaOfferless(t *testing.T) {
	for _, tt := range []struct {
		name, extra, answer string
		code                int // of the response to the PRACK
		log                 string
	}{
		{"answer", "Supported: 100rel\r\n", trunktest.Offer, 200, "[Offer Accept]"},
		{"no answer", "Supported: 100rel\r\n", "", 488, "[Offer Rollback]"},
		{"unreliable", "", "", 0, "[Offer Accept]"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			next, done := make(chan string, 8), make(chan error, 8)
			n := &trunktest.Negotiator{}
			s := serve(t, &Server{Handler: earlyHandler(n, next, done)})
			p := trunktest.NewPeer(t, "udp")
			leg := p.NewLeg(addrOfServer(s), "1")
			leg.Request("INVITE", tt.extra, "")
			next <- "early"
			if tt.code == 0 {
				if err := get(t, done, "early media"); !errors.Is(err, ErrNoOffer) {
					t.Errorf("%v", err)
				}
			} else {
				if res := prack(leg, leg.Expect("INVITE", 183), tt.answer); res.Code != tt.code {
					t.Fatalf("PRACK: %s", res.Line)
				}
				get(t, done, "early media")
			}
			if tt.code == 488 {
				leg.Expect("INVITE", 488)
			} else {
				next <- "answer"
				res := leg.Expect("INVITE", 200)
				if (res.Body == "") != (tt.code == 200) {
					t.Errorf("200 with %q", res.Body)
				}
				leg.ACK(trunktest.Offer)
				if err := get(t, done, "answer"); err != nil {
					t.Error(err)
				}
			}
			if got := fmt.Sprint(n.Log()); got != tt.log {
				t.Errorf("%s, want %s", got, tt.log)
			}
		})
	}
}

// Without a PRACK the call is refused.
func TestNoPRACK(t *testing.T) {
	t.Parallel() // it waits for timers
	next, done := make(chan string, 1), make(chan error, 1)
	calls := make(chan *Call, 1)
	h := earlyHandler(&trunktest.Negotiator{}, next, done)
	s := serve(t, fast(&Server{Handler: HandlerFunc(func(ctx context.Context, c *Call) { calls <- c; h.ServeCall(ctx, c) })}))
	p := trunktest.NewPeer(t, "udp")
	leg := p.NewLeg(addrOfServer(s), "1")
	leg.Request("INVITE", "Supported: 100rel\r\n", trunktest.Offer)
	next <- "early"
	res := leg.Response("INVITE")
	for res.Code == 183 {
		res = leg.Response("INVITE")
	}
	if res.Code != 504 || !strings.Contains(res.Header("Warning"), "not acknowledged") {
		t.Errorf("%s, %q", res.Line, res.Header("Warning"))
	}
	if e := endOf(t, get(t, calls, "call")); !errors.Is(e, ErrNoPRACK) {
		t.Errorf("end %+v", e)
	}
	if err := get(t, done, "early media"); err == nil {
		t.Error("early media without a PRACK")
	}
}

// Our INVITE acknowledges the reliable responses of the far side, each once and
// in order, and what a 183 says of media holds.
func TestDialAcknowledges(t *testing.T) {
	var accepted []string
	n := &trunktest.Negotiator{OnAccept: func(_ context.Context, answer []byte) error {
		accepted = append(accepted, string(answer))
		return nil
	}}
	p, q := trunktest.NewPeer(t, "udp"), trunktest.NewPeer(t, "udp")
	s := serverFor(t, p, Config{})
	var progress []int
	done := make(chan error, 1)
	go func() {
		_, err := s.list[0].Dial(context.Background(), n, DialOptions{Number: "1",
			OnProgress: func(res *sip.Response) { progress = append(progress, res.StatusCode) }})
		done <- err
	}()
	req := p.Request("INVITE")
	if !strings.Contains(req.Header("Supported"), "100rel") || req.Header("Require") != "" {
		t.Errorf("Supported %q, Require %q", req.Header("Supported"), req.Header("Require"))
	}
	tell := func(code, rseq int, tag, body string) {
		p.Response(req, code, tag, fmt.Sprintf("Require: 100rel\r\nRSeq: %d\r\nContact: <sip:x@%s>\r\n", rseq, q.Addr()), body)
	}
	acked := func(rseq int, tag string) {
		t.Helper()
		m := q.Request("PRACK")
		if want := fmt.Sprintf("%d %d INVITE", rseq, req.Seq()); m.Header("RAck") != want || m.Tag("To") != tag || m.Seq() <= req.Seq() {
			t.Errorf("RAck %q, want %q; To %q, CSeq %q", m.Header("RAck"), want, m.Header("To"), m.Header("CSeq"))
		}
		q.Response(m, 200, "", "", "")
	}
	tell(180, 10, "a", "")
	acked(10, "a")
	tell(180, 10, "a", "") // repeated
	tell(180, 12, "a", "") // 11 is missing
	tell(183, 5, "b", "")  // another branch
	acked(5, "b")
	tell(183, 11, "a", "v=0\r\ns=early\r\n")
	acked(11, "a")
	p.Response(req, 200, "a", "Contact: <sip:x@"+q.Addr().String()+">\r\n", "v=0\r\ns=late\r\n")
	q.Request("ACK")
	if err := get(t, done, "Dial"); err != nil {
		t.Fatal(err)
	}
	if m := q.Try(0, func(m *trunktest.Message) bool { return m.Method == "PRACK" }); m != nil {
		t.Errorf("one more PRACK: %s", m.Header("RAck"))
	}
	if !slices.Equal(accepted, []string{"v=0\r\ns=early\r\n"}) || !slices.Equal(progress, []int{180, 183, 183}) {
		t.Errorf("accepted %q, progress %v", accepted, progress)
	}
}

// What our INVITE says of reliable responses.
func TestDialReliable(t *testing.T) {
	for config, want := range map[string]string{"off": "timer; ", "supported": "timer, 100rel; ", "required": "timer, 100rel; 100rel"} {
		p := trunktest.NewPeer(t, "udp")
		s := serverFor(t, p, Config{Reliable: config})
		done := dialled(context.Background(), s, &trunktest.Negotiator{}, DialOptions{Number: "1"})
		req := p.Request("INVITE")
		if got := req.Header("Supported") + "; " + req.Header("Require"); got != want {
			t.Errorf("%s: %q", config, got)
		}
		p.Response(req, 486, "x", "", "")
		get(t, done, "Dial")
	}
}
