package rtmp

import (
	"context"
	"crypto/tls"
	"fmt"
	"io"
	"log/slog"
	"net"
	"sync"
	"time"

	"github.com/trunkcast/trunkcast/media"
)

// Player reads a stream from an RTMP server. It is a media.Source: its frames
// start at time 0, whatever the server's times are, and go on over jumps in
// them. It connects at the first ReadFrame, or by Start, and does not connect
// again: when the stream ends ReadFrame returns io.EOF, when the connection
// breaks its error.
//
// The fields are read at the first call and not changed after.
type Player struct {
	// URL is as in [Publisher].
	URL string
	// StreamName and App are as in [Publisher].
	StreamName, App string
	// Logger gets the connection's beginning and end. Nil discards.
	Logger *slog.Logger
	// TLS is for rtmps. Nil verifies the server by the system's roots.
	TLS *tls.Config
	// Dial replaces the dialling of TCP connections.
	Dial func(ctx context.Context, network, addr string) (net.Conn, error)
	// ConnectTimeout is the time from dialling to the server's yes. Default 10 s.
	ConnectTimeout time.Duration
	// IdleTimeout ends a stream from which nothing comes. Default 30 s.
	IdleTimeout time.Duration
	// MaxMessage bounds a message of the server, in bytes. Default 8 MiB.
	MaxMessage int
	// MaxQueue bounds the bytes that wait for ReadFrame. When they are
	// exceeded, frames are dropped up to the next key frame. Default 8 MiB.
	MaxQueue int

	once   sync.Once
	ctx    context.Context
	cancel context.CancelFunc
	done   chan struct{}
	source tagSource
	log    *slog.Logger
}

// Start connects in the background. The first ReadFrame does the same.
func (p *Player) Start() { p.once.Do(p.start) }

func (p *Player) start() {
	if p.log = p.Logger; p.log == nil {
		p.log = slog.New(slog.DiscardHandler)
	}
	if p.ConnectTimeout <= 0 {
		p.ConnectTimeout = 10 * time.Second
	}
	if p.IdleTimeout <= 0 {
		p.IdleTimeout = 30 * time.Second
	}
	if p.MaxMessage <= 0 {
		p.MaxMessage = 8 << 20
	}
	if p.MaxQueue <= 0 {
		p.MaxQueue = 8 << 20
	}
	p.source.queue = newTagQueue(p.MaxQueue)
	p.ctx, p.cancel = context.WithCancel(context.Background())
	p.done = make(chan struct{})
	t, err := parseTarget(p.URL, p.StreamName, p.App)
	if err != nil {
		p.source.queue.close(err)
		close(p.done)
		return
	}
	p.log = p.log.With("url", t.shown)
	go p.run(t)
}

// run reads the stream to its end.
func (p *Player) run(t *target) {
	defer close(p.done)
	d := dialer{
		target: t, tls: p.TLS, dial: p.Dial, timeout: p.ConnectTimeout,
		writeTimeout: 10 * time.Second, limit: p.MaxMessage, play: true,
	}
	s, err := d.open(p.ctx)
	if err == nil {
		p.log.Info("RTMP playing")
		err = p.receive(s)
	}
	if err != io.EOF && p.ctx.Err() == nil {
		p.log.Warn("RTMP playing ended", "error", err)
	}
	p.source.queue.close(err)
}

func (p *Player) receive(s *session) error {
	stop := context.AfterFunc(p.ctx, s.close)
	defer stop()
	defer s.close()
	for _, m := range s.early {
		p.push(m)
	}
	s.early = nil
	var deadline time.Time
	for {
		if now := time.Now(); deadline.Sub(now) < p.IdleTimeout*7/8 {
			deadline = now.Add(p.IdleTimeout)
			_ = s.nc.SetReadDeadline(deadline)
		}
		m, err := s.read()
		if err != nil {
			if err == io.EOF {
				return err
			}
			return fmt.Errorf("rtmp play: %w", err)
		}
		switch m.kind {
		case kindCommand, kindCommandAMF3:
			if over, err := p.over(m); over || err != nil {
				return err
			}
		case kindUserControl:
			if m.payload[0] == 0 && m.payload[1] == eventStreamEOF {
				return io.EOF
			}
		default:
			p.push(m)
		}
	}
}

func (p *Player) push(m message) {
	if t, err := newTag(m.kind, m.time, m.payload); err == nil && m.kind != kindData && m.kind != kindDataAMF3 {
		p.source.queue.push(t)
	}
}

// over tells whether a command ends the stream.
func (p *Player) over(m message) (bool, error) {
	c, err := decodeCommand(m)
	if err != nil {
		return true, err
	}
	if c.name != "onStatus" {
		return c.name == "close", endIf(c.name == "close")
	}
	_, code, _ := c.status()
	return badCode(code), endIf(badCode(code))
}

func endIf(over bool) error {
	if over {
		return io.EOF
	}
	return nil
}

// Tracks returns the tracks seen so far.
func (p *Player) Tracks() []*media.Track { return p.source.Tracks() }

// ReadFrame returns the next frame. Frames of codecs that trunkcast does not
// know are left out.
func (p *Player) ReadFrame(ctx context.Context) (*media.Frame, error) {
	p.Start()
	return p.source.ReadFrame(ctx)
}

// Dropped returns how many tags were lost because frames were not read in
// time.
func (p *Player) Dropped() uint64 {
	p.Start()
	return p.source.queue.dropped()
}

// Close ends the connection and everything that was started. It may be called
// more than once and from any goroutine.
func (p *Player) Close() error {
	p.Start()
	p.cancel()
	<-p.done
	p.source.queue.discard(media.ErrClosed)
	return nil
}
