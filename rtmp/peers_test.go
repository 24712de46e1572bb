//go:build peers

package rtmp_test

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/trunkcast/trunkcast/internal/peertest"
	"github.com/trunkcast/trunkcast/media"
	"github.com/trunkcast/trunkcast/rtmp"
)

// source runs a Server to which ffmpeg publishes a clip in real time as
// live/clip, again and again, and returns its URL without application.
func source(t *testing.T) (s *rtmp.Server, base string) {
	t.Helper()
	s = &rtmp.Server{}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan error, 1)
	go func() { done <- s.Serve(context.Background(), l) }()
	t.Cleanup(func() {
		_ = s.Close()
		<-done
	})
	base = "rtmp://" + l.Addr().String()
	clip := peertest.MakeClip(t, peertest.ClipOptions{Seconds: 30})
	clip.Publish(t, base+"/live/clip")
	peertest.Eventually(t, 30*time.Second, "ffmpeg publishes", func() bool {
		list := s.List()
		return len(list) == 1 && list[0].Video == media.H264 && list[0].Audio == media.AAC
	})
	return s, base
}

// copyTo publishes what src gives until the test ends or stop is called.
func copyTo(t *testing.T, src media.Source, sink media.Sink) (stop func()) {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	go func() {
		defer close(done)
		for {
			f, err := src.ReadFrame(ctx)
			if err == nil {
				err = sink.WriteFrame(ctx, f)
			}
			if err != nil {
				if ctx.Err() == nil {
					t.Errorf("copy: %v", err)
				}
				return
			}
		}
	}()
	stop = func() {
		cancel()
		<-done
	}
	t.Cleanup(stop)
	return stop
}

var wanted = peertest.Expect{
	Width: 640, Height: 360, FrameRate: 25, MinFlashes: 3, MinBeeps: 3, MaxOffset: 80 * time.Millisecond,
}

// TestPeerNginx: ffmpeg -> Server -> Player -> Publisher -> nginx-rtmp ->
// ffmpeg; then nginx dies and comes back; then the stream ends.
func TestPeerNginx(t *testing.T) {
	_, base := source(t)
	n := peertest.StartNginx(t)
	player := &rtmp.Player{URL: base + "/live/clip"}
	defer func() { _ = player.Close() }()
	p := &rtmp.Publisher{URL: n.RTMPURL + "/live?token=a/b", StreamName: "rtmp_100", RetryMax: 500 * time.Millisecond}
	stop := copyTo(t, player, p)
	n.WaitStream("rtmp_100", 30*time.Second)
	m := peertest.Watch(t, n.RTMPURL+"/live/rtmp_100", 5*time.Second)
	t.Logf("measured: %v", m)
	m.Check(t, wanted)
	readFrom(t, n.RTMPURL+"/live/rtmp_100")

	n.Stop()
	peertest.Eventually(t, 30*time.Second, "the loss is noticed", func() bool { return p.Stats().State != rtmp.Live })
	n.Restart()
	n.WaitStream("rtmp_100", 30*time.Second)
	m = peertest.Watch(t, n.RTMPURL+"/live/rtmp_100", 4*time.Second)
	t.Logf("measured after the restart: %v", m)
	m.Check(t, peertest.Expect{Width: 640, Height: 360, FrameRate: 25, MinFlashes: 2, MinBeeps: 2, MaxOffset: 80 * time.Millisecond})
	if st := p.Stats(); st.Connects != 2 {
		t.Errorf("stats %+v", st)
	}
	stop()
	if err := p.Close(); err != nil {
		t.Error(err)
	}
	n.WaitGone("rtmp_100", 30*time.Second)
}

// readFrom plays a stream of another server with a Player.
func readFrom(t *testing.T, url string) {
	t.Helper()
	player := &rtmp.Player{URL: url}
	defer func() { _ = player.Close() }()
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
	defer cancel()
	counts := map[media.Codec]int{}
	last := map[media.Codec]time.Duration{}
	for counts[media.H264] < 50 || counts[media.AAC] < 50 {
		f, err := player.ReadFrame(ctx)
		if err != nil {
			t.Fatalf("Player: %v after %v", err, counts)
		}
		c := f.Track.Codec
		if c == media.H264 && counts[c] == 0 && (!f.Key || f.Track.Width != 640) {
			t.Errorf("the video begins with %+v of %+v", f, f.Track)
		}
		if f.DTS < last[c] {
			t.Errorf("%s at %v after %v", c, f.DTS, last[c])
		}
		counts[c]++
		last[c] = f.DTS
	}
}

