package rtpio

import (
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/netip"
	"sync"
	"time"

	"github.com/trunkcast/trunkcast/media/sdp"
)

// Ports is a range of UDP ports for RTP (even) and RTCP (the odd one above).
// It is shared by the sessions of a trunk and safe for concurrent use. The
// zero value works.
type Ports struct {
	// First and Last bound the range, both included. Default 20000 to 29999,
	// which is below the ports that systems give to clients.
	First, Last int
	// Addr is the local address to bind. Default: all, IPv4 and IPv6.
	Addr netip.Addr
	// Quarantine is how long a pair rests after use, so that a new call does
	// not hear late packets of the old one. Default 10 s; negative: not at all.
	Quarantine time.Duration
	// ReadBuffer is the size of a socket's receive buffer in bytes, as far as
	// the system allows. Default 256 KiB for sound and RTCP, 1 MiB for pictures:
	// there it must hold the burst of a key frame. On Linux the size allowed is
	// net.core.rmem_max, except for processes with CAP_NET_ADMIN; below 512 KiB
	// a goroutine waits for the packets of pictures, which costs more.
	ReadBuffer int

	mu    sync.Mutex
	pairs []portState // indexed by (port-first)/2
	inUse int
}

const (
	defaultFirstPort  = 20000
	defaultLastPort   = 29999
	defaultQuarantine = 10 * time.Second
	defaultReadBuffer = 256 << 10
	pictureReadBuffer = 1 << 20
	// leastPolledBuffer holds 455 packets of 1200 bytes between two looks at the
	// socket, with what the kernel needs for each: a key frame of 500 KB.
	leastPolledBuffer = 512 << 10
)

type portState struct {
	used bool
	free time.Time // end of the quarantine
}

// portPair is a pair of open sockets.
type portPair struct {
	ports     *Ports
	index     int
	port      int // of RTP; RTCP is one above
	rtp, rtcp socket
}

// socket is a *net.UDPConn, whose packets a goroutine waits for, or a *poller.
type socket interface {
	io.Closer
	WriteToUDPAddrPort(b []byte, to netip.AddrPort) (int, error)
}

// bounds returns the first even port and the number of pairs.
func (p *Ports) bounds() (first, pairs int, err error) {
	first, last := p.First, p.Last
	if first == 0 && last == 0 {
		first, last = defaultFirstPort, defaultLastPort
	}
	if first < 1 || last > 65535 || first > last {
		return 0, 0, fmt.Errorf("rtpio: port range %d to %d: %w", p.First, p.Last, ErrNoPorts)
	}
	first += first & 1
	pairs = (last - first + 1) / 2
	if pairs < 1 {
		return 0, 0, fmt.Errorf("rtpio: port range %d to %d holds no even port with an odd one above: %w",
			p.First, p.Last, ErrNoPorts)
	}
	return first, pairs, nil
}

// InUse tells how many pairs are open now.
func (p *Ports) InUse() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.inUse
}

// open binds a pair, starting at a random place: neighbours in time are then
// rarely neighbours in ports, and a port is hard to guess. With poll the
// sockets are pollers, where that can be.
func (p *Ports) open(kind sdp.Kind, poll bool) (*portPair, error) {
	first, n, err := p.bounds()
	if err != nil {
		return nil, err
	}
	start := rand.IntN(n)
	foreign := 0
	for i := range n {
		index := (start + i) % n
		if !p.take(index, n, time.Now()) {
			continue
		}
		pp := &portPair{ports: p, index: index, port: first + 2*index}
		if err := pp.bind(kind, poll); err != nil {
			p.giveBack(index, time.Time{})
			if isConfigurationError(err) {
				return nil, fmt.Errorf("rtpio: RTP socket: %w", err)
			}
			foreign++
			continue
		}
		return pp, nil
	}
	return nil, fmt.Errorf("%w: %d pairs from port %d: %d in use here, %d taken by others, the rest in quarantine",
		ErrNoPorts, n, first, p.InUse(), foreign)
}

func (p *Ports) take(index, n int, now time.Time) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	if len(p.pairs) != n {
		p.pairs = make([]portState, n)
	}
	if s := &p.pairs[index]; s.used || now.Before(s.free) {
		return false
	}
	p.pairs[index].used = true
	p.inUse++
	return true
}

func (p *Ports) giveBack(index int, free time.Time) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.pairs[index].used {
		p.pairs[index] = portState{free: free}
		p.inUse--
	}
}

func (pp *portPair) bind(kind sdp.Kind, poll bool) (err error) {
	if pp.rtp, err = pp.ports.listen(pp.port, kind == sdp.Video, poll); err != nil {
		return err
	}
	if pp.rtcp, err = pp.ports.listen(pp.port+1, false, poll); err != nil {
		_ = pp.rtp.Close() // nothing was sent or received yet
	}
	return err
}

func (p *Ports) listen(port int, pictures, poll bool) (socket, error) {
	network, addr := "udp", &net.UDPAddr{Port: port}
	if p.Addr.IsValid() {
		addr = net.UDPAddrFromAddrPort(netip.AddrPortFrom(p.Addr, uint16(port)))
		if p.Addr.Unmap().Is4() {
			network = "udp4"
		}
	}
	c, err := net.ListenUDP(network, addr)
	if err != nil {
		return nil, err
	}
	size := defaultReadBuffer
	if pictures {
		size = pictureReadBuffer
	}
	if p.ReadBuffer > 0 {
		size = p.ReadBuffer
	}
	if granted := setReadBuffer(c, size); poll && (!pictures || granted >= leastPolledBuffer) {
		if p, err := newPoller(c); err == nil {
			return p, nil
		}
	}
	return c, nil
}

// stop closes the sockets; their readers end.
func (pp *portPair) stop() {
	_ = pp.rtp.Close()
	_ = pp.rtcp.Close()
}

// release begins the quarantine. It follows stop.
func (pp *portPair) release() {
	q := pp.ports.Quarantine
	if q == 0 {
		q = defaultQuarantine
	}
	pp.ports.giveBack(pp.index, time.Now().Add(max(q, 0)))
}
