package inject

import (
	"testing"
	"time"

	"github.com/bluenviron/mediacommon/v2/pkg/codecs/h264"
)

// TestStill checks what can be told without a decoder; ffmpeg decodes it in
// the tests with peers.
func TestStill(t *testing.T) {
	for _, size := range [][2]int{{16, 16}, {176, 144}, {640, 360}, {642, 362}, {1280, 720}, {1920, 1080}} {
		s, err := NewStill(size[0], size[1], 5)
		if err != nil {
			t.Fatal(err)
		}
		var sps h264.SPS
		if err := sps.Unmarshal(s.Tracks()[0].Config[0]); err != nil || sps.Width() != size[0] || sps.Height() != size[1] {
			t.Errorf("%v: SPS says %dx%d, %v", size, sps.Width(), sps.Height(), err)
		}
		for n := range 15 {
			if n == 3 {
				s.RequestKeyFrame()
			}
			f, err := s.ReadFrame(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			if want := n == 0 || n == 3 || n == 13; f.Key != want {
				t.Errorf("%v: picture %d is key: %v", size, n, f.Key)
			}
			if want := time.Duration(n) * 200 * time.Millisecond; f.PTS != want || f.DTS != want {
				t.Errorf("%v: picture %d at %v", size, n, f.PTS)
			}
			for _, nal := range f.Data {
				if len(nal) > 1200 {
					t.Errorf("%v: NAL unit of %d bytes", size, len(nal))
				}
			}
		}
		_ = s.Close()
		if _, err := s.ReadFrame(t.Context()); err == nil {
			t.Error("a picture after Close")
		}
	}
	for _, size := range [][3]int{{0, 0, 5}, {641, 360, 5}, {640, 361, 5}, {10000, 360, 5}, {640, 360, 0}, {640, 360, 61}} {
		if _, err := NewStill(size[0], size[1], size[2]); err == nil {
			t.Errorf("%v: no error", size)
		}
	}
}
