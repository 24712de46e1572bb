// Package httpfile plays files from web servers while they come down, by
// range requests (RFC 9110, section 14): what is at the end of a file, as the
// index of many MP4 files is, is fetched first. No more of a file than 4 MiB
// is kept.
//
//	sources := inject.Mux{"https": &httpfile.Opener{}}
//
// It is a package of its own so that programs that do without need no HTTP.
package httpfile

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"sync"
	"time"

	"github.com/trunkcast/trunkcast/inject"
	"github.com/trunkcast/trunkcast/media"
)

var (
	// ErrStalled tells that a server sent nothing for too long.
	ErrStalled = errors.New("httpfile: the server stalled")
	// ErrChanged tells that a file became another one while it was played.
	ErrChanged = errors.New("httpfile: the file has changed meanwhile")
	// ErrNoRanges tells that a server does not serve parts of a file, and the
	// file cannot be played without.
	ErrNoRanges = errors.New("httpfile: the server serves no ranges: put the index of the file at its start")
)

// StatusError is the answer of a server that does not give a file.
type StatusError struct {
	Code int
}

func (e *StatusError) Error() string {
	return fmt.Sprintf("httpfile: the server answered %d %s", e.Code, http.StatusText(e.Code))
}

// Opener is an inject.Opener for http and https. The zero value works.
type Opener struct {
	// Dial makes the connections. Default: a net.Dialer.
	Dial func(ctx context.Context, network, addr string) (net.Conn, error)
	// TLS is for https. Nil verifies by the system's roots.
	TLS *tls.Config
	// File tells how the files are read.
	File inject.FileOptions
	// StallTimeout ends a file of which nothing came for so long. Default 10 s.
	StallTimeout time.Duration

	once   sync.Once
	client *http.Client
}

const (
	defaultStall = 10 * time.Second
	maxRedirects = 5
	idleConns    = 16
)

func (o *Opener) setUp() {
	dial := o.Dial
	if dial == nil {
		dial = (&net.Dialer{Timeout: defaultStall}).DialContext
	}
	o.client = &http.Client{
		// No proxy of the environment: it would be asked in the place of the
		// address that was allowed.
		Transport: &http.Transport{
			DialContext: dial, TLSClientConfig: o.TLS, TLSHandshakeTimeout: defaultStall, ForceAttemptHTTP2: true,
			ResponseHeaderTimeout: o.stall(), MaxIdleConns: idleConns, IdleConnTimeout: defaultStall, DisableCompression: true,
		},
		CheckRedirect: func(_ *http.Request, via []*http.Request) error {
			if len(via) >= maxRedirects {
				return errors.New("httpfile: too many redirects")
			}
			return nil
		},
	}
}

func (o *Opener) stall() time.Duration {
	if o.StallTimeout > 0 {
		return o.StallTimeout
	}
	return defaultStall
}

// Open opens a file. One that is not there gives inject.ErrNoSource; the
// others are *StatusError, ErrStalled and those of inject.Open.
func (o *Opener) Open(ctx context.Context, address string) (media.Source, error) {
	o.once.Do(o.setUp)
	u, err := url.Parse(address)
	if err != nil || u.Host == "" || u.Scheme != "http" && u.Scheme != "https" {
		return nil, fmt.Errorf("%w: not a URL of http or https", inject.ErrNoSource)
	}
	f := newFile(o.client, address, o.stall())
	// While it is opened the file ends with ctx, afterwards by Close.
	stop := context.AfterFunc(ctx, f.cancel)
	defer stop()
	size, err := f.size()
	if err != nil {
		_ = f.Close()
		return nil, withCause(ctx, err)
	}
	source, err := inject.Open(ctx, f, size, o.File)
	if err != nil {
		return nil, withCause(ctx, err)
	}
	return source, nil
}

func withCause(ctx context.Context, err error) error {
	if ctx.Err() != nil {
		return ctx.Err()
	}
	return err
}

// CloseIdleConnections closes the connections that wait for another request.
func (o *Opener) CloseIdleConnections() {
	o.once.Do(o.setUp)
	o.client.CloseIdleConnections()
}
