package gateway_test

import (
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/trunkcast/trunkcast/gateway"
	"github.com/trunkcast/trunkcast/media"
	"github.com/trunkcast/trunkcast/media/sdp"
)

// TestInjectForms plays each form of a file into a call: what comes are its
// pictures in their order, and sound.
func TestInjectForms(t *testing.T) {
	t.Parallel()
	folder := ""
	g := injecting(t, func(c *gateway.Config) { folder = c.MediaFolder })
	forms, err := filepath.Glob("../inject/testdata/*.*")
	if err != nil {
		t.Fatal(err)
	}
	for _, file := range forms {
		data, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(folder, filepath.Base(file)), data, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	h264 := &sdp.Capabilities{Video: video(media.H264, "profile-level-id=640028;packetization-mode=1")}
	h265 := &sdp.Capabilities{Video: video(media.H265, "")}
	for name, caps := range map[string]*sdp.Capabilities{
		"bframes.mp4": h264, "fragments.mp4": h264, "hybrid.mp4": h264, "video.flv": h264, "hevc.mp4": h265,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			clip := indexClip(t, filepath.Join(folder, name))
			p := g.dial(caps)
			g.must("/call/inject_stream/startup", p.body(map[string]any{"streamName": "vod://" + name, "loop": true}))
			eventually(t, "pictures and sound of the file", func() bool {
				return len(clip.positions(p.pictures(time.Time{}))) >= 20 && p.sounds(time.Time{}) >= 10
			})
			got := p.pictures(time.Time{})
			if n := len(clip.positions(got)); n != len(got) {
				t.Errorf("%d of %d pictures are of the file", n, len(got))
			}
		})
	}
	for _, name := range []string{"alaw.wav", "pcm16.wav", "sound.ogg", "bframes.mp4"} {
		t.Run("sound of "+name, func(t *testing.T) {
			t.Parallel()
			p := g.dial(h264)
			g.must("/call/inject_sound", p.body(map[string]any{"fileName": name, "loop": true}))
			eventually(t, "sound", func() bool { return p.sounds(time.Time{}) >= 20 })
			if n := len(p.pictures(time.Time{})); n > 0 {
				t.Errorf("%d pictures", n)
			}
		})
	}
	p := g.dial(h264)
	status, text := g.post("/call/inject_stream/startup", p.body(map[string]any{"streamName": "vod://encrypted.mp4"}))
	if status != http.StatusUnsupportedMediaType || !strings.Contains(text, "encrypted") {
		t.Errorf("an encrypted file: %d %s", status, text)
	}
}
