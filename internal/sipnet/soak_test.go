package sipnet

import (
	"fmt"
	"math/rand/v2"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/emiago/sipgo/sip"
)

// With one datagram of seven lost, each request is still handed to the user
// once and gets its final response.
func TestLossyNetwork(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const calls = 300
		net := newMemNet()
		var handled atomic.Int32
		server := net.start(t, peerAddr, &Endpoint{OnRequest: func(req *sip.Request, tx *ServerTx) {
			handled.Add(1)
			code := 200
			if req.Method == sip.INVITE {
				code = 486
			}
			tx.Respond(tx.NewResponse(code, "", nil))
		}})
		client := net.start(t, ourAddr, &Endpoint{})
		random := rand.New(rand.NewPCG(1, 2))
		net.lose = func(packet) bool { return random.IntN(100) < 15 }
		var wg sync.WaitGroup
		for i := range calls {
			method := []sip.RequestMethod{sip.INVITE, sip.OPTIONS}[i%2]
			wg.Go(func() {
				tx, err := client.Request(t.Context(), newRequest(method, fmt.Sprint(i)), peer)
				if err != nil {
					t.Error(err)
					return
				}
				for range tx.Responses() {
				}
				if tx.Err() != nil {
					t.Errorf("%s %d: %v", method, i, tx.Err())
				}
			})
		}
		wg.Wait()
		if n := handled.Load(); n != calls {
			t.Errorf("%d requests handled of %d", n, calls)
		}
		// All timers are over after H and J at most.
		time.Sleep(70 * time.Second)
		synctest.Wait()
		for name, e := range map[string]*Endpoint{"server": server, "client": client} {
			s := e.Stats()
			if s.ServerTransactions+s.ClientTransactions != 0 || len(e.table.merges)+len(e.table.peers)+len(e.order.lanes) != 0 {
				t.Errorf("the %s keeps %+v, %d merge keys, %d peers, %d lanes", name, s,
					len(e.table.merges), len(e.table.peers), len(e.order.lanes))
			}
			e.Close()
		}
	})
}

// Callers of RFC 2543 send no branch: their retransmission, ACK and CANCEL
// are matched by the rest.
func TestWithoutBranch(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		net := newMemNet()
		var requests atomic.Int32
		e := net.start(t, ourAddr, &Endpoint{OnRequest: func(_ *sip.Request, tx *ServerTx) {
			if requests.Add(1); tx != nil && tx.Request().CallID().Value() == "busy" {
				tx.Respond(tx.NewResponse(486, "", nil))
			}
		}})
		defer e.Close()
		p := net.rawPeer()
		old := func(method, callID string) string {
			return strings.Replace(ask(method, "", callID), ";branch=", "", 1)
		}
		p.send(old("INVITE", "busy"))
		synctest.Wait()
		p.send(old("INVITE", "busy"))
		p.send(old("ACK", "busy"))
		synctest.Wait()
		if got := net.lines(); got != "INVITE 486 INVITE 486 ACK" && got != "INVITE 486 INVITE ACK 486" {
			t.Errorf("sent %s", got)
		}
		p.send(old("INVITE", "long"))
		synctest.Wait()
		p.send(old("CANCEL", "long"))
		synctest.Wait()
		if got := net.lines(); !strings.HasSuffix(got, "INVITE CANCEL 200 487") {
			t.Errorf("sent %s", got)
		}
		if requests.Load() != 2 {
			t.Errorf("%d requests", requests.Load())
		}
	})
}

