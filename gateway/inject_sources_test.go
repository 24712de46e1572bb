package gateway_test

import (
	"errors"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/trunkcast/trunkcast"
	"github.com/trunkcast/trunkcast/gateway"
	"github.com/trunkcast/trunkcast/inject"
	"github.com/trunkcast/trunkcast/inject/httpfile"
	"github.com/trunkcast/trunkcast/inject/rtsp/rtsptest"
	"github.com/trunkcast/trunkcast/internal/democlip"
	"github.com/trunkcast/trunkcast/media"
	"github.com/trunkcast/trunkcast/media/sdp"
	"github.com/trunkcast/trunkcast/trunk"
)

// TestInjectSources plays the clip into a call from every kind of source.
func TestInjectSources(t *testing.T) {
	t.Parallel()
	objects := objectServer(t)
	cert, key := certificateFiles(t)
	secure := injecting(t, func(c *gateway.Config) { c.RTMPCert, c.RTMPKey = cert, key })
	publishClip(t, secure)
	g := injecting(t, func(c *gateway.Config) {
		c.RTMPCA = cert
		c.S3 = gateway.S3Config{Endpoint: objects, AccessKey: "key", SecretKey: "secret", Region: "eu-1", PathStyle: true}
	})
	clip := indexClip(t, demoClip)
	web := httptest.NewServer(http.FileServer(http.Dir(filepath.Dir(demoClip))))
	t.Cleanup(web.Close)
	other := g.callOnly("200") // sends the clip again and again
	t.Cleanup(other)
	eventually(t, "the other call", func() bool { return len(g.Bridge.Sessions()) == 1 })
	id := g.Bridge.Sessions()[0].ID()
	published := publishClip(t, g)
	for name, source := range map[string]string{
		"file":            "vod://clip.mp4",
		"channel":         "vod-live://clip.mp4",
		"web server":      web.URL + "/clip.mp4",
		"S3":              "s3://bucket/clip.mp4",
		"S3 as vod":       "vod://s3/bucket/clip.mp4",
		"call":            "call:" + id,
		"stream of calls": "rtmp_200",
		"embedded server": published,
		"RTMP":            g.URL("live/" + published),
		"RTMPS":           secure.URL("live/" + published),
		"RTSP by UDP":     rtsptest.Serve(t, democlip.Open(), true).URL,
		"RTSP by TCP":     rtsptest.Serve(t, democlip.Open(), false).URL,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			p := g.dial(nil)
			g.must("/call/inject_stream/startup", p.body(map[string]any{"streamName": source}))
			eventually(t, "pictures and sound of the clip", func() bool {
				return len(clip.positions(p.pictures(time.Time{}))) >= 30 && p.sounds(time.Time{}) >= 20
			})
			g.must("/call/inject_stream/terminate", p.body(nil))
		})
	}
}

// TestInjectStall has a web server that stops in mid-file: the injection ends
// with a clear error, the call goes on, and another can begin.
func TestInjectStall(t *testing.T) {
	t.Parallel()
	data, err := os.ReadFile(demoClip)
	if err != nil {
		t.Fatal(err)
	}
	stop := make(chan struct{})
	web := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Length", strconv.Itoa(len(data)))
		_, _ = w.Write(data[:len(data)-10_000])
		w.(http.Flusher).Flush()
		<-stop
	}))
	t.Cleanup(web.Close)
	t.Cleanup(func() { close(stop) })
	opener := &httpfile.Opener{StallTimeout: 500 * time.Millisecond}
	t.Cleanup(opener.CloseIdleConnections)
	g := startGateway(t, gateway.Config{Trunks: []trunk.Config{pbx("")}, RTMPListen: "off", MediaFolder: mediaFolder(t)},
		gateway.Options{Sources: inject.Mux{"http": opener}})
	p := g.dial(nil)
	i, err := p.session().Inject(t.Context(), web.URL+"/clip.mp4", trunkcast.InjectOptions{Start: 10500 * time.Millisecond})
	if err == nil {
		<-i.Done()
		err = i.Err()
	}
	if !errors.Is(err, httpfile.ErrStalled) {
		t.Errorf("%v", err)
	}
	if !g.has(trunkcast.InjectionFailed) || g.has(trunkcast.CallEnded) {
		t.Error("the failure is not told, or the call has ended")
	}
	begun := time.Now()
	g.must("/call/inject_stream/startup", p.body(map[string]any{"streamName": "vod://clip.mp4"}))
	eventually(t, "pictures after that", func() bool { return len(p.pictures(begun)) > 10 })
}

