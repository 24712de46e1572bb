package rtmp

import (
	"encoding/binary"
	"os"
	"testing"
	"time"

	"github.com/trunkcast/trunkcast/media"
)

// flvFrames reads the frames of an FLV file.
func flvFrames(t testing.TB, path string) []*media.Frame {
	t.Helper()
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	var frames []*media.Frame
	var d demuxer
	for b = b[13:]; len(b) >= 11; {
		n := int(binary.BigEndian.Uint32(b) & 0xffffff)
		at := uint32(b[7])<<24 | binary.BigEndian.Uint32(b[4:])>>8
		f, err := d.tag(b[0], at, b[11:11+n:11+n])
		if err != nil {
			t.Fatal(err)
		}
		if f != nil {
			frames = append(frames, f)
		}
		b = b[11+n+4:]
	}
	return frames
}

// play writes frames in real time.
func pace(t testing.TB, frames []*media.Frame, write func(*media.Frame) error) {
	t.Helper()
	start := time.Now()
	for _, f := range frames {
		time.Sleep(time.Until(start.Add(f.DTS)))
		if err := write(f); err != nil {
			t.Fatal(err)
		}
	}
}
