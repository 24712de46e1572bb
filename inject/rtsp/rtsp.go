// Package rtsp plays streams of RTSP servers and cameras (RFC 2326), over UDP
// or, where nothing comes that way, TCP.
//
//	sources := inject.Mux{"rtsp": &rtsp.Opener{}}
package rtsp

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"time"

	"github.com/bluenviron/gortsplib/v4"
	"github.com/bluenviron/gortsplib/v4/pkg/base"
	"github.com/bluenviron/gortsplib/v4/pkg/liberrors"
	"github.com/pion/rtp"

	"github.com/trunkcast/trunkcast/inject"
	"github.com/trunkcast/trunkcast/media"
)

// ErrNoTracks tells that nothing of a stream is in a codec that is carried:
// H.264, H.265, AAC-LC, Opus, G.711.
var ErrNoTracks = errors.New("rtsp: no track in a codec that can be played")

// StatusError is the answer of a server that refuses a request.
type StatusError struct {
	Code   int
	Reason string
}

func (e *StatusError) Error() string {
	return fmt.Sprintf("rtsp: the server answered %d %s", e.Code, e.Reason)
}

// Opener is an inject.Opener for rtsp and rtsps. The zero value works.
type Opener struct {
	// TCP takes the media over the connection of the requests only. Default:
	// over UDP, and over TCP if none comes.
	TCP bool
	// Dial makes the connections. Default: a net.Dialer.
	Dial func(ctx context.Context, network, addr string) (net.Conn, error)
	// TLS is for rtsps. Nil verifies by the system's roots.
	TLS *tls.Config
	// Timeout is the longest to wait for an answer, or for media. Default 10 s.
	Timeout time.Duration
	// Logger gets what is lost. Nil discards.
	Logger *slog.Logger
}

const defaultTimeout = 10 * time.Second

// Open connects and returns when the server plays. A stream that is not there
// gives inject.ErrNoSource, another refusal a *StatusError.
func (o *Opener) Open(ctx context.Context, url string) (media.Source, error) {
	u, err := base.ParseURL(url)
	if err != nil || u.Scheme != "rtsp" && u.Scheme != "rtsps" || u.Host == "" {
		return nil, fmt.Errorf("%w: not a URL of rtsp or rtsps", inject.ErrNoSource)
	}
	s := newSource(o)
	if err := s.client(o, u).Start2(); err != nil {
		return nil, statusOf(err)
	}
	stop := context.AfterFunc(ctx, s.c.Close)
	defer stop()
	if err := s.play(u); err != nil {
		s.c.Close()
		if ctx.Err() != nil {
			return nil, ctx.Err()
		}
		return nil, statusOf(err)
	}
	go s.run()
	return s, nil
}

// client sets up the connection of a source.
func (s *source) client(o *Opener, u *base.URL) *gortsplib.Client {
	timeout := o.Timeout
	if timeout <= 0 {
		timeout = defaultTimeout
	}
	s.c = &gortsplib.Client{
		Scheme: u.Scheme, Host: u.Host, TLSConfig: o.TLS, DialContext: o.Dial, ReadTimeout: timeout, WriteTimeout: timeout,
		UserAgent:         "trunkcast",
		OnPacketsLost:     func(n uint64) { s.log.Debug("RTSP packets lost", "lost", n) },
		OnDecodeError:     func(err error) { s.log.Debug("RTSP packet not understood", "error", err) },
		OnTransportSwitch: func(err error) { s.log.Info("RTSP goes on over TCP", "reason", err) },
	}
	if o.TCP {
		tcp := gortsplib.TransportTCP
		s.c.Transport = &tcp
	}
	return s.c
}

// play asks for what can be carried of a stream.
func (s *source) play(u *base.URL) error {
	desc, _, err := s.c.Describe(u)
	if err != nil {
		return err
	}
	var list []*wanted
	for _, m := range desc.Medias {
		if w := s.choose(m); w != nil {
			list = append(list, w)
		}
	}
	if len(list) == 0 {
		return ErrNoTracks
	}
	for _, w := range list {
		if _, err := s.c.Setup(desc.BaseURL, w.media, 0, 0); err != nil {
			return err
		}
		s.c.OnPacketRTP(w.media, w.format, func(p *rtp.Packet) { s.packet(w, p) })
	}
	_, err = s.c.Play(nil)
	return err
}

// statusOf gives the refusals of a server an error of ours.
func statusOf(err error) error {
	var bad liberrors.ErrClientBadStatusCode
	if !errors.As(err, &bad) {
		return fmt.Errorf("rtsp: %w", err)
	}
	status := &StatusError{Code: int(bad.Code), Reason: bad.Message}
	if status.Code == http.StatusNotFound { // as in HTTP (RFC 2326, section 11)
		return fmt.Errorf("%w: %w", inject.ErrNoSource, status)
	}
	return status
}
