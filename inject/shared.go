package inject

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"sync"

	"github.com/trunkcast/trunkcast/media"
)

// Shared lets many calls watch one reading of each source, as a channel that
// runs: a call that comes later begins where the others are, at the next key
// frame. The reading begins with the first call and ends after the last.
type Shared struct {
	// Opener opens the sources.
	Opener Opener
	// Once plays sources to their end. Default: files begin again.
	Once bool
	// Codecs transcode sound, once for all who want the same: see WithAudio.
	Codecs []media.AudioCodec
	// Logger gets beginnings and ends. Nil discards.
	Logger *slog.Logger

	mu       sync.Mutex
	channels map[string]*channel
}

type audioKey struct{}

// WithAudio tells an [Opener] by ctx which codecs of sound will be taken from the
// source, the first one being the one to transcode to. An opener that shares
// sources can then transcode once; others ignore it.
func WithAudio(ctx context.Context, codecs []media.Codec) context.Context {
	return context.WithValue(ctx, audioKey{}, codecs)
}

// channel is a source that is being read.
type channel struct {
	ready    chan struct{} // closed when it was opened, or err is set
	err      error
	stream   media.Stream
	injector *Injector
	users    int
}

// Open joins the reading of a source, or begins one.
func (s *Shared) Open(ctx context.Context, url string) (media.Source, error) {
	c, first := s.join(url)
	if first {
		return s.begin(ctx, c, url)
	}
	select {
	case <-c.ready:
	case <-ctx.Done():
		s.leave(url, c)
		return nil, ctx.Err()
	}
	if c.err != nil {
		s.leave(url, c)
		return nil, c.err
	}
	return s.watch(ctx, url, c)
}

// watch adds a reader to a channel.
func (s *Shared) watch(ctx context.Context, url string, c *channel) (media.Source, error) {
	audio, _ := ctx.Value(audioKey{}).([]media.Codec)
	// An error beside a source is about its sound: the pictures are good.
	source, err := c.stream.Source(media.SinkOptions{Name: "channel", Audio: audio})
	if source == nil {
		s.leave(url, c)
		return nil, err
	}
	return &sharedSource{Source: source, leave: func() { s.leave(url, c) }}, nil
}

func (s *Shared) join(url string) (c *channel, first bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if c = s.channels[url]; c == nil {
		first = true
		c = &channel{ready: make(chan struct{})}
		if s.channels == nil {
			s.channels = map[string]*channel{}
		}
		s.channels[url] = c
	}
	c.users++
	return c, first
}

// begin opens a source and begins to read it; the first who watches misses
// nothing of it.
func (s *Shared) begin(ctx context.Context, c *channel, url string) (media.Source, error) {
	defer close(c.ready)
	source, err := s.Opener.Open(ctx, url)
	if err != nil {
		c.err = err
		s.forget(url, c)
		s.leave(url, c)
		return nil, err
	}
	_, file := source.(seeker)
	_, loops := source.(looper)
	c.stream.Name, c.stream.Codecs, c.stream.Logger = "channel", s.Codecs, s.Logger
	c.injector = &Injector{
		Source: source, Sink: &c.stream, Live: !file, Loop: loops && !s.Once, Logger: s.Logger,
		OnEvent: func(e Event) {
			if e.Type == Ended {
				s.forget(url, c)
				_ = c.stream.CloseWrite() // its readers are Sources: nobody is waited for
			}
		},
	}
	first, err := s.watch(ctx, url, c)
	if err == nil {
		err = c.injector.Start(context.Background())
	}
	if c.err = err; err != nil {
		s.forget(url, c)
	}
	return first, err
}

// forget lets the next who comes begin anew.
func (s *Shared) forget(url string, c *channel) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.channels[url] == c {
		delete(s.channels, url)
	}
}

func (s *Shared) leave(url string, c *channel) {
	s.mu.Lock()
	c.users--
	last := c.users == 0
	if last && s.channels[url] == c {
		delete(s.channels, url)
	}
	s.mu.Unlock()
	if last && c.injector != nil {
		_ = c.injector.Close()
		_ = c.stream.Close()
	}
}

// sharedSource is the part of one call.
type sharedSource struct {
	media.Source
	once  sync.Once
	leave func()
}

// ReadFrame returns the next frame of the channel.
func (s *sharedSource) ReadFrame(ctx context.Context) (*media.Frame, error) {
	f, err := s.Source.ReadFrame(ctx)
	if errors.Is(err, media.ErrClosed) {
		return nil, io.EOF // of the channel
	}
	return f, err
}

// Close leaves the channel.
func (s *sharedSource) Close() error {
	err := s.Source.Close()
	s.once.Do(s.leave)
	return err
}
