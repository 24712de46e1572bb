package rtpio

import (
	"net"

	"golang.org/x/sys/unix"
)

// setReadBuffer sets the size of a socket's receive buffer and returns the size
// that the system granted, in bytes as SetReadBuffer counts them.
func setReadBuffer(c *net.UDPConn, size int) (granted int) {
	_ = c.SetReadBuffer(size) // up to net.core.rmem_max
	raw, err := c.SyscallConn()
	if err != nil {
		return 0
	}
	_ = raw.Control(func(fd uintptr) {
		if granted = readBuffer(int(fd)); granted < size { // beyond it, if we may
			_ = unix.SetsockoptInt(int(fd), unix.SOL_SOCKET, unix.SO_RCVBUFFORCE, size)
			granted = readBuffer(int(fd))
		}
	})
	return granted
}

// readBuffer is half of what the kernel says, which doubles what it is told to
// have room for its own (socket(7)).
func readBuffer(fd int) int {
	n, err := unix.GetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_RCVBUF)
	if err != nil {
		return 0
	}
	return n / 2
}
