package gateway_test

import (
	"net/http"
	"testing"
	"time"

	"github.com/trunkcast/trunkcast/gateway"
	"github.com/trunkcast/trunkcast/media/rtpio"
	"github.com/trunkcast/trunkcast/media/sdp"
)

// TestInjectFile plays a file into a call by REST: the caller gets its
// pictures, in their order and at their pace, and its sound; once it is
// stopped, nothing of it.
func TestInjectFile(t *testing.T) {
	t.Parallel()
	g := injecting(t, nil)
	clip := indexClip(t, demoClip)
	// The first sound is placed 0.3 s after pictures of its time until that is
	// slewed away, so a phone that gets no CPU for so long would put the pictures
	// after it: this one has time enough for them.
	p := g.dialWith(func(m *rtpio.Session) { m.JitterMin, m.JitterMax = time.Second, 2*time.Second })
	begun := time.Now()
	g.must("/call/inject_stream/startup", p.body(map[string]any{"streamName": "vod://clip.mp4"}))
	eventually(t, "50 pictures", func() bool { return len(p.pictures(begun)) >= 50 })
	got := p.pictures(begun)
	at := clip.positions(got)
	if len(at) < len(got)-1 || len(at) < 50 {
		t.Fatalf("%d of %d pictures are of the clip", len(at), len(got))
	}
	if at[0] > 40*time.Millisecond || !got[0].frame.Key {
		t.Errorf("the first picture is that of %v, key %v", at[0], got[0].frame.Key)
	}
	moved := p.session().Injection().Status().Moved // by a machine too busy to send in time
	odd := uint64(0)
	for i := 1; i < len(at); i++ {
		if at[i]-at[i-1] != 40*time.Millisecond {
			t.Errorf("after %v comes %v", at[i-1], at[i])
		}
		step := got[i].frame.PTS - got[i-1].frame.PTS
		if d := step - 40*time.Millisecond; d.Abs() > 5*time.Millisecond {
			t.Logf("timestamps of pictures %d are %v apart", i, step)
			odd++
		}
	}
	if odd > moved {
		t.Errorf("%d of %d pictures are not 40 ms apart, the schedule moved %d times", odd, len(at), moved)
	}
	if n := p.sounds(begun); n < 20 {
		t.Errorf("%d frames of sound", n)
	}
	if status, text := g.post("/call/inject_stream/startup", p.body(map[string]any{"streamName": "vod://clip.mp4"})); status != http.StatusConflict {
		t.Errorf("a second injection: %d %s", status, text)
	}
	g.must("/call/inject_stream/terminate", p.body(nil))
	time.Sleep(1500 * time.Millisecond) // what is in the jitter buffer
	stopped := time.Now()
	time.Sleep(time.Second)
	if n, m := len(p.pictures(stopped)), p.sounds(stopped); n > 0 || m > 0 {
		t.Errorf("%d pictures and %d sounds after the end", n, m)
	}
	if status, _ := g.post("/call/inject_stream/terminate", p.body(nil)); status != http.StatusNotFound {
		t.Errorf("a second end: %d", status)
	}
}

// TestInjectRecvOnly has a trunk that only wants to receive: it sends for the
// time of the injection.
func TestInjectRecvOnly(t *testing.T) {
	t.Parallel()
	g := injecting(t, func(c *gateway.Config) {
		c.Trunks[0].SDP = "m=audio 7270 RTP/AVP 96\na=rtpmap:96 opus/48000/2\na=recvonly\n" +
			"m=video 9202 RTP/AVP 96\na=rtpmap:96 H264/90000\na=recvonly\n"
	})
	p := g.dial(nil)
	direction := func() sdp.Direction { return p.session().Agreed().Line(sdp.Video).Direction }
	if d := direction(); d != sdp.RecvOnly {
		t.Fatalf("direction before: %v", d)
	}
	begun := time.Now()
	g.must("/call/inject_stream/startup", p.body(map[string]any{"streamName": "vod://clip.mp4"}))
	if d := direction(); d != sdp.SendRecv {
		t.Errorf("direction meanwhile: %v", d)
	}
	eventually(t, "25 pictures", func() bool { return len(p.pictures(begun)) >= 25 })
	g.must("/call/inject_stream/terminate", p.body(nil))
	if d := direction(); d != sdp.RecvOnly {
		t.Errorf("direction after: %v", d)
	}
}
