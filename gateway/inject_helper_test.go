package gateway_test

import (
	"bytes"
	"context"
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"hash/maphash"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/trunkcast/trunkcast"
	"github.com/trunkcast/trunkcast/gateway"
	"github.com/trunkcast/trunkcast/inject"
	"github.com/trunkcast/trunkcast/internal/democlip"
	"github.com/trunkcast/trunkcast/media"
	"github.com/trunkcast/trunkcast/media/rtpio"
	"github.com/trunkcast/trunkcast/media/sdp"
	"github.com/trunkcast/trunkcast/trunk"
)

// demoClip is 12 s of H.264 at 25 fps and Opus: see package democlip.
const demoClip = "../internal/democlip/clip.mp4"

// mediaFolder holds the demo clip as clip.mp4.
func mediaFolder(t testing.TB) string {
	t.Helper()
	data, err := os.ReadFile(demoClip)
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "clip.mp4"), data, 0o600); err != nil {
		t.Fatal(err)
	}
	return dir
}

// injecting runs a gateway whose calls are published nowhere.
func injecting(t testing.TB, change func(*gateway.Config)) *running {
	t.Helper()
	cfg := gateway.Config{Trunks: []trunk.Config{pbx("")}, RTMPListen: "127.0.0.1:0", MediaFolder: mediaFolder(t)}
	if change != nil {
		change(&cfg)
	}
	return startGateway(t, cfg, gateway.Options{})
}

// post asks the REST interface and returns status and body.
func (r *running) post(path string, body map[string]any) (int, string) {
	r.t.Helper()
	data, err := json.Marshal(body)
	if err != nil {
		r.t.Fatal(err)
	}
	client := http.Client{Timeout: 60 * time.Second, Transport: &http.Transport{}} // of its own: tests run at once
	defer client.CloseIdleConnections()
	res, err := client.Post(r.RESTURL()+path, "application/json", bytes.NewReader(data))
	if err != nil {
		r.t.Fatal(err)
	}
	defer res.Body.Close()
	text, err := io.ReadAll(res.Body)
	if err != nil {
		r.t.Fatal(err)
	}
	return res.StatusCode, string(text)
}

// must is post, failing the test unless the status is 200.
func (r *running) must(path string, body map[string]any) string {
	r.t.Helper()
	status, text := r.post(path, body)
	if status != http.StatusOK {
		r.t.Fatalf("%s: %d %s", path, status, text)
	}
	return text
}

// received is a frame that a phone got.
type received struct {
	at    time.Time
	frame *media.Frame
}

// phone is a call to the gateway that keeps what it is sent.
type phone struct {
	t     testing.TB
	call  *trunk.Call
	media *rtpio.Session
	g     *running

	mu     sync.Mutex
	frames []received
}

// dial calls the gateway with what caps offers.
func (r *running) dial(caps *sdp.Capabilities) *phone {
	r.t.Helper()
	return r.dialTrunk("pbx", caps)
}

// dialTrunk is dial on a trunk of another name.
func (r *running) dialTrunk(name string, caps *sdp.Capabilities) *phone {
	r.t.Helper()
	return r.place(name, func(m *rtpio.Session) { m.Caps = caps })
}

// dialWith is dial with a media session that was changed.
func (r *running) dialWith(change func(*rtpio.Session)) *phone {
	r.t.Helper()
	return r.place("pbx", change)
}

func (r *running) place(name string, change func(*rtpio.Session)) *phone {
	r.t.Helper()
	p := &phone{t: r.t, g: r}
	no := false
	to := r.addr(name)
	ua := &trunk.Server{Trunks: []trunk.Config{{
		Name: "phone", ListenAddress: "127.0.0.1", ProxyIP: "127.0.0.1", RemotePort: int(to.Port()), Register: &no,
	}}}
	ctx, cancel := context.WithCancel(context.Background())
	if err := ua.Start(ctx); err != nil {
		r.t.Fatal(err)
	}
	p.media = &rtpio.Session{Ports: &rtpio.Ports{First: 32000, Last: 33999, Addr: to.Addr()}, Output: media.SinkFunc(p.take)}
	change(p.media)
	var err error
	dialling, done := context.WithTimeout(ctx, 30*time.Second)
	defer done()
	if p.call, err = ua.Trunk("phone").Dial(dialling, p.media, trunk.DialOptions{Number: "100"}); err != nil {
		r.t.Fatal(err)
	}
	r.t.Cleanup(func() {
		hang, done := context.WithTimeout(context.Background(), 5*time.Second)
		defer done()
		_ = p.call.Hangup(hang, "")
		_ = p.media.Close()
		_ = ua.Close()
		cancel()
	})
	eventually(r.t, "call known to the gateway", func() bool { s := r.Bridge.Session(p.call.ID()); return s != nil && s.Agreed() != nil })
	return p
}

