package sipnet

import (
	"context"
	"fmt"
	"net"
	"net/netip"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/emiago/sipgo/sip"
)

// memNet is a network of datagrams in memory, for tests in a synctest bubble,
// where time passes by itself only while nobody waits for a real socket.
type memNet struct {
	mu    sync.Mutex
	conns map[netip.AddrPort]*memConn
	lose  func(p packet) bool // nil: nothing
	seen  []packet
	begun time.Time
}

// packet is one datagram that was sent, lost or not.
type packet struct {
	at       time.Duration
	from, to netip.AddrPort
	line     string // method or status
	data     string
}

func newMemNet() *memNet {
	return &memNet{conns: map[netip.AddrPort]*memConn{}, begun: time.Now()}
}

type memConn struct {
	net  *memNet
	addr netip.AddrPort
	in   chan packet
	once sync.Once
	done chan struct{}
}

func (n *memNet) listen(addr string) *memConn {
	c := &memConn{net: n, addr: netip.MustParseAddrPort(addr), in: make(chan packet, 1000), done: make(chan struct{})}
	n.mu.Lock()
	defer n.mu.Unlock()
	n.conns[c.addr] = c
	return c
}

// start runs e on the network until the end of the test function.
func (n *memNet) start(t *testing.T, addr string, e *Endpoint) *Endpoint {
	t.Helper()
	c := n.listen(addr)
	e.Listen, e.Packets = c.addr, c
	if err := e.Start(context.Background()); err != nil {
		t.Fatal(err)
	}
	return e
}

func (c *memConn) ReadPacket(b []byte) (int, netip.AddrPort, netip.Addr, error) {
	select {
	case p := <-c.in:
		return copy(b, p.data), p.from, netip.Addr{}, nil
	case <-c.done:
		return 0, netip.AddrPort{}, netip.Addr{}, net.ErrClosed
	}
}

func (c *memConn) WritePacket(b []byte, _ netip.Addr, to netip.AddrPort) error {
	p := packet{at: time.Since(c.net.begun), from: c.addr, to: to, data: string(b)}
	fields := strings.Fields(p.data)
	p.line = fields[0]
	if p.line == "SIP/2.0" {
		p.line = fields[1]
	}
	c.net.mu.Lock()
	defer c.net.mu.Unlock()
	c.net.seen = append(c.net.seen, p)
	if peer := c.net.conns[to]; peer != nil && (c.net.lose == nil || !c.net.lose(p)) {
		peer.in <- p
	}
	return nil
}

func (c *memConn) Close() error {
	c.once.Do(func() { close(c.done) })
	return nil
}

// sent tells when the datagrams that begin with line were sent, in seconds.
func (n *memNet) sent(line string) string {
	n.mu.Lock()
	defer n.mu.Unlock()
	var list []string
	for _, p := range n.seen {
		if p.line == line {
			list = append(list, fmt.Sprint(p.at.Seconds()))
		}
	}
	return strings.Join(list, " ")
}

// lines tells all that was sent, in order.
func (n *memNet) lines() string {
	n.mu.Lock()
	defer n.mu.Unlock()
	var list []string
	for _, p := range n.seen {
		list = append(list, p.line)
	}
	return strings.Join(list, " ")
}

const (
	ourAddr  = "10.0.0.1:5060"
	peerAddr = "10.0.0.2:5060"
)

var peer = Target{Addr: netip.MustParseAddrPort(peerAddr)}

// rawPeer is a peer on the network that speaks bytes.
func (n *memNet) rawPeer() *memConn { return n.listen(peerAddr) }

func (c *memConn) send(text string) {
	c.WritePacket([]byte(text), netip.Addr{}, netip.MustParseAddrPort(ourAddr))
}

// next is the next datagram that came, empty if none comes in a minute.
func (c *memConn) next() string {
	select {
	case p := <-c.in:
		return p.data
	case <-time.After(time.Minute):
		return ""
	}
}

// reply makes the response to a request of ours.
func reply(t *testing.T, request string, code int) string {
	t.Helper()
	u := cutDatagram([]byte(request), 1<<16)
	msg, err := parse(u.head, u.body)
	if err != nil {
		t.Fatal(err)
	}
	return newResponse(msg.(*sip.Request), "peer", code, "", nil).String()
}

// ask is a request of the peer.
func ask(method, branch, callID string) string {
	return method + " sip:us@10.0.0.1 SIP/2.0\r\n" +
		"Via: SIP/2.0/UDP 10.0.0.2;branch=" + branch + "\r\n" +
		"From: <sip:a@example.com>;tag=a\r\nTo: <sip:us@example.com>\r\nCall-ID: " + callID + "\r\n" +
		"CSeq: 1 " + method + "\r\nContent-Length: 0\r\n\r\n"
}
