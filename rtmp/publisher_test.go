package rtmp

import (
	"bufio"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"io"
	"math/big"
	"net"
	"os"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/trunkcast/trunkcast/media"
)

// certificate makes a server certificate for 127.0.0.1 and the pool that
// knows it.
func certificate(t testing.TB) (*tls.Config, *x509.CertPool) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	c := &x509.Certificate{
		SerialNumber: big.NewInt(1), NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
		IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)}, IsCA: true, BasicConstraintsValid: true,
	}
	der, err := x509.CreateCertificate(rand.Reader, c, c, &key.PublicKey, key)
	if err != nil {
		t.Fatal(err)
	}
	parsed, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	pool := x509.NewCertPool()
	pool.AddCert(parsed)
	return &tls.Config{Certificates: []tls.Certificate{{Certificate: [][]byte{der}, PrivateKey: key}}}, pool
}

// fake serves each connection of a listener with serve.
func fake(t testing.TB, serve func(nc net.Conn)) (addr string) {
	t.Helper()
	l := listen(t, "127.0.0.1:0")
	var wg sync.WaitGroup
	var mu sync.Mutex
	var conns []net.Conn
	wg.Go(func() {
		for {
			nc, err := l.Accept()
			if err != nil {
				return
			}
			mu.Lock()
			conns = append(conns, nc)
			mu.Unlock()
			wg.Go(func() { serve(nc) })
		}
	})
	t.Cleanup(func() {
		_ = l.Close()
		mu.Lock()
		for _, c := range conns {
			_ = c.Close()
		}
		mu.Unlock()
		wg.Wait()
	})
	return l.Addr().String()
}

// answer is a server that answers commands as told, by name.
func answer(nc net.Conn, answers map[string]func(c *conn, m message, cmd *command)) {
	r := bufio.NewReader(nc)
	if serverHandshake(nc, r) != nil {
		return
	}
	c := newConn(nc, r, 1<<20, time.Second)
	defer c.close()
	for {
		m, err := c.read()
		if err != nil {
			return
		}
		if m.kind != kindCommand {
			continue
		}
		cmd, err := decodeCommand(m)
		if err != nil {
			return
		}
		if fn := answers[cmd.name]; fn != nil {
			fn(c, m, cmd)
		}
	}
}

func yes(c *conn, _ message, cmd *command) { _ = c.command(0, "_result", cmd.id, nil, 1) }

func say(level, code string) func(*conn, message, *command) {
	return func(c *conn, m message, _ *command) {
		_ = c.command(m.stream, "onStatus", 0, nil, status(level, code, "about secretkey"))
	}
}

// TestRefusals: whatever way the server says no, there is one clear error.
func TestRefusals(t *testing.T) {
	start := say("status", "NetStream.Publish.Start")
	for _, tt := range []struct {
		name  string
		serve func(nc net.Conn)
		stage string
		code  string
	}{
		{"bad name, level error", func(nc net.Conn) {
			answer(nc, map[string]func(*conn, message, *command){"connect": yes, "createStream": yes, "publish": say("error", "NetStream.Publish.BadName")})
		}, "publish", "NetStream.Publish.BadName"},
		{"bad name, level status", func(nc net.Conn) {
			answer(nc, map[string]func(*conn, message, *command){"connect": yes, "createStream": yes, "publish": say("status", "NetStream.Publish.BadName")})
		}, "publish", "NetStream.Publish.BadName"},
		{"closed after start, as nginx-rtmp", func(nc net.Conn) {
			answer(nc, map[string]func(*conn, message, *command){"connect": yes, "createStream": yes, "publish": func(c *conn, m message, cmd *command) {
				start(c, m, cmd)
				c.closeWhenWritten()
			}})
		}, "publish", ""},
		{"closed at connect, as nginx-rtmp for an unknown application", func(nc net.Conn) {
			answer(nc, map[string]func(*conn, message, *command){"connect": func(c *conn, _ message, _ *command) { c.closeWhenWritten() }})
		}, "connect", ""},
		{"connect refused", func(nc net.Conn) {
			answer(nc, map[string]func(*conn, message, *command){"connect": func(c *conn, _ message, cmd *command) {
				_ = c.command(0, "_error", cmd.id, nil, status("error", "NetConnection.Connect.Rejected", "no secretkey"))
			}})
		}, "connect", "NetConnection.Connect.Rejected"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			p := &Publisher{
				URL: "rtmp://" + fake(t, tt.serve) + "/live/secretkey", ConnectTimeout: 5 * time.Second,
				GiveUp: func(error, int) bool { return true },
			}
			_ = p.Start()
			eventually(t, 5*time.Second, "refusal", func() bool { return p.Stats().State == Closed })
			var refused *RefusedError
			st := p.Stats()
			if !errors.As(st.LastError, &refused) || refused.Stage != tt.stage || refused.Code != tt.code {
				t.Fatalf("got %v, want stage %s and code %q", st.LastError, tt.stage, tt.code)
			}
			if st.Refusals != 1 || strings.Contains(st.LastError.Error(), "secret") {
				t.Errorf("%d refusals, %v", st.Refusals, st.LastError)
			}
			if err := p.WriteFrame(context.Background(), (&clip{audio: audioTrack(media.AAC)}).next()[0]); !errors.As(err, &refused) {
				t.Errorf("WriteFrame: %v", err)
			}
			_ = p.Close()
		})
	}
}

