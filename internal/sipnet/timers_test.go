package sipnet

import (
	"errors"
	"strconv"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/emiago/sipgo/sip"
)

// The numbers are those of RFC 3261 section 17 with T1 = 500 ms, T2 = 4 s,
// T4 = 5 s.

func TestClientWithoutAnswer(t *testing.T) {
	for method, want := range map[sip.RequestMethod]string{
		sip.INVITE:  "0 0.5 1.5 3.5 7.5 15.5 31.5",
		sip.OPTIONS: "0 0.5 1.5 3.5 7.5 11.5 15.5 19.5 23.5 27.5 31.5",
	} {
		t.Run(string(method), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				net := newMemNet()
				e := net.start(t, ourAddr, &Endpoint{})
				defer e.Close()
				tx, err := e.Request(t.Context(), newRequest(method, "a"), peer)
				if err != nil {
					t.Fatal(err)
				}
				if res, ok := <-tx.Responses(); ok {
					t.Errorf("got %v", res)
				}
				if !errors.Is(tx.Err(), ErrTimeout) || time.Since(net.begun) != 32*time.Second {
					t.Errorf("after %v: %v", time.Since(net.begun), tx.Err())
				}
				<-tx.Done()
				if got := net.sent(string(method)); got != want {
					t.Errorf("sent at %s, want %s", got, want)
				}
				if s := e.Stats(); s.ClientTransactions != 0 || e.table.asked(peer.Addr.Addr()) {
					t.Errorf("left behind: %+v", s)
				}
			})
		})
	}
}

func TestClientAfterProvisional(t *testing.T) {
	// An INVITE is not repeated any more and waits for ever; another request
	// goes on at T2 and ends by timer F.
	for method, want := range map[sip.RequestMethod]string{
		sip.INVITE:  "0 0.5",
		sip.OPTIONS: "0 0.5 1.5 5.5 9.5 13.5 17.5 21.5 25.5 29.5",
	} {
		t.Run(string(method), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				net := newMemNet()
				e := net.start(t, ourAddr, &Endpoint{})
				defer e.Close()
				p := net.rawPeer()
				tx, err := e.Request(t.Context(), newRequest(method, "a"), peer)
				if err != nil {
					t.Fatal(err)
				}
				time.Sleep(700 * time.Millisecond)
				p.send(reply(t, p.next(), 183))
				if res := <-tx.Responses(); res.StatusCode != 183 {
					t.Fatalf("got %v", res)
				}
				time.Sleep(time.Minute)
				synctest.Wait()
				if got := net.sent(string(method)); got != want {
					t.Errorf("sent at %s, want %s", got, want)
				}
				if method == sip.INVITE {
					if tx.Err() != nil {
						t.Error(tx.Err())
					}
					tx.Terminate()
					if _, ok := <-tx.Responses(); ok || !errors.Is(tx.Err(), ErrTerminated) {
						t.Errorf("terminated: %v", tx.Err())
					}
				} else if !errors.Is(tx.Err(), ErrTimeout) {
					t.Errorf("got %v", tx.Err())
				}
			})
		})
	}
}

// A transaction stays for a while after its final response.
func TestClientLingers(t *testing.T) {
	for _, tt := range []struct {
		name   string
		method sip.RequestMethod
		code   int
		timer  time.Duration
		acks   int // that the final response and one repetition of it cause
		toUser int // repetitions the user sees
	}{
		{"K", sip.OPTIONS, 200, 5 * time.Second, 0, 0},
		{"K", sip.BYE, 481, 5 * time.Second, 0, 0},
		{"D", sip.INVITE, 486, 32 * time.Second, 2, 0},
		{"M", sip.INVITE, 200, 32 * time.Second, 0, 1},
	} {
		t.Run(tt.name+" "+string(tt.method), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				net := newMemNet()
				passed := 0
				e := net.start(t, ourAddr, &Endpoint{OnResponse: func(*sip.Response) { passed++ }})
				defer e.Close()
				p := net.rawPeer()
				tx, err := e.Request(t.Context(), newRequest(tt.method, "a"), peer)
				if err != nil {
					t.Fatal(err)
				}
				answer := reply(t, p.next(), tt.code)
				p.send(answer)
				if res := <-tx.Responses(); res.StatusCode != tt.code {
					t.Fatalf("got %v", res)
				}
				if _, more := <-tx.Responses(); more {
					t.Error("a second final response")
				}
				p.send(answer)
				synctest.Wait()
				if got := strings.Count(net.lines(), "ACK"); got != tt.acks {
					t.Errorf("%d ACKs", got)
				}
				if passed != tt.toUser {
					t.Errorf("%d responses to the user", passed)
				}
				final := time.Now()
				<-tx.Done()
				if lasted := time.Since(final); lasted != tt.timer || tx.Err() != nil {
					t.Errorf("lasted %v, %v", lasted, tx.Err())
				}
			})
		})
	}
}

