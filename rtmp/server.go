package rtmp

import (
	"context"
	"crypto/subtle"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/url"
	"strings"
	"sync"
	"time"

	"github.com/trunkcast/trunkcast/internal/codecconfig"
	"github.com/trunkcast/trunkcast/media"
)

var (
	errTooManyStreams = errors.New("rtmp: too many streams")
	errBadName        = errors.New("rtmp: bad stream name")
	errWrongKey       = errors.New("rtmp: wrong key")
	errHook           = errors.New("rtmp: internal error")
)

// Server takes published streams and plays them: over RTMP, and from and to
// the program it runs in by Publish and Source. A player gets a picture at
// once: the stream since its last key frame is kept. A slow player loses
// whole groups of pictures and delays nobody.
//
// The fields are not changed after the first call. Streams of the program can
// be published and read without listening.
type Server struct {
	// Addr is where ListenAndServe listens. Default 127.0.0.1:1935, since
	// nothing is asked for a password by default.
	Addr string
	// TLS, if not nil, makes it an RTMPS server.
	TLS *tls.Config
	// Logger gets who comes and goes. Nil discards.
	Logger *slog.Logger
	// PublishKey and PlayKey, if not empty, must be given as "key" in the
	// query of the stream's name (or of the application): live/name?key=...
	PublishKey, PlayKey string
	// OnPublish and OnPlay, if not nil, may refuse with an error, whose text
	// the client gets. They may block; ctx ends with the connection's time for
	// setting up and with Close.
	OnPublish, OnPlay func(ctx context.Context, r *Request) error
	// MaxConns bounds the connections, MaxStreams the streams. Defaults 1000.
	MaxConns, MaxStreams int
	// MaxMessage bounds a message of a publisher, in bytes. Default 8 MiB.
	MaxMessage int
	// MaxQueue bounds the bytes of pictures and sound that wait for a player;
	// four times as much may with its configuration and metadata. Default 8 MiB.
	MaxQueue int
	// MaxCache bounds the bytes kept for new players, for each stream. A
	// longer group of pictures is not kept. Default 8 MiB.
	MaxCache int
	// SetupTimeout is the time from connecting to publishing or playing.
	// Default 10 s.
	SetupTimeout time.Duration
	// IdleTimeout ends a publisher from which nothing came. Default 30 s.
	IdleTimeout time.Duration
	// WriteTimeout is the longest that a client may take for 32 KiB.
	// Default 10 s.
	WriteTimeout time.Duration

	init   sync.Once
	log    *slog.Logger
	hub    hub
	ctx    context.Context
	cancel context.CancelFunc

	mu        sync.Mutex
	listeners map[net.Listener]struct{}
	conns     map[*serverConn]struct{}
	refused   uint64
	lastNo    no
	wg        sync.WaitGroup
}

// Request is what a client asks for.
type Request struct {
	Remote   net.Addr
	App      string     // application, without query
	Stream   string     // stream name, without query
	Query    url.Values // of application and stream name together
	TCURL    string
	FlashVer string // what the client calls itself
	Enhanced bool   // knows Enhanced RTMP (H.265, Opus)
	TLS      bool
}

// Name returns application/stream, the name of the stream in the Server.
func (r *Request) Name() string { return r.App + "/" + r.Stream }

func (s *Server) setUp() {
	s.init.Do(func() {
		if s.log = s.Logger; s.log == nil {
			s.log = slog.New(slog.DiscardHandler)
		}
		for _, d := range []struct {
			field *int
			value int
		}{{&s.MaxConns, 1000}, {&s.MaxStreams, 1000}, {&s.MaxMessage, 8 << 20}, {&s.MaxQueue, 8 << 20}, {&s.MaxCache, 8 << 20}} {
			if *d.field <= 0 {
				*d.field = d.value
			}
		}
		for _, d := range []struct {
			field *time.Duration
			value time.Duration
		}{{&s.SetupTimeout, 10 * time.Second}, {&s.IdleTimeout, 30 * time.Second}, {&s.WriteTimeout, 10 * time.Second}} {
			if *d.field <= 0 {
				*d.field = d.value
			}
		}
		s.ctx, s.cancel = context.WithCancel(context.Background())
		s.listeners = map[net.Listener]struct{}{}
		s.conns = map[*serverConn]struct{}{}
	})
}

