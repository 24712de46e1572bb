package sipnet

import (
	"net"
	"net/netip"

	"golang.org/x/net/ipv4"
	"golang.org/x/net/ipv6"
)

// PacketConn is the UDP socket of an endpoint.
type PacketConn interface {
	// ReadPacket returns one datagram, who sent it, and the address of ours it
	// was sent to, which is not valid where the system does not tell. After
	// Close it returns [net.ErrClosed].
	ReadPacket(b []byte) (n int, remote netip.AddrPort, local netip.Addr, err error)
	// WritePacket sends b from local, or from the address the system chooses
	// if local is not valid or unspecified. It does not keep b.
	WritePacket(b []byte, local netip.Addr, to netip.AddrPort) error
	Close() error
}

// udpSocket is a socket of the system. One that listens on an unspecified
// address learns with each datagram which of our addresses it came to, and
// answers from there: a peer, or a firewall before it, takes nothing from
// another one.
type udpSocket struct {
	conn *net.UDPConn
	addr netip.AddrPort
	oob  []byte // of the one reader; nil if the address is not asked for
}

// udpBuffer is asked of the kernel for bursts of calls, in bytes.
const udpBuffer = 4 << 20

func listenUDP(at netip.AddrPort) (*udpSocket, error) {
	conn, err := net.ListenUDP(network("udp", at), net.UDPAddrFromAddrPort(at))
	if err != nil {
		return nil, err
	}
	// The kernel grants what it allows; less is no reason to fail.
	conn.SetReadBuffer(udpBuffer)
	conn.SetWriteBuffer(udpBuffer)
	s := &udpSocket{conn: conn, addr: addrOf(conn.LocalAddr())}
	if at.Addr().IsUnspecified() && s.askDestination() == nil {
		s.oob = make([]byte, 128)
	}
	return s, nil
}

func (s *udpSocket) askDestination() error {
	if s.addr.Addr().Is4() {
		return ipv4.NewPacketConn(s.conn).SetControlMessage(ipv4.FlagDst, true)
	}
	return ipv6.NewPacketConn(s.conn).SetControlMessage(ipv6.FlagDst, true)
}

func (s *udpSocket) ReadPacket(b []byte) (int, netip.AddrPort, netip.Addr, error) {
	if s.oob == nil {
		n, remote, err := s.conn.ReadFromUDPAddrPort(b)
		return n, unmap(remote), s.addr.Addr(), err
	}
	n, oobn, _, remote, err := s.conn.ReadMsgUDPAddrPort(b, s.oob)
	if err != nil {
		return 0, netip.AddrPort{}, netip.Addr{}, err
	}
	local, _ := netip.AddrFromSlice(s.destination(s.oob[:oobn]))
	if local = local.Unmap(); local.IsMulticast() || local == netip.AddrFrom4([4]byte{255, 255, 255, 255}) {
		local = netip.Addr{} // nothing to answer from
	}
	return n, unmap(remote), local, nil
}

func (s *udpSocket) destination(oob []byte) net.IP {
	if s.addr.Addr().Is4() {
		var cm ipv4.ControlMessage
		if cm.Parse(oob) != nil {
			return nil
		}
		return cm.Dst
	}
	var cm ipv6.ControlMessage
	if cm.Parse(oob) != nil {
		return nil
	}
	return cm.Dst
}

func (s *udpSocket) WritePacket(b []byte, local netip.Addr, to netip.AddrPort) error {
	if s.oob != nil && local.IsValid() && !local.IsUnspecified() {
		// An address that has gone since, or a broadcast one, is no source.
		if _, _, err := s.conn.WriteMsgUDPAddrPort(b, source(local), to); err == nil {
			return nil
		}
	}
	_, err := s.conn.WriteToUDPAddrPort(b, to)
	return err
}

// source is the control message that sets the source of a datagram. A socket
// of IPv6 takes that of IPv4 for a peer there.
func source(local netip.Addr) []byte {
	if local.Is4() {
		return (&ipv4.ControlMessage{Src: local.AsSlice()}).Marshal()
	}
	return (&ipv6.ControlMessage{Src: local.AsSlice()}).Marshal()
}

func (s *udpSocket) Close() error { return s.conn.Close() }
