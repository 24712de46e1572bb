//go:build peers

package network

import (
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/trunkcast/trunkcast/internal/peertest"
)

// TestPeerResolutions changes from 720p to 360p and to 1080p in one call:
// ffmpeg and VLC go on.
func TestPeerResolutions(t *testing.T) {
	films := []*film{
		makeFilm(t, 1280, 720, 1_500_000, 1), makeFilm(t, 640, 360, 800_000, 1), makeFilm(t, 1920, 1080, 2_500_000, 1),
	}
	n := peertest.StartNginx(t)
	g := startGateway(t, n.RTMPURL+"/live")
	c := dial(t, g.addr(), "100", films[0], nil)
	n.WaitStream("rtmp_100", 30*time.Second)
	url := n.RTMPURL + "/live/rtmp_100"
	file := filepath.Join(t.TempDir(), "watched.flv")
	const length = 20 * time.Second
	ffmpeg := peertest.Start(t, "ffmpeg", "-v", "error", "-nostdin", "-rw_timeout", "15000000", "-i", url, "-t", "17", "-c", "copy", file)
	time.AfterFunc(8*time.Second, func() { c.camera.film.Store(films[1]) })
	time.AfterFunc(12*time.Second, func() { c.camera.film.Store(films[2]) })
	shown := peertest.VLC(t, url, length) // it needs some seconds to begin
	if err := ffmpeg.Wait(30 * time.Second); err != nil {
		t.Errorf("ffmpeg: %v\n%s", err, ffmpeg.Output())
	}
	got := sizes(t, file)
	t.Logf("measured: ffmpeg shows %v", got)
	if want := []string{"1280x720", "640x360", "1920x1080"}; !slices.Equal(got, want) {
		t.Errorf("ffmpeg shows pictures of %v", got)
	}
	// What VLC writes without decoding has the first sequence header alone: its
	// packets must go on, their sizes tell nothing.
	first, last := timestamps(t, shown)
	t.Logf("measured: VLC writes %v", last-first)
	if last-first < 14*time.Second {
		t.Errorf("VLC wrote %v of %v", last-first, length)
	}
	m := peertest.MeasureFile(t, file)
	t.Logf("measured: %v", m)
	m.Check(t, peertest.Expect{MinPairs: 2, MaxOffset: 100 * time.Millisecond})
	if got := g.session("100").Stats().Stream.Tracks; len(got) != 2 {
		t.Errorf("tracks %v", got)
	}
}

// sizes are those of a file's pictures, each as often as it changes.
func sizes(t *testing.T, file string) (list []string) {
	t.Helper()
	out, errs, err := peertest.Run(t, 2*time.Minute, "ffprobe", "-v", "error", "-select_streams", "v:0",
		"-show_entries", "frame=width,height", "-of", "csv=p=0:s=x", file)
	if err != nil {
		t.Fatalf("ffprobe %s: %v\n%s", file, err, errs)
	}
	for line := range strings.Lines(out) {
		if size := strings.Trim(line, "x\r\n"); size != "" {
			list = append(list, size)
		}
	}
	return slices.Compact(list)
}
