package gateway

import (
	"net"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/trunkcast/trunkcast/media/mediatest"
	"github.com/trunkcast/trunkcast/rtmp"
)

// TestEmbeddedSink: a name that is published from outside is taken as soon as
// it is free, and the states are those of a publisher.
func TestEmbeddedSink(t *testing.T) {
	g := &Gateway{RTMP: &rtmp.Server{}, RTMPAddr: &net.TCPAddr{IP: net.IPv4(127, 0, 0, 1), Port: 1935}}
	defer g.RTMP.Close()
	other, err := g.RTMP.Publish("live/x", nil)
	if err != nil {
		t.Fatal(err)
	}
	var mu sync.Mutex
	var states []rtmp.State
	asked := 0
	s, err := g.newEmbeddedSink("live/x", func() { asked++ }, func(st rtmp.State, _ error) {
		mu.Lock()
		defer mu.Unlock()
		states = append(states, st)
	})
	if err != nil {
		t.Fatal(err)
	}
	frames := mediatest.Merge(time.Second, &mediatest.Video{})
	if err := s.WriteFrame(t.Context(), frames[0]); err != nil {
		t.Errorf("while in use: %v", err)
	}
	other.Close()
	s.mu.Lock()
	s.retryAt = time.Now()
	s.mu.Unlock()
	for _, f := range frames {
		if err := s.WriteFrame(t.Context(), f); err != nil {
			t.Fatal(err)
		}
	}
	st := s.Stats()
	if st.State != rtmp.Live || st.URL != "rtmp://127.0.0.1:1935/live/x" || st.VideoDropped != 1 || st.VideoFrames != uint64(len(frames)) || asked == 0 {
		t.Errorf("stats %+v, asked %d", st, asked)
	}
	if len(g.RTMP.List()) != 1 {
		t.Errorf("streams %v", g.RTMP.List())
	}
	for range 2 {
		if err := s.Close(); err != nil {
			t.Errorf("Close: %v", err)
		}
	}
	if !slices.Equal(states, []rtmp.State{rtmp.Waiting, rtmp.Live, rtmp.Closed}) || len(g.RTMP.List()) != 0 {
		t.Errorf("states %v, streams %v", states, g.RTMP.List())
	}
}
