package rtpio

import (
	"runtime"
	"strconv"
	"strings"
	"testing"
	"time"
	"weak"

	"github.com/trunkcast/trunkcast/media"
)

// noVideo is an m-line that refuses what videoLine offered.
const noVideo = "m=video 0 RTP/AVPF 96\r\na=rtpmap:96 H264/90000"

// TestVideoComesAndGoes takes the picture out of a call and into it again:
// nothing is left of the old line, and the new one works.
func TestVideoComesAndGoes(t *testing.T) {
	t.Parallel()
	p := newPhone(t, 2)
	s := &Session{}
	track := &media.Track{Codec: media.H264, ClockRate: 90000, Config: [][]byte{testSPS, testPPS}}
	p.call(s, audioLine, videoLine)
	var old []weak.Pointer[line]
	for range 3 {
		before := len(p.lines[1].received())
		writeVideo(t, s, track, 1, 100_000) // paced
		eventually(t, "a picture", func() bool { return len(p.lines[1].received()) > before+80 })
		old = append(old, weak.Make(s.lines[1]))
		p.reoffer(s, audioLine, noVideo)
		p.connect(p.reoffer(s, audioLine, videoLine))
	}
	p.reoffer(s, audioLine, videoLine)
	eventually(t, "the end of the old lines", func() bool {
		runtime.GC()
		for _, l := range old {
			if l.Value() != nil {
				return false
			}
		}
		return true
	})
}

// TestRollbackAfterVideoIsGone: an exchange that fails brings no line back
// whose sockets are closed.
func TestRollbackAfterVideoIsGone(t *testing.T) {
	t.Parallel()
	p := newPhone(t, 2)
	var out output
	s := &Session{Output: &out}
	p.call(s, audioLine, videoLine)
	p.reoffer(s, audioLine, noVideo)
	if _, err := s.Answer(t.Context(), []byte("no description")); err == nil {
		t.Fatal("nonsense was answered")
	}
	if _, err := s.Offer(t.Context()); err != nil {
		t.Fatal(err)
	}
	s.Rollback()
	p.connect(p.reoffer(s, audioLine, videoLine))
	for i := range 10 {
		p.lines[1].picture(uint32(i*3600), i == 0)
		time.Sleep(time.Millisecond)
	}
	eventually(t, "pictures", func() bool { return len(out.of(true)) >= 9 })
	track := &media.Track{Codec: media.H264, ClockRate: 90000, Config: [][]byte{testSPS, testPPS}}
	writeVideo(t, s, track, 1, 1000)
	eventually(t, "our picture", func() bool { return len(p.lines[1].received()) > 0 })
}

// reoffer has the session answer another offer of the phone.
func (p *phone) reoffer(s *Session, lines ...string) []byte {
	p.t.Helper()
	p.version++
	offer := strings.Replace(string(p.offer(lines...)), "o=- 1 1", "o=- 1 "+strconv.Itoa(1+p.version), 1)
	body, err := s.Answer(p.t.Context(), []byte(offer))
	if err != nil {
		p.t.Fatal(err)
	}
	return body
}
