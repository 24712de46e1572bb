package rtmp

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"io"
	"net"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/trunkcast/trunkcast/media"
)

// publish publishes a clip to a server until the test ends.
func publish(t testing.TB, url string) *Publisher {
	t.Helper()
	p := &Publisher{URL: url, SettleTime: 100 * time.Millisecond}
	c := &clip{video: h264Track(spsHD), audio: audioTrack(media.AAC), gop: 10}
	stop := c.begin(t, 2, p)
	t.Cleanup(func() {
		stop()
		_ = p.Close()
	})
	return p
}

// refusal plays or publishes and returns why not.
func refusal(t testing.TB, url string, play bool) *RefusedError {
	t.Helper()
	target, err := parseTarget(url, "", "")
	if err != nil {
		t.Fatal(err)
	}
	d := dialer{target: target, timeout: 5 * time.Second, writeTimeout: time.Second, limit: 1 << 20, play: play}
	s, err := d.open(context.Background())
	if err == nil {
		s.close()
		return nil
	}
	var refused *RefusedError
	if !errors.As(err, &refused) {
		t.Fatalf("%s: %v", url, err)
	}
	return refused
}

func TestServerRefuses(t *testing.T) {
	s := &Server{
		PublishKey: "pk", PlayKey: "lk", MaxStreams: 2,
		OnPublish: func(_ context.Context, r *Request) error {
			if r.Stream == "forbidden" {
				return errors.New("not this one")
			}
			return nil
		},
		OnPlay: func(_ context.Context, r *Request) error {
			switch r.Query.Get("who") {
			case "nobody":
				return errors.New("not you")
			case "panic":
				panic("in the hook")
			}
			return nil
		},
	}
	base := serve(t, s)
	publish(t, base+"/live/x?key=pk")
	eventually(t, 5*time.Second, "stream", func() bool { return len(s.List()) == 1 })
	if _, err := s.Publish("live/x", nil); !errors.Is(err, ErrStreamBusy) {
		t.Errorf("same name: %v", err)
	}
	local, err := s.Publish("/live/y/", nil)
	if err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct {
		path string
		play bool
		code string
		text string
	}{
		{"/live/x?key=pk", false, "NetStream.Publish.BadName", "published already"},
		{"/live/z?key=pk", false, "NetStream.Publish.BadName", "too many streams"},
		{"/live/z", false, "NetStream.Publish.Denied", "wrong key"},
		{"/live/z?key=lk", false, "NetStream.Publish.Denied", "wrong key"},
		{"/live/forbidden?key=pk", false, "NetStream.Publish.Denied", "not this one"},
		{"/live/none?key=lk", true, "NetStream.Play.StreamNotFound", "no such stream"},
		{"/live/x?key=pk", true, "NetStream.Play.Failed", "wrong key"},
		{"/live/x?key=lk&who=nobody", true, "NetStream.Play.Failed", "not you"},
		{"/live/x?key=lk&who=panic", true, "NetStream.Play.Failed", "internal error"},
		{"/live/" + strings.Repeat("n", 600) + "?key=pk", false, "NetStream.Publish.BadName", "bad stream name"},
	} {
		r := refusal(t, base+tt.path, tt.play)
		if r == nil || r.Code != tt.code || !strings.Contains(r.Description, tt.text) {
			t.Errorf("%s: %v, want %s: %s", tt.path, r, tt.code, tt.text)
		}
	}
	if r := refusal(t, base+"/live/x?key=lk", true); r != nil {
		t.Errorf("right key: %v", r)
	}
	_ = local.Close()
	if _, err := s.Source("live/y"); !errors.Is(err, ErrNoStream) {
		t.Errorf("after its end: %v", err)
	}
	if err := local.WriteFrame(context.Background(), (&clip{audio: audioTrack(media.AAC)}).next()[0]); !errors.Is(err, media.ErrClosed) {
		t.Errorf("WriteFrame after Close: %v", err)
	}
}

func TestServerMaxConns(t *testing.T) {
	s := &Server{MaxConns: 1}
	base := serve(t, s)
	publish(t, base+"/live/x")
	eventually(t, 5*time.Second, "stream", func() bool { return len(s.List()) == 1 })
	p := &Player{URL: base + "/live/x"}
	if _, err := p.ReadFrame(within(t, 5*time.Second)); err == nil || err == io.EOF {
		t.Errorf("second connection: %v", err)
	}
	_ = p.Close()
	if st := s.Stats(); st.Refused == 0 || st.Conns != 1 || st.Streams != 1 {
		t.Errorf("stats %+v", st)
	}
}

