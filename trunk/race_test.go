package trunk

import (
	"context"
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/trunkcast/trunkcast/trunk/trunktest"
)

// CANCEL and answer meet: exactly one wins, and both sides agree which.
func TestCancelMeetsAnswer(t *testing.T) {
	calls := make(chan *Call, 1)
	s := serve(t, &Server{Handler: answering(&syncNegotiator{}, calls)})
	p := trunktest.NewPeer(t, "udp")
	won := map[int]int{}
	for i := range 200 {
		leg := p.NewLeg(addrOfServer(s), "1")
		leg.Request("INVITE", "", trunktest.Offer)
		time.Sleep(time.Duration(i%20) * 20 * time.Microsecond) // any order
		leg.CANCEL("")
		leg.Expect("CANCEL", 200)
		res := leg.Response("INVITE")
		won[res.Code]++
		c := get(t, calls, "call")
		switch res.Code {
		case 487:
			if e := endOf(t, c); e.Code != 487 || !e.ByPeer {
				t.Fatalf("487, and the call ended so: %+v", e)
			}
		case 200:
			leg.ACK("")
			if c.Err() != nil {
				t.Fatalf("200, and the call has ended: %v", c.Err())
			}
			leg.Request("BYE", "", "")
			leg.Expect("BYE", 200)
			endOf(t, c)
		default:
			t.Fatalf("got %s", res.Line)
		}
	}
	t.Logf("%v", won)
	eventually(t, "no calls", func() bool { return len(s.Calls()) == 0 })
}

// Hangup and answer meet: a refusal, or an answer and BYE.
func TestHangupMeetsAnswer(t *testing.T) {
	calls := make(chan *Call, 1)
	s := serve(t, &Server{Handler: answering(&syncNegotiator{}, calls)})
	p := trunktest.NewPeer(t, "udp")
	for i := range 100 {
		leg := p.Invite(addrOfServer(s), "1", trunktest.Offer)
		c := get(t, calls, "call")
		time.Sleep(time.Duration(i%10) * 20 * time.Microsecond)
		hung := make(chan error, 1)
		go func() { hung <- c.Hangup(context.Background(), "") }()
		switch res := leg.Response("INVITE"); res.Code {
		case 480:
		case 200:
			leg.ACK("")
			p.Response(leg.Await("BYE"), 200, "", "", "")
		default:
			t.Fatalf("got %s", res.Line)
		}
		if err := get(t, hung, "Hangup"); err != nil {
			t.Fatal(err)
		}
		endOf(t, c)
	}
}

// BYE, CANCEL and re-INVITE in every state of a call: each request is
// answered, the call ends once, nothing hangs.
func TestEveryState(t *testing.T) {
	states := []string{"invited", "ringing", "answered", "established", "re-inviting", "re-invited", "renegotiating", "hanging up"}
	for _, transport := range []string{"udp", "tcp"} {
		for _, state := range states {
			for _, method := range []string{"BYE", "CANCEL", "INVITE", "UPDATE", "BYE after INVITE"} {
				t.Run(fmt.Sprint(transport, " ", method, " when ", state), func(t *testing.T) {
					everyState(t, transport, state, method)
				})
			}
		}
	}
}

func everyState(t *testing.T, transport, state, method string) {
	calls := make(chan *Call, 1)
	answer, block := make(chan bool), make(chan bool)
	n := &trunktest.Negotiator{}
	s := serve(t, &Server{Handler: HandlerFunc(func(ctx context.Context, c *Call) {
		calls <- c
		if state == "ringing" {
			c.Ring(180, "")
		}
		select {
		case <-answer:
		case <-ctx.Done():
			return
		}
		if c.Answer(ctx, n) == nil {
			<-ctx.Done()
		}
	})})
	p := trunktest.NewPeer(t, transport)
	leg := p.Invite(addrOfServer(s), "1", trunktest.Offer)
	c := get(t, calls, "call")
	if state == "ringing" {
		leg.Expect("INVITE", 180)
	}
	if state != "invited" && state != "ringing" {
		answer <- true
		leg.Expect("INVITE", 200)
		if state != "answered" {
			leg.ACK("")
		}
	}
	switch state {
	case "re-inviting":
		n.Set(func(n *trunktest.Negotiator) {
			n.OnAnswer = func(context.Context, []byte) ([]byte, error) { block <- true; <-block; return []byte("v=0\r\n"), nil }
		})
		leg.Request("INVITE", "", trunktest.Offer)
		get(t, block, "re-INVITE")
		defer close(block)
	case "re-invited":
		leg.Request("INVITE", "", trunktest.Offer)
		leg.Expect("INVITE", 200)
	case "renegotiating":
		go c.Renegotiate(context.Background())
		leg.Await("INVITE")
	case "hanging up":
		go c.Hangup(context.Background(), "")
		leg.Await("BYE")
	}
	if leg.Remote == "<"+leg.Target+">" && method != "CANCEL" {
		// The dialog is not known to the peer before a response with a tag.
		leg.Remote += ";tag=" + c.key.local
	}
	final := func(method string) int {
		for {
			m := p.Next("a response to "+method, func(m *trunktest.Message) bool {
				return m.Code >= 200 && m.Header("CSeq") == fmt.Sprint(leg.Seq, " ", method)
			})
			return m.Code
		}
	}
	switch method {
	case "CANCEL":
		leg.CANCEL("")
		p.Next("a response to CANCEL", func(m *trunktest.Message) bool {
			return m.Code >= 200 && m.Header("CSeq") == fmt.Sprint(leg.InviteSeq, " CANCEL")
		})
	case "BYE after INVITE":
		leg.Request("INVITE", "", trunktest.Offer)
		leg.Request("BYE", "", "")
		if code := final("BYE"); code != 200 {
			t.Errorf("BYE: %d", code)
		}
		endOf(t, c)
	default:
		body := ""
		if method != "BYE" {
			body = trunktest.Offer
		}
		leg.Request(method, "", body)
		code := final(method)
		if method == "BYE" {
			if code != 200 {
				t.Errorf("BYE: %d", code)
			}
			endOf(t, c)
		}
	}
	// Whatever came, the call ends now and its dialog is forgotten.
	var wg sync.WaitGroup
	for range 3 {
		wg.Go(func() {
			ctx, cancel := context.WithTimeout(context.Background(), time.Millisecond)
			defer cancel()
			c.Hangup(ctx, "")
		})
	}
	wg.Wait()
	endOf(t, c)
	if n.Fault() != "" {
		t.Error(n.Fault())
	}
}