// The ACK to a failure has the branch, number, request URI and route of its
// INVITE and the To of the response (RFC 3261 section 17.1.1.3).
func TestAckToFailure(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		net := newMemNet()
		e := net.start(t, ourAddr, &Endpoint{})
		defer e.Close()
		p := net.rawPeer()
		req := newRequest(sip.INVITE, "a")
		req.AppendHeader(&sip.RouteHeader{Address: sip.Uri{Scheme: "sip", Host: "proxy"}})
		req.SetBody([]byte("offer"))
		if _, err := e.Request(t.Context(), req, peer); err != nil {
			t.Fatal(err)
		}
		invite := p.next()
		p.send(reply(t, invite, 486))
		ack := p.next()
		for _, name := range []string{"Via: ", "From: ", "Call-ID: ", "Route: "} {
			if line(invite, name) == "" || line(ack, name) != line(invite, name) {
				t.Errorf("%s%q, want %q", name, line(ack, name), line(invite, name))
			}
		}
		if line(ack, "CSeq: ") != "1 ACK" || !strings.HasSuffix(line(ack, "To: "), "tag=peer") ||
			!strings.HasPrefix(ack, "ACK sip:bob@example.com SIP/2.0") || line(ack, "Content-Length: ") != "0" {
			t.Errorf("got %s", ack)
		}
	})
}

// line is the value of the first header line of that name.
func line(msg, name string) string {
	_, rest, ok := strings.Cut(msg, "\r\n"+name)
	if !ok {
		return ""
	}
	value, _, _ := strings.Cut(rest, "\r\n")
	return value
}

func TestProvisionalsAreBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		net := newMemNet()
		e := net.start(t, ourAddr, &Endpoint{})
		defer e.Close()
		p := net.rawPeer()
		tx, err := e.Request(t.Context(), newRequest(sip.INVITE, "a"), peer)
		if err != nil {
			t.Fatal(err)
		}
		invite := p.next()
		for i := range 40 {
			p.send(reply(t, invite, 101+i))
		}
		p.send(reply(t, invite, 200))
		synctest.Wait()
		var codes []int
		for res := range tx.Responses() {
			codes = append(codes, res.StatusCode)
		}
		if len(codes) != keptProvisionals+1 || codes[0] != 125 || codes[keptProvisionals] != 200 {
			t.Errorf("got %v", codes)
		}
	})
}

func TestServerTimers(t *testing.T) {
	for _, tt := range []struct {
		name   string
		method string
		code   int
		sent   string        // when the response is sent
		lasts  time.Duration // the transaction, from the request on
	}{
		{"G and H", "INVITE", 486, "0 0.5 1.5 3.5 7.5 11.5 15.5 19.5 23.5 27.5 31.5", 32 * time.Second},
		{"L", "INVITE", 200, "0", 32 * time.Second},
		{"J", "OPTIONS", 200, "0", 32 * time.Second},
	} {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				net := newMemNet()
				txs := make(chan *ServerTx, 1)
				e := net.start(t, ourAddr, &Endpoint{OnRequest: func(_ *sip.Request, tx *ServerTx) {
					tx.Respond(tx.NewResponse(tt.code, "", nil))
					txs <- tx
				}})
				defer e.Close()
				net.rawPeer().send(ask(tt.method, "z9hG4bK1", "a"))
				tx := <-txs
				<-tx.Done()
				if d := time.Since(net.begun); d != tt.lasts {
					t.Errorf("lasted %v", d)
				}
				if got := net.sent(strconv.Itoa(tt.code)); got != tt.sent {
					t.Errorf("sent at %s, want %s", got, tt.sent)
				}
				if s := e.Stats(); s.ServerTransactions != 0 || len(e.table.merges) != 0 {
					t.Errorf("left behind: %+v", s)
				}
				if err := tx.Respond(tx.NewResponse(200, "", nil)); !errors.Is(err, ErrAnswered) {
					t.Errorf("answered again: %v", err)
				}
			})
		})
	}
}