// TestInjectRefusals asks for what cannot be played.
func TestInjectRefusals(t *testing.T) {
	t.Parallel()
	dead := httptest.NewServer(http.NotFoundHandler())
	t.Cleanup(dead.Close)
	folder := ""
	g := injecting(t, func(c *gateway.Config) { folder = c.MediaFolder })
	if err := os.WriteFile(filepath.Join(folder, "text.mp4"), []byte(strings.Repeat("no film ", 10)), 0o600); err != nil {
		t.Fatal(err)
	}
	p := g.dial(nil)
	for source, want := range map[string]int{
		"vod://missing.mp4":         http.StatusNotFound,
		"vod://../inject_test.go":   http.StatusNotFound,
		"vod-live://missing.mp4":    http.StatusNotFound,
		"vod://text.mp4":            http.StatusUnsupportedMediaType,
		"call:nobody":               http.StatusNotFound,
		"no-such-stream":            http.StatusNotFound,
		"gopher://host/x":           http.StatusNotFound,
		dead.URL + "/x.mp4":         http.StatusNotFound,
		"http://127.0.0.1:1/x.mp4":  http.StatusBadGateway,
		"rtsp://127.0.0.1:1/x":      http.StatusBadGateway,
		"rtmp://127.0.0.1:1/live/x": http.StatusBadGateway,
		g.URL("live/no-such"):       http.StatusNotFound,
		"":                          http.StatusBadRequest,
	} {
		if status, text := g.post("/call/inject_stream/startup", p.body(map[string]any{"streamName": source})); status != want {
			t.Errorf("%q: %d %s, want %d", source, status, text, want)
		}
		if p.session().Injection() != nil {
			t.Errorf("%q: an injection is left", source)
		}
	}
	if status, _ := g.post("/call/inject_stream/startup", map[string]any{"callId": "x", "streamName": "vod://clip.mp4"}); status != http.StatusNotFound {
		t.Errorf("unknown call: %d", status)
	}
	begun := time.Now()
	g.must("/call/inject_stream/startup", p.body(map[string]any{"streamName": "vod://clip.mp4"}))
	eventually(t, "pictures after all that", func() bool { return len(p.pictures(begun)) > 10 })
}

// TestInjectReach has the REST interface on every address: URLs may then lead
// to public addresses, and where calls are published to.
func TestInjectReach(t *testing.T) {
	t.Parallel()
	web := httptest.NewServer(http.FileServer(http.Dir(filepath.Dir(demoClip))))
	t.Cleanup(web.Close)
	u, err := url.Parse(web.URL)
	if err != nil {
		t.Fatal(err)
	}
	g := injecting(t, func(c *gateway.Config) { c.HTTPListen = "0.0.0.0:0" })
	p := g.dial(nil)
	for _, source := range []string{web.URL + "/clip.mp4", "http://localhost:" + u.Port() + "/clip.mp4", "rtsp://" + u.Host + "/x", "rtmp://" + u.Host + "/a/b"} {
		if status, text := g.post("/call/inject_stream/startup", p.body(map[string]any{"streamName": source})); status != http.StatusForbidden {
			t.Errorf("%s: %d %s", source, status, text)
		}
	}
	g2 := injecting(t, func(c *gateway.Config) { c.HTTPListen = "0.0.0.0:0"; c.SourceHosts = []string{"127.0.0.1"} })
	p2 := g2.dial(nil)
	g2.must("/call/inject_stream/startup", p2.body(map[string]any{"streamName": web.URL + "/clip.mp4"}))
}

