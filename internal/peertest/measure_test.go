//go:build peers

package peertest_test

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/trunkcast/trunkcast/internal/peertest"
)

// makeFile runs ffmpeg, and returns the file that it made.
func makeFile(t *testing.T, name string, args ...string) string {
	t.Helper()
	file := filepath.Join(t.TempDir(), name)
	args = append(append([]string{"-v", "error", "-nostdin", "-y"}, args...), file)
	if _, errs, err := peertest.Run(t, time.Minute, "ffmpeg", args...); err != nil {
		t.Fatalf("ffmpeg %s: %v\n%s", strings.Join(args, " "), err, errs)
	}
	return file
}

// TestPeerMeasure measures files whose faults are known.
func TestPeerMeasure(t *testing.T) {
	const length = 7
	clip := peertest.MakeClip(t, peertest.ClipOptions{Seconds: length})
	cases := []struct {
		name, codec string
		offset      time.Duration
	}{
		{"plain.mkv", "pcm_s16le", 0},
		{"late.mkv", "pcm_s16le", 120 * time.Millisecond},
		{"early.mkv", "pcm_s16le", -120 * time.Millisecond},
		{"late.flv", "aac", 120 * time.Millisecond},
		{"very-late.flv", "aac", 1200 * time.Millisecond},
	}
	for _, c := range cases {
		video, audio := "0", c.offset.String()
		if c.offset < 0 {
			video, audio = (-c.offset).String(), "0"
		}
		file := makeFile(t, c.name, "-itsoffset", video, "-i", clip.Video, "-itsoffset", audio, "-i", clip.Audio,
			"-c:v", "copy", "-c:a", c.codec)
		m := peertest.MeasureFile(t, file)
		t.Logf("measured: %s: %v", c.name, m)
		if d := (m.Median() - c.offset).Abs(); d > 20*time.Millisecond || (m.Worst()-c.offset).Abs() > 25*time.Millisecond {
			t.Errorf("%s: %v", c.name, m)
		}
		if len(m.Offsets) < length-2 || m.ErrorCount != 0 || m.Backwards != 0 || m.Frozen != 0 || m.Silent != 0 {
			t.Errorf("%s: %v", c.name, m)
		}
	}
}

// TestPeerMeasureFaults sees a picture that stands still, silence, a gap and
// damage, and nothing of them where they are not.
func TestPeerMeasureFaults(t *testing.T) {
	clip := peertest.MakeClip(t, peertest.ClipOptions{Seconds: 10})
	// Still from 4.5 s to 7 s, silent from 2.5 s to 6 s.
	file := makeFile(t, "faults.mkv", "-i", clip.Video, "-i", clip.Audio, "-c:a", "pcm_s16le", "-c:v", "libx264", "-preset", "ultrafast",
		"-vf", "loop=62:1:112,trim=end=10", "-af", "volume=0:enable='between(t,2.5,6)'")
	m := peertest.MeasureFile(t, file)
	t.Logf("measured: %v", m)
	if m.Frozen < 2300*time.Millisecond || m.Frozen > 2700*time.Millisecond {
		t.Errorf("frozen for %v, want 2.5 s", m.Frozen)
	}
	// The last beep before it ends at 2.12 s, the first after it begins at 6 s or, cut, at 7 s.
	if m.Silent < 3500*time.Millisecond || m.Silent > 5*time.Second {
		t.Errorf("silent for %v, want about 3.9 s", m.Silent)
	}

	gap := makeFile(t, "gap.mkv", "-i", clip.Video, "-an", "-c:v", "libx264", "-preset", "ultrafast", "-vf", "select='not(between(t,3,4))'", "-fps_mode", "vfr")
	if m := peertest.MeasureFile(t, gap); m.Gap < time.Second || m.Gap > 1200*time.Millisecond {
		t.Errorf("a gap of %v, want 1.04 s", m.Gap)
	}

	ts := makeFile(t, "damaged.ts", "-i", clip.Video, "-c:v", "copy")
	b, err := os.ReadFile(ts)
	if err != nil {
		t.Fatal(err)
	}
	copy(b[len(b)/2:], bytes.Repeat([]byte{0x55}, 20000))
	if err := os.WriteFile(ts, b, 0o600); err != nil {
		t.Fatal(err)
	}
	if m := peertest.MeasureFile(t, ts); m.ErrorCount == 0 {
		t.Errorf("the damage is not seen: %v", m)
	}
}