// TestServersThatDoNotSpeakRTMP end in an error within the time given.
func TestServersThatDoNotSpeakRTMP(t *testing.T) {
	for name, serve := range map[string]func(nc net.Conn){
		"silent":             func(nc net.Conn) { _, _ = io.Copy(io.Discard, nc) },
		"HTTP":               func(nc net.Conn) { _, _ = nc.Write([]byte("HTTP/1.1 400 Bad Request\r\n\r\n")); _ = nc.Close() },
		"silent after hello": func(nc net.Conn) { answer(nc, nil) },
		"noise": func(nc net.Conn) {
			if serverHandshake(nc, bufio.NewReader(nc)) == nil {
				_, _ = io.CopyN(nc, rand.Reader, 1<<20)
			}
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			p := &Publisher{
				URL: "rtmp://" + fake(t, serve) + "/live/x", ConnectTimeout: 300 * time.Millisecond,
				GiveUp: func(error, int) bool { return true },
			}
			_ = p.Start()
			eventually(t, 5*time.Second, "error", func() bool { return p.Stats().State == Closed })
			err := p.Stats().LastError
			if err == nil || strings.HasPrefix(name, "silent") && !errors.Is(err, os.ErrDeadlineExceeded) && !errors.Is(err, context.DeadlineExceeded) {
				t.Errorf("got %v", err)
			}
			_ = p.Close()
		})
	}
}

// TestBlackHole: a server that stops reading costs frames, a bounded memory
// and nobody's time; when it reads again the stream goes on with a key frame.
func TestBlackHole(t *testing.T) {
	var stalled atomic.Bool
	release := make(chan struct{})
	var mu sync.Mutex
	var got []int // numbers of the video frames, negative those of key frames
	addr := fake(t, func(nc net.Conn) {
		_ = nc.(*net.TCPConn).SetReadBuffer(128 << 10)
		r := bufio.NewReader(nc)
		if serverHandshake(nc, r) != nil {
			return
		}
		c := newConn(nc, r, 1<<20, time.Second)
		defer c.close()
		for {
			if stalled.Load() {
				<-release
			}
			m, err := c.read()
			if err != nil {
				return
			}
			if m.kind == kindVideo && len(m.payload) > 13 && m.payload[1] == 1 {
				n := int(m.payload[12])<<8 | int(m.payload[13])
				if m.payload[0]>>4 == 1 {
					n = -n
				}
				mu.Lock()
				got = append(got, n)
				mu.Unlock()
			}
			if m.kind != kindCommand {
				continue
			}
			cmd, err := decodeCommand(m)
			if err != nil {
				return
			}
			switch cmd.name {
			case "connect", "createStream":
				yes(c, m, cmd)
			case "publish":
				say("status", "NetStream.Publish.Start")(c, m, cmd)
			}
		}
	})
	p := &Publisher{URL: "rtmp://" + addr + "/live/x", MaxQueue: 256 << 10, SettleTime: 50 * time.Millisecond}
	c := &clip{video: h264Track(spsHD), audio: audioTrack(media.AAC), gop: 10, size: 20_000}
	ctx := context.Background()
	var worst time.Duration
	write := func() {
		for _, f := range c.next() {
			began := time.Now()
			if err := p.WriteFrame(ctx, f); err != nil {
				t.Fatal(err)
			}
			worst = max(worst, time.Since(began))
		}
	}
	eventually(t, 10*time.Second, "first frames", func() bool { write(); return p.Stats().VideoFrames > 5 })
	stalled.Store(true)
	most := 0
	eventually(t, 20*time.Second, "drops", func() bool {
		write()
		st := p.Stats()
		most = max(most, st.Queued)
		return st.VideoDropped > 50 && st.AudioDropped > 50
	})
	if most > 2*p.MaxQueue {
		t.Errorf("%d bytes were queued, the bound is %d", most, p.MaxQueue)
	}
	stalled.Store(false)
	close(release)
	before := p.Stats().VideoFrames
	eventually(t, 10*time.Second, "frames after the stall", func() bool { write(); return p.Stats().VideoFrames > before+20 })
	if worst > 500*time.Millisecond {
		t.Errorf("WriteFrame took %v", worst)
	}
	_ = p.Close()
	// At the server a frame that is missing is followed by a key frame.
	mu.Lock()
	defer mu.Unlock()
	holes := 0
	for i := 1; i < len(got); i++ {
		if got[i] != max(got[i-1], -got[i-1])+2 && got[i] > 0 {
			t.Fatalf("frame %d came after %d", got[i], got[i-1])
		}
		if got[i] < 0 && -got[i] != max(got[i-1], -got[i-1])+2 {
			holes++
		}
	}
	if holes == 0 {
		t.Error("nothing was missing at the server")
	}
}

