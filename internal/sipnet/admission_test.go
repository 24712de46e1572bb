package sipnet

import (
	"context"
	"net"
	"net/netip"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/emiago/sipgo/sip"
)

func TestStrangers(t *testing.T) {
	for _, tt := range []struct {
		verdict Verdict
		want    string
	}{{Refuse, "403"}, {Silent, ""}} {
		t.Run(tt.want, func(t *testing.T) {
			var verdict, asked atomic.Int32
			verdict.Store(int32(tt.verdict))
			e := start(t, &Endpoint{
				Admit: func(remote netip.AddrPort, transport string) Verdict {
					asked.Add(1)
					if remote.Addr() != loopback.Addr() || transport != "udp" && transport != "tcp" {
						t.Errorf("asked for %s %s", transport, remote)
					}
					return Verdict(verdict.Load())
				},
				OnRequest: answer(200),
			})
			p := rawUDP(t, e)
			p.Write([]byte(probe("udp", "1")))
			p.Write([]byte("ACK" + probe("udp", "2")[len("OPTIONS"):]))
			p.Write([]byte("SIP/2.0 200 OK\r\n\r\n"))
			if tt.want != "" {
				res := readUDP(t, p)
				if !strings.HasPrefix(res, "SIP/2.0 403 Forbidden\r\n") || !strings.Contains(line(res, "To: "), ";tag=") ||
					line(res, "CSeq: ") != "1 OPTIONS" || line(res, "Call-ID: ") != "1" {
					t.Errorf("got %s", res)
				}
			}
			poll(t, func() bool { return e.Stats().Refused == 3 })
			verdict.Store(int32(Accept))
			p.Write([]byte(probe("udp", "3")))
			if res := readUDP(t, p); !strings.HasPrefix(res, "SIP/2.0 200 ") || line(res, "Call-ID: ") != "3" {
				t.Errorf("then %s", res)
			}
			if s := e.Stats(); s.Refused != 3 || s.ServerTransactions != 1 || s.Received != 1 {
				t.Errorf("%+v", s)
			}
			if asked.Load() != 4 {
				t.Errorf("asked %d times", asked.Load())
			}

			verdict.Store(int32(tt.verdict))
			rawTCP(t, e).closed(t)

			// Let in, then out again: the next message ends the connection.
			verdict.Store(int32(Accept))
			c := rawTCP(t, e)
			c.send(t, probe("tcp", "4"))
			c.read(t)
			verdict.Store(int32(tt.verdict))
			c.send(t, probe("tcp", "5"))
			c.closed(t)
		})
	}
}

func TestRefusalsAreLimited(t *testing.T) {
	e := start(t, &Endpoint{
		Limits:    Limits{RefusalsPerS: 1},
		Admit:     func(netip.AddrPort, string) Verdict { return Refuse },
		OnRequest: answer(200),
	})
	p := rawUDP(t, e)
	for range 50 {
		p.Write([]byte(probe("udp", "1")))
	}
	poll(t, func() bool { return e.Stats().Refused == 50 })
	if s := e.Stats(); s.Sent > 3 {
		t.Errorf("%d refusals sent", s.Sent)
	}
}

// poll waits until f is true.
func poll(t testing.TB, f func() bool) {
	t.Helper()
	for end := time.Now().Add(patience); !f(); {
		if time.Now().After(end) {
			t.Fatal("never came true")
		}
		time.Sleep(time.Millisecond)
	}
}

// Whom we asked may answer though Admit would not let him in.
func TestAskedMayAnswer(t *testing.T) {
	server := start(t, &Endpoint{OnRequest: answer(200)})
	client := start(t, &Endpoint{Admit: func(netip.AddrPort, string) Verdict { return Silent }})
	tx, err := client.Request(context.Background(), newRequest(sip.OPTIONS, "a"), Target{Addr: server.Addr()})
	if err != nil {
		t.Fatal(err)
	}
	if res := get(t, tx.Responses(), "response"); res.StatusCode != 200 {
		t.Errorf("got %d", res.StatusCode)
	}
}

// Keep-alives, STUN and noise get no answer and do no harm.
func TestNoSIP(t *testing.T) {
	e := start(t, &Endpoint{OnRequest: answer(200)})
	p := rawUDP(t, e)
	stun := append([]byte{0, 1, 0, 0, 0x21, 0x12, 0xa4, 0x42}, make([]byte, 12)...)
	for _, noise := range [][]byte{{}, []byte("\r\n"), []byte("\r\n\r\n"), {0}, stun, []byte("hello"),
		[]byte("GET / HTTP/1.1\r\n\r\n"), []byte("jaK\r\n\r\n"), make([]byte, 60000)} {
		p.Write(noise)
	}
	p.Write([]byte("\r\n\r\n" + probe("udp", "1")))
	if res := readUDP(t, p); !strings.HasPrefix(res, "SIP/2.0 200 ") {
		t.Errorf("got %s", res)
	}
	poll(t, func() bool { return e.Stats().Sent > 0 }) // it is counted once it is away
	if s := e.Stats(); s.Sent != 1 || s.Ignored != 5 {
		t.Errorf("%+v", s)
	}
}

