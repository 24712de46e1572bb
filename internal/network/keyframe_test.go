//go:build peers

package network

import (
	"context"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/emiago/sipgo/sip"

	"github.com/trunkcast/trunkcast"
	"github.com/trunkcast/trunkcast/internal/peertest"
	"github.com/trunkcast/trunkcast/media"
	"github.com/trunkcast/trunkcast/media/rtpio"
	"github.com/trunkcast/trunkcast/media/sdp"
	"github.com/trunkcast/trunkcast/trunk"
)

// firstPicture is a server that notes whether the first picture that it got is
// a key frame.
type firstPicture struct {
	came, key atomic.Bool
}

func (p *firstPicture) server() *server {
	return &server{picture: func(_ time.Duration, units [][]byte) {
		for _, nal := range units {
			if kind := nal[0] & 0x1f; (kind == 1 || kind == 5) && !p.came.Swap(true) {
				p.key.Store(kind == 5)
			}
		}
	}}
}

// TestPeerDeafCaller: a caller whose camera has begun long before, that knows
// neither PLI nor FIR and sends no key frame by itself, is asked by SIP INFO,
// until it sends one: at the start and for a server that comes later. No server
// gets a picture before.
func TestPeerDeafCaller(t *testing.T) {
	t.Parallel()
	f := testFilm(t)
	var first, later firstPicture
	g := startGateway(t, first.server().listen(t), func(c *trunk.Config) { c.KeyFrameInterval = -1 })
	c := connect(t, g.addr(), "100", func(s *rtpio.Session) {
		s.Caps = &sdp.Capabilities{FeedbackOff: sdp.Feedback{NACK: true, PLI: true, FIR: true, TMMBR: true, REMB: true}}
	})
	var asked atomic.Int64
	c.call.OnInfo(func(req *sip.Request) {
		if strings.Contains(string(req.Body()), "picture_fast_update") && asked.Add(1)%2 == 0 {
			c.camera.asked.Store(true) // it heeds only every other one
		}
	})
	c.send(func(ctx context.Context) error { return f.withoutKeys(ctx, c.camera, c.media) })
	peertest.Eventually(t, 30*time.Second, "a picture at the server", first.came.Load)
	if !first.key.Load() || asked.Load() < 2 {
		t.Errorf("the first picture is a key frame: %v; asked %d times", first.key.Load(), asked.Load())
	}
	time.Sleep(500 * time.Millisecond) // what was on its way
	before := asked.Load()
	time.Sleep(2500 * time.Millisecond)
	if n := asked.Load(); n != before {
		t.Errorf("asked %d times more with the key frame there", n-before)
	}
	if _, err := g.session("100").AddOutput(trunkcast.Target{URL: later.server().listen(t), StreamName: "later"}); err != nil {
		t.Fatal(err)
	}
	peertest.Eventually(t, 30*time.Second, "a picture at the server that came later", later.came.Load)
	if !later.key.Load() || asked.Load() < before+2 {
		t.Errorf("the first picture is a key frame: %v; asked %d times more", later.key.Load(), asked.Load()-before)
	}
	if n := c.media.Stats().Lines[1].Sent.KeyRequests; n != 0 {
		t.Errorf("%d requests by RTCP, which was not agreed", n)
	}
}

// withoutKeys plays a film, from its second picture on and without its key
// frames but for those that the camera is asked for.
func (f *film) withoutKeys(ctx context.Context, c *camera, sink media.Sink) error {
	tick := time.NewTicker(frameTime)
	defer tick.Stop()
	for n := 1; ; n++ {
		picture := *f.takes[0][n%roundFrames]
		picture.PTS = time.Duration(n) * frameTime
		picture.DTS = picture.PTS
		if !picture.Key || c.asked.Swap(false) {
			if err := sink.WriteFrame(ctx, &picture); err != nil && ctx.Err() == nil {
				return err
			}
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return nil
		}
	}
}