// ListenAndServe listens on Addr and serves until ctx is done or Close is
// called, which end the whole Server. It returns ErrServerClosed then.
func (s *Server) ListenAndServe(ctx context.Context) error {
	addr := s.Addr
	if addr == "" {
		addr = "127.0.0.1:1935"
	}
	l, err := (&net.ListenConfig{}).Listen(ctx, "tcp", addr)
	if err != nil {
		return fmt.Errorf("rtmp server: %w", err)
	}
	return s.Serve(ctx, l)
}

// Serve serves the connections of l, which it closes. See ListenAndServe.
func (s *Server) Serve(ctx context.Context, l net.Listener) error {
	s.setUp()
	defer func() { _ = l.Close() }()
	if s.TLS != nil {
		l = tls.NewListener(l, s.TLS)
	}
	s.mu.Lock()
	if s.ctx.Err() != nil {
		s.mu.Unlock()
		return ErrServerClosed
	}
	s.listeners[l] = struct{}{}
	s.wg.Add(1)
	s.mu.Unlock()
	stop := context.AfterFunc(ctx, func() { _ = s.Close() })
	err := s.accept(l)
	s.mu.Lock()
	delete(s.listeners, l)
	s.mu.Unlock()
	s.wg.Done()
	if stop() {
		return err
	}
	_ = s.Close() // waits for the Close that ctx began
	return err
}

func (s *Server) accept(l net.Listener) error {
	s.log.Info("RTMP server listens", "addr", l.Addr().String())
	pause := time.Duration(0)
	for {
		nc, err := l.Accept()
		if s.ctx.Err() != nil {
			if err == nil {
				_ = nc.Close()
			}
			return ErrServerClosed
		}
		if err != nil {
			var ne net.Error
			if errors.As(err, &ne) && ne.Timeout() || isTemporary(err) {
				// Out of descriptors, most likely: some will come free.
				pause = min(max(2*pause, 5*time.Millisecond), time.Second)
				s.log.Warn("RTMP accept failed", "error", err)
				select {
				case <-time.After(pause):
				case <-s.ctx.Done():
				}
				continue
			}
			return fmt.Errorf("rtmp server: %w", err)
		}
		pause = 0
		s.admit(nc)
	}
}

// admit starts a connection unless there are too many.
func (s *Server) admit(nc net.Conn) {
	c := &serverConn{server: s, nc: nc}
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.conns) >= s.MaxConns || s.ctx.Err() != nil {
		s.refused++
		_ = nc.Close()
		return
	}
	s.conns[c] = struct{}{}
	s.wg.Go(func() {
		c.serve()
		s.mu.Lock()
		delete(s.conns, c)
		s.mu.Unlock()
	})
}

// Close ends all streams and connections and returns when everything has
// ended, after 2 s or a little more at the latest. Players are told so. It may be called more than once and from any
// goroutine, but not from OnPublish and OnPlay.
func (s *Server) Close() error {
	s.setUp()
	s.cancel()
	s.hub.closeAll()
	s.mu.Lock()
	for l := range s.listeners {
		_ = l.Close()
	}
	for c := range s.conns {
		c.shutdown()
	}
	s.mu.Unlock()
	// Not every client takes what is left, or hangs up.
	const grace = 2 * time.Second
	force := time.AfterFunc(grace, func() {
		s.mu.Lock()
		defer s.mu.Unlock()
		for c := range s.conns {
			_ = c.nc.Close()
		}
	})
	defer force.Stop()
	s.wg.Wait()
	return nil
}

// List returns the streams by name.
func (s *Server) List() []StreamInfo { return s.hub.list() }

// ServerStats are counters of a Server.
type ServerStats struct {
	Conns   int    // now
	Streams int    // now
	Refused uint64 // connections over MaxConns
}

