package rtpio

import (
	"bytes"
	"testing"
	"time"

	"github.com/trunkcast/trunkcast/media"
)

// TestSoundThatOverlaps has the times of sound go back by 200 ms, as a writer's
// do that was held up between the schedule and the write. Nothing goes back on
// the wire, and the sound that follows is on its time again.
func TestSoundThatOverlaps(t *testing.T) {
	t.Parallel()
	p := newPhone(t, 1)
	s := &Session{}
	p.call(s, audioLine)
	track := &media.Track{Codec: media.PCMU, ClockRate: 8000, Channels: 1}
	const frame = 20 * time.Millisecond
	var sent []time.Duration
	for i := range 10 {
		sent = append(sent, time.Duration(i)*frame)
	}
	for i := range 20 {
		sent = append(sent, time.Duration(i)*frame)
	}
	for i, pts := range sent {
		f := &media.Frame{Track: track, PTS: pts, DTS: pts, Data: [][]byte{bytes.Repeat([]byte{byte(i)}, 160)}}
		if err := s.WriteFrame(t.Context(), f); err != nil {
			t.Fatal(err)
		}
	}
	eventually(t, "the last packet", func() bool {
		list := p.lines[0].received()
		return len(list) > 0 && list[len(list)-1].Payload[0] == byte(len(sent)-1)
	})
	list := p.lines[0].received()
	for i := 1; i < len(list); i++ {
		if step := list[i].Timestamp - list[i-1].Timestamp; step != 160 && list[i-1].Payload[0] < 100 {
			t.Errorf("packet %d is %d ticks after the one before", i, int32(step))
		}
	}
	var first uint32
	for _, packet := range list {
		if packet.Payload[0] == 0 {
			first = packet.Timestamp
		}
	}
	last := list[len(list)-1]
	want := 8 * sent[len(sent)-1].Milliseconds()
	if lead := int64(last.Timestamp-first) - want; lead < 0 || lead > 8*maxLead.Milliseconds() {
		t.Errorf("the last sound is %d ticks after its time", lead)
	}
	if n := s.Stats().Lines[0].Sent.Discarded; n < 7 || n > 10 {
		t.Errorf("%d frames left out", n)
	}
}
