package rtmp

import (
	"bytes"
	"context"
	"crypto/tls"
	"errors"
	"net"
	"net/url"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/bluenviron/gortmplib"
	"github.com/bluenviron/gortmplib/pkg/codecs"
	"github.com/bluenviron/mediacommon/v2/pkg/codecs/mpeg4audio"

	"github.com/trunkcast/trunkcast/media"
)

// goServer is an RTMP server made of gortmplib: another implementation's view
// of what we publish.
type goServer struct {
	l              net.Listener
	user, password string
	wg             sync.WaitGroup

	mu     sync.Mutex
	conns  []net.Conn
	got    []*goStream
	failed []error
}

// goStream is what it got of one publisher.
type goStream struct {
	url    string
	codecs []codecs.Codec
	video  []time.Duration
	audio  []time.Duration
	data   [][]byte // first NAL unit or audio frame
}

func startGoServer(t testing.TB, l net.Listener, user, password string) *goServer {
	t.Helper()
	s := &goServer{l: l, user: user, password: password}
	s.wg.Go(func() {
		for {
			nc, err := l.Accept()
			if err != nil {
				return
			}
			s.mu.Lock()
			s.conns = append(s.conns, nc)
			s.mu.Unlock()
			s.wg.Go(func() {
				if err := s.serve(nc); err != nil {
					s.mu.Lock()
					s.failed = append(s.failed, err)
					s.mu.Unlock()
				}
			})
		}
	})
	t.Cleanup(s.stop)
	return s
}

// stop kills it.
func (s *goServer) stop() {
	_ = s.l.Close()
	s.mu.Lock()
	for _, c := range s.conns {
		_ = c.Close()
	}
	s.mu.Unlock()
	s.wg.Wait()
}

func (s *goServer) serve(nc net.Conn) error {
	defer func() { _ = nc.Close() }()
	c := &gortmplib.ServerConn{RW: nc}
	if err := c.Initialize(); err != nil {
		return err
	}
	if s.user != "" {
		if err := c.CheckCredentials(s.user, s.password); err != nil {
			return err
		}
	}
	if err := c.Accept(); err != nil {
		return err
	}
	st := &goStream{url: c.URL.String()}
	r := &gortmplib.Reader{Conn: c}
	if err := r.Initialize(); err != nil {
		return err
	}
	note := func(list *[]time.Duration, at time.Duration, data []byte) {
		s.mu.Lock()
		defer s.mu.Unlock()
		*list = append(*list, at)
		st.data = append(st.data, bytes.Clone(data))
	}
	for _, tr := range r.Tracks() {
		st.codecs = append(st.codecs, tr.Codec)
		switch tr.Codec.(type) {
		case *codecs.H264:
			r.OnDataH264(tr, func(_, dts time.Duration, au [][]byte) {
				if last := au[len(au)-1]; last[0]&0x1f != 8 { // it hands out sequence headers too
					note(&st.video, dts, last)
				}
			})
		case *codecs.H265:
			r.OnDataH265(tr, func(_, dts time.Duration, au [][]byte) { note(&st.video, dts, au[len(au)-1]) })
		case *codecs.MPEG4Audio:
			r.OnDataMPEG4Audio(tr, func(pts time.Duration, au []byte) { note(&st.audio, pts, au) })
		case *codecs.Opus:
			r.OnDataOpus(tr, func(pts time.Duration, p []byte) { note(&st.audio, pts, p) })
		case *codecs.G711:
			r.OnDataG711(tr, func(pts time.Duration, p []byte) { note(&st.audio, pts, p) })
		}
	}
	s.mu.Lock()
	s.got = append(s.got, st)
	s.mu.Unlock()
	for {
		if err := r.Read(); err != nil {
			return err
		}
	}
}

// streams returns a copy of what was got.
func (s *goServer) streams() []goStream {
	s.mu.Lock()
	defer s.mu.Unlock()
	var all []goStream
	for _, g := range s.got {
		c := *g
		c.video, c.audio, c.data = slices.Clone(g.video), slices.Clone(g.audio), slices.Clone(g.data)
		all = append(all, c)
	}
	return all
}

