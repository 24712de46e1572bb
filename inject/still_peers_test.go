//go:build peers && linux

package inject_test

import (
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/trunkcast/trunkcast/inject"
	"github.com/trunkcast/trunkcast/internal/peertest"
)

// stillFile writes 25 black pictures of a size into a file of NAL units behind
// start codes (ITU-T H.264, annex B).
func stillFile(t *testing.T, folder string, width, height int) string {
	t.Helper()
	s, err := inject.NewStill(width, height, 5)
	if err != nil {
		t.Fatal(err)
	}
	var b bytes.Buffer
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
			b.Write([]byte{0, 0, 0, 1})
			b.Write(n)
		}
	}
	file := filepath.Join(folder, "still.h264")
	if err := os.WriteFile(file, b.Bytes(), 0o644); err != nil {
		t.Fatal(err)
	}
	return file
}

// TestPeerStill has ffmpeg and VLC decode the black pictures, of sizes with one
// and with several slices, cropped and not.
func TestPeerStill(t *testing.T) {
	for _, size := range [][2]int{{176, 144}, {572, 468}, {640, 360}, {1280, 720}, {1918, 1078}} {
		t.Run(fmt.Sprintf("ffmpeg %dx%d", size[0], size[1]), func(t *testing.T) {
			t.Parallel()
			file := stillFile(t, t.TempDir(), size[0], size[1])
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
	for _, size := range [][2]int{{640, 360}, {1918, 1078}} {
		t.Run(fmt.Sprintf("VLC %dx%d", size[0], size[1]), func(t *testing.T) {
			t.Parallel()
			decodedByVLC(t, size[0], size[1])
		})
	}
}

// decodedByVLC has VLC decode the pictures and encode them again, and looks at
// what comes of them.
func decodedByVLC(t *testing.T, width, height int) {
	t.Helper()
	home, err := os.MkdirTemp("", "vlc") // where a user without rights may enter
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(home) })
	out := filepath.Join(home, "out.ts")
	cmd := exec.Command(peertest.Look(t, "cvlc"), "-q", stillFile(t, home, width, height), "--demux=h264", "--h264-fps=5", "--no-audio",
		"--sout=#transcode{vcodec=mp2v,vb=1000,fps=25}:std{access=file,mux=ts,dst="+out+"}", "vlc://quit")
	cmd.Env = append(os.Environ(), "HOME="+home)
	cmd.Dir = home
	if os.Getuid() == 0 { // it refuses to run as root
		const nobody = 65534
		if err := os.Chown(home, nobody, nobody); err != nil {
			t.Fatal(err)
		}
		cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: nobody, Gid: nobody}}
	}
	p := peertest.StartCmd(t, cmd)
	if err := p.Wait(time.Minute); err != nil {
		t.Fatalf("VLC: %v\n%s", err, p.Output())
	}
	m := peertest.MeasureFile(t, out)
	t.Logf("measured: %v", m)
	if m.Frames < 10 || m.Width != width || m.Height != height {
		t.Errorf("VLC has decoded %d pictures of %dx%d\n%s", m.Frames, m.Width, m.Height, p.Output())
	}
	if mean, deviation := peertest.Luma(peertest.Snapshot(t, out, time.Second)); mean > 1 || deviation > 1 {
		t.Errorf("brightness %.1f", mean)
	}
}
