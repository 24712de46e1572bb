// Package trunktest is the far side of a trunk for tests: a [Peer] is a raw
// user agent on loopback that sends what it is told, right or wrong, and shows
// what comes back; a [Leg] is one dialog of it; a [Negotiator] stands for the
// media of a call.
//
//	p := trunktest.NewPeer(t, "udp")
//	leg := p.Invite(server, "001201234", trunktest.Offer)
//	leg.Expect("INVITE", 200)
//	leg.ACK("")
//	leg.Request("BYE", "", "")
//	leg.Expect("BYE", 200)
//
// Nothing is sent by itself but the ACK to a failure, and over UDP the 200 of
// Accept again until its ACK comes: a datagram may get lost on a busy machine.
// Retransmissions of requests are shown once.
package trunktest

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"net/netip"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"
)

// Patience bounds each wait of a Peer, generously, for loaded machines.
const Patience = 15 * time.Second

// Offer is a session description to call with.
const Offer = "v=0\r\no=peer 1 1 IN IP4 127.0.0.1\r\ns=-\r\nc=IN IP4 127.0.0.1\r\nt=0 0\r\nm=audio 40000 RTP/AVP 8\r\n"

// Peer is a raw user agent on a port of loopback, over UDP or TCP. Its methods
// end the test when something that must come does not.
type Peer struct {
	t         testing.TB
	transport string
	addr      netip.AddrPort
	udp       *net.UDPConn
	tcp       net.Listener
	in        chan *Message

	mu    sync.Mutex
	conns map[netip.AddrPort]net.Conn // by remote address
	kept  []*Message                  // that came and nobody has asked for yet
	seen  map[string]bool             // requests, by method and branch
	acked map[string]chan struct{}    // closed by the ACK; by Call-ID, of those that Accept waits for
	done  chan struct{}               // closed by Close
	once  sync.Once
}

// NewPeer opens a port until the test ends.
func NewPeer(t testing.TB, transport string) *Peer {
	t.Helper()
	p := &Peer{t: t, transport: transport, in: make(chan *Message, 4096), conns: map[netip.AddrPort]net.Conn{}, seen: map[string]bool{},
		acked: map[string]chan struct{}{}, done: make(chan struct{})}
	var err error
	if transport == "tcp" {
		if p.tcp, err = net.Listen("tcp4", "127.0.0.1:0"); err == nil {
			p.addr = netip.MustParseAddrPort(p.tcp.Addr().String())
			go p.accept()
		}
	} else {
		if p.udp, err = net.ListenUDP("udp4", &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1)}); err == nil {
			p.addr = netip.MustParseAddrPort(p.udp.LocalAddr().String())
			go p.receive()
		}
	}
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(p.Close)
	return p
}

// Addr is where the Peer listens.
func (p *Peer) Addr() netip.AddrPort { return p.addr }

// Close closes the port and all connections.
func (p *Peer) Close() {
	p.once.Do(func() { close(p.done) })
	if p.udp != nil {
		p.udp.Close()
	}
	if p.tcp != nil {
		p.tcp.Close()
	}
	p.CloseConns()
}

// CloseConns closes the connections that are open.
func (p *Peer) CloseConns() {
	p.mu.Lock()
	defer p.mu.Unlock()
	for a, c := range p.conns {
		c.Close()
		delete(p.conns, a)
	}
}

func (p *Peer) receive() {
	b := make([]byte, 65536)
	for {
		n, from, err := p.udp.ReadFromUDPAddrPort(b)
		if err != nil {
			return
		}
		if m := parse(string(b[:n])); m != nil {
			m.From = from
			p.take(m)
		}
	}
}

// take puts a message where Next finds it.
func (p *Peer) take(m *Message) {
	if m.Method != "" && m.Method != "ACK" {
		key := m.Method + param(m.Header("Via"), "branch")
		p.mu.Lock()
		again := p.seen[key]
		p.seen[key] = true
		p.mu.Unlock()
		if again {
			return
		}
	}
	if m.Method == "ACK" {
		p.mu.Lock()
		if c := p.acked[m.Header("Call-ID")]; c != nil {
			close(c)
			delete(p.acked, m.Header("Call-ID"))
		}
		p.mu.Unlock()
	}
	p.in <- m
}

func (p *Peer) accept() {
	for {
		c, err := p.tcp.Accept()
		if err != nil {
			return
		}
		p.keep(c)
	}
}

func (p *Peer) keep(c net.Conn) netip.AddrPort {
	at := netip.MustParseAddrPort(c.RemoteAddr().String())
	p.mu.Lock()
	p.conns[at] = c
	p.mu.Unlock()
	go p.readConn(c, at)
	return at
}