// TestStreamEnd: players learn the end of a stream, from its publisher and
// from Close of the server, which returns soon.
func TestStreamEnd(t *testing.T) {
	s := &Server{}
	base := serve(t, s)
	ends := func(what string, end func()) {
		sink, err := s.Publish("live/x", nil)
		if err != nil {
			t.Fatal(err)
		}
		c := &clip{video: h264Track(spsHD), audio: audioTrack(media.AAC), gop: 10}
		stop := c.begin(t, 4, sink)
		player := &Player{URL: base + "/live/x"}
		src, err := s.Source("live/x")
		if err != nil {
			t.Fatal(err)
		}
		n := 0
		read(t, player, func(*media.Frame) bool { n++; return n > 5 })
		stop()
		end()
		for name, from := range map[string]media.Source{"Player": player, "Source": src} {
			ctx := within(t, 5*time.Second)
			for err = nil; err == nil; {
				_, err = from.ReadFrame(ctx)
			}
			if err != io.EOF {
				t.Errorf("%s, %s: %v, want EOF", what, name, err)
			}
		}
		_ = player.Close()
		_ = src.Close()
		_ = sink.Close()
	}
	ends("end of the stream", func() { s.hub.remove(s.hub.find("live/x")) })
	began := time.Now()
	ends("end of the server", func() { _ = s.Close() })
	if took := time.Since(began); took > 4*time.Second {
		t.Errorf("Close took %v", took)
	}
}

// TestSlowPlayer: a player that does not read loses frames, up to the next
// key frame, in bounded memory; another one gets them all.
func TestSlowPlayer(t *testing.T) {
	s := &Server{MaxQueue: 200_000, MaxCache: 100_000}
	serve(t, s)
	sink, err := s.Publish("live/x", nil)
	if err != nil {
		t.Fatal(err)
	}
	slow, err := s.Source("live/x")
	if err != nil {
		t.Fatal(err)
	}
	fast, err := s.Source("live/x")
	if err != nil {
		t.Fatal(err)
	}
	c := &clip{video: h264Track(spsHD), audio: audioTrack(media.AAC), gop: 10, size: 5000}
	ctx := within(t, 10*time.Second)
	for range 507 { // ends within a group of pictures
		for _, f := range c.next() {
			if err := sink.WriteFrame(ctx, f); err != nil {
				t.Fatal(err)
			}
			if _, err := fast.ReadFrame(ctx); err != nil {
				t.Fatal(err)
			}
		}
	}
	if fast.Dropped() != 0 || slow.Dropped() == 0 {
		t.Errorf("dropped: fast %d, slow %d", fast.Dropped(), slow.Dropped())
	}
	if slow.queue.bytes > s.MaxQueue {
		t.Errorf("%d bytes queued", slow.queue.bytes)
	}
	// Now it reads: what was queued, then, with new frames, from a key frame on.
	last := -1
	step := func() {
		f, err := slow.ReadFrame(ctx)
		if err != nil {
			t.Fatal(err)
		}
		if f.Track.Codec.Video() {
			n := int(f.Data[0][3])<<8 | int(f.Data[0][4])
			if last >= 0 && n != last+2 && !f.Key {
				t.Errorf("frame %d after %d is not a key frame", n, last)
			}
			last = n
		}
	}
	for slow.queue.bytes > 0 {
		step()
	}
	for range 100 {
		for _, f := range c.next() {
			if err := sink.WriteFrame(ctx, f); err != nil {
				t.Fatal(err)
			}
		}
		for slow.queue.bytes > 0 {
			step()
		}
	}
	if last != c.n-2 && last != c.n-1 {
		t.Errorf("last frame read is %d of %d", last, c.n)
	}
	_ = slow.Close()
	_ = fast.Close()
	_ = sink.Close()
}

