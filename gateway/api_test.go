package gateway_test

import (
	"encoding/json"
	"net/http"
	"slices"
	"testing"
	"time"

	"github.com/trunkcast/trunkcast"
	"github.com/trunkcast/trunkcast/gateway/api"
	"github.com/trunkcast/trunkcast/media/rtpio"
)

// decode reads a JSON body.
func decode[T any](t *testing.T, text string) (v T) {
	t.Helper()
	if err := json.Unmarshal([]byte(text), &v); err != nil {
		t.Fatalf("%v: %s", err, text)
	}
	return v
}

// TestRESTCalls finds, dials into and ends a call.
func TestRESTCalls(t *testing.T) {
	t.Parallel()
	g := injecting(t, nil)
	for _, path := range []string{"/call/find_all", "/call/find", "/call/terminate", "/call/send_dtmf"} {
		body := map[string]any{}
		if path != "/call/find_all" {
			body["callId"] = "nobody"
		}
		if path == "/call/send_dtmf" {
			body["dtmf"] = "1"
		}
		if status, text := g.post(path, body); status != http.StatusNotFound {
			t.Errorf("%s without a call: %d %s", path, status, text)
		}
	}
	digits := make(chan rune, 10)
	p := g.dialWith(func(m *rtpio.Session) { m.OnDigit = func(r rune, _ time.Duration) { digits <- r } })
	list := decode[[]api.Call](t, g.must("/call/find_all", nil))
	if len(list) != 1 || list[0].CallID != p.call.ID() || list[0].Callee != "100" || list[0].Status != "ESTABLISHED" ||
		!list[0].HasAudio || !list[0].HasVideo || list[0].StreamName != "rtmp_100" || !list[0].Incoming {
		t.Errorf("find_all: %+v", list)
	}
	for _, c := range []struct {
		filter map[string]any
		status int
	}{
		{map[string]any{"callee": "100"}, 200}, {map[string]any{"callee": 100}, 200}, {map[string]any{"callee": "101"}, 404},
		{map[string]any{"status": "ESTABLISHED", "callId": p.call.ID()}, 200}, {map[string]any{"status": "HOLD"}, 404},
		{map[string]any{"calee": "100"}, 400}, {map[string]any{"callee": []int{1}}, 400},
	} {
		if status, text := g.post("/call/find", c.filter); status != c.status {
			t.Errorf("find %v: %d %s", c.filter, status, text)
		}
	}
	g.must("/call/send_dtmf", p.body(map[string]any{"dtmf": "1#", "type": "RFC2833"}))
	for _, want := range "1#" {
		select {
		case r := <-digits:
			if r != want {
				t.Errorf("digit %c, want %c", r, want)
			}
		case <-time.After(20 * time.Second):
			t.Fatalf("digit %c does not come", want)
		}
	}
	if status, _ := g.post("/call/send_dtmf", p.body(map[string]any{"dtmf": "1", "type": "pigeon"})); status != http.StatusBadRequest {
		t.Errorf("unknown type: %d", status)
	}
	g.must("/call/terminate", p.body(nil))
	eventually(t, "the end of the call", func() bool { return g.has(trunkcast.CallEnded) })
}

// TestRESTVOD lets a file run as a stream: a call gets it by its name, and a
// player too.
func TestRESTVOD(t *testing.T) {
	t.Parallel()
	g := injecting(t, nil)
	clip := indexClip(t, demoClip)
	g.must("/vod/startup", map[string]any{"uri": "vod://clip.mp4", "localStreamName": "film", "loop": true})
	for _, c := range []struct {
		path   string
		body   map[string]any
		status int
	}{
		{"/vod/startup", map[string]any{"uri": "vod://clip.mp4", "localStreamName": "film"}, 409},
		{"/vod/startup", map[string]any{"uri": "vod://none.mp4", "localStreamName": "none"}, 404},
		{"/vod/startup", map[string]any{"uri": "vod://clip.mp4"}, 400},
		{"/vod/startup", map[string]any{"localStreamName": "x"}, 400},
		{"/vod/startup", map[string]any{"uri": "vod://clip.mp4", "localStreamName": "a?b"}, 400},
		{"/vod/find", map[string]any{"localStreamName": "none"}, 404},
		{"/vod/terminate", map[string]any{}, 400},
		{"/vod/terminate", map[string]any{"uri": "vod://none.mp4"}, 404},
	} {
		if status, text := g.post(c.path, c.body); status != c.status {
			t.Errorf("%s %v: %d %s, want %d", c.path, c.body, status, text, c.status)
		}
	}
	eventually(t, "its tracks", func() bool {
		list := decode[[]api.VOD](t, g.must("/vod/find_all", nil))
		return len(list) == 1 && list[0].LocalStreamName == "film" && list[0].HasAudio && list[0].HasVideo && list[0].LocalMediaSessionID != ""
	})
	p := g.dial(nil)
	begun := time.Now()
	g.must("/call/inject_stream/startup", p.body(map[string]any{"streamName": "film"}))
	eventually(t, "the film in the call", func() bool { return len(clip.positions(p.pictures(begun))) > 20 })
	pictures(t, g.URL("live/film"))
	g.must("/vod/terminate", map[string]any{"localStreamName": "film"})
	eventually(t, "the end of the injection", func() bool { return p.session().Injection() == nil })
	if status, _ := g.post("/vod/find_all", nil); status != http.StatusNotFound {
		t.Errorf("find_all after the end: %d", status)
	}
	if slices.Contains(g.streams(), "live/film") {
		t.Error("players still find it")
	}
	// One that runs ends with the gateway.
	g.must("/vod/startup", map[string]any{"uri": "vod://clip.mp4", "localStreamName": "film"})
}
