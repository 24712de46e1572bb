package trunk

import (
	"math/rand/v2"
	"net"
	"net/netip"
	"sync"
	"time"

	"github.com/trunkcast/trunkcast/internal/sipnet"
)

// wire is a network of datagrams in memory that delays, swaps and loses them,
// for tests in a synctest bubble: time passes there only while nobody waits
// for a socket of the system.
type wire struct {
	delay time.Duration // the longest; each datagram has one of its own
	lose  int           // of a thousand

	mu     sync.Mutex
	random *rand.Rand
	conns  map[netip.AddrPort]*wireConn
	sent   int
	lost   int
}

type wireConn struct {
	wire *wire
	addr netip.AddrPort
	in   chan datagram
	once sync.Once
	done chan struct{}
}

type datagram struct {
	from netip.AddrPort
	data []byte
}

func newWire(seed uint64, delay time.Duration, lose int) *wire {
	return &wire{delay: delay, lose: lose, random: rand.New(rand.NewPCG(seed, 0)), conns: map[netip.AddrPort]*wireConn{}}
}

func (w *wire) listen(at netip.AddrPort) sipnet.PacketConn {
	c := &wireConn{wire: w, addr: at, in: make(chan datagram, 1<<14), done: make(chan struct{})}
	w.mu.Lock()
	defer w.mu.Unlock()
	w.conns[at] = c
	return c
}

func (c *wireConn) ReadPacket(b []byte) (int, netip.AddrPort, netip.Addr, error) {
	select {
	case d := <-c.in:
		return copy(b, d.data), d.from, netip.Addr{}, nil
	case <-c.done:
		return 0, netip.AddrPort{}, netip.Addr{}, net.ErrClosed
	}
}

func (c *wireConn) WritePacket(b []byte, _ netip.Addr, to netip.AddrPort) error {
	w := c.wire
	w.mu.Lock()
	defer w.mu.Unlock()
	w.sent++
	peer := w.conns[to]
	if peer == nil || w.random.IntN(1000) < w.lose {
		w.lost++
		return nil
	}
	d := datagram{c.addr, append([]byte(nil), b...)}
	time.AfterFunc(time.Duration(w.random.Int64N(int64(w.delay)+1)), func() {
		select {
		case peer.in <- d:
		case <-peer.done:
		}
	})
	return nil
}

func (c *wireConn) Close() error {
	c.once.Do(func() { close(c.done) })
	return nil
}
