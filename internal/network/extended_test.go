//go:build peers

package network

import (
	"context"
	"testing"
	"time"

	"github.com/trunkcast/trunkcast/internal/peertest"
	"github.com/trunkcast/trunkcast/media"
	"github.com/trunkcast/trunkcast/media/aac"
	"github.com/trunkcast/trunkcast/media/opus"
	"github.com/trunkcast/trunkcast/rtmp"
)

// later is a sink that gets everything at a later time.
type later struct {
	media.Sink
	by time.Duration
}

func (l later) WriteFrame(ctx context.Context, f *media.Frame) error {
	copied := *f
	copied.PTS += l.by
	copied.DTS += l.by
	return l.Sink.WriteFrame(ctx, &copied)
}

// TestPeerExtendedTimestamps publishes as a call does that has lasted for 4 h
// 39 min: its timestamps need more than 24 bits from 16,777,215 ms on.
func TestPeerExtendedTimestamps(t *testing.T) {
	const limit = 0xffffff * time.Millisecond
	t.Parallel()
	n := peertest.StartNginx(t)
	f := testFilm(t)
	for name, begin := range map[string]time.Duration{
		"before": limit - 8*time.Second, // a player is there when it happens
		"at":     16_777_200 * time.Millisecond,
	} {
		if name == "at" && !long {
			continue
		}
		t.Run(name, func(t *testing.T) {
			stream := &media.Stream{Codecs: []media.AudioCodec{aac.Codec{}, opus.Codec{}}}
			publisher := &rtmp.Publisher{URL: n.RTMPURL + "/live", StreamName: name}
			if _, err := stream.Attach(publisher, media.SinkOptions{Audio: []media.Codec{media.AAC}}); err != nil {
				t.Fatal(err)
			}
			ctx, cancel := context.WithCancel(t.Context())
			done := make(chan struct{})
			c := &camera{}
			c.film.Store(f)
			go func() {
				defer close(done)
				if err := c.run(ctx, later{stream, begin}); err != nil {
					t.Errorf("camera: %v", err)
				}
			}()
			defer func() {
				cancel()
				<-done
				_ = stream.Close()
			}()
			n.WaitStream(name, 30*time.Second)
			m := peertest.Watch(t, n.RTMPURL+"/live/"+name, 9*time.Second)
			t.Logf("measured: %v", m)
			m.Check(t, peertest.Expect{Width: 640, Height: 360, MinPairs: 4, MaxOffset: 80 * time.Millisecond, MaxGap: time.Second})
			first, last := timestamps(t, peertest.Rtmpdump(t, n.RTMPURL+"/live/"+name, 3*time.Second))
			t.Logf("measured: on the wire %v to %v", first, last)
			if first < limit || last > limit+10*time.Minute {
				t.Errorf("timestamps %v to %v", first, last)
			}
		})
	}
}