// The response to a request over UDP goes where RFC 3261 section 18.2.2 and
// RFC 3581 say.
func TestWhereResponsesGo(t *testing.T) {
	for via, want := range map[string]string{
		"10.0.0.2":                        "10.0.0.2:5060",
		"10.0.0.2:5090":                   "10.0.0.2:5090",
		"10.0.0.2:5090;rport":             "10.0.0.2:5077",
		"192.168.1.1:5090":                "10.0.0.2:5090",
		"192.168.1.1:5090;rport":          "10.0.0.2:5077",
		"phone.example.com":               "10.0.0.2:5060",
		"10.0.0.2;received=10.9.9.9":      "10.0.0.2:5060",
		"10.0.0.2:5090;maddr=10.9.9.9":    "10.0.0.2:5090",
		"10.0.0.2;rport=1;received=1.2.3": "10.0.0.2:5077",
	} {
		t.Run(via, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				net := newMemNet()
				e := net.start(t, ourAddr, &Endpoint{OnRequest: answer(200)})
				defer e.Close()
				p := net.listen("10.0.0.2:5077")
				p.send(strings.Replace(ask("OPTIONS", "z9hG4bK1", "a"), "10.0.0.2;", via+";", 1))
				synctest.Wait()
				sent := net.seen[len(net.seen)-1]
				if sent.line != "200" || sent.to.String() != want {
					t.Errorf("%s to %s, want %s", sent.line, sent.to, want)
				}
				if own := strings.HasPrefix(via, "10.0.0.2") && !strings.Contains(via, "rport"); strings.Contains(sent.data, "received=10.0.0.2") == own {
					t.Errorf("received in %s", line(sent.data, "Via: "))
				}
			})
		})
	}
}

func BenchmarkParse(b *testing.B) {
	data := benchInvite()
	b.SetBytes(int64(len(data)))
	b.ReportAllocs()
	for b.Loop() {
		u := cutDatagram(data, 64<<10)
		if _, err := parse(u.head, u.body); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkFramer(b *testing.B) {
	data := benchInvite()
	f := &framer{maxHead: 64 << 10, maxBody: 256 << 10}
	b.SetBytes(int64(len(data)))
	b.ReportAllocs()
	for b.Loop() {
		f.fill(copy(f.space(), data))
		if _, ok := f.next(); !ok {
			b.Fatal("no message")
		}
	}
}

// BenchmarkTransaction is one OPTIONS and its 200 over loopback, client and
// server together.
func BenchmarkTransaction(b *testing.B) {
	for _, transport := range []string{"udp", "tcp"} {
		b.Run(transport, func(b *testing.B) {
			limits := Limits{Transactions: 1 << 30}
			server := start(b, &Endpoint{OnRequest: answer(200), Limits: limits})
			client := start(b, &Endpoint{})
			to := Target{Transport: transport, Addr: server.Addr()}
			b.ReportAllocs()
			n := 0
			for b.Loop() {
				n++
				tx, err := client.Request(b.Context(), newRequest(sip.OPTIONS, fmt.Sprint(n)), to)
				if err != nil {
					b.Fatal(err)
				}
				for range tx.Responses() {
				}
			}
		})
	}
}

func BenchmarkStranger(b *testing.B) {
	data := benchInvite()
	b.ReportAllocs()
	for b.Loop() {
		rejection(data, fuzzSource, func(string, string, string) string { return "tag" }, 403, "Forbidden")
	}
}

// benchInvite is an INVITE as a softphone sends it through a proxy.
func benchInvite() []byte {
	body := strings.Repeat("a=rtpmap:96 opus/48000/2\r\n", 40)
	return fmt.Appendf(nil, "INVITE sip:001201234@192.0.2.1:40000 SIP/2.0\r\n"+
		"Record-Route: <sip:192.0.2.9;lr;ftag=x>\r\n"+
		"Via: SIP/2.0/UDP 192.0.2.9;branch=z9hG4bK4d2e.1;rport\r\n"+
		"Via: SIP/2.0/UDP 192.0.2.20:5060;received=192.0.2.20;branch=z9hG4bK77ef;rport=5060\r\n"+
		"Max-Forwards: 69\r\nFrom: \"Alice\" <sip:alice@pbx.example.com>;tag=9fxced76sl\r\n"+
		"To: <sip:001201234@pbx.example.com>\r\nCall-ID: 3848276298220188511@pbx.example.com\r\n"+
		"CSeq: 2 INVITE\r\nContact: <sip:alice@192.0.2.20:5060;transport=udp>;expires=3600\r\n"+
		"Allow: INVITE,ACK,BYE,CANCEL,OPTIONS,NOTIFY,INFO,UPDATE\r\nSupported: replaces, timer\r\n"+
		"User-Agent: baresip\r\nContent-Type: application/sdp\r\nContent-Length: %d\r\n\r\n%s", len(body), body)
}
