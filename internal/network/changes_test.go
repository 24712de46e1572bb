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
// ffmpeg and VLC go on, and both show all of them.
func TestPeerResolutions(t *testing.T) {
	films := []*film{
		makeFilm(t, 1280, 720, 1_500_000, 1), testFilm(t), makeFilm(t, 1920, 1080, 2_500_000, 1),
	}
	want := []string{"1280x720", "640x360", "1920x1080"}
	n := peertest.StartNginx(t)
	g := startGateway(t, n.RTMPURL+"/live")
	c := dial(t, g.addr(), "100", films[0], nil)
	n.WaitStream("rtmp_100", 30*time.Second)
	url := n.RTMPURL + "/live/rtmp_100"
	file := filepath.Join(t.TempDir(), "watched.flv")
	ffmpeg := peertest.Start(t, "ffmpeg", "-v", "error", "-nostdin", "-rw_timeout", "15000000", "-i", url, "-c", "copy", file)
	vlc := peertest.StartVLC(t, url)
	for i, f := range films {
		c.camera.film.Store(f)
		peertest.Eventually(t, 40*time.Second, "VLC shows "+want[i], func() bool { return slices.Equal(vlc.Sizes(), want[:i+1]) })
		time.Sleep(3 * time.Second)
	}
	ffmpeg.Stop()
	vlc.Stop()
	shown := vlc.Sizes()
	got := sizes(t, file)
	t.Logf("measured: ffmpeg shows %v, VLC %v", got, shown)
	if !slices.Equal(got, want) || !slices.Equal(shown, want) {
		t.Errorf("ffmpeg shows pictures of %v, VLC %v", got, shown)
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
