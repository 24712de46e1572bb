package rtsp_test

import (
	"context"
	"errors"
	"io"
	"net"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/trunkcast/trunkcast/inject"
	"github.com/trunkcast/trunkcast/inject/rtsp"
	"github.com/trunkcast/trunkcast/inject/rtsp/rtsptest"
	"github.com/trunkcast/trunkcast/internal/democlip"
	"github.com/trunkcast/trunkcast/media"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// TestTransports plays over UDP, over TCP as that is asked for, and over TCP
// because the server has no UDP.
func TestTransports(t *testing.T) {
	for name, c := range map[string]struct{ udp, tcp bool }{
		"UDP": {udp: true}, "TCP": {udp: true, tcp: true}, "server without UDP": {},
	} {
		t.Run(name, func(t *testing.T) {
			server := rtsptest.Serve(t, democlip.Open(), c.udp)
			source, err := (&rtsp.Opener{TCP: c.tcp}).Open(t.Context(), server.URL)
			if err != nil {
				t.Fatal(err)
			}
			defer source.Close()
			watch(t, source)
		})
	}
}

func watch(t *testing.T, source media.Source) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	pictures, sounds := 0, 0
	var last [2]time.Duration
	for pictures < 30 || sounds < 30 {
		f, err := source.ReadFrame(ctx)
		if err != nil {
			t.Fatalf("after %d pictures and %d sounds: %v", pictures, sounds, err)
		}
		kind := 0
		if f.Track.Codec.Video() {
			kind = 1
			if pictures++; pictures == 1 && (!f.Key || f.Track.Width != 640 || f.Track.Height != 360 || len(f.Track.Config) != 2) {
				t.Errorf("the first picture is %dx%d, key %v, %d parameter sets", f.Track.Width, f.Track.Height, f.Key, len(f.Track.Config))
			}
		} else {
			sounds++
		}
		if f.DTS < last[kind] || f.DTS > 30*time.Second {
			t.Errorf("after %v comes %v", last[kind], f.DTS)
		}
		last[kind] = f.DTS
	}
	if d := last[0] - last[1]; d.Abs() > 2*time.Second {
		t.Errorf("sound at %v, pictures at %v", last[0], last[1])
	}
	if n := len(source.Tracks()); n != 2 {
		t.Errorf("%d tracks", n)
	}
}

func TestRefusals(t *testing.T) {
	server := rtsptest.Serve(t, democlip.Open(), false)
	for url, want := range map[string]error{
		server.URL + "/other": inject.ErrNoSource,
		"http://host/x":       inject.ErrNoSource,
		"rtsp://":             inject.ErrNoSource,
		"rtsp://%zz/":         inject.ErrNoSource,
	} {
		if _, err := (&rtsp.Opener{}).Open(t.Context(), url); !errors.Is(err, want) {
			t.Errorf("%s: %v", url, err)
		}
	}
}

// TestSilentServer has a server that accepts and says nothing: Open ends with
// its context.
func TestSilentServer(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	ctx, cancel := context.WithTimeout(t.Context(), 300*time.Millisecond)
	defer cancel()
	begun := time.Now()
	if _, err := (&rtsp.Opener{}).Open(ctx, "rtsp://"+l.Addr().String()+"/x"); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("%v", err)
	}
	if d := time.Since(begun); d > 8*time.Second {
		t.Errorf("ended after %v", d)
	}
}

// TestEnds has the server go away, and the source closed while it is read.
func TestEnds(t *testing.T) {
	var source media.Source
	t.Run("server", func(t *testing.T) {
		server := rtsptest.Serve(t, democlip.Open(), false)
		var err error
		if source, err = (&rtsp.Opener{}).Open(t.Context(), server.URL); err != nil {
			t.Fatal(err)
		}
	})
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	var err error
	for err == nil {
		_, err = source.ReadFrame(ctx)
	}
	if !errors.Is(err, io.EOF) && ctx.Err() != nil {
		t.Errorf("server gone: %v", err)
	}
	_ = source.Close()
	server := rtsptest.Serve(t, democlip.Open(), false)
	if source, err = (&rtsp.Opener{}).Open(t.Context(), server.URL); err != nil {
		t.Fatal(err)
	}
	time.AfterFunc(100*time.Millisecond, func() { _ = source.Close() })
	for err == nil {
		_, err = source.ReadFrame(ctx)
	}
	if !errors.Is(err, media.ErrClosed) {
		t.Errorf("closed: %v", err)
	}
}
