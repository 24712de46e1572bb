package relay

import (
	"net"
	"net/netip"
	"strconv"
	"strings"
	"testing"
	"time"
)

// party is a socket of a test.
type party struct {
	t *testing.T
	c *net.UDPConn
}

func newParty(t *testing.T) party {
	t.Helper()
	conns, err := listenPair()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = conns[0].Close()
		_ = conns[1].Close()
	})
	return party{t, conns[0]}
}

func (p party) addr() netip.AddrPort { return p.c.LocalAddr().(*net.UDPAddr).AddrPort() }

func (p party) send(to netip.AddrPort, text string) {
	p.t.Helper()
	if _, err := p.c.WriteToUDPAddrPort([]byte(text), to); err != nil {
		p.t.Fatal(err)
	}
}

func (p party) receive() (string, netip.AddrPort) {
	p.t.Helper()
	_ = p.c.SetReadDeadline(time.Now().Add(20 * time.Second))
	buf := make([]byte, 64<<10)
	n, from, err := p.c.ReadFromUDPAddrPort(buf)
	if err != nil {
		p.t.Fatal(err)
	}
	return string(buf[:n]), from
}

// The addresses are learned from A and told for B.
func TestPair(t *testing.T) {
	p, err := NewPair(Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer p.Close()
	a, b := newParty(t), newParty(t)
	p.SetPeer(B, b.addr())
	a.send(p.Addr(A), "to B")
	text, from := b.receive()
	if text != "to B" || from != p.Addr(B) {
		t.Errorf("%q from %v", text, from)
	}
	b.send(p.Addr(B), "to A")
	if text, from := a.receive(); text != "to A" || from != p.Addr(A) {
		t.Errorf("%q from %v", text, from)
	}
	if s := p.Stats(A); s.Received != 1 || s.Sent != 1 {
		t.Errorf("%+v", s)
	}
	p.Set(B, Impairments{Loss: 1})
	b.send(p.Addr(B), "lost")
	p.Close()
	p.Close()
	if s := p.Stats(B); s.Lost > 1 || s.Sent != 1 {
		t.Errorf("%+v", s)
	}
}

func TestSIP(t *testing.T) {
	caller, gateway := newParty(t), newParty(t)
	s, err := NewSIP(gateway.addr(), Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	media := [2]party{newParty(t), newParty(t)}
	message := func(first, contact string, port uint16) string {
		sdp := "v=0\r\no=- 1 1 IN IP4 127.0.0.1\r\ns=-\r\nc=IN IP4 127.0.0.1\r\nt=0 0\r\nm=audio " +
			strconv.Itoa(int(port)) + " RTP/AVP 8\r\na=rtcp:9\r\nm=video 0 RTP/AVP 96\r\n"
		return first + "\r\nVia: SIP/2.0/UDP x;branch=z9hG4bK1\r\nCall-ID: one@x\r\nContact: <sip:u@" + contact +
			";transport=udp>\r\nContent-Type: application/sdp\r\nContent-Length: 999\r\n\r\n" + sdp
	}
	caller.send(s.Addr(), message("INVITE sip:100@x SIP/2.0", caller.addr().String(), media[A].addr().Port()))
	invite, from := gateway.receive()
	if from != s.addr(B) {
		t.Errorf("from %v", from)
	}
	pairs := s.Pairs()
	if len(pairs) != 1 {
		t.Fatalf("%d pairs", len(pairs))
	}
	wantMessage(t, invite, "INVITE sip:100@x SIP/2.0\r\nVia: SIP/2.0/UDP x;branch=z9hG4bK1\r\n",
		"Contact: <sip:u@"+s.addr(B).String()+";transport=udp>", pairs[0].Addr(B))

	gateway.send(from, message("SIP/2.0 200 OK", gateway.addr().String(), media[B].addr().Port()))
	ok, _ := caller.receive()
	wantMessage(t, ok, "SIP/2.0 200 OK\r\n", "Contact: <sip:u@"+s.addr(A).String()+";transport=udp>", pairs[0].Addr(A))

	media[A].send(pairs[0].Addr(A), "sound of A")
	if text, from := media[B].receive(); text != "sound of A" || from != pairs[0].Addr(B) {
		t.Errorf("%q from %v", text, from)
	}
	media[B].send(pairs[0].Addr(B), "sound of B")
	if text, from := media[A].receive(); text != "sound of B" || from != pairs[0].Addr(A) {
		t.Errorf("%q from %v", text, from)
	}
	if again := s.Pairs(); len(again) != 1 {
		t.Errorf("%d pairs", len(again))
	}
}

// wantMessage looks at the parts that the relay changes, and at the length.
func wantMessage(t *testing.T, got, begin, contact string, media netip.AddrPort) {
	t.Helper()
	head, body, _ := strings.Cut(got, "\r\n\r\n")
	_, port, _ := strings.Cut(media.String(), ":")
	for _, want := range []string{contact, "Content-Length: " + strconv.Itoa(len(body)), "Call-ID: one@x"} {
		if !strings.Contains(head, want) {
			t.Errorf("%q is missing in\n%s", want, got)
		}
	}
	if !strings.HasPrefix(got, begin) || !strings.Contains(body, "m=audio "+port+" RTP/AVP 8\r\nm=video 0 RTP/AVP 96\r\n") {
		t.Errorf("got\n%s", got)
	}
}

// What the gateway says of an unknown call, and garbage, goes nowhere.
func FuzzSIP(f *testing.F) {
	f.Add(false, []byte("INVITE sip:a SIP/2.0\r\ni: 1\r\nm: <sip:a@1.2.3.4:5>\r\nl: 0\r\n\r\nv=0\r\nc=IN IP4 1.2.3.4\r\nm=audio 5 RTP/AVP 8\r\n"))
	f.Add(true, []byte("SIP/2.0 200 OK\r\nCall-ID: 1\r\n\r\n"))
	f.Fuzz(func(t *testing.T, fromGateway bool, message []byte) {
		side := A
		if fromGateway {
			side = B
		}
		s := &SIP{gateway: netip.MustParseAddrPort("127.0.0.1:9"), calls: map[string]*sipCall{}}
		for i := range s.conns {
			c, err := net.ListenUDP("udp", &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1)})
			if err != nil {
				t.Fatal(err)
			}
			s.conns[i] = c
		}
		defer s.Close()
		out, to := s.pass(side, netip.MustParseAddrPort("127.0.0.1:8"), message)
		if fromGateway && to.IsValid() {
			t.Errorf("%q went to %v", message, to)
		}
		if len(out) > 4*len(message)+maxLines*100+1000 {
			t.Errorf("%d bytes became %d", len(message), len(out))
		}
	})
}
