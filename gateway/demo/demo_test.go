package demo_test

import (
	"context"
	"io"
	"log/slog"
	"math"
	"net/http"
	"regexp"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/trunkcast/trunkcast"
	"github.com/trunkcast/trunkcast/gateway"
	"github.com/trunkcast/trunkcast/gateway/demo"
	"github.com/trunkcast/trunkcast/media"
	"github.com/trunkcast/trunkcast/media/aac"
	"github.com/trunkcast/trunkcast/rtmp"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// safeBuilder is a strings.Builder for several goroutines.
type safeBuilder struct {
	mu sync.Mutex
	b  strings.Builder
}

func (s *safeBuilder) Write(p []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.b.Write(p)
}

func (s *safeBuilder) String() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.b.String()
}

// printedURL waits for the URL that the demo prints.
func printedURL(t *testing.T, out *safeBuilder, ended <-chan error) string {
	t.Helper()
	for deadline := time.Now().Add(30 * time.Second); time.Now().Before(deadline); time.Sleep(20 * time.Millisecond) {
		if _, rest, ok := strings.Cut(out.String(), "ffplay "); ok {
			url, _, _ := strings.Cut(rest, "\n")
			return url
		}
		select {
		case err := <-ended:
			t.Fatalf("the demo ended: %v", err)
		default:
		}
	}
	t.Fatalf("no URL printed: %s", out.String())
	return ""
}

// TestDemo is the main job with Go alone: a SIP video call over the network
// stack becomes a stream of the embedded RTMP server.
func TestDemo(t *testing.T) {
	var out, log safeBuilder
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	ended := make(chan error, 1)
	begun := time.Now()
	go func() {
		ended <- demo.Run(ctx, gateway.Config{SIPListen: "127.0.0.1:0", RTMPListen: "127.0.0.1:0", HTTPListen: "127.0.0.1:0"},
			gateway.Options{Logger: slog.New(slog.NewTextHandler(&log, nil))}, &out)
	}()
	t.Cleanup(func() {
		if t.Failed() {
			t.Log(log.String())
		}
	})
	url := printedURL(t, &out, ended)
	if !strings.HasSuffix(url, "/live/rtmp_"+demo.DefaultNumber) {
		t.Errorf("URL %s", url)
	}
	w := watch(t, url, 6*time.Second)
	t.Logf("first picture %v after the start; %d pictures, %d audio frames, beeps at %v",
		w.firstPicture.Sub(begun).Round(time.Millisecond), w.pictures, w.sounds, w.beeps)
	w.check(t)
	stopping := time.Now()
	cancel()
	select {
	case err := <-ended:
		if err != nil {
			t.Errorf("end: %v", err)
		}
	case <-time.After(5 * time.Second):
		t.Fatal("the demo does not end")
	}
	t.Logf("ended in %v", time.Since(stopping).Round(time.Millisecond))
}

// watched is what a player got.
type watched struct {
	firstPicture     time.Time
	pictures, sounds int
	width, height    int
	firstIsKey       bool
	backwards        int
	channels, rate   int
	beeps            []time.Duration
}

// watch plays a stream for a while and listens for beeps.
func watch(t *testing.T, url string, length time.Duration) *watched {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	player := &rtmp.Player{URL: url}
	defer player.Close()
	w := &watched{}
	var ear ear
	var last [2]time.Duration
	for {
		f, err := player.ReadFrame(ctx)
		if err != nil {
			t.Fatalf("player: %v", err)
		}
		kind := 0
		if f.Track.Codec.Video() {
			kind = 1
			if w.pictures++; w.pictures == 1 {
				w.firstPicture, w.firstIsKey = time.Now(), f.Key
				w.width, w.height = f.Track.Width, f.Track.Height
			}
		} else {
			w.sounds++
			w.rate, w.channels = f.Track.ClockRate, f.Track.Channels
			ear.hear(t, f)
		}
		if f.DTS < last[kind] {
			w.backwards++
		}
		last[kind] = f.DTS
		if w.pictures > 0 && time.Since(w.firstPicture) > length {
			w.beeps = ear.beeps
			return w
		}
	}
}

func (w *watched) check(t *testing.T) {
	t.Helper()
	if w.width != 640 || w.height != 360 || !w.firstIsKey {
		t.Errorf("video %dx%d, first is key: %v", w.width, w.height, w.firstIsKey)
	}
	if w.rate != 48000 || w.channels != 1 {
		t.Errorf("audio at %d Hz, %d channels", w.rate, w.channels)
	}
	if w.backwards > 0 {
		t.Errorf("%d times went back", w.backwards)
	}
	if len(w.beeps) < 3 {
		t.Fatalf("%d beeps: %v", len(w.beeps), w.beeps)
	}
	// A machine that is too busy to send in time makes an interval longer, in
	// sound and picture alike, but none shorter than what it takes back later.
	regular := 0
	for i := 1; i < len(w.beeps); i++ {
		switch d := w.beeps[i] - w.beeps[i-1]; {
		case (d - time.Second).Abs() <= 30*time.Millisecond:
			regular++
		case d < 900*time.Millisecond:
			t.Errorf("%v between two beeps", d)
		}
	}
	if regular < 2 {
		t.Errorf("beeps at %v", w.beeps)
	}
}

