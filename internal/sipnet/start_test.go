package sipnet

import (
	"context"
	"errors"
	"net/netip"
	"sync"
	"testing"
	"time"
)

// Close may come while Start is under way: one of them wins, and no socket is
// left open.
func TestCloseMeetsStart(t *testing.T) {
	for i := range 200 {
		e := &Endpoint{Listen: netip.MustParseAddrPort("127.0.0.1:0")}
		var wg sync.WaitGroup
		var err error
		wg.Go(func() { err = e.Start(context.Background()) })
		time.Sleep(time.Duration(i%20) * 10 * time.Microsecond) // any order
		e.Close()
		wg.Wait()
		if err != nil && !errors.Is(err, ErrClosed) {
			t.Fatal(err)
		}
		if err != nil {
			continue
		}
		again, err := listenUDP(e.Addr())
		if err != nil {
			t.Fatalf("the port is still open: %v", err)
		}
		again.Close()
	}
}
