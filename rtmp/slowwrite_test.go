package rtmp

import (
	"net"
	"testing"
	"testing/synctest"
	"time"
)

// TestSlowPeer: a peer that takes little is not taken for dead while it takes
// something, and what it took is counted as it goes; one that takes nothing is.
func TestSlowPeer(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const timeout, size = 10 * time.Second, 1 << 20
		near, far := net.Pipe()
		c := newConn(near, nil, 1<<20, timeout)
		defer c.close()
		began := time.Now()
		_ = c.send(4, 9, 1, 0, make([]byte, size))
		buf := make([]byte, 4<<10)
		took := 0
		for took < size {
			time.Sleep(time.Second) // 32 kbit/s
			n, err := far.Read(buf)
			if err != nil {
				t.Fatalf("cut off after %d bytes in %v: %v", took, time.Since(began), err)
			}
			took += n
			if got := int(c.bytesSent()); got > took || got < took-writePortion-len(buf) {
				t.Fatalf("%d bytes counted of %d", got, took)
			}
		}
		_ = c.send(4, 9, 1, 0, make([]byte, size))
		time.Sleep(timeout + time.Second)
		if c.begin() == nil {
			c.end()
			t.Error("a peer that takes nothing is not cut off")
		}
	})
}