// TestPublishToGortmplib publishes every codec to another implementation.
func TestPublishToGortmplib(t *testing.T) {
	for _, tt := range []struct {
		name         string
		video, audio *media.Track
		want         []any
	}{
		{"H264 AAC", h264Track(spsHD), audioTrack(media.AAC), []any{&codecs.H264{}, &codecs.MPEG4Audio{}}},
		{"H264 PCMA", h264Track(spsSD), audioTrack(media.PCMA), []any{&codecs.H264{}, &codecs.G711{}}},
		{"H264 PCMU", h264Track(spsSD), audioTrack(media.PCMU), []any{&codecs.H264{}, &codecs.G711{}}},
		{"H265 OPUS", h265Track(), audioTrack(media.Opus), []any{&codecs.H265{}, &codecs.Opus{}}},
		{"audio only", nil, audioTrack(media.AAC), []any{&codecs.MPEG4Audio{}}},
		{"video only", h264Track(spsHD), nil, []any{&codecs.H264{}}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			s := startGoServer(t, listen(t, "127.0.0.1:0"), "", "")
			p := &Publisher{URL: "rtmp://" + s.l.Addr().String() + "/live?token=a/b", StreamName: "rtmp_100", SettleTime: 200 * time.Millisecond}
			c := &clip{video: tt.video, audio: tt.audio, gop: 5}
			stop := c.begin(t, 4, p)
			eventually(t, 10*time.Second, "30 frames of each track", func() bool {
				g := s.streams()
				return len(g) == 1 && (tt.video == nil || len(g[0].video) >= 30) && (tt.audio == nil || len(g[0].audio) >= 30)
			})
			stop()
			if err := p.Close(); err != nil {
				t.Error(err)
			}
			g := s.streams()[0]
			if want := "/live/rtmp_100?token=a/b"; g.url != "rtmp://"+s.l.Addr().String()+want {
				t.Errorf("published as %s, want %s", g.url, want)
			}
			if len(g.codecs) != len(tt.want) {
				t.Fatalf("tracks: %v", g.codecs)
			}
			for i, w := range tt.want {
				if got := g.codecs[i]; typeName(got) != typeName(w) {
					t.Errorf("track %d is %T, want %T", i, got, w)
				}
			}
			for _, list := range [][]time.Duration{g.video, g.audio} {
				if !slices.IsSorted(list) {
					t.Errorf("times go back: %v", list)
				}
			}
			st := p.Stats()
			if st.State != Closed || st.Connects != 1 || st.Failures != 0 || int(st.VideoFrames) < len(g.video) || st.Bytes == 0 {
				t.Errorf("stats %+v", st)
			}
			if h, ok := g.codecs[0].(*codecs.H264); ok && !bytes.Equal(h.SPS, tt.video.Config[0]) {
				t.Errorf("SPS %x", h.SPS)
			}
		})
	}
}

func typeName(v any) string {
	switch v.(type) {
	case *codecs.H264:
		return "H264"
	case *codecs.H265:
		return "H265"
	case *codecs.MPEG4Audio:
		return "AAC"
	case *codecs.Opus:
		return "OPUS"
	case *codecs.G711:
		return "G711"
	}
	return "?"
}

// TestReconnect: the server dies and comes back on the same port; the stream
// goes on, on one timeline, from a key frame.
func TestReconnect(t *testing.T) {
	s := startGoServer(t, listen(t, "127.0.0.1:0"), "", "")
	addr := s.l.Addr().String()
	var mu sync.Mutex
	var states []State
	asked := 0
	p := &Publisher{
		URL: "rtmp://" + addr + "/live/x", SettleTime: 200 * time.Millisecond, RetryMin: 20 * time.Millisecond,
		OnState: func(s State, _ error) {
			mu.Lock()
			defer mu.Unlock()
			states = append(states, s)
		},
		NeedKeyFrame: func() { asked++ },
	}
	// The times cross the 24 bits of a timestamp on the way.
	c := &clip{video: h264Track(spsHD), audio: audioTrack(media.AAC), gop: 50, start: 16_777_000 * time.Millisecond}
	stop := c.begin(t, 4, p)
	eventually(t, 10*time.Second, "first stream", func() bool { g := s.streams(); return len(g) == 1 && len(g[0].video) > 20 })
	s.stop()
	eventually(t, 10*time.Second, "the loss is noticed", func() bool { return p.Stats().Failures > 0 })
	s2 := startGoServer(t, listen(t, addr), "", "")
	eventually(t, 10*time.Second, "second stream", func() bool { g := s2.streams(); return len(g) == 1 && len(g[0].video) > 20 })
	stop()
	if err := p.Close(); err != nil {
		t.Error(err)
	}
	first, second := s.streams()[0], s2.streams()[0]
	if got, last := second.video[0], first.video[len(first.video)-1]; got <= last {
		t.Errorf("the second stream begins at %v, the first ended at %v", got, last)
	}
	if key := second.data[slices.IndexFunc(second.data, func(d []byte) bool { return len(d) > 8 })]; key[0] != 0x65 {
		t.Errorf("the second stream begins with NAL unit %#x", key[0])
	}
	st := p.Stats()
	if st.Connects != 2 || st.VideoDropped == 0 || asked == 0 {
		t.Errorf("stats %+v, key frames asked for: %d", st, asked)
	}
	mu.Lock()
	defer mu.Unlock()
	if states[0] != Connecting || states[1] != Live || !slices.Contains(states, Waiting) || states[len(states)-1] != Closed {
		t.Errorf("states %v", states)
	}
}