// A re-INVITE before the ACK means that the 2xx has arrived (RFC 5407 section
// 3.1.4): it is answered, and the lost ACK is not waited for.
func TestReinviteBeforeACK(t *testing.T) {
	calls := make(chan *Call, 1)
	s := serve(t, &Server{Handler: answering(&trunktest.Negotiator{}, calls)})
	p := trunktest.NewPeer(t, "udp")
	leg := p.Invite(addrOfServer(s), "1", trunktest.Offer)
	leg.Expect("INVITE", 200)
	c := get(t, calls, "call")
	c.mu.Lock()
	first := c.unacked
	c.mu.Unlock()
	leg.Request("INVITE", "", trunktest.Offer)
	leg.Expect("INVITE", 200)
	get(t, first.settled, "the first 2xx settled")
	if first.err != nil || c.Err() != nil {
		t.Errorf("first 2xx %v, call %v", first.err, c.Err())
	}
	leg.ACK("")
}

// The offer of a re-INVITE that is cancelled while it is being answered is
// taken back, and the call goes on.
func TestReinviteCancelled(t *testing.T) {
	entered, leave := make(chan bool), make(chan bool)
	n := &trunktest.Negotiator{}
	s := serve(t, &Server{Handler: answering(n, nil)})
	p := trunktest.NewPeer(t, "udp")
	leg := p.Establish(addrOfServer(s), "1")
	n.Set(func(n *trunktest.Negotiator) {
		n.OnAnswer = func(context.Context, []byte) ([]byte, error) {
			entered <- true
			<-leave
			return []byte("v=0\r\n"), nil
		}
	})
	leg.Request("INVITE", "", trunktest.Offer)
	get(t, entered, "re-INVITE")
	leg.CANCEL("")
	leg.Expect("CANCEL", 200)
	leg.Expect("INVITE", 487)
	n.Set(func(n *trunktest.Negotiator) { n.OnAnswer = nil })
	close(leave)
	eventually(t, "rollback", func() bool { return fmt.Sprint(n.Log()) == "[Answer Answer Rollback]" })
	eventually(t, "the next one", func() bool {
		leg.Request("INVITE", "", trunktest.Offer)
		return leg.Response("INVITE").Code == 200 // 500 while the last one ends
	})
	leg.ACK("")
	leg.Request("BYE", "", "")
	leg.Expect("BYE", 200)
}

// ACK, re-INVITE and BYE in one segment are taken in their order.
func TestGlued(t *testing.T) {
	calls := make(chan *Call, 1)
	answers := make(chan error, 1)
	s := serve(t, &Server{Handler: HandlerFunc(func(ctx context.Context, c *Call) {
		calls <- c
		answers <- c.Answer(ctx, &syncNegotiator{})
		<-ctx.Done()
	})})
	for range 50 {
		p := trunktest.NewPeer(t, "tcp")
		leg := p.Invite(addrOfServer(s), "1", trunktest.Offer)
		leg.Expect("INVITE", 200)
		c := get(t, calls, "call")
		p.Send(leg.Server, leg.Text("ACK", leg.Target, "z9hG4bKa", 1, "", "")+
			leg.Text("INVITE", leg.Target, "z9hG4bKb", 2, "", trunktest.Offer)+
			leg.Text("INFO", leg.Target, "z9hG4bKc", 3, "", "")+
			leg.Text("BYE", leg.Target, "z9hG4bKd", 4, "", ""))
		leg.Seq = 4
		leg.Expect("BYE", 200)
		if e := endOf(t, c); !e.ByPeer {
			t.Fatalf("end %+v", e)
		}
		get(t, answers, "Answer")
		for _, cseq := range []string{"2 INVITE", "3 INFO"} {
			m := p.Next("a response to "+cseq, func(m *trunktest.Message) bool { return m.Code >= 200 && m.Header("CSeq") == cseq })
			if m.Code != 200 && m.Code != 487 {
				t.Fatalf("%s: %s", cseq, m.Line)
			}
		}
	}
}
