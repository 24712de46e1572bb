//go:build peers && linux

package inject_test

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/trunkcast/trunkcast/inject"
	"github.com/trunkcast/trunkcast/internal/peertest"
)

// TestPeerStill has ffmpeg decode the black pictures, of sizes with one and
// with several slices, cropped and not.
func TestPeerStill(t *testing.T) {
	for _, size := range [][2]int{{176, 144}, {640, 360}, {1280, 720}, {1918, 1078}} {
		t.Run(fmt.Sprint(size), func(t *testing.T) {
			s, err := inject.NewStill(size[0], size[1], 5)
			if err != nil {
				t.Fatal(err)
			}
			var b bytes.Buffer
			start := []byte{0, 0, 0, 1}
			for range 25 {
				f, err := s.ReadFrame(t.Context())
				if err != nil {
					t.Fatal(err)
				}
				nals := f.Data
				if f.Key {
					nals = append(append([][]byte(nil), f.Track.Config...), nals...)
				}
				for _, n := range nals {
					b.Write(start)
					b.Write(n)
				}
			}
			file := filepath.Join(t.TempDir(), "still.h264")
			if err := os.WriteFile(file, b.Bytes(), 0o600); err != nil {
				t.Fatal(err)
			}
			out, errs, err := peertest.Run(t, time.Minute, "ffmpeg", "-v", "error", "-nostdin", "-i", file,
				"-vf", "signalstats,metadata=print:file=-", "-f", "null", "-")
			if err != nil || errs != "" {
				t.Fatalf("%v %s", err, errs)
			}
			for key, want := range map[string]int{
				"lavfi.signalstats.YMIN=16\n": 25, "lavfi.signalstats.YMAX=16\n": 25,
				"lavfi.signalstats.UMIN=128\n": 25, "lavfi.signalstats.VMAX=128\n": 25,
			} {
				if n := strings.Count(out, key); n != want {
					t.Errorf("%d of 25 pictures have %q", n, key)
				}
			}
		})
	}
}