// TestAdobeAuth logs in at another implementation.
func TestAdobeAuth(t *testing.T) {
	s := startGoServer(t, listen(t, "127.0.0.1:0"), "myuser", "my:pa/ss")
	addr := s.l.Addr().String()
	p := &Publisher{URL: "rtmp://myuser:my%3Apa%2Fss@" + addr + "/live/x", SettleTime: 100 * time.Millisecond}
	c := &clip{video: h264Track(spsHD), gop: 5}
	stop := c.begin(t, 4, p)
	eventually(t, 10*time.Second, "stream", func() bool { g := s.streams(); return len(g) == 1 && len(g[0].video) > 5 })
	stop()
	_ = p.Close()

	for _, user := range []string{"", "myuser:wrong@"} {
		p := &Publisher{URL: "rtmp://" + user + addr + "/live/x"}
		if err := p.Start(); err != nil && !errors.Is(err, ErrAuth) { // it may be over before Start is
			t.Fatal(err)
		}
		eventually(t, 5*time.Second, "end for good", func() bool { return p.Stats().State == Closed })
		f := (&clip{video: c.video, gop: 5}).next()[0]
		if err := p.WriteFrame(context.Background(), f); !errors.Is(err, ErrAuth) {
			t.Errorf("user %q: %v, want ErrAuth", user, err)
		}
		_ = p.Close()
	}
}

// goPublish publishes to our server with gortmplib.
func goPublish(t testing.TB, raw string) (*gortmplib.Client, *gortmplib.Writer, *gortmplib.Track, *gortmplib.Track) {
	t.Helper()
	u, err := url.Parse(raw)
	if err != nil {
		t.Fatal(err)
	}
	c := &gortmplib.Client{URL: u, Publish: true}
	if err := c.Initialize(within(t, 5*time.Second)); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.Close)
	video := &gortmplib.Track{Codec: &codecs.H264{SPS: spsHD, PPS: ppsAny}}
	audio := &gortmplib.Track{Codec: &codecs.MPEG4Audio{Config: &mpeg4audio.AudioSpecificConfig{
		Type: mpeg4audio.ObjectTypeAACLC, SampleRate: 48000, ChannelConfig: 1,
	}}}
	w := &gortmplib.Writer{Conn: c, Tracks: []*gortmplib.Track{video, audio}}
	if err := w.Initialize(); err != nil {
		t.Fatal(err)
	}
	return c, w, video, audio
}

// TestServerWithGortmplib: another implementation publishes to the Server;
// another one, our Player and a Source of the program read.
func TestServerWithGortmplib(t *testing.T) {
	s := &Server{}
	base := serve(t, s)
	_, w, video, audio := goPublish(t, base+"/live#rtmp_5")
	write := func(from, to int) {
		for i := from; i < to; i++ {
			at := time.Duration(i) * 40 * time.Millisecond
			nal := []byte{0x41, byte(i)}
			if i%10 == 0 {
				nal[0] = 0x65
			}
			if err := w.WriteH264(video, at, at, [][]byte{nal}); err != nil {
				t.Fatal(err)
			}
			if err := w.WriteMPEG4Audio(audio, at, []byte{1, 2, byte(i)}); err != nil {
				t.Fatal(err)
			}
		}
	}
	write(0, 26)
	eventually(t, 5*time.Second, "frames at the server", func() bool {
		l := s.List()
		return len(l) == 1 && l[0].Name == "live/rtmp_5" && l[0].Frames == 52 && l[0].Video == media.H264 && l[0].Audio == media.AAC
	})

	// Nothing more is written: what players get is the cache, from key frame 20 on.
	src, err := s.Source("live/rtmp_5")
	if err != nil {
		t.Fatal(err)
	}
	player := &Player{URL: base + "/live/rtmp_5"}
	defer func() { _ = player.Close() }()
	for name, from := range map[string]media.Source{"Source": src, "Player": player} {
		n := 0
		var first *media.Frame
		read(t, from, func(f *media.Frame) bool {
			if first == nil {
				first = f
			}
			n++
			return n == 12
		})
		if !first.Key || first.DTS != 0 || first.Data[0][1] != 20 || first.Track.Width != 1920 {
			t.Errorf("%s begins with %+v", name, first)
		}
		if len(from.Tracks()) != 2 {
			t.Errorf("%s has tracks %v", name, from.Tracks())
		}
	}

	// A player of the other implementation wants more than 2 s of data.
	u, _ := url.Parse(base + "/live#rtmp_5")
	gc := &gortmplib.Client{URL: u}
	if err := gc.Initialize(within(t, 5*time.Second)); err != nil {
		t.Fatal(err)
	}
	defer gc.Close()
	write(26, 120)
	r := &gortmplib.Reader{Conn: gc}
	if err := r.Initialize(); err != nil {
		t.Fatal(err)
	}
	if len(r.Tracks()) != 2 {
		t.Fatalf("tracks: %v", r.Tracks())
	}
	var first []byte
	r.OnDataH264(r.Tracks()[0], func(_, _ time.Duration, au [][]byte) {
		if last := au[len(au)-1]; first == nil && last[0]&0x1f != 8 {
			first = last
		}
	})
	r.OnDataMPEG4Audio(r.Tracks()[1], func(time.Duration, []byte) {})
	for first == nil {
		if err := r.Read(); err != nil {
			t.Fatal(err)
		}
	}
	if !bytes.Equal(first, []byte{0x65, 20}) {
		t.Errorf("player begins with %x", first)
	}
	_ = src.Close()
	if _, err := src.ReadFrame(context.Background()); !errors.Is(err, media.ErrClosed) {
		t.Errorf("after Close: %v", err)
	}
}

