package rtpio

import (
	"errors"
	"net"
	"net/netip"
	"time"

	"github.com/pion/rtcp"
	"github.com/pion/rtp"
)

// maxDatagram bounds what is read: packets on their way through the internet
// are below 1500 bytes; longer ones are cut and counted as malformed.
const maxDatagram = 2048

// reader reads one socket of a line, by poll or by run. Its buffers are used
// again and again: the receiver copies what it keeps.
type reader struct {
	l      *line
	conn   *net.UDPConn // nil if it is polled
	poller *poller
	out    [maxDatagram]byte // repeated packets
	packet rtp.Packet
	raw    []rtcp.RawPacket
}

// run is the goroutine that waits for packets where they are not polled.
func (r *reader) run() {
	var buf [maxDatagram]byte
	for failures := 0; ; {
		n, from, err := r.conn.ReadFromUDPAddrPort(buf[:])
		if err != nil {
			// Errors other than the close come from ICMP or a lack of memory
			// and concern one datagram.
			if failures++; errors.Is(err, net.ErrClosed) || failures > 100 {
				return
			}
			continue
		}
		failures = 0
		r.datagram(buf[:n], netip.AddrPortFrom(from.Addr().Unmap(), from.Port()), time.Now())
	}
}

func (r *reader) datagram(b []byte, from netip.AddrPort, now time.Time) {
	s := r.l.s
	if len(b) == maxDatagram {
		s.malformed.Add(1)
		return
	}
	switch classify(b) {
	case classRTP:
		r.rtp(b, from, now)
	case classRTCP:
		r.rtcp(b, from, now)
	case classSTUN:
		s.stun.Add(1)
	case classDTLS:
		s.dtls.Add(1)
	default:
		s.malformed.Add(1)
	}
}

// rtp takes one RTP packet: decrypted first, so that nothing a stranger made
// up reaches the lock or the receiver.
func (r *reader) rtp(b []byte, from netip.AddrPort, now time.Time) {
	s, l := r.l.s, r.l
	c := l.agreed.Load()
	if c == nil || c.recv == nil || len(c.recv.Formats()) == 0 {
		return
	}
	if c.secure {
		var err error
		if c.in == nil {
			return
		}
		if b, err = c.in.decryptRTP(b, &r.packet.Header); err != nil {
			s.unauthentic.Add(1)
			return
		}
	}
	if err := r.packet.Unmarshal(b); err != nil {
		s.malformed.Add(1)
		return
	}
	s.mu.Lock()
	if c.recv.Lookup(r.packet.PayloadType) == nil {
		// It proves nothing about its sender.
		if from == l.latch.locked {
			s.receiver.Packet(l.index, &r.packet, now)
		}
		s.mu.Unlock()
		s.foreign.Add(1)
		return
	}
	ok, moved := l.latch.accept(from, r.packet.SSRC, r.packet.SequenceNumber, now)
	if ok {
		s.lastIn = now
		s.receiver.Packet(l.index, &r.packet, now)
		s.rouse(now)
	}
	first := moved && !l.told
	l.told = l.told || moved
	// With SRTP the source may change with every packet.
	tell := moved && now.Sub(l.logged) >= time.Second
	if tell {
		l.logged = now
	}
	s.mu.Unlock()
	if !ok {
		s.foreign.Add(1)
		return
	}
	if tell {
		s.log.Info("media source", "kind", l.kind, "line", l.index, "remote_addr", from, "ssrc", r.packet.SSRC)
	}
	if first && s.OnMedia != nil {
		s.guard("OnMedia", func() { s.OnMedia(l.kind, from) })
	}
}
