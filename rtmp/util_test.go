package rtmp

import (
	"context"
	"encoding/hex"
	"net"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/trunkcast/trunkcast/media"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func unhex(s string) []byte {
	b, err := hex.DecodeString(strings.ReplaceAll(s, " ", ""))
	if err != nil {
		panic(err)
	}
	return b
}

// Tracks for tests: two H.264 ones of 1920x1080 and 640x360, H.265 of 1920x1080.
var (
	spsHD   = unhex("67 42 c0 28 d9 00 78 02 27 e5 84 00 00 03 00 04 00 00 03 00 f0 3c 60 c9 20")
	spsSD   = unhex("67 64 00 1e ac d9 40 a0 2f f9 70 11 00 00 03 00 01 00 00 03 00 32 0f 16 2d 96")
	ppsAny  = unhex("68 eb e3 cb 22 c0")
	vpsHEVC = unhex("40 01 0c 01 ff ff 02 20 00 00 03 00 b0 00 00 03 00 00 03 00 7b 18 b0 24")
	spsHEVC = unhex("42 01 01 02 20 00 00 03 00 b0 00 00 03 00 00 03 00 7b a0 07 82 00 88 7d b6 71 8b 92 44 80 53 88" +
		"88 92 cf 24 a6 92 72 c9 12 49 22 dc 91 aa 48 fc a2 23 ff 00 01 00 01 6a 02 02 02 01")
	ppsHEVC = unhex("44 01 c0 25 2f 05 32 40")
)

func h264Track(sps []byte) *media.Track {
	return &media.Track{Codec: media.H264, ClockRate: media.VideoClockRate, Config: [][]byte{sps, ppsAny}}
}

func h265Track() *media.Track {
	return &media.Track{Codec: media.H265, ClockRate: media.VideoClockRate, Config: [][]byte{vpsHEVC, spsHEVC, ppsHEVC}}
}

func audioTrack(c media.Codec) *media.Track {
	switch c {
	case media.AAC:
		return &media.Track{Codec: c, ClockRate: 48000, Channels: 1, Config: [][]byte{{0x11, 0x88}}}
	case media.Opus:
		return &media.Track{Codec: c, ClockRate: 48000, Channels: 1}
	}
	return &media.Track{Codec: c, ClockRate: 8000, Channels: 1}
}

// clip makes frames of both tracks, either of which may be nil, in the order
// of their DTS: video at 25 fps with a key frame each gop, audio each 20 ms.
// Each frame carries its number.
type clip struct {
	video, audio *media.Track
	gop          int
	size         int // bytes of a video frame
	n            int // ticks of 20 ms
	start        time.Duration
}

func (c *clip) next() []*media.Frame {
	at := c.start + time.Duration(c.n)*20*time.Millisecond
	number := []byte{byte(c.n >> 24), byte(c.n >> 16), byte(c.n >> 8), byte(c.n)}
	var frames []*media.Frame
	if c.video != nil && c.n%2 == 0 {
		key := c.n/2%c.gop == 0
		head := []byte{0x41}
		switch {
		case c.video.Codec == media.H265 && key:
			head = []byte{19 << 1, 1}
		case c.video.Codec == media.H265:
			head = []byte{1 << 1, 1}
		case key:
			head = []byte{0x65}
		}
		nal := append(append(head, number...), make([]byte, max(c.size, 8))...)
		frames = append(frames, &media.Frame{Track: c.video, PTS: at, DTS: at, Key: key, Data: [][]byte{nal}})
	}
	if c.audio != nil {
		frames = append(frames, &media.Frame{Track: c.audio, PTS: at, DTS: at, Data: [][]byte{append(number, 1, 2, 3, 4)}})
	}
	c.n++
	return frames
}

// run writes the clip, faster than real time by rate, until ctx is done.
func (c *clip) run(ctx context.Context, t testing.TB, rate int, sink media.Sink) {
	t.Helper()
	tick := time.NewTicker(20 * time.Millisecond / time.Duration(rate))
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		for _, f := range c.next() {
			if err := sink.WriteFrame(ctx, f); err != nil && ctx.Err() == nil {
				t.Errorf("WriteFrame: %v", err)
				return
			}
		}
	}
}

// start runs the clip in the background; what it returns stops it.
func (c *clip) begin(t testing.TB, rate int, sink media.Sink) (stop func()) {
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	go func() {
		defer close(done)
		c.run(ctx, t, rate, sink)
	}()
	return func() {
		cancel()
		<-done
	}
}

func listen(t testing.TB, addr string) net.Listener {
	t.Helper()
	var l net.Listener
	eventually(t, 5*time.Second, "listening on "+addr, func() bool {
		var err error
		l, err = net.Listen("tcp", addr)
		return err == nil
	})
	return l
}

// serve runs s on a port of the kernel's choice and returns its URL without
// application.
func serve(t testing.TB, s *Server) (url string) {
	t.Helper()
	l := listen(t, "127.0.0.1:0")
	done := make(chan error, 1)
	go func() { done <- s.Serve(context.Background(), l) }()
	t.Cleanup(func() {
		_ = s.Close()
		if err := <-done; err != ErrServerClosed {
			t.Errorf("Serve: %v", err)
		}
	})
	return "rtmp://" + l.Addr().String()
}

func eventually(t testing.TB, limit time.Duration, what string, ok func() bool) {
	t.Helper()
	for end := time.Now().Add(limit); !ok(); time.Sleep(5 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("not within %v: %s", limit, what)
		}
	}
}

func within(t testing.TB, limit time.Duration) context.Context {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), limit)
	t.Cleanup(cancel)
	return ctx
}

// read reads frames until ok says enough.
func read(t testing.TB, src media.Source, ok func(*media.Frame) bool) {
	t.Helper()
	ctx := within(t, 10*time.Second)
	for {
		f, err := src.ReadFrame(ctx)
		if err != nil {
			t.Fatalf("ReadFrame: %v", err)
		}
		if ok(f) {
			return
		}
	}
}