// Stats returns the counters.
func (s *Server) Stats() ServerStats {
	s.setUp()
	s.mu.Lock()
	defer s.mu.Unlock()
	return ServerStats{Conns: len(s.conns), Streams: len(s.hub.list()), Refused: s.refused}
}

// checkName tells whether a stream may be called so.
func checkName(name string) error {
	const most = 512
	if name == "" || len(name) > most || strings.ContainsFunc(name, isControl) ||
		strings.HasPrefix(name, "/") || strings.HasSuffix(name, "/") {
		return errBadName
	}
	return nil
}

// keyMatches compares in a time that tells nothing about the key.
func keyMatches(want string, query url.Values) bool {
	if want == "" {
		return true
	}
	for _, got := range query["key"] {
		if subtle.ConstantTimeCompare([]byte(got), []byte(want)) == 1 {
			return true
		}
	}
	return false
}

// Publish begins a stream of this program under a name like "live/rtmp_100".
// The result takes its frames; its Close ends the stream. needKeyFrame, which
// may be nil, is called when a player comes that would have to wait long for a
// picture; it must not block. A name in use gives ErrStreamBusy.
func (s *Server) Publish(name string, needKeyFrame func()) (*StreamSink, error) {
	s.setUp()
	name = strings.Trim(name, "/")
	if err := checkName(name); err != nil {
		return nil, err
	}
	h := &hubStream{name: name, cacheMax: s.MaxCache, needKey: needKeyFrame}
	if err := s.hub.publish(h, s.MaxStreams); err != nil {
		return nil, err
	}
	p := &StreamSink{server: s, stream: h}
	p.out.emit = p.emit
	s.log.Info("stream published", "stream", name)
	return p, nil
}

// StreamSink is a stream that this program publishes on its Server: a
// media.Sink and an io.Closer. WriteFrame never blocks.
type StreamSink struct {
	server *Server
	stream *hubStream

	mu     sync.Mutex
	closed bool
	mux    muxer
	out    tagBuffer
	video  *media.Track
	audio  *media.Track
}

// WriteFrame gives the frame to all players. After Close it returns
// media.ErrClosed.
func (p *StreamSink) WriteFrame(ctx context.Context, f *media.Frame) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	if !supported(f.Track.Codec) {
		return &UnsupportedError{Codec: f.Track.Codec}
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.closed || p.server.ctx.Err() != nil {
		return media.ErrClosed
	}
	seen := &p.audio
	if f.Track.Codec.Video() {
		seen = &p.video
	}
	if *seen != f.Track {
		known := sameTrack(*seen, f.Track)
		*seen = f.Track
		if !known {
			p.mux.metadata(&p.out, p.video, p.audio)
		}
	}
	err := p.mux.frame(&p.out, f)
	if errors.Is(err, codecconfig.ErrNoParameterSets) || errors.Is(err, errNoAudioConfig) {
		return nil // those of the next frame may be there
	}
	return err
}

func (p *StreamSink) emit(kind byte, time uint32, payload []byte) {
	if kind == kindData {
		payload = withoutSetDataFrame(payload)
	}
	if t, err := newTag(kind, time, payload); err == nil {
		p.stream.write(t)
	}
}

// Close ends the stream. It may be called more than once and from any
// goroutine.
func (p *StreamSink) Close() error {
	p.mu.Lock()
	first := !p.closed
	p.closed = true
	p.mu.Unlock()
	if first {
		p.server.hub.remove(p.stream)
		p.server.log.Info("stream ended", "stream", p.stream.name)
	}
	return nil
}

// Source reads a stream that is being published, from its last key frame on.
// A reader that is too slow loses whole groups of pictures. io.EOF comes when
// the stream ends, ErrNoStream if it is not there.
func (s *Server) Source(name string) (*StreamSource, error) {
	s.setUp()
	h := s.hub.find(name)
	if h == nil {
		return nil, ErrNoStream
	}
	src := &StreamSource{stream: h}
	src.queue = newTagQueue(s.MaxQueue)
	if !h.join(src) {
		return nil, ErrNoStream
	}
	return src, nil
}