func TestServerAcked(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		net := newMemNet()
		requests := 0
		var tx *ServerTx
		e := net.start(t, ourAddr, &Endpoint{OnRequest: func(_ *sip.Request, got *ServerTx) {
			requests++
			tx = got
			tx.Respond(tx.NewResponse(404, "", nil))
		}})
		defer e.Close()
		p := net.rawPeer()
		p.send(ask("INVITE", "z9hG4bK1", "a"))
		time.Sleep(time.Second)
		p.send(ask("ACK", "z9hG4bK1", "a"))
		time.Sleep(time.Second)
		p.send(ask("INVITE", "z9hG4bK1", "a")) // late copies are absorbed
		p.send(ask("ACK", "z9hG4bK1", "a"))
		<-tx.Done()
		if d := time.Since(net.begun); d != 6*time.Second { // timer I
			t.Errorf("lasted %v", d)
		}
		if got := net.sent("404"); got != "0 0.5" {
			t.Errorf("sent at %s", got)
		}
		if requests != 1 {
			t.Errorf("%d requests to the user", requests)
		}
	})
}

func TestTryingAfter200ms(t *testing.T) {
	for _, tt := range []struct {
		name  string
		after time.Duration
		want  string
	}{
		{"slow user", 300 * time.Millisecond, "0.2"},
		{"fast user", 100 * time.Millisecond, ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				net := newMemNet()
				e := net.start(t, ourAddr, &Endpoint{OnRequest: func(_ *sip.Request, tx *ServerTx) {
					time.Sleep(tt.after)
					tx.Respond(tx.NewResponse(180, "", nil))
				}})
				defer e.Close()
				p := net.rawPeer()
				p.send(ask("INVITE", "z9hG4bK1", "a"))
				time.Sleep(50 * time.Millisecond)
				p.send(ask("INVITE", "z9hG4bK1", "a")) // must not stop the timer
				time.Sleep(10 * time.Second)
				if got := net.sent("100"); got != tt.want {
					t.Errorf("100 at %q", got)
				}
				if trying := p.next(); tt.want != "" && strings.Contains(line(trying, "To: "), "tag") {
					t.Errorf("a tag in the 100: %s", trying)
				}
				// A copy of the request gets the last response.
				p.send(ask("INVITE", "z9hG4bK1", "a"))
				synctest.Wait()
				if !strings.HasSuffix(net.lines(), "INVITE 180") {
					t.Errorf("sent %s", net.lines())
				}
			})
		})
	}
}

func TestUnansweredRequestEnds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		net := newMemNet()
		txs := make(chan *ServerTx, 1)
		e := net.start(t, ourAddr, &Endpoint{OnRequest: func(_ *sip.Request, tx *ServerTx) { txs <- tx }})
		defer e.Close()
		net.rawPeer().send(ask("OPTIONS", "z9hG4bK1", "a"))
		tx := <-txs
		<-tx.Done()
		if d := time.Since(net.begun); d != 32*time.Second {
			t.Errorf("lasted %v", d)
		}
		if err := tx.Respond(tx.NewResponse(200, "", nil)); !errors.Is(err, ErrTimeout) {
			t.Errorf("got %v", err)
		}
		if net.sent("200") != "" {
			t.Error("sent all the same")
		}
	})
}

func TestCancelOfTheCaller(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		net := newMemNet()
		txs := make(chan *ServerTx, 1)
		e := net.start(t, ourAddr, &Endpoint{OnRequest: func(_ *sip.Request, tx *ServerTx) {
			tx.Respond(tx.NewResponse(180, "", nil))
			txs <- tx
		}})
		defer e.Close()
		p := net.rawPeer()
		p.send(ask("INVITE", "z9hG4bK1", "a"))
		tx := <-txs
		p.send(ask("CANCEL", "z9hG4bK1", "a"))
		<-tx.Cancelled()
		if tx.Cancel() == nil {
			t.Error("no CANCEL to look at")
		}
		if err := tx.Respond(tx.NewResponse(200, "", nil)); !errors.Is(err, ErrCancelled) {
			t.Errorf("answered: %v", err)
		}
		synctest.Wait()
		if got := net.lines(); got != "INVITE 180 CANCEL 200 487" {
			t.Errorf("sent %s", got)
		}
		var tags []string
		for range 3 {
			tags = append(tags, line(p.next(), "To: "))
		}
		if tags[0] != tags[1] || tags[1] != tags[2] {
			t.Errorf("To tags %q", tags)
		}
		p.send(ask("CANCEL", "z9hG4bK1", "a")) // a copy: 200 again, no second 487
		synctest.Wait()
		if got := net.lines(); got != "INVITE 180 CANCEL 200 487 CANCEL 200" {
			t.Errorf("sent %s", got)
		}
	})
}