// TestServerBadInput: noise on the port, and half-open connections, end
// without harm to a stream.
func TestServerBadInput(t *testing.T) {
	s := &Server{SetupTimeout: 300 * time.Millisecond}
	base := serve(t, s)
	addr := base[len("rtmp://"):]
	publish(t, base+"/live/x")
	eventually(t, 5*time.Second, "stream", func() bool { return len(s.List()) == 1 })
	var wg sync.WaitGroup
	hello := append([]byte{3}, make([]byte, 2*handshakeBytes)...)
	for _, in := range [][]byte{
		nil, {3}, {6, 1, 2}, []byte("GET / HTTP/1.1\r\n\r\n"), bytes.Repeat([]byte{0xff}, 10000), hello,
		append(bytes.Clone(hello), bytes.Repeat([]byte{3, 0xff}, 5000)...),
		append(bytes.Clone(hello), unhex("03 000000 000004 14 00000000 03000161")...),
	} {
		wg.Go(func() {
			nc, err := net.Dial("tcp", addr)
			if err != nil {
				t.Error(err)
				return
			}
			defer func() { _ = nc.Close() }()
			_, _ = nc.Write(in)
			_ = nc.SetReadDeadline(time.Now().Add(5 * time.Second))
			if _, err := io.Copy(io.Discard, nc); err != nil && errors.Is(err, context.DeadlineExceeded) {
				t.Errorf("connection with %d bytes was not closed", len(in))
			}
		})
	}
	wg.Wait()
	eventually(t, 5*time.Second, "one connection", func() bool { return s.Stats().Conns == 1 })
	before := s.List()[0].Frames
	eventually(t, 5*time.Second, "stream going on", func() bool { return s.List()[0].Frames > before })
}

// TestStalePublisher: a publisher whose connection is dead gives way.
func TestStalePublisher(t *testing.T) {
	s := &Server{}
	s.setUp()
	kicked := false
	old := &hubStream{name: "a/b", kick: func() { kicked = true }}
	if err := s.hub.publish(old, 10); err != nil {
		t.Fatal(err)
	}
	if err := s.hub.publish(&hubStream{name: "a/b"}, 10); !errors.Is(err, ErrStreamBusy) {
		t.Errorf("at once: %v", err)
	}
	old.last = time.Now().Add(-staleAfter)
	if err := s.hub.publish(&hubStream{name: "a/b"}, 10); err != nil || !kicked || !old.ended {
		t.Errorf("after a silence: %v, kicked %v", err, kicked)
	}
	_ = s.Close()
}

// FuzzServerConn gives a connection's commands to the server.
func FuzzServerConn(f *testing.F) {
	w := chunkWriter{size: defaultChunk}
	for _, p := range [][]byte{
		encodeAMF("connect", 1, status("a", "b", "c")), encodeAMF("createStream", 2, nil),
		encodeAMF("publish", 3, nil, "x?key=1", "live"), encodeAMF("play", 4, nil, "x"), encodeAMF("deleteStream", 5, nil, 1),
	} {
		w.message(csidCommand, kindCommand, 1, 0, p)
	}
	w.message(csidVideo, kindVideo, 1, 40, unhex("1701000000 00000001 65"))
	w.message(csidData, kindData, 1, 40, encodeAMF("@setDataFrame", "onMetaData", status("a", "b", "c")))
	f.Add(w.buf)
	f.Fuzz(func(t *testing.T, b []byte) {
		s := &Server{MaxMessage: 1 << 20}
		s.setUp()
		defer func() { _ = s.Close() }()
		n := allocated(func() {
			c := &serverConn{server: s, nc: addrConn{}, log: s.log}
			c.conn = newConn(c.nc, bufio.NewReader(bytes.NewReader(b)), s.MaxMessage, time.Second)
			if err := c.loop(); err == nil {
				t.Error("no error at the end")
			}
			c.leave()
			c.conn.close()
		})
		if most := uint64(64*maxChunkStreams<<10 + 4<<20 + 1024*len(b)); n > most {
			t.Errorf("%d bytes allocated for %d", n, len(b))
		}
		if len(s.List()) != 0 {
			t.Errorf("streams left: %v", s.List())
		}
	})
}

// addrConn is a discardConn for a serverConn.
type addrConn struct{ discardConn }

func (addrConn) RemoteAddr() net.Addr            { return &net.TCPAddr{IP: net.IPv4(127, 0, 0, 1), Port: 1} }
func (addrConn) SetDeadline(time.Time) error     { return nil }
func (addrConn) SetReadDeadline(time.Time) error { return nil }

// BenchmarkServer is a frame of this program to ten players.
func BenchmarkServer(b *testing.B) {
	s := &Server{}
	sink, err := s.Publish("live/x", nil)
	if err != nil {
		b.Fatal(err)
	}
	for range 10 {
		c := newConn(discardConn{}, nil, 1<<20, time.Second)
		c.out.size = outChunk
		defer c.close()
		sink.stream.join(&playerSub{conn: c, stream: 1, gate: gate{max: 8 << 20, waitKey: true}})
	}
	f := (&clip{video: h264Track(spsHD), gop: 1, size: 3000}).next()[0]
	ctx := context.Background()
	b.ReportAllocs()
	for b.Loop() {
		if err := sink.WriteFrame(ctx, f); err != nil {
			b.Fatal(err)
		}
	}
}