func TestTooManyTransactions(t *testing.T) {
	e := start(t, &Endpoint{Limits: Limits{Transactions: 2}, OnRequest: answer(200)})
	p := rawUDP(t, e)
	for _, branch := range []string{"1", "2"} {
		p.Write([]byte(probe("udp", branch)))
		readUDP(t, p)
	}
	p.Write([]byte(probe("udp", "3")))
	if res := readUDP(t, p); !strings.HasPrefix(res, "SIP/2.0 503 ") || line(res, "Retry-After: ") == "" {
		t.Errorf("got %s", res)
	}
	p.Write([]byte(probe("udp", "1"))) // what is known is still answered
	if res := readUDP(t, p); !strings.HasPrefix(res, "SIP/2.0 200 ") {
		t.Errorf("got %s", res)
	}
}

func TestTooManyConnections(t *testing.T) {
	for name, limits := range map[string]Limits{"all": {Connections: 2}, "one address": {PerAddress: 2}} {
		t.Run(name, func(t *testing.T) {
			e := start(t, &Endpoint{Limits: limits, OnRequest: answer(200)})
			first, second := rawTCP(t, e), rawTCP(t, e)
			for _, c := range []*tcpPeer{first, second} {
				c.send(t, probe("tcp", "1"+c.LocalAddr().String()))
				c.read(t)
			}
			rawTCP(t, e).closed(t)
			first.Close()
			poll(t, func() bool { return e.Stats().Connections == 1 })
			third := rawTCP(t, e)
			third.send(t, probe("tcp", "3"))
			third.read(t)
		})
	}
}

func TestLargeDatagrams(t *testing.T) {
	got := make(chan int, 1)
	e := start(t, &Endpoint{OnRequest: func(req *sip.Request, tx *ServerTx) {
		got <- len(req.Body())
		tx.Respond(tx.NewResponse(200, "", req.Body()))
	}})
	client := start(t, &Endpoint{})
	for _, size := range []int{4 << 10, 60 << 10} {
		req := newRequest(sip.MESSAGE, "large")
		req.CSeq().SeqNo = uint32(size)
		req.SetBody([]byte(strings.Repeat("x", size)))
		tx, err := client.Request(context.Background(), req, Target{Addr: e.Addr()})
		if err != nil {
			t.Fatal(err)
		}
		if n := get(t, got, "request"); n != size {
			t.Errorf("%d of %d bytes", n, size)
		}
		if res := get(t, tx.Responses(), "response"); len(res.Body()) != size {
			t.Errorf("%d of %d bytes back", len(res.Body()), size)
		}
	}
	req := newRequest(sip.MESSAGE, "too large")
	req.SetBody(make([]byte, 70000))
	if _, err := client.Request(context.Background(), req, Target{Addr: e.Addr()}); err == nil {
		t.Error("sent 70000 bytes")
	}
}

// Above 1300 bytes TryTCP goes over TCP, and over UDP when nobody listens.
func TestTryTCP(t *testing.T) {
	transports := make(chan string, 1)
	server := start(t, &Endpoint{OnRequest: func(req *sip.Request, tx *ServerTx) {
		transports <- tx.Flow().Transport() + " " + req.Via().Transport
		answer(200)(req, tx)
	}})
	udpOnly, err := net.ListenUDP("udp", net.UDPAddrFromAddrPort(loopback))
	if err != nil {
		t.Fatal(err)
	}
	defer udpOnly.Close()
	client := start(t, &Endpoint{})
	send := func(size int, to Target) *ClientTx {
		req := newRequest(sip.MESSAGE, "a")
		req.SetBody([]byte(strings.Repeat("x", size)))
		tx, err := client.Request(context.Background(), req, to)
		if err != nil {
			t.Fatal(err)
		}
		return tx
	}
	for size, want := range map[int]string{100: "udp UDP", 2000: "tcp TCP"} {
		send(size, Target{Addr: server.Addr(), TryTCP: true})
		if got := get(t, transports, "request"); got != want {
			t.Errorf("%d bytes over %s", size, got)
		}
	}
	send(2000, Target{Addr: server.Addr()})
	if got := get(t, transports, "request"); got != "udp UDP" {
		t.Errorf("without TryTCP over %s", got)
	}
	tx := send(2000, Target{Addr: addrOf(udpOnly.LocalAddr()), TryTCP: true})
	if text := readUDP(t, udpOnly); !strings.Contains(text, "Via: SIP/2.0/UDP ") {
		t.Errorf("got %s", text)
	}
	tx.Terminate()
}
