//go:build peers

package network

import (
	"context"
	"fmt"
	"io"
	"net"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/trunkcast/trunkcast"
	"github.com/trunkcast/trunkcast/internal/peertest"
	"github.com/trunkcast/trunkcast/media"
	"github.com/trunkcast/trunkcast/rtmp"
)

// What a slow reader and one behind a narrow line take, in bytes a second: less
// than a group of pictures, and half of what comes.
const (
	slowRate   = 20 << 10
	narrowRate = 60 << 10
)

// door is the way to a server. What clients send goes through, or is taken
// slowly, or not at all, once the first bytes have passed. It has no buffers,
// as those of a kernel may take a minute of a call.
type door struct {
	rate int // bytes a second after the first; 0: none
	free int // bytes that pass at once; below 0: all

	wg    sync.WaitGroup
	mu    sync.Mutex
	conns []net.Conn
}

func openDoor(t *testing.T, free, rate int) *door {
	d := &door{rate: rate, free: free}
	t.Cleanup(func() {
		d.mu.Lock()
		for _, c := range d.conns {
			_ = c.Close()
		}
		d.mu.Unlock()
		d.wg.Wait()
	})
	return d
}

// dial is the Dial of a publisher.
func (d *door) dial(ctx context.Context, network, addr string) (net.Conn, error) {
	out, err := (&net.Dialer{}).DialContext(ctx, network, addr)
	if err != nil {
		return nil, err
	}
	client, in := net.Pipe()
	d.mu.Lock()
	d.conns = append(d.conns, in, out)
	d.mu.Unlock()
	d.wg.Go(func() { _, _ = io.Copy(in, out) })
	d.wg.Go(func() { d.pass(out, in) })
	return client, nil
}

// pass copies what a client sends.
func (d *door) pass(out, in net.Conn) {
	if d.free < 0 {
		_, _ = io.Copy(out, in)
		return
	}
	_, err := io.CopyN(out, in, int64(d.free))
	for err == nil && d.rate > 0 {
		_, err = io.CopyN(out, in, int64(d.rate/20))
		time.Sleep(time.Second / 20)
	}
}

// lateness is a sink that notes how long after its time each frame comes, less
// what the jitter buffer holds it back: that grows and shrinks with what else
// the machine does, and the same for all.
type lateness struct {
	session *trunkcast.Session

	mu   sync.Mutex
	list []time.Duration
	held []time.Duration
}

func (l *lateness) WriteFrame(_ context.Context, f *media.Frame) error {
	now := time.Duration(time.Now().UnixNano())
	held := l.session.Stats().Quality().Delay
	l.mu.Lock()
	defer l.mu.Unlock()
	l.list, l.held = append(l.list, now-f.DTS-held), append(l.held, held)
	return nil
}

// spread are percentiles relative to the frame that came earliest of its call.
type spread []time.Duration

func (s spread) String() string {
	return fmt.Sprintf("%v (p50) %v (p95)", percentile(s, 50), percentile(s, 95))
}

func (l *lateness) spread() (s spread) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, d := range l.list {
		s = append(s, d-slices.Min(l.list))
	}
	return s
}

// longest is the greatest delay of the jitter buffer.
func (l *lateness) longest() time.Duration {
	l.mu.Lock()
	defer l.mu.Unlock()
	return slices.Max(l.held)
}

// client is a call that is also published through a door.
type client struct {
	*caller
	*lateness
	more *rtmp.Publisher
}

// TestPeerSlowServers publishes calls to a good server and also to one that
// reads slowly or not at all, beside calls with two good ones: the frames of
// all come alike, and their BYE is answered as soon. The callers of one behind a
// narrow line are told to send less.
func TestPeerSlowServers(t *testing.T) {
	const calls = 2 // of each kind
	n := peertest.StartNginx(t)
	f := testFilm(t)
	g := startGateway(t, n.RTMPURL+"/live")
	kinds := []string{"good", "hole", "slow", "narrow"}
	queues := []int{256 << 10, 256 << 10, 256 << 10, 48 << 10}
	doors := []*door{openDoor(t, -1, 0), openDoor(t, 50<<10, 0), openDoor(t, 50<<10, slowRate), openDoor(t, 50<<10, narrowRate)}
	clients := make([][]*client, len(kinds))
	for i := range calls * len(kinds) {
		k := i % len(kinds)
		number := fmt.Sprint(kinds[k], i/len(kinds))
		c := &client{caller: dial(t, g.addr(), number, f, nil), more: &rtmp.Publisher{URL: n.RTMPURL + "/live",
			StreamName: number + "-again", Dial: doors[k].dial, WriteTimeout: 3 * time.Second, MaxQueue: queues[k]}}
		n.WaitStream("rtmp_"+number, 30*time.Second)
		c.lateness = &lateness{session: g.session(number)}
		for _, sink := range []media.Sink{c.lateness, c.more} {
			if _, err := c.session.AddOutput(trunkcast.Target{Sink: sink, Name: "more"}); err != nil {
				t.Fatal(err)
			}
		}
		clients[k] = append(clients[k], c)
	}
	time.Sleep(8 * time.Second)
	spreads, byes := make([]spread, len(kinds)), make([]time.Duration, len(kinds))
	for k, list := range clients {
		dropped, held := uint64(0), time.Duration(0)
		for _, c := range list {
			held = max(held, c.longest())
			spreads[k] = append(spreads[k], c.spread()...)
			st := c.more.Stats()
			dropped += st.VideoDropped
			if st.Queued > queues[k]+200<<10 {
				t.Errorf("%s: %d bytes wait", kinds[k], st.Queued)
			}
			limit := c.media.Stats().Lines[1].Sent.RemoteLimit
			t.Logf("measured: %s: the caller was told %d bit/s", kinds[k], limit)
			// A slow one is mostly cut off before anything is known of it.
			if told := limit < maxBitRate/4; kinds[k] != "slow" && told != (kinds[k] == "narrow") || limit < narrowRate {
				t.Errorf("%s: the caller was told %d bit/s", kinds[k], limit)
			}
			byes[k] = max(byes[k], c.hangup())
		}
		t.Logf("measured: %s: %d frames come %v after the earliest; a jitter buffer of %v at most; BYE answered in %v at most; %d pictures dropped",
			kinds[k], len(spreads[k]), spreads[k], held, byes[k], dropped)
		if k > 0 && dropped == 0 {
			t.Errorf("%s: the server took everything", kinds[k])
		}
	}
	p50, p95 := percentile(spreads[0], 50), percentile(spreads[0], 95)
	if p95 > time.Second { // what waited for a dead server would be late by seconds, and all of it
		t.Errorf("frames come %v after the earliest", spreads[0])
	}
	for k := range kinds {
		if percentile(spreads[k], 50) > 2*p50+50*time.Millisecond || percentile(spreads[k], 95) > 3*p95+150*time.Millisecond {
			t.Errorf("%s: frames come %v after the earliest, those of good servers %v", kinds[k], spreads[k], spreads[0])
		}
		if byes[k] > 3*byes[0]+500*time.Millisecond {
			t.Errorf("%s: BYE answered in %v, with good servers in %v", kinds[k], byes[k], byes[0])
		}
	}
}