func TestCancelTooLate(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		net := newMemNet()
		e := net.start(t, ourAddr, &Endpoint{OnRequest: answer(200)})
		defer e.Close()
		p := net.rawPeer()
		p.send(ask("INVITE", "z9hG4bK1", "a"))
		synctest.Wait()
		p.send(ask("CANCEL", "z9hG4bK1", "a"))
		synctest.Wait()
		p.send(ask("CANCEL", "z9hG4bKother", "b"))
		synctest.Wait()
		if got := net.lines(); got != "INVITE 200 CANCEL 200 CANCEL 481" {
			t.Errorf("sent %s", got)
		}
	})
}

// Whatever the order of CANCEL and answer, one final response goes out and the
// user is told which.
func TestCancelRace(t *testing.T) {
	for range 200 {
		synctest.Test(t, func(t *testing.T) {
			net := newMemNet()
			result := make(chan error, 1)
			e := net.start(t, ourAddr, &Endpoint{OnRequest: func(_ *sip.Request, tx *ServerTx) {
				result <- tx.Respond(tx.NewResponse(200, "", nil))
			}})
			defer e.Close()
			p := net.rawPeer()
			p.send(ask("INVITE", "z9hG4bK1", "a"))
			p.send(ask("CANCEL", "z9hG4bK1", "a"))
			err := <-result
			synctest.Wait()
			var finals []string
			for range 2 {
				if res := p.next(); line(res, "CSeq: ") == "1 INVITE" {
					finals = append(finals, strings.Fields(res)[1])
				}
			}
			if err == nil && strings.Join(finals, " ") != "200" ||
				err != nil && (!errors.Is(err, ErrCancelled) || finals[0] != "487") {
				t.Errorf("%v, sent %s", err, finals)
			}
		})
	}
}

func TestOurCancel(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		net := newMemNet()
		e := net.start(t, ourAddr, &Endpoint{})
		defer e.Close()
		p := net.rawPeer()
		tx, err := e.Request(t.Context(), newRequest(sip.INVITE, "a"), peer)
		if err != nil {
			t.Fatal(err)
		}
		tx.Cancel(sip.NewHeader("Reason", "SIP;cause=200"))
		tx.Cancel()
		synctest.Wait()
		if got := net.lines(); got != "INVITE" { // RFC 3261 section 9.1
			t.Fatalf("before a provisional response: %s", got)
		}
		invite := p.next()
		p.send(reply(t, invite, 100))
		cancel := p.next()
		if !strings.HasPrefix(cancel, "CANCEL ") || line(cancel, "Via: ") != line(invite, "Via: ") ||
			line(cancel, "CSeq: ") != "1 CANCEL" || line(cancel, "Reason: ") == "" {
			t.Errorf("got %s", cancel)
		}
		p.send(reply(t, cancel, 200))
		p.send(reply(t, invite, 487))
		var codes []int
		for res := range tx.Responses() {
			codes = append(codes, res.StatusCode)
		}
		if len(codes) != 2 || codes[1] != 487 || tx.Err() != nil {
			t.Errorf("responses %v, %v", codes, tx.Err())
		}
		if !strings.HasPrefix(p.next(), "ACK ") {
			t.Error("no ACK")
		}
	})
}

func TestOurCancelWithoutAnswer(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		net := newMemNet()
		e := net.start(t, ourAddr, &Endpoint{})
		defer e.Close()
		p := net.rawPeer()
		tx, err := e.Request(t.Context(), newRequest(sip.INVITE, "a"), peer)
		if err != nil {
			t.Fatal(err)
		}
		p.send(reply(t, p.next(), 180))
		time.Sleep(10 * time.Second)
		tx.Cancel()
		<-tx.Done()
		if d := time.Since(net.begun); d != 42*time.Second || !errors.Is(tx.Err(), ErrTimeout) {
			t.Errorf("after %v: %v", d, tx.Err())
		}
		if got := net.sent("CANCEL"); got != "10 10.5 11.5 13.5 17.5 21.5 25.5 29.5 33.5 37.5 41.5" {
			t.Errorf("sent at %s", got)
		}
	})
}
