//go:build !linux

package rtpio

import (
	"errors"
	"net"
	"net/netip"
)

// polled: see poll_linux.go. Elsewhere a goroutine waits for the packets of
// each socket.
const polled = false

type poller struct{}

func newPoller(*net.UDPConn) (*poller, error) { return nil, errors.ErrUnsupported }

func (*poller) Close() error { return errors.ErrUnsupported }

func (*poller) WriteToUDPAddrPort([]byte, netip.AddrPort) (int, error) {
	return 0, errors.ErrUnsupported
}

func (r *reader) poll() {}
