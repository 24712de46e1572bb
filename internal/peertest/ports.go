//go:build linux

package peertest

import (
	"fmt"
	"math/rand/v2"
	"net"
	"testing"
)

// The peers' ports lie below the range from which the kernel takes ports for
// connections and port 0 (32768 up), so that nobody gets one in the time
// between its choice and the program's bind, and below the RTP ports that
// trunkcast takes by itself (20000 up).
const (
	firstPort = 10000
	lastPort  = 19999
)

// Loopback is the address of a port on 127.0.0.1.
func Loopback(port int) string { return fmt.Sprintf("127.0.0.1:%d", port) }

// Port returns a TCP and UDP port on 127.0.0.1 that is free, and stays
// reserved for the test against all test programs on this machine.
func Port(t testing.TB) int {
	t.Helper()
	return Ports(t, 1)
}

// Ports returns the first of n ports in a row, each as in [Port]. The first
// is even, as RTP wants it.
func Ports(t testing.TB, n int) int {
	t.Helper()
	const tries = 500
	for range tries {
		first := (firstPort + rand.IntN(lastPort-firstPort-n+1)) &^ 1
		if reserve(t, first, n) {
			return first
		}
	}
	t.Fatalf("no %d ports in a row are free for both TCP and UDP", n)
	return 0
}

// reserve takes ports and keeps them until the test ends.
func reserve(t testing.TB, first, n int) bool {
	var locks []net.Listener
	for port := first; port < first+n; port++ {
		lock := lockPort(port)
		if lock == nil {
			for _, l := range locks {
				_ = l.Close()
			}
			return false
		}
		locks = append(locks, lock)
	}
	t.Cleanup(func() {
		for _, l := range locks {
			_ = l.Close()
		}
	})
	return true
}

// lockPort reserves a port among test programs: the name of a Unix socket in
// Linux's abstract space can be had once, leaves no file, and is given back
// when its owner dies. It returns nil if the port is reserved or in use.
func lockPort(port int) net.Listener {
	lock, err := net.Listen("unix", fmt.Sprintf("@peertest-port-%d", port))
	if err != nil {
		return nil
	}
	addr := Loopback(port)
	l, err := net.Listen("tcp", addr)
	if err != nil {
		_ = lock.Close()
		return nil
	}
	c, err := net.ListenPacket("udp", addr)
	_ = l.Close()
	if err != nil {
		_ = lock.Close()
		return nil
	}
	_ = c.Close()
	return lock
}
