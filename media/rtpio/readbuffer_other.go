//go:build !linux

package rtpio

import "net"

// setReadBuffer sets the size of a socket's receive buffer. What the system
// grants matters where sockets are polled only.
func setReadBuffer(c *net.UDPConn, size int) (granted int) {
	_ = c.SetReadBuffer(size)
	return 0
}