// TestPublisherClose: from several goroutines, in every state, and nothing is
// left (goleak looks at the end).
func TestPublisherClose(t *testing.T) {
	silent := fake(t, func(nc net.Conn) { _, _ = io.Copy(io.Discard, nc) })
	closed := listen(t, "127.0.0.1:0")
	_ = closed.Close()
	for name, url := range map[string]string{
		"never started": "", "bad URL": "http://x", "connecting": "rtmp://" + silent + "/a/b", "waiting": "rtmp://" + closed.Addr().String() + "/a/b",
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			p := &Publisher{URL: url, CloseTimeout: 100 * time.Millisecond}
			f := (&clip{video: h264Track(spsHD), gop: 5}).next()[0]
			if name != "never started" {
				if err := p.WriteFrame(context.Background(), f); (err != nil) != (name == "bad URL") {
					t.Errorf("WriteFrame: %v", err)
				}
			}
			var wg sync.WaitGroup
			for range 3 {
				wg.Go(func() {
					if err := p.Close(); err != nil {
						t.Error(err)
					}
				})
			}
			wg.Wait()
			if err := p.WriteFrame(context.Background(), f); err == nil {
				t.Error("WriteFrame after Close")
			}
			if st := p.Stats(); st.State != Closed || st.Queued != 0 {
				t.Errorf("stats %+v", st)
			}
		})
	}
}

// TestCloseDelivers: what was written before Close arrives, even when the
// connection was still being made.
func TestCloseDelivers(t *testing.T) {
	s := startGoServer(t, listen(t, "127.0.0.1:0"), "", "")
	p := &Publisher{URL: "rtmp://" + s.l.Addr().String() + "/live/x"}
	c := &clip{video: h264Track(spsHD), audio: audioTrack(media.AAC), gop: 500}
	for range 140 { // gortmplib looks at 2 s before it tells its tracks
		for _, f := range c.next() {
			if err := p.WriteFrame(context.Background(), f); err != nil {
				t.Fatal(err)
			}
		}
	}
	_ = p.Close()
	st := p.Stats()
	if st.VideoFrames != 70 || st.AudioFrames != 140 || st.VideoDropped+st.AudioDropped != 0 {
		t.Errorf("stats %+v", st)
	}
	eventually(t, 5*time.Second, "all frames", func() bool {
		g := s.streams()
		return len(g) == 1 && len(g[0].video) == 70 && len(g[0].audio) == 140
	})
}

func TestHoldQueue(t *testing.T) {
	var h holdQueue
	c := clip{video: h264Track(spsHD), audio: audioTrack(media.AAC), gop: 10, size: 1000}
	video, audio, pushed := 0, 0, 0
	for range 1000 {
		for _, f := range c.next() {
			v, a := h.push(f, 30_000, time.Second)
			video, audio, pushed = video+v, audio+a, pushed+1
			if h.bytes > 30_000 || h.empty() {
				t.Fatalf("%d bytes held", h.bytes)
			}
		}
	}
	frames, v, a := h.take()
	if !isKey(frames[0]) {
		t.Errorf("begins with %+v", frames[0])
	}
	if got := video + audio + v + a + len(frames); got != pushed {
		t.Errorf("%d frames are accounted for of %d", got, pushed)
	}
	if h.bytes != 0 || h.keys != 0 || !h.empty() {
		t.Errorf("after take: %+v", h)
	}
	if v, a := h.push(frames[0], 10, time.Second); v != 1 || a != 0 || !h.empty() {
		t.Errorf("a frame over the bound: %d, %d", v, a)
	}
}

