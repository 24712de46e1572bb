//go:build peers

package network

import (
	"context"
	"fmt"
	"io"
	"net"
	"sync"
	"testing"
	"time"

	"github.com/trunkcast/trunkcast"
	"github.com/trunkcast/trunkcast/internal/peertest"
	"github.com/trunkcast/trunkcast/media"
	"github.com/trunkcast/trunkcast/rtmp"
)

// slowRate is what a slow reader takes, in bytes a second.
const slowRate = 20 << 10

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

// lateness is a sink that notes how long after its time each frame comes.
type lateness struct {
	mu   sync.Mutex
	list []time.Duration
}

func (l *lateness) WriteFrame(_ context.Context, f *media.Frame) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.list = append(l.list, time.Duration(time.Now().UnixNano())-f.DTS)
	return nil
}

// percentile is relative to the earliest frame.
func (l *lateness) percentile(p int) time.Duration {
	l.mu.Lock()
	defer l.mu.Unlock()
	if len(l.list) == 0 {
		return 0
	}
	first := l.list[0]
	for _, d := range l.list {
		first = min(first, d)
	}
	var list []time.Duration
	for _, d := range l.list {
		list = append(list, d-first)
	}
	return percentile(list, p)
}

// TestPeerSlowServers publishes calls to a good server and also to one that
// reads slowly or not at all: the frames of the calls come as before, and the
// BYE is answered as soon.
func TestPeerSlowServers(t *testing.T) {
	const calls = 3
	n := peertest.StartNginx(t)
	f := makeFilm(t, 640, 360, 800_000, 1)
	g := startGateway(t, n.RTMPURL+"/live")
	measure := func(name string, d *door) (p50, p95, bye time.Duration) {
		t.Helper()
		var callers []*caller
		var frames []*lateness
		var bad []*rtmp.Publisher
		for i := range calls {
			number := fmt.Sprintf("%s%d", name, i)
			callers = append(callers, dial(t, g.addr(), number, f, nil))
			n.WaitStream("rtmp_"+number, 30*time.Second)
			s := g.session(number)
			l := &lateness{}
			p := &rtmp.Publisher{URL: n.RTMPURL + "/live", StreamName: number + "-again", Dial: d.dial,
				WriteTimeout: 3 * time.Second, MaxQueue: 256 << 10}
			for _, sink := range []media.Sink{l, p} {
				if _, err := s.AddOutput(trunkcast.Target{Sink: sink, Name: "more"}); err != nil {
					t.Fatal(err)
				}
			}
			frames, bad = append(frames, l), append(bad, p)
		}
		time.Sleep(8 * time.Second)
		dropped := uint64(0)
		for i, c := range callers {
			p50, p95 = max(p50, frames[i].percentile(50)), max(p95, frames[i].percentile(95))
			st := bad[i].Stats()
			dropped += st.VideoDropped
			if st.Queued > 256<<10+200<<10 {
				t.Errorf("%s: %d bytes wait", name, st.Queued)
			}
			bye = max(bye, c.hangup())
		}
		t.Logf("measured: %s: frames come %v after the earliest (p50), %v (p95); BYE answered in %v at most; %d pictures dropped",
			name, p50, p95, bye, dropped)
		if d.free >= 0 && dropped == 0 {
			t.Errorf("%s: the server took everything", name)
		}
		return p50, p95, bye
	}
	p50, p95, bye := measure("good", openDoor(t, -1, 0))
	for name, d := range map[string]*door{
		"hole": openDoor(t, 50<<10, 0),
		"slow": openDoor(t, 50<<10, slowRate),
	} {
		q50, q95, r := measure(name, d)
		// Generous: the jitter buffer grows when the machine has other things to do.
		if q50 > 2*p50+150*time.Millisecond || q95 > 3*p95+300*time.Millisecond {
			t.Errorf("%s: frames come after %v and %v, %v and %v before", name, q50, q95, p50, p95)
		}
		if r > 3*bye+500*time.Millisecond {
			t.Errorf("%s: BYE answered in %v, %v before", name, r, bye)
		}
	}
}
