package rtpio

import (
	"errors"
	"net"
	"net/netip"
	"os"
	"sync"
	"syscall"

	"golang.org/x/sys/unix"
)

// poller is a UDP socket that is read without waiting. The runtime's own
// poller does not know it: that would be woken by each packet, for nobody.
type poller struct {
	file *os.File // keeps the descriptor open while it is used
	raw  syscall.RawConn

	read  func(fd uintptr) bool // made once: a closure for each call would allocate
	batch *batch
	n     int

	sending sync.Mutex
	write   func(fd uintptr) bool
	out     []byte
	to      unix.Sockaddr
	to4     unix.SockaddrInet4
	to6     unix.SockaddrInet6
	inet6   bool // the socket's family
	err     error
}

// newPoller takes the socket of c over and closes c, or leaves it as it is
// and returns an error.
func newPoller(c *net.UDPConn) (*poller, error) {
	raw, err := c.SyscallConn()
	if err != nil {
		return nil, err
	}
	p := new(poller)
	var fd int
	var dupErr error
	if err := raw.Control(func(old uintptr) { fd, dupErr = p.adopt(int(old)) }); err != nil || dupErr != nil {
		return nil, errors.Join(err, dupErr)
	}
	p.file = os.NewFile(uintptr(fd), "udp")
	if p.raw, err = p.file.SyscallConn(); err != nil {
		_ = p.file.Close()
		return nil, err
	}
	_ = c.Close() // takes the socket out of the runtime's poller
	p.read = func(fd uintptr) bool {
		p.n = p.batch.receive(fd)
		return true // never wait
	}
	p.write = func(fd uintptr) bool {
		p.err = unix.Sendto(int(fd), p.out, unix.MSG_DONTWAIT|unix.MSG_NOSIGNAL, p.to)
		return true
	}
	return p, nil
}

// adopt returns a duplicate of a descriptor in blocking mode, which makes the
// os package leave it out of the runtime's poller. What reads and writes says
// itself that it does not wait.
func (p *poller) adopt(old int) (fd int, err error) {
	name, err := unix.Getsockname(old)
	if err != nil {
		return 0, err
	}
	_, p.inet6 = name.(*unix.SockaddrInet6)
	// Without timestamps packets count as read when they came.
	_ = unix.SetsockoptInt(old, unix.SOL_SOCKET, unix.SO_TIMESTAMPNS, 1)
	if fd, err = unix.FcntlInt(uintptr(old), unix.F_DUPFD_CLOEXEC, 0); err != nil {
		return 0, err
	}
	if err = unix.SetNonblock(fd, false); err != nil {
		_ = unix.Close(fd)
	}
	return fd, err
}

// Close closes the socket.
func (p *poller) Close() error { return p.file.Close() }

// WriteToUDPAddrPort is that of net.UDPConn, but does not wait: what the kernel
// has no room for is lost, as it would be on the way. The error is EAGAIN then.
func (p *poller) WriteToUDPAddrPort(b []byte, to netip.AddrPort) (int, error) {
	p.sending.Lock()
	defer p.sending.Unlock()
	if err := p.aim(to); err != nil {
		return 0, err
	}
	p.out = b
	err := net.ErrClosed // all that can keep p.write from being called
	if p.raw.Write(p.write) == nil {
		err = p.err
	}
	p.out = nil
	if err != nil {
		return 0, &net.OpError{Op: "write", Net: "udp", Addr: net.UDPAddrFromAddrPort(to), Err: err}
	}
	return len(b), nil
}

// aim sets the address of the next packet, in the socket's family.
func (p *poller) aim(to netip.AddrPort) error {
	addr := to.Addr()
	if p.inet6 {
		zone, err := zoneIndex(addr.Zone())
		if err != nil {
			return err
		}
		p.to6 = unix.SockaddrInet6{Port: int(to.Port()), Addr: addr.As16(), ZoneId: zone}
		p.to = &p.to6
		return nil
	}
	if addr = addr.Unmap(); !addr.Is4() {
		return &net.AddrError{Err: "IPv6 address for an IPv4 socket", Addr: to.String()}
	}
	p.to4 = unix.SockaddrInet4{Port: int(to.Port()), Addr: addr.As4()}
	p.to = &p.to4
	return nil
}