// discardConn takes everything.
type discardConn struct{ net.Conn }

func (discardConn) Write(p []byte) (int, error)      { return len(p), nil }
func (discardConn) SetWriteDeadline(time.Time) error { return nil }
func (discardConn) Close() error                     { return nil }

// livePublisher is one that is connected to nothing.
func livePublisher() *Publisher {
	p := &Publisher{URL: "rtmp://127.0.0.1/live/x"}
	p.once.Do(p.setDefaults)
	p.sess = &session{conn: newConn(discardConn{}, nil, 1<<20, time.Second), stream: 1}
	p.sess.out.size = outChunk
	p.mux.stream, p.settled = 1, true
	return p
}

// TestPublishAllocs: no allocation for a frame.
func TestPublishAllocs(t *testing.T) {
	p := livePublisher()
	defer p.sess.close()
	c := clip{video: h264Track(spsHD), audio: audioTrack(media.AAC), gop: 50, size: 3000}
	frames := append(c.next(), c.next()...)
	ctx := context.Background()
	n := testing.AllocsPerRun(2000, func() {
		for _, f := range frames {
			if err := p.WriteFrame(ctx, f); err != nil {
				t.Fatal(err)
			}
		}
		p.sess.flush(time.Second)
	})
	// flush itself makes a channel and a timer.
	if n > 6 {
		t.Errorf("%v allocations for %d frames and a flush", n, len(frames))
	}
}

// BenchmarkPublish is the path of one frame up to the network.
func BenchmarkPublish(b *testing.B) {
	for name, size := range map[string]int{"video": 3000, "audio": 0} {
		b.Run(name, func(b *testing.B) {
			p := livePublisher()
			defer p.sess.close()
			c := clip{video: h264Track(spsHD), audio: audioTrack(media.AAC), gop: 1, size: size}
			f := c.next()[0]
			if size == 0 {
				f = c.next()[0]
			}
			ctx := context.Background()
			b.ReportAllocs()
			b.SetBytes(int64(f.Size()))
			for b.Loop() {
				if err := p.WriteFrame(ctx, f); err != nil {
					b.Fatal(err)
				}
				for p.Stats().Queued > 64<<10 {
					runtime.Gosched()
				}
			}
		})
	}
}

// TestHooksPanic: a hook that panics costs an attempt at most.
func TestHooksPanic(t *testing.T) {
	s := startGoServer(t, listen(t, "127.0.0.1:0"), "", "")
	var dials, keys, gaveUp, states atomic.Int32
	p := &Publisher{
		URL: "rtmp://" + s.l.Addr().String() + "/live/x", RetryMin: time.Millisecond, SettleTime: 10 * time.Millisecond,
		Dial: func(ctx context.Context, network, addr string) (net.Conn, error) {
			if dials.Add(1) < 3 {
				panic("dial")
			}
			return (&net.Dialer{}).DialContext(ctx, network, addr)
		},
		GiveUp:       func(error, int) bool { gaveUp.Add(1); panic("give up") },
		NeedKeyFrame: func() { keys.Add(1); panic("key frame") },
		OnState:      func(State, error) { states.Add(1); panic("state") },
	}
	defer p.Close()
	c := &clip{video: h264Track(spsHD), audio: audioTrack(media.AAC), gop: 500}
	c.next() // the key frame
	eventually(t, 10*time.Second, "sound and calls of all hooks", func() bool {
		for _, f := range c.next() {
			if err := p.WriteFrame(t.Context(), f); err != nil {
				t.Fatal(err)
			}
		}
		return p.Stats().AudioFrames > 0 && keys.Load() > 0
	})
	if dials.Load() != 3 || gaveUp.Load() != 2 || states.Load() == 0 {
		t.Errorf("%d dials, asked %d times whether to give up, %d states", dials.Load(), gaveUp.Load(), states.Load())
	}
}