// TestPeerNginxDenied: it says Publish.Start and closes; an unknown
// application is closed at connect.
func TestPeerNginxDenied(t *testing.T) {
	n := peertest.StartNginx(t)
	for app, stage := range map[string]string{"denied": "publish", "none": "connect"} {
		p := &rtmp.Publisher{URL: n.RTMPURL + "/" + app + "/x", GiveUp: func(error, int) bool { return true }}
		if err := p.Start(); err != nil {
			t.Fatal(err)
		}
		peertest.Eventually(t, 30*time.Second, app+" is refused", func() bool { return p.Stats().State == rtmp.Closed })
		var refused *rtmp.RefusedError
		if err := p.Stats().LastError; !errors.As(err, &refused) || refused.Stage != stage {
			t.Errorf("%s: %v", app, err)
		}
		_ = p.Close()
	}
}

// TestPeerFFmpegListen: the strict one-shot server gets every frame.
func TestPeerFFmpegListen(t *testing.T) {
	_, base := source(t)
	port := peertest.Port(t)
	out := filepath.Join(t.TempDir(), "out.flv")
	url := fmt.Sprintf("rtmp://127.0.0.1:%d/live/x", port)
	ff := peertest.Start(t, "ffmpeg", "-v", "error", "-f", "flv", "-listen", "1", "-i", url, "-c", "copy", "-y", out)
	player := &rtmp.Player{URL: base + "/live/clip"}
	defer func() { _ = player.Close() }()
	p := &rtmp.Publisher{URL: url}
	stop := copyTo(t, player, p)
	peertest.Eventually(t, 30*time.Second, "4 s of frames", func() bool { return p.Stats().VideoFrames > 100 })
	stop()
	_ = p.Close()
	if err := ff.Wait(30 * time.Second); err != nil {
		t.Errorf("ffmpeg: %v\n%s", err, ff.Output())
	}
	m := peertest.MeasureFile(t, out)
	t.Logf("measured: %v", m)
	m.Check(t, wanted)
}

// TestPeerPlayers: ffmpeg, rtmpdump and VLC play from the Server.
func TestPeerPlayers(t *testing.T) {
	_, base := source(t)
	url := base + "/live/clip"
	t.Run("ffmpeg", func(t *testing.T) {
		m := peertest.Watch(t, url, 5*time.Second)
		t.Logf("measured: %v", m)
		m.Check(t, wanted)
	})
	t.Run("rtmpdump", func(t *testing.T) {
		out := peertest.Rtmpdump(t, url, 4*time.Second)
		b, err := os.ReadFile(out)
		if err != nil || !bytes.HasPrefix(b, []byte("FLV")) || !bytes.Contains(b, []byte("onMetaData")) {
			t.Errorf("file of %d bytes, %v", len(b), err)
		}
		m := peertest.MeasureFile(t, out)
		t.Logf("measured: %v", m)
		if m.Width != 640 || m.AudioCodec != "aac" || m.AudioSeconds < 3 || m.Backwards != 0 {
			t.Errorf("got %v", m)
		}
	})
	t.Run("VLC", func(t *testing.T) {
		m := peertest.MeasureFile(t, peertest.VLC(t, url, 6*time.Second))
		t.Logf("measured: %v", m)
		if m.Width != 640 || m.AudioCodec != "aac" || len(m.Flashes) < 3 || len(m.Beeps) < 3 {
			t.Errorf("got %v", m)
		}
	})
}

// TestPeerRTMPS: stunnel before nginx-rtmp, with a CA of our own; without it
// the certificate is refused.
func TestPeerRTMPS(t *testing.T) {
	_, base := source(t)
	n := peertest.StartNginx(t)
	tunnel := peertest.StartStunnel(t, n.Addr)
	url := "rtmps://" + tunnel.Addr + "/live/rtmp_7"
	bad := &rtmp.Publisher{URL: url, GiveUp: func(error, int) bool { return true }}
	if err := bad.Start(); err != nil {
		t.Fatal(err)
	}
	peertest.Eventually(t, 30*time.Second, "the certificate is refused", func() bool { return bad.Stats().State == rtmp.Closed })
	var ce *tls.CertificateVerificationError
	if err := bad.Stats().LastError; !errors.As(err, &ce) || !strings.Contains(err.Error(), "authority") {
		t.Errorf("unknown authority: %v", err)
	}
	_ = bad.Close()

	player := &rtmp.Player{URL: base + "/live/clip"}
	defer func() { _ = player.Close() }()
	ca, err := os.ReadFile(tunnel.CA)
	if err != nil {
		t.Fatal(err)
	}
	pool := x509.NewCertPool()
	pool.AppendCertsFromPEM(ca)
	p := &rtmp.Publisher{URL: url, TLS: &tls.Config{RootCAs: pool}}
	defer func() { _ = p.Close() }()
	stop := copyTo(t, player, p)
	defer stop()
	n.WaitStream("rtmp_7", 30*time.Second)
	m := peertest.Watch(t, n.RTMPURL+"/live/rtmp_7", 4*time.Second)
	t.Logf("measured: %v", m)
	m.Check(t, peertest.Expect{Width: 640, Height: 360, FrameRate: 25, MaxOffset: 80 * time.Millisecond})
}
