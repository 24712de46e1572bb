package relay

import (
	"fmt"
	"net"
	"net/netip"
	"sync"
	"sync/atomic"
)

// Side is one of the two parties.
type Side int

// The parties: A is the caller, B the gateway, or whoever else.
const (
	A Side = iota
	B
)

// Options describe a relay.
type Options struct {
	FromA, FromB Impairments
	Seed         uint64
}

// Pair relays RTP and RTCP of one media stream: two ports towards each party.
// Where to send is learned from what a party sends, unless it is told by
// SetPeer.
type Pair struct {
	conns [2][2]*net.UDPConn // by side and channel
	peers [2][2]atomic.Pointer[netip.AddrPort]
	links [2]*Link // by the side that sends

	wg     sync.WaitGroup
	closed sync.Once
}

// The channels of a Pair.
const (
	channelRTP = iota
	channelRTCP
)

// NewPair opens the ports, on 127.0.0.1.
func NewPair(o Options) (*Pair, error) {
	p := &Pair{}
	for side := range p.conns {
		conns, err := listenPair()
		if err != nil {
			p.closeConns()
			return nil, err
		}
		p.conns[side] = conns
	}
	p.links[A] = NewLink(o.FromA, 2*o.Seed, p.sender(B))
	p.links[B] = NewLink(o.FromB, 2*o.Seed+1, p.sender(A))
	for side := range p.conns {
		for channel := range p.conns[side] {
			p.wg.Go(func() { p.read(Side(side), channel) })
		}
	}
	return p, nil
}

// listenPair opens an even port and the one after it.
func listenPair() (conns [2]*net.UDPConn, err error) {
	const tries = 100
	loopback := netip.MustParseAddr("127.0.0.1")
	for range tries {
		rtp, err := net.ListenUDP("udp", net.UDPAddrFromAddrPort(netip.AddrPortFrom(loopback, 0)))
		if err != nil {
			return conns, err
		}
		port := uint16(rtp.LocalAddr().(*net.UDPAddr).Port)
		if port%2 == 0 {
			rtcp, err := net.ListenUDP("udp", net.UDPAddrFromAddrPort(netip.AddrPortFrom(loopback, port+1)))
			if err == nil {
				return [2]*net.UDPConn{rtp, rtcp}, nil
			}
		}
		_ = rtp.Close()
	}
	return conns, fmt.Errorf("relay: no pair of ports in %d tries", tries)
}

// Addr is where the party sends its RTP; RTCP goes one port above.
func (p *Pair) Addr(side Side) netip.AddrPort {
	return p.conns[side][channelRTP].LocalAddr().(*net.UDPAddr).AddrPort()
}

// SetPeer tells where the party receives RTP; RTCP goes one port above. What
// it sends from elsewhere is passed on, but changes nothing.
func (p *Pair) SetPeer(side Side, rtp netip.AddrPort) {
	rtcp := netip.AddrPortFrom(rtp.Addr(), rtp.Port()+1)
	p.peers[side][channelRTP].Store(&rtp)
	p.peers[side][channelRTCP].Store(&rtcp)
}

// Set changes what happens to the packets from a party.
func (p *Pair) Set(from Side, i Impairments) { p.links[from].Set(i) }

// Stats counts the packets from a party.
func (p *Pair) Stats(from Side) Stats { return p.links[from].Stats() }

// Close ends the relay. It may be called again.
func (p *Pair) Close() {
	p.closed.Do(func() {
		p.closeConns()
		p.wg.Wait()
		p.links[A].Close()
		p.links[B].Close()
	})
}

func (p *Pair) closeConns() {
	for _, side := range p.conns {
		for _, c := range side {
			if c != nil {
				_ = c.Close()
			}
		}
	}
}

// read takes what a party sends.
func (p *Pair) read(side Side, channel int) {
	buf := make([]byte, 64<<10)
	for {
		n, from, err := p.conns[side][channel].ReadFromUDPAddrPort(buf)
		if err != nil { // closed: a socket that is not connected reports nothing else
			return
		}
		p.peers[side][channel].CompareAndSwap(nil, &from)
		p.links[side].Send(channel, append([]byte(nil), buf[:n]...))
	}
}

// sender writes to a party what the other one has sent.
func (p *Pair) sender(to Side) func(channel int, packet []byte) {
	return func(channel int, packet []byte) {
		if addr := p.peers[to][channel].Load(); addr != nil {
			// A party that has gone is its own business.
			_, _ = p.conns[to][channel].WriteToUDPAddrPort(packet, *addr)
		}
	}
}
