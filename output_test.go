package trunkcast_test

import (
	"context"
	"sync/atomic"
	"testing"
	"time"

	"github.com/trunkcast/trunkcast"
	"github.com/trunkcast/trunkcast/media"
	"github.com/trunkcast/trunkcast/trunk/trunktest"
)

// curious is a direct sink that asks its session.
type curious struct {
	s      *trunkcast.Session
	frames atomic.Int32
	closed atomic.Int32
}

func (c *curious) Direct() bool { return true }

func (c *curious) WriteFrame(context.Context, *media.Frame) error {
	_ = c.s.Outputs()
	_ = c.s.Stats()
	c.frames.Add(1)
	return nil
}

func (c *curious) Close() error { c.closed.Add(1); return nil }

// TestSinkAsksItsSession has sinks that are called by who writes, from their
// first frame on, ask the session.
func TestSinkAsksItsSession(t *testing.T) {
	b := &trunkcast.Bridge{}
	addr := serve(t, b, nil)
	leg := trunktest.NewPeer(t, "udp").Establish(addr, "100")
	eventually(t, "session", func() bool { return len(b.Sessions()) == 1 })
	s := b.Sessions()[0]
	pcmu := &media.Track{Codec: media.PCMU, ClockRate: 8000, Channels: 1}
	stop := make(chan struct{})
	written := make(chan struct{})
	go func() { // as the caller's media would be
		defer close(written)
		s.Stream().ExpectVideo(false)
		for i := 0; ; i++ {
			at := time.Duration(i) * 20 * time.Millisecond
			if s.Stream().WriteFrame(context.Background(), &media.Frame{Track: pcmu, PTS: at, DTS: at, Data: [][]byte{make([]byte, 160)}}) != nil {
				return
			}
			select {
			case <-stop:
				return
			default:
			}
		}
	}()
	var sinks []*curious
	for i := range 200 {
		c := &curious{s: s}
		sinks = append(sinks, c)
		o, err := s.AddOutput(trunkcast.Target{Sink: c}) // all of one name
		if err != nil {
			t.Fatal(err)
		}
		if i%2 == 0 {
			_ = o.Close()
		}
	}
	last := sinks[len(sinks)-1]
	eventually(t, "sound as it came", func() bool { return last.frames.Load() > 0 })
	close(stop)
	<-written
	leg.Request("BYE", "", "")
	leg.Expect("BYE", 200)
	<-s.Done()
	for i, c := range sinks {
		if n := c.closed.Load(); n != 1 {
			t.Errorf("sink %d was closed %d times", i, n)
		}
	}
	last = &curious{s: s}
	if _, err := s.AddOutput(trunkcast.Target{Sink: last}); err == nil || last.closed.Load() != 1 {
		t.Errorf("after the end: %v, closed %d times", err, last.closed.Load())
	}
}