// ear finds the starts of beeps in AAC.
type ear struct {
	dec   media.AudioDecoder
	loud  bool
	beeps []time.Duration
}

func (e *ear) hear(t *testing.T, f *media.Frame) {
	t.Helper()
	if e.dec == nil {
		var err error
		if e.dec, err = (aac.Codec{}).NewDecoder(f.Track); err != nil {
			t.Fatal(err)
		}
	}
	pcm, err := e.dec.Decode(nil, f.Data[0])
	if err != nil {
		t.Errorf("AAC at %v: %v", f.PTS, err)
		return
	}
	const window = 240 // 5 ms
	for i := 0; i+window <= len(pcm); i += window {
		var sum float64
		for _, x := range pcm[i : i+window] {
			sum += float64(x) * float64(x)
		}
		loud := math.Sqrt(sum/window) > 0.05
		if loud && !e.loud {
			at := f.PTS + time.Duration(i)*time.Second/48000
			if n := len(e.beeps); n == 0 || at-e.beeps[n-1] > 500*time.Millisecond {
				e.beeps = append(e.beeps, at)
			}
		}
		e.loud = loud
	}
}

func TestDemoRefusals(t *testing.T) {
	for name, cfg := range map[string]gateway.Config{
		"without an RTMP server": {RTMPListen: "off"},
	} {
		if err := demo.Run(t.Context(), cfg, gateway.Options{}, io.Discard); err == nil {
			t.Errorf("%s: no error", name)
		}
	}
}

// TestDemoInject does what the demo prints: it plays the clip to the caller, and
// takes it out again.
func TestDemoInject(t *testing.T) {
	var out safeBuilder
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	events := make(chan trunkcast.Event, 100)
	ended := make(chan error, 1)
	go func() {
		ended <- demo.Run(ctx, gateway.Config{SIPListen: "127.0.0.1:0", RTMPListen: "127.0.0.1:0", HTTPListen: "127.0.0.1:0"},
			gateway.Options{OnEvent: func(e trunkcast.Event) {
				if e.Injection != nil {
					events <- e
				}
			}}, &out)
	}()
	defer func() {
		cancel()
		if err := <-ended; err != nil {
			t.Error(err)
		}
	}()
	printedURL(t, &out, ended)
	line := regexp.MustCompile(`curl -H 'Content-Type: application/json' -d '(.*)' (http://\S+)/startup\n`)
	var found []string
	for deadline := time.Now().Add(10 * time.Second); found == nil; time.Sleep(20 * time.Millisecond) {
		if found = line.FindStringSubmatch(out.String()); found == nil && time.Now().After(deadline) {
			t.Fatalf("no curl line printed: %s", out.String())
		}
	}
	for _, step := range []struct {
		path string
		want trunkcast.EventType
	}{{"/startup", trunkcast.InjectionStarted}, {"/terminate", trunkcast.InjectionEnded}} {
		client := http.Client{Timeout: 30 * time.Second}
		res, err := client.Post(found[2]+step.path, "application/json", strings.NewReader(found[1]))
		if err != nil {
			t.Fatal(err)
		}
		text, _ := io.ReadAll(res.Body)
		_ = res.Body.Close()
		client.CloseIdleConnections()
		if res.StatusCode != http.StatusOK {
			t.Fatalf("%s: %s %s", step.path, res.Status, text)
		}
		select {
		case e := <-events:
			if e.Type != step.want || e.Injection.Name() != "demo://clip" {
				t.Errorf("after %s: %v of %s", step.path, e.Type, e.Injection.Name())
			}
		case <-time.After(10 * time.Second):
			t.Fatalf("after %s: no event", step.path)
		}
	}
}

// TestDemoPlayKey prints a URL that can be played as it stands, and the log
// tells the caller's lines from the gateway's.
func TestDemoPlayKey(t *testing.T) {
	var out, log safeBuilder
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	ended := make(chan error, 1)
	cfg := gateway.Config{SIPListen: "127.0.0.1:0", RTMPListen: "127.0.0.1:0", HTTPListen: "off", PlayKey: "a key's"}
	opts := gateway.Options{Logger: slog.New(slog.NewTextHandler(&log, nil))}
	go func() { ended <- demo.Run(ctx, cfg, opts, &out) }()
	quoted := regexp.MustCompile(`ffplay '(\S+)'`)
	for deadline := time.Now().Add(20 * time.Second); !quoted.MatchString(out.String()); time.Sleep(20 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("no URL printed: %s", out.String())
		}
	}
	play, stop := context.WithTimeout(ctx, 20*time.Second)
	defer stop()
	p := &rtmp.Player{URL: quoted.FindStringSubmatch(out.String())[1]}
	if _, err := p.ReadFrame(play); err != nil {
		t.Errorf("%s: %v", p.URL, err)
	}
	_ = p.Close()
	cancel()
	if err := <-ended; err != nil {
		t.Error(err)
	}
	for line := range strings.Lines(log.String()) {
		if strings.Contains(line, "trunk=demo") && !strings.Contains(line, `part="demo caller"`) {
			t.Errorf("whose line: %s", line)
		}
	}
	if !strings.Contains(log.String(), `part="demo caller"`) {
		t.Errorf("no line of the caller in\n%s", log.String())
	}
}
