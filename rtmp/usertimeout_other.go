//go:build !linux

package rtmp

import (
	"net"
	"time"
)

// giveUpAfter is for Linux. Elsewhere the kernel's own time-outs hold.
func giveUpAfter(*net.TCPConn, time.Duration) {}