func (p *phone) take(_ context.Context, f *media.Frame) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.frames = append(p.frames, received{time.Now(), f})
	return nil
}

// session is the call on the gateway's side.
func (p *phone) session() *trunkcast.Session { return p.g.Bridge.Session(p.call.ID()) }

// body is a request about this call.
func (p *phone) body(more map[string]any) map[string]any {
	all := map[string]any{"callId": p.call.ID()}
	for k, v := range more {
		all[k] = v
	}
	return all
}

// pictures returns the pictures received since then.
func (p *phone) pictures(since time.Time) (list []received) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, f := range p.frames {
		if f.frame.Track.Codec.Video() && f.at.After(since) {
			list = append(list, f)
		}
	}
	return list
}

// sounds returns how many audio frames of more than a few bytes, which
// silence has, came since then.
func (p *phone) sounds(since time.Time) (n int) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, f := range p.frames {
		if f.frame.Track.Codec.Audio() && f.at.After(since) && f.frame.Size() > 10 {
			n++
		}
	}
	return n
}

// clipIndex knows the pictures of a file by their content, so that what
// arrives tells where in the file it is from. Some of them are the same.
type clipIndex struct {
	seed maphash.Seed
	at   map[uint64][]time.Duration
}

func indexClip(t testing.TB, file string) *clipIndex {
	t.Helper()
	data, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	f, err := inject.Open(t.Context(), bytes.NewReader(data), int64(len(data)), inject.FileOptions{})
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	c := &clipIndex{seed: maphash.MakeSeed(), at: map[uint64][]time.Duration{}}
	for {
		frame, err := f.ReadFrame(t.Context())
		if err == io.EOF {
			return c
		}
		if err != nil {
			t.Fatal(err)
		}
		if frame.Track.Codec.Video() {
			h := c.hash(frame)
			c.at[h] = append(c.at[h], frame.PTS)
		}
	}
}

func (c *clipIndex) hash(f *media.Frame) uint64 {
	return maphash.Bytes(c.seed, bytes.Join(f.Data, nil))
}

// positions are where in the clip those pictures are from that are of it. Of
// two that look the same it is the one nearer to the one before.
func (c *clipIndex) positions(list []received) (all []time.Duration) {
	last := time.Duration(0)
	for _, f := range list {
		places := c.at[c.hash(f.frame)]
		if len(places) == 0 {
			continue
		}
		last = slices.MinFunc(places, func(a, b time.Duration) int { return int((a - last).Abs() - (b - last).Abs()) })
		all = append(all, last)
	}
	return all
}

// publishClip publishes the clip on the embedded server and returns its name.
func publishClip(t testing.TB, g *running) string {
	t.Helper()
	const name = "published"
	sink, err := g.RTMP.Publish("live/"+name, nil)
	if err != nil {
		t.Fatal(err)
	}
	player := &inject.Injector{Source: democlip.Open(), Sink: sink}
	if err := player.Start(context.Background()); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = player.Close()
		_ = sink.Close()
	})
	return name
}

// objectServer holds the clip as an object: a server that gives it to signed
// requests only.
func objectServer(t testing.TB) string {
	t.Helper()
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if !strings.HasPrefix(r.URL.Query().Get("X-Amz-Credential"), "key/") || r.URL.Query().Get("X-Amz-Signature") == "" {
			http.Error(w, "not signed", http.StatusForbidden)
			return
		}
		if r.URL.Path != "/bucket/clip.mp4" {
			http.NotFound(w, r)
			return
		}
		http.ServeFile(w, r, demoClip)
	}))
	t.Cleanup(s.Close)
	return s.URL
}

// certificateFiles are PEM files of a certificate for 127.0.0.1, which is its
// own authority, and of its key.
func certificateFiles(t testing.TB) (cert, key string) {
	t.Helper()
	s := httptest.NewTLSServer(http.NotFoundHandler())
	s.Close()
	pair := s.TLS.Certificates[0]
	der, err := x509.MarshalPKCS8PrivateKey(pair.PrivateKey)
	if err != nil {
		t.Fatal(err)
	}
	folder := t.TempDir()
	cert, key = filepath.Join(folder, "cert.pem"), filepath.Join(folder, "key.pem")
	for file, block := range map[string]*pem.Block{
		cert: {Type: "CERTIFICATE", Bytes: pair.Certificate[0]}, key: {Type: "PRIVATE KEY", Bytes: der},
	} {
		if err := os.WriteFile(file, pem.EncodeToMemory(block), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return cert, key
}
