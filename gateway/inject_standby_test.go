package gateway_test

import (
	"testing"
	"time"

	"github.com/trunkcast/trunkcast"
	"github.com/trunkcast/trunkcast/gateway"
	"github.com/trunkcast/trunkcast/media/mediatest"
	"github.com/trunkcast/trunkcast/media/sdp"
)

// TestStandBy shows black pictures before and after an injection, and a clip
// in their place.
func TestStandBy(t *testing.T) {
	t.Parallel()
	g := injecting(t, func(c *gateway.Config) { c.StandBy = trunkcast.StandByBlack })
	clip := indexClip(t, demoClip)
	p := g.dial(nil)
	black := func(since time.Time) func() bool {
		return func() bool { got := p.pictures(since); return len(got) >= 5 && len(clip.positions(got)) == 0 }
	}
	eventually(t, "black pictures", black(time.Time{}))
	first := p.pictures(time.Time{})[0].frame
	if !first.Key || first.Track.Width != 640 || first.Track.Height != 360 {
		t.Errorf("the first is %dx%d, key %v", first.Track.Width, first.Track.Height, first.Key)
	}
	begun := time.Now()
	g.must("/call/inject_stream/startup", p.body(map[string]any{"streamName": "vod://clip.mp4"}))
	eventually(t, "the clip", func() bool { return len(clip.positions(p.pictures(begun))) > 20 })
	g.must("/call/inject_stream/terminate", p.body(nil))
	time.Sleep(500 * time.Millisecond)
	eventually(t, "black pictures again", black(time.Now()))
}

// TestStandBySize shows black pictures of the size that the caller sends, from
// when it is known on.
func TestStandBySize(t *testing.T) {
	t.Parallel()
	g := injecting(t, func(c *gateway.Config) { c.StandBy = trunkcast.StandByBlack })
	p := g.dial(nil)
	sized := func(width, height int) func() bool {
		return func() bool {
			got := p.pictures(time.Time{})
			if len(got) == 0 {
				return false
			}
			track := got[len(got)-1].frame.Track
			return track.Width == width && track.Height == height
		}
	}
	eventually(t, "pictures of the usual size", sized(640, 360))
	camera := &mediatest.Video{GOP: 25}
	begun := time.Now()
	for _, size := range [][2]int{{320, 240}, {572, 468}} {
		camera.Track = mediatest.H264Track(size[0], size[1])
		ok := sized(size[0], size[1])
		for deadline := time.Now().Add(20 * time.Second); !ok(); time.Sleep(40 * time.Millisecond) {
			if time.Now().After(deadline) {
				t.Fatalf("no pictures of %v", size)
			}
			camera.At = time.Since(begun)
			if err := p.media.WriteFrame(t.Context(), camera.Next()); err != nil {
				t.Fatal(err)
			}
		}
	}
	got := p.pictures(time.Time{})
	for i := 1; i < len(got); i++ {
		a, b := got[i-1].frame, got[i].frame
		if b.Track != a.Track && !b.Key {
			t.Errorf("picture %d is the first of its size and no key frame", i)
		}
		if b.PTS <= a.PTS || b.PTS > a.PTS+600*time.Millisecond {
			t.Errorf("picture %d is %v after the one before", i, b.PTS-a.PTS)
		}
	}
}

// TestStandByClip plays a clip while nothing is injected, and goes back to it.
func TestStandByClip(t *testing.T) {
	t.Parallel()
	g := injecting(t, func(c *gateway.Config) { c.StandBy = "vod://clip.mp4" })
	clip := indexClip(t, demoClip)
	p := g.dial(nil)
	seen := func(since time.Time) func() bool {
		return func() bool { return len(clip.positions(p.pictures(since))) > 20 }
	}
	eventually(t, "the clip", seen(time.Time{}))
	g.must("/call/inject_sound", p.body(map[string]any{"fileName": "clip.mp4"}))
	g.must("/call/inject_stream/terminate", p.body(nil))
	eventually(t, "the clip again", seen(time.Now()))
}

// TestEndStandBy shows black pictures when the source has ended, until the
// injection is stopped.
func TestEndStandBy(t *testing.T) {
	t.Parallel()
	g := injecting(t, nil)
	clip := indexClip(t, demoClip)
	p := g.dial(nil)
	i, err := p.session().Inject(t.Context(), "vod://clip.mp4", trunkcast.InjectOptions{
		AtEnd: trunkcast.EndStandBy, Start: 11500 * time.Millisecond,
	})
	if err != nil {
		t.Fatal(err)
	}
	eventually(t, "the end of the clip", func() bool { return len(clip.positions(p.pictures(time.Time{}))) >= 20 })
	time.Sleep(time.Second)
	ended := time.Now()
	eventually(t, "black pictures", func() bool { return len(p.pictures(ended)) > 3 })
	if n := len(clip.positions(p.pictures(ended))); n > 0 {
		t.Errorf("%d pictures of the clip after its end", n)
	}
	_ = i.Close()
	time.Sleep(500 * time.Millisecond)
	stopped := time.Now()
	time.Sleep(500 * time.Millisecond)
	if n := len(p.pictures(stopped)); n > 0 {
		t.Errorf("%d pictures after the end", n)
	}
}

// TestBlackPictures publishes a call without video with black pictures.
func TestBlackPictures(t *testing.T) {
	t.Parallel()
	var g *running
	cfg := gateway.Config{RTMPListen: "127.0.0.1:0", SIPListen: "127.0.0.1:0", BlackPictures: true}
	g = startGateway(t, cfg, gateway.Options{})
	p := g.dialTrunk("default", &sdp.Capabilities{Video: sdp.MediaCapabilities{Off: true}})
	if p.session().Agreed().Line(sdp.Video) != nil {
		t.Fatal("video agreed")
	}
	eventually(t, "the stream", func() bool { return len(g.streams()) == 1 })
	pictures(t, g.URL("live/rtmp_100"))
}
