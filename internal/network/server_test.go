//go:build peers

package network

import (
	"context"
	"fmt"
	"net"
	"sync"
	"testing"
	"time"

	"github.com/bluenviron/gortmplib"
	"github.com/bluenviron/gortmplib/pkg/codecs"
)

// server is an RTMP server in the test's process, made by others, for one
// publisher. It tells each message when it is complete; nil: none of that kind.
type server struct {
	picture func(dts time.Duration, units [][]byte) // sequence headers too
	sound   func(data []byte)                       // G.711
	encoded func(pts time.Duration)                 // AAC
}

// listen serves until the end of the test and returns the URL.
func (s *server) listen(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	var wg sync.WaitGroup
	ctx, cancel := context.WithCancel(context.Background())
	wg.Go(func() {
		nc, err := l.Accept()
		if err != nil {
			return
		}
		defer nc.Close()
		defer context.AfterFunc(ctx, func() { _ = nc.Close() })()
		if err := s.serve(nc); err != nil {
			t.Errorf("server: %v", err)
		}
	})
	t.Cleanup(func() { _ = l.Close(); cancel(); wg.Wait() })
	return "rtmp://" + l.Addr().String() + "/live"
}

func (s *server) serve(nc net.Conn) error {
	c := &gortmplib.ServerConn{RW: nc}
	if err := c.Initialize(); err != nil {
		return err
	}
	if err := c.Accept(); err != nil {
		return err
	}
	r := &gortmplib.Reader{Conn: c}
	if err := r.Initialize(); err != nil {
		return err
	}
	for _, track := range r.Tracks() {
		switch track.Codec.(type) {
		case *codecs.H264:
			r.OnDataH264(track, func(_, dts time.Duration, units [][]byte) {
				if s.picture != nil {
					s.picture(dts, units)
				}
			})
		case *codecs.G711:
			r.OnDataG711(track, func(_ time.Duration, data []byte) {
				if s.sound != nil {
					s.sound(data)
				}
			})
		case *codecs.MPEG4Audio:
			r.OnDataMPEG4Audio(track, func(pts time.Duration, _ []byte) {
				if s.encoded != nil {
					s.encoded(pts)
				}
			})
		default:
			return fmt.Errorf("track of %T", track.Codec)
		}
	}
	for {
		if err := r.Read(); err != nil {
			return nil // the publisher has gone
		}
	}
}