// TestEnhancedOnlyForThoseWhoKnow: H.265 goes to players that sent
// fourCcList, nothing to the others.
func TestEnhancedOnlyForThoseWhoKnow(t *testing.T) {
	s := &Server{}
	base := serve(t, s)
	sink, err := s.Publish("live/x", nil)
	if err != nil {
		t.Fatal(err)
	}
	c := &clip{video: h265Track(), audio: audioTrack(media.Opus), gop: 5}
	stop := c.begin(t, 4, sink)
	defer stop()
	u, _ := url.Parse(base + "/live#x")
	gc := &gortmplib.Client{URL: u}
	if err := gc.Initialize(within(t, 5*time.Second)); err != nil {
		t.Fatal(err)
	}
	defer gc.Close()
	r := &gortmplib.Reader{Conn: gc}
	if err := r.Initialize(); err != nil {
		t.Fatal(err)
	}
	if tr := r.Tracks(); len(tr) != 2 || typeName(tr[0].Codec) != "H265" || typeName(tr[1].Codec) != "OPUS" {
		t.Errorf("tracks %v", tr)
	}

	old := &playerSub{conn: &conn{wake: make(chan struct{}, 1)}, gate: gate{max: 1 << 20, waitKey: true}}
	old.conn.out.size = outChunk
	h := s.hub.find("live/x")
	if !h.join(old) {
		t.Fatal("no stream")
	}
	at := h.info().Frames
	eventually(t, 5*time.Second, "more frames", func() bool { return h.info().Frames > at+20 })
	h.leave(old)
	if bytes.Contains(old.conn.out.buf, []byte(fourCCHEVC)) || bytes.Contains(old.conn.out.buf, []byte(fourCCOpus)) {
		t.Error("an old player got enhanced tags")
	}
}

// TestRTMPS: a verified certificate is needed.
func TestRTMPS(t *testing.T) {
	config, pool := certificate(t)
	s := &Server{TLS: config}
	base := "rtmps" + serve(t, s)[len("rtmp"):]
	c := &clip{video: h264Track(spsHD), audio: audioTrack(media.AAC), gop: 5}

	bad := &Publisher{URL: base + "/live/x", GiveUp: func(error, int) bool { return true }}
	_ = bad.Start()
	eventually(t, 5*time.Second, "refusal of the certificate", func() bool { return bad.Stats().State == Closed })
	var ce *tls.CertificateVerificationError
	if err := bad.Stats().LastError; !errors.As(err, &ce) {
		t.Errorf("unknown authority: %v", err)
	}
	_ = bad.Close()

	good := &Publisher{URL: base + "/live/x", TLS: &tls.Config{RootCAs: pool}}
	stop := c.begin(t, 4, good)
	player := &Player{URL: base + "/live/x", TLS: &tls.Config{RootCAs: pool}}
	eventually(t, 5*time.Second, "stream", func() bool { return len(s.List()) == 1 && s.List()[0].Frames > 20 })
	n := 0
	read(t, player, func(*media.Frame) bool { n++; return n > 20 })
	stop()
	_ = good.Close()
	_ = player.Close()
}
