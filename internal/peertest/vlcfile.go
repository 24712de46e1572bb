//go:build linux

package peertest

import (
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"
)

// VLCHeldBack is how many of the last pictures VLC's transcoding loses of any
// file, also of ffmpeg's.
const VLCHeldBack = 6

// DecodeVLC plays a file with VLC to its end, and returns how many pictures it
// decoded.
func DecodeVLC(t testing.TB, path string) int {
	t.Helper()
	const patience = 60 * time.Second
	home := nobodysFolder(t)
	in, out := filepath.Join(home, filepath.Base(path)), filepath.Join(home, "out.ts")
	b, err := os.ReadFile(path)
	if err == nil {
		err = os.WriteFile(in, b, 0o644)
	}
	if err != nil {
		t.Fatal(err)
	}
	p := startVLC(t, home, "-q", in, "--sout",
		"#transcode{vcodec=mp2v,vb=4000,width=320,height=240,acodec=none}:std{access=file,mux=ts,dst="+out+"}", "vlc://quit")
	if err := p.Wait(patience); err != nil {
		t.Fatalf("VLC %s: %v\n%s", path, err, tail(p.Output(), 3000))
	}
	text, _, _ := Run(t, patience, "ffprobe", "-v", "error", "-select_streams", "v", "-count_packets",
		"-show_entries", "stream=nb_read_packets", "-of", "csv=p=0", out)
	n, _ := strconv.Atoi(strings.Trim(strings.TrimSpace(strings.Split(text, "\n")[0]), ","))
	return n
}
