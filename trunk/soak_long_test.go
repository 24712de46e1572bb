//go:build long

package trunk

import (
	"os"
	"testing"
	"time"
)

// Ten thousand calls at 50 a second over the system's sockets, with CANCEL, BYE
// and re-INVITE at random moments: none fails, and 35 s after the last
// goroutines, descriptors and heap are back at the start.
func TestTenThousandCallsAtRandom(t *testing.T) {
	for _, transport := range []string{"udp", "tcp"} {
		t.Run(transport, func(t *testing.T) {
			const calls = 10_000
			k := newSoak(t, 11, 50, transport, nil)
			k.warmUp()
			heap, goroutines := heldNow()
			open := descriptors(t)
			k.run(calls)
			k.check(calls)
			after, n := heldNow()
			if n > goroutines {
				t.Errorf("%d goroutines, %d at the start", n, goroutines)
			}
			if got := descriptors(t); got > open {
				t.Errorf("%d descriptors, %d at the start", got, open)
			}
			if after > heap+maxHeapGrowth {
				t.Errorf("%d KB of heap, %d KB at the start", after>>10, heap>>10)
			}
			t.Logf("heap %d KB, %d KB at the start", after>>10, heap>>10)
		})
	}
}

// warmUp makes what stays for good: the connection between both, pools.
func (k *soak) warmUp() {
	for i := range 20 {
		k.call(i)
	}
	time.Sleep(35 * time.Second)
	k.mu.Lock()
	defer k.mu.Unlock()
	k.served = 0
	clear(k.seen)
}

// descriptors counts what this process has open.
func descriptors(t *testing.T) int {
	list, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		t.Skip("no list of descriptors on this system: ", err)
	}
	return len(list)
}