func (p *Peer) readConn(c net.Conn, at netip.AddrPort) {
	r := bufio.NewReader(c)
	for {
		var head strings.Builder
		for !strings.HasSuffix(head.String(), "\r\n\r\n") {
			line, err := r.ReadString('\n')
			if err != nil {
				return
			}
			if head.Len() == 0 && line == "\r\n" {
				continue
			}
			head.WriteString(line)
		}
		m := parse(head.String())
		if m == nil {
			return
		}
		n, _ := strconv.Atoi(m.Header("Content-Length"))
		body := make([]byte, n)
		if _, err := io.ReadFull(r, body); err != nil {
			return
		}
		m.Body, m.From = string(body), at
		p.take(m)
	}
}

// Send sends text as it is. Over TCP it takes the connection to that address,
// or makes one.
func (p *Peer) Send(to netip.AddrPort, text string) {
	p.t.Helper()
	if p.udp != nil {
		if _, err := p.udp.WriteToUDPAddrPort([]byte(text), to); err != nil {
			p.t.Fatal(err)
		}
		return
	}
	p.mu.Lock()
	c := p.conns[to]
	p.mu.Unlock()
	if c == nil {
		var err error
		if c, err = net.Dial("tcp4", to.String()); err != nil {
			p.t.Fatal(err)
		}
		p.keep(c)
	}
	if _, err := io.WriteString(c, text); err != nil {
		p.t.Fatal(err)
	}
}

// Next waits for a message of which f is true; the others are kept for later.
func (p *Peer) Next(what string, f func(*Message) bool) *Message {
	p.t.Helper()
	if m := p.Try(Patience, f); m != nil {
		return m
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	var list strings.Builder
	for _, m := range p.kept {
		list.WriteString("\n  " + m.Line + "  CSeq " + m.Header("CSeq"))
	}
	p.t.Fatalf("%s: nothing came in %v; other messages:%s", what, Patience, list.String())
	return nil
}

// Try is Next without an end of the test: nil if nothing comes in d.
func (p *Peer) Try(d time.Duration, f func(*Message) bool) *Message {
	p.mu.Lock()
	for i, m := range p.kept {
		if f(m) {
			p.kept = append(p.kept[:i], p.kept[i+1:]...)
			p.mu.Unlock()
			return m
		}
	}
	p.mu.Unlock()
	timer := time.NewTimer(d)
	defer timer.Stop()
	for {
		select {
		case m := <-p.in:
			if f(m) {
				return m
			}
			p.mu.Lock()
			p.kept = append(p.kept, m)
			p.mu.Unlock()
		case <-timer.C:
			return nil
		}
	}
}

// Request waits for a request of that method.
func (p *Peer) Request(method string) *Message {
	p.t.Helper()
	return p.Next("a "+method, func(m *Message) bool { return m.Method == method })
}

// Response sends a response to a request. A To without a tag gets tag; extra
// are header lines with their ends. A retransmission gets it by another call.
func (p *Peer) Response(req *Message, code int, tag, extra, body string) {
	p.t.Helper()
	p.Send(req.From, response(req, code, tag, extra, body))
}

func response(req *Message, code int, tag, extra, body string) string {
	var b strings.Builder
	fmt.Fprintf(&b, "SIP/2.0 %d Test\r\n", code)
	for _, name := range []string{"Via", "Record-Route", "From", "To", "Call-ID", "CSeq"} {
		for _, v := range req.Headers(name) {
			if name == "To" && tag != "" && !strings.Contains(v, "tag=") {
				v += ";tag=" + tag
			}
			b.WriteString(name + ": " + v + "\r\n")
		}
	}
	b.WriteString(extra)
	writeBody(&b, body)
	return b.String()
}

// repeat calls send twice a second until the ACK of a call comes (RFC 3261
// section 13.3.1.4).
func (p *Peer) repeat(callID string, send func()) {
	if p.udp == nil {
		return
	}
	acked := make(chan struct{})
	p.mu.Lock()
	p.acked[callID] = acked
	p.mu.Unlock()
	go func() {
		tick := time.NewTicker(500 * time.Millisecond)
		defer tick.Stop()
		for range 30 {
			select {
			case <-tick.C:
				send()
			case <-acked:
				return
			case <-p.done:
				return
			}
		}
	}()
}

// Contact is the value of the Peer's Contact.
func (p *Peer) Contact() string {
	if p.transport == "tcp" {
		return fmt.Sprintf("<sip:peer@%s;transport=tcp>", p.addr)
	}
	return fmt.Sprintf("<sip:peer@%s>", p.addr)
}

func writeBody(b *strings.Builder, body string) {
	if body != "" && !strings.Contains(strings.ToLower(b.String()), "content-type:") {
		b.WriteString("Content-Type: application/sdp\r\n")
	}
	fmt.Fprintf(b, "Content-Length: %d\r\n\r\n%s", len(body), body)
}
