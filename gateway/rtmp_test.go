package gateway_test

import (
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/bluenviron/gortmplib"
	"github.com/bluenviron/gortmplib/pkg/codecs"

	"github.com/trunkcast/trunkcast"
	"github.com/trunkcast/trunkcast/gateway"
	"github.com/trunkcast/trunkcast/rtmp"
	"github.com/trunkcast/trunkcast/trunk"
)

// otherServer is an RTMP server of another implementation that takes one
// publisher with that user and password.
type otherServer struct {
	net.Listener
	user, password string

	mu            sync.Mutex
	url           string
	pictures      int
	opus, opusGap int // packets; times that do not rise
	last          time.Duration
}

func startOtherServer(t *testing.T, user, password string) *otherServer {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	s := &otherServer{Listener: l, user: user, password: password}
	var wg sync.WaitGroup
	wg.Go(func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			wg.Go(func() {
				defer c.Close()
				if err := s.serve(c); err != nil {
					t.Logf("other server: %v", err)
				}
			})
		}
	})
	t.Cleanup(func() {
		l.Close()
		wg.Wait()
	})
	return s
}

func (s *otherServer) serve(nc net.Conn) error {
	c := &gortmplib.ServerConn{RW: nc}
	if err := c.Initialize(); err != nil {
		return err
	}
	if err := c.CheckCredentials(s.user, s.password); err != nil {
		return err
	}
	if err := c.Accept(); err != nil {
		return err
	}
	r := &gortmplib.Reader{Conn: c}
	if err := r.Initialize(); err != nil {
		return err
	}
	s.mu.Lock()
	s.url = c.URL.String()
	s.mu.Unlock()
	for _, track := range r.Tracks() {
		switch track.Codec.(type) {
		case *codecs.H264:
			r.OnDataH264(track, func(time.Duration, time.Duration, [][]byte) {
				s.mu.Lock()
				defer s.mu.Unlock()
				s.pictures++
			})
		case *codecs.Opus:
			r.OnDataOpus(track, s.sound)
		default:
			return fmt.Errorf("published as %T", track.Codec)
		}
	}
	for {
		if err := r.Read(); err != nil {
			return nil // the end of the call
		}
	}
}

func (s *otherServer) sound(at time.Duration, _ []byte) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.opus > 0 && at <= s.last {
		s.opusGap++
	}
	s.last = at
	s.opus++
}

// TestOpusWithLogin publishes a call to a server of another implementation,
// which asks for user and password, with a token in the query and the sound as
// Enhanced RTMP's Opus.
func TestOpusWithLogin(t *testing.T) {
	t.Parallel()
	s := startOtherServer(t, "caster", "p:w/d")
	r := local(t, func(cfg *trunk.Config) {
		cfg.URL = "rtmp://caster:p%3Aw%2Fd@" + s.Addr().String() + "/live?token=a/b"
		cfg.Audio = "opus"
	})
	hangup := r.call("100")
	eventually(t, "sound and picture", func() bool {
		s.mu.Lock()
		defer s.mu.Unlock()
		return s.pictures > 25 && s.opus > 50
	})
	hangup()
	s.mu.Lock()
	defer s.mu.Unlock()
	if !strings.HasSuffix(s.url, "/live/rtmp_100?token=a/b") || s.opusGap != 0 {
		t.Errorf("published at %s; %d times of the sound do not rise", s.url, s.opusGap)
	}
	if strings.Contains(r.log.String(), "w%2Fd") || strings.Contains(r.log.String(), "p:w/d") || strings.Contains(r.log.String(), "a/b") {
		t.Error("secrets in the log")
	}
}

// TestRefusedTarget: user or password, or the stream's name, is refused by the
// server. The call goes on; the log says it once, the events say why.
func TestRefusedTarget(t *testing.T) {
	t.Parallel()
	login := startOtherServer(t, "caster", "right")
	keys := startGateway(t, gateway.Config{
		Trunks: []trunk.Config{pbx("rtmp://127.0.0.1:1/live")}, RTMPListen: "127.0.0.1:0", PublishKey: "right",
	}, gateway.Options{})
	for name, c := range map[string]struct {
		url  string
		line string // of the log
		is   func(error) bool
		end  bool // it gives up for good
	}{
		"password": {
			"rtmp://caster:wrong@" + login.Addr().String() + "/live", "output ended", func(err error) bool { return errors.Is(err, rtmp.ErrAuth) }, true,
		},
		"key": {
			keys.URL("live") + "?key=wrong", "RTMP publishing does not begin", func(err error) bool {
				var refused *rtmp.RefusedError
				return errors.As(err, &refused) && refused.Stage == "publish"
			}, false,
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r := local(t, func(cfg *trunk.Config) { cfg.URL = c.url })
			hangup := r.callOnly("100")
			eventually(t, "refusal told", func() bool { return c.is(r.outputError()) })
			if c.end {
				eventually(t, "end of the output told", func() bool { return r.has(trunkcast.OutputEnded) })
			} else {
				eventually(t, "another attempt", func() bool { return r.waits() > 1 })
			}
			eventually(t, "the call goes on", r.twoKindsOfMedia)
			if r.has(trunkcast.CallEnded) {
				t.Error("the call ended")
			}
			if n := strings.Count(r.log.String(), `level=WARN msg="`+c.line+`"`); n != 1 {
				t.Errorf("%d lines of the log tell it", n)
			}
			hangup()
			eventually(t, "end told", func() bool { return r.has(trunkcast.CallEnded) })
		})
	}
}

// outputError is the last error that an event told of an output.
func (r *running) outputError() (err error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, e := range r.events {
		if e.Output != "" && e.Err != nil {
			err = e.Err
		}
	}
	return err
}

// waits is how often an event told that an output waits for its next attempt.
func (r *running) waits() (n int) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, e := range r.events {
		if e.Type == trunkcast.OutputState && e.State == rtmp.Waiting {
			n++
		}
	}
	return n
}

// twoKindsOfMedia tells whether the first call has had a second of sound and of
// picture.
func (r *running) twoKindsOfMedia() bool {
	s := r.Bridge.Sessions()
	if len(s) == 0 {
		return false
	}
	l := s[0].Stats().Media.Lines
	return len(l) == 2 && l[0].Received.Packets > 40 && l[1].Received.Packets > 40
}

// TestBadAuthorities: a file that holds none is refused at the start.
func TestBadAuthorities(t *testing.T) {
	file := filepath.Join(t.TempDir(), "ca.pem")
	for _, text := range []string{"", "no certificate"} {
		if text != "" {
			if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
				t.Fatal(err)
			}
		}
		err := gateway.Run(t.Context(), gateway.Config{SIPListen: "127.0.0.1:0", RTMPListen: "127.0.0.1:0", RTMPCA: file}, gateway.Options{})
		if err == nil || !strings.Contains(err.Error(), "rtmpCa") || !strings.Contains(err.Error(), file) {
			t.Errorf("%q: %v", text, err)
		}
	}
}