// TestInjectControls measures start, pause, seek and loop at the caller.
func TestInjectControls(t *testing.T) {
	t.Parallel()
	g := injecting(t, nil)
	clip := indexClip(t, demoClip)
	p := g.dial(nil)
	begun := time.Now()
	g.must("/call/inject_stream/startup", p.body(map[string]any{"streamName": "vod://clip.mp4", "start": 5.5, "loop": true}))
	eventually(t, "pictures", func() bool { return len(clip.positions(p.pictures(begun))) > 12 })
	// The white pictures of a flash look the same in each second: behind them.
	const behind = 10
	near := func(at, want time.Duration) bool {
		return (at - want - behind*40*time.Millisecond).Abs() < 100*time.Millisecond
	}
	if at := clip.positions(p.pictures(begun)); !near(at[behind], 5*time.Second) {
		t.Errorf("picture %d is of %v", behind, at[behind])
	}
	g.must("/call/inject_stream/pause", p.body(nil))
	time.Sleep(500 * time.Millisecond)
	paused := time.Now()
	time.Sleep(time.Second)
	if n := len(p.pictures(paused)); n > 0 {
		t.Errorf("%d pictures during a pause", n)
	}
	g.must("/call/inject_stream/seek", p.body(map[string]any{"position": "11.5"}))
	g.must("/call/inject_stream/resume", p.body(nil))
	// From 11 s to the end at 12 s, and on at the start.
	eventually(t, "the next round", func() bool { return len(clip.positions(p.pictures(paused))) > 50 })
	at := clip.positions(p.pictures(paused))
	if !near(at[behind], 11*time.Second) {
		t.Errorf("after the jump, picture %d is of %v", behind, at[behind])
	}
	if last := at[len(at)-1]; last > 5*time.Second {
		t.Errorf("after 50 pictures at %v: no loop", last)
	}
	if text := g.must("/call/inject_stream/find", p.body(nil)); !strings.Contains(text, `"rounds":1`) {
		t.Errorf("status %s", text)
	}
}

// TestInjectMismatch has callers that take less than the clip is.
func TestInjectMismatch(t *testing.T) {
	t.Parallel()
	g := injecting(t, nil)
	for name, c := range map[string]struct {
		caps sdp.Capabilities
		want string
	}{
		"size":  {sdp.Capabilities{Video: video(media.H264, "profile-level-id=42E00A;packetization-mode=1")}, "size of the source"},
		"mode":  {sdp.Capabilities{Video: video(media.H264, "profile-level-id=42E01F;packetization-mode=0")}, "packetization-mode 0"},
		"codec": {sdp.Capabilities{Video: video(media.H265, "")}, "codec of the source"},
	} {
		t.Run(name, func(t *testing.T) {
			p := g.dial(&c.caps)
			status, text := g.post("/call/inject_stream/startup", p.body(map[string]any{"streamName": "vod://clip.mp4"}))
			if status != http.StatusUnsupportedMediaType || !strings.Contains(text, c.want) {
				t.Errorf("%d %s", status, text)
			}
			// Its sound can be played.
			begun := time.Now()
			g.must("/call/inject_sound", p.body(map[string]any{"fileName": "clip.mp4"}))
			eventually(t, "sound", func() bool { return p.sounds(begun) > 10 })
			if n := len(p.pictures(begun)); n > 0 {
				t.Errorf("%d pictures", n)
			}
		})
	}
	for _, fmtp := range []string{"profile-level-id=42E00A;packetization-mode=1", "profile-level-id=42E01F;packetization-mode=0"} {
		t.Run(fmtp, func(t *testing.T) {
			t.Parallel()
			p := g.dial(&sdp.Capabilities{Video: video(media.H264, fmtp)})
			begun := time.Now()
			g.must("/call/inject_stream/startup", p.body(map[string]any{"streamName": "vod://clip.mp4", "force": true}))
			eventually(t, "pictures by force", func() bool { return len(p.pictures(begun)) > 10 })
		})
	}
}

func video(c media.Codec, fmtp string) sdp.MediaCapabilities {
	return sdp.MediaCapabilities{Codecs: []sdp.Codec{{Codec: c, FMTP: fmtp}}}
}
