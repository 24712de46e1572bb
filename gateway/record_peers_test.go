//go:build peers && linux

package gateway_test

import (
	"fmt"
	"testing"
	"time"

	"github.com/trunkcast/trunkcast/gateway"
	"github.com/trunkcast/trunkcast/internal/peertest"
	"github.com/trunkcast/trunkcast/record"
)

// TestPeerRecord has the call of a softphone recorded by requests, twice, in
// its middle: ffmpeg and VLC play all of the files.
func TestPeerRecord(t *testing.T) {
	clip := peertest.MakeClip(t, peertest.ClipOptions{})
	r, events := recording(t, func(c *gateway.Config) { c.RTMPListen = "off" })
	phone := peertest.StartBaresip(t, peertest.BaresipOptions{Video: clip.Video, Audio: clip.Audio})
	phone.Dial(fmt.Sprintf("sip:100@%s", r.addr("pbx")))
	s := r.Bridge.Sessions()[0]
	eventually(t, "sound and picture", func() bool { return len(s.Stream().Tracks()) == 2 })
	time.Sleep(500 * time.Millisecond) // its middle
	var lengths []time.Duration
	for _, length := range []time.Duration{4 * time.Second, 2 * time.Second} {
		r.curl("/stream/startRecording", fmt.Sprintf(`{"mediaSessionId":%q,"config":{"fileTemplate":"{streamName}-{startTimeMillis}"}}`, s.ID()))
		eventually(t, "a key frame", func() bool { return len(s.Recordings()) == 1 && s.Recordings()[0].Stats().Frames > 0 })
		began := time.Now()
		time.Sleep(length)
		r.curl("/stream/stopRecording", fmt.Sprintf(`{"mediaSessionId":%q}`, s.ID()))
		lengths = append(lengths, time.Since(began))
	}
	phone.Hangup()
	eventually(t, "both files", func() bool { return len(events.of(record.PartFinished)) == len(lengths) })
	for i, e := range events.of(record.PartFinished) {
		m := peertest.MeasureFile(t, e.Path)
		t.Logf("measured: %v", m)
		m.Check(t, peertest.Expect{Width: 640, Height: 360, MinPairs: 1, AudioCodec: "opus"})
		if d := m.Median().Abs(); d > 80*time.Millisecond {
			t.Errorf("sound and picture are %v apart", d)
		}
		// What was in the jitter buffer when the request came is not there yet.
		if d := (e.Duration - lengths[i]).Abs(); d > 1500*time.Millisecond {
			t.Errorf("recorded %v of %v", e.Duration, lengths[i])
		}
		if d := (time.Duration(m.AudioSeconds*float64(time.Second)) - e.Duration).Abs(); d > 500*time.Millisecond {
			t.Errorf("%v of sound in %v", m.AudioSeconds, e.Duration)
		}
		if n := peertest.DecodeVLC(t, e.Path); n < m.Frames-peertest.VLCHeldBack {
			t.Errorf("VLC: %d pictures, ffmpeg %d", n, m.Frames)
		}
	}
}
