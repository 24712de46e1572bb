//go:build !linux

package rtpio

import "net"

// polled: see poll_linux.go. Elsewhere a goroutine waits for the packets of
// each socket.
const polled = false

type poller struct{}

func newPoller(*net.UDPConn) (*poller, error) { return nil, nil }

func (r *reader) poll() {}
