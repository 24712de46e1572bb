//go:build peers && linux

package gateway_test

import (
	"bytes"
	"net/http"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/trunkcast/trunkcast"
	"github.com/trunkcast/trunkcast/gateway"
	"github.com/trunkcast/trunkcast/internal/peertest"
)

// TestPeerInjectS3 plays an object of an S3 server that is not ours. The server
// is killed meanwhile: the injection fails and tells so, the call goes on, and
// with the server back it can be injected again.
func TestPeerInjectS3(t *testing.T) {
	server := peertest.StartS3(t)
	file := filepath.Join(t.TempDir(), "long.mp4") // longer than what is read ahead
	if _, errs, err := peertest.Run(t, time.Minute, "ffmpeg", "-v", "error", "-nostdin", "-stream_loop", "19", "-i", demoClip, "-c", "copy", file); err != nil {
		t.Fatalf("%v %s", err, errs)
	}
	data, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	url := "http://" + server.Addr
	put, err := http.NewRequestWithContext(t.Context(), http.MethodPut, url+"/"+peertest.S3Bucket+"/long.mp4", bytes.NewReader(data))
	if err != nil {
		t.Fatal(err)
	}
	client := http.Client{Timeout: time.Minute}
	defer client.CloseIdleConnections()
	res, err := client.Do(put)
	if err != nil {
		t.Fatal(err)
	}
	_ = res.Body.Close()
	if res.StatusCode != http.StatusOK {
		t.Fatalf("put: %s", res.Status)
	}
	g := injecting(t, func(c *gateway.Config) {
		c.S3 = gateway.S3Config{Endpoint: url, AccessKey: "key", SecretKey: "secret", Region: "eu-1", PathStyle: true}
	})
	clip := indexClip(t, demoClip)
	p := g.dial(nil)
	plays := func() {
		t.Helper()
		begun := time.Now()
		g.must("/call/inject_stream/startup", p.body(map[string]any{"streamName": "s3://" + peertest.S3Bucket + "/long.mp4"}))
		eventually(t, "pictures and sound of the clip", func() bool {
			return len(clip.positions(p.pictures(begun))) >= 20 && p.sounds(begun) >= 10
		})
	}
	plays()
	server.Kill()
	g.must("/call/inject_stream/seek", p.body(map[string]any{"position": 200}))
	eventually(t, "the failure", func() bool { return g.has(trunkcast.InjectionFailed) })
	g.logged("injection failed")
	if g.has(trunkcast.CallEnded) || p.session() == nil {
		t.Fatal("the call has ended")
	}
	if status, text := g.post("/call/inject_stream/startup", p.body(map[string]any{"streamName": "s3://" + peertest.S3Bucket + "/long.mp4"})); status != http.StatusBadGateway {
		t.Errorf("without the server: %d %s", status, text)
	}
	server.Restart()
	plays()
}
