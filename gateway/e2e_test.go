package gateway_test

import (
	"context"
	"math/rand/v2"
	"net"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/trunkcast/trunkcast"
	"github.com/trunkcast/trunkcast/gateway"
	"github.com/trunkcast/trunkcast/gateway/demo"
	"github.com/trunkcast/trunkcast/rtmp"
	"github.com/trunkcast/trunkcast/trunk"
	"github.com/trunkcast/trunkcast/trunk/trunktest"
)

// local runs a gateway with its embedded server on a port of the kernel's.
func local(t testing.TB, change func(*trunk.Config)) *running {
	t.Helper()
	cfg := pbx("rtmp://127.0.0.1:1/live") // pointed at the embedded server by its Plan
	if change != nil {
		change(&cfg)
	}
	var r *running
	r = startGateway(t, gateway.Config{Trunks: []trunk.Config{cfg}, RTMPListen: "127.0.0.1:0"}, gateway.Options{
		Plan: func(_ context.Context, _ *trunk.Call, p *trunkcast.Plan) error {
			if strings.HasPrefix(p.Targets[0].URL, "rtmp://127.0.0.1:1/") {
				p.Targets[0].URL = r.URL("live")
			}
			return nil
		},
	})
	return r
}

// call is callOnly, waiting for the call's output.
func (r *running) call(number string) (hangup func()) {
	r.t.Helper()
	hangup = r.callOnly(number)
	eventually(r.t, "output of the call to "+number, func() bool {
		return slices.ContainsFunc(r.Bridge.Sessions(), func(s *trunkcast.Session) bool {
			return s.Call().Number() == number && len(s.Outputs()) > 0
		})
	})
	return hangup
}

// callOnly places a demo call that lasts until the test, or the function
// returned, ends it.
func (r *running) callOnly(number string) (hangup func()) {
	r.t.Helper()
	answered := make(chan struct{}, 1)
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	c := &demo.Caller{To: r.addr("pbx"), Number: number, OnAnswer: func() {
		select {
		case answered <- struct{}{}:
		default:
		}
	}}
	go func() {
		defer close(done)
		if err := c.Run(ctx); err != nil {
			r.t.Errorf("caller: %v", err)
		}
	}()
	hangup = func() { cancel(); <-done }
	r.t.Cleanup(hangup)
	select {
	case <-answered:
	case <-time.After(20 * time.Second):
		r.t.Fatalf("call to %s not answered", number)
	}
	return hangup
}

// streams are the names on the embedded server.
func (r *running) streams() []string {
	var names []string
	for _, s := range r.RTMP.List() {
		names = append(names, s.Name)
	}
	slices.Sort(names)
	return names
}

func eventually(t testing.TB, what string, ok func() bool) {
	t.Helper()
	for deadline := time.Now().Add(20 * time.Second); time.Now().Before(deadline); time.Sleep(10 * time.Millisecond) {
		if ok() {
			return
		}
	}
	t.Fatalf("not in 20 s: %s", what)
}

// pictures reads a stream until it has brought some pictures.
func pictures(t testing.TB, url string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	p := &rtmp.Player{URL: url}
	defer p.Close()
	for n := 0; n < 10; {
		f, err := p.ReadFrame(ctx)
		if err != nil {
			t.Fatalf("%s: %v", url, err)
		}
		if f.Track.Codec.Video() {
			n++
		}
	}
}

func TestCallAndItsEnd(t *testing.T) {
	t.Parallel()
	r := local(t, nil)
	hangup := r.call("100")
	pictures(t, r.URL("live/rtmp_100"))
	if s := r.Bridge.Sessions(); len(s) != 1 || s[0].Stream().Name != "rtmp_100" {
		t.Errorf("sessions %v", s)
	}
	hangup()
	eventually(t, "stream gone", func() bool { return len(r.streams()) == 0 })
	eventually(t, "end told", func() bool { return r.has(trunkcast.CallEnded) })
	if n := len(r.Bridge.Sessions()); n != 0 {
		t.Errorf("%d sessions left", n)
	}
}

func hangUp(leg *trunktest.Leg) {
	leg.Request("BYE", "", "")
	leg.Expect("BYE", 200)
}

func TestSameNumber(t *testing.T) {
	for _, c := range []struct {
		policy string
		want   []string
	}{
		{"suffix", []string{"live/rtmp_100", "live/rtmp_100-2"}},
		{"replace", []string{"live/rtmp_100"}},
	} {
		t.Run(c.policy, func(t *testing.T) {
			r := local(t, func(cfg *trunk.Config) { cfg.SameNumber = c.policy })
			peer := trunktest.NewPeer(t, "udp")
			first := peer.Establish(r.addr("pbx"), "100")
			eventually(t, "first stream", func() bool { return len(r.streams()) == 1 })
			second := peer.Invite(r.addr("pbx"), "100", trunktest.Offer)
			if c.policy == "replace" {
				bye := first.Await("BYE")
				if !strings.Contains(bye.Header("Reason"), "replaced") {
					t.Errorf("Reason %q", bye.Header("Reason"))
				}
				peer.Response(bye, 200, "", "", "")
			} else {
				defer hangUp(first)
			}
			second.Expect("INVITE", 200)
			second.ACK("")
			defer hangUp(second)
			eventually(t, "second stream", func() bool { return slices.Equal(r.streams(), c.want) && len(r.Bridge.Sessions()) == len(c.want) })
		})
	}
	t.Run("refuse", func(t *testing.T) {
		r := local(t, func(cfg *trunk.Config) { cfg.SameNumber = "refuse" })
		peer := trunktest.NewPeer(t, "udp")
		defer hangUp(peer.Establish(r.addr("pbx"), "100"))
		leg := peer.Invite(r.addr("pbx"), "100", trunktest.Offer)
		m := leg.Expect("INVITE", 486)
		if !strings.Contains(m.Header("Warning"), "rtmp_100 is in use") {
			t.Errorf("Warning %q", m.Header("Warning"))
		}
		eventually(t, "refusal told", func() bool { return r.has(trunkcast.CallRefused) })
	})
}

func TestMediaTimeout(t *testing.T) {
	t.Parallel()
	r := local(t, func(cfg *trunk.Config) { cfg.MediaTimeout = time.Second })
	peer := trunktest.NewPeer(t, "udp")
	leg := peer.Establish(r.addr("pbx"), "100")
	bye := leg.Await("BYE")
	if !strings.Contains(bye.Header("Reason"), "no media") {
		t.Errorf("Reason %q", bye.Header("Reason"))
	}
	peer.Response(bye, 200, "", "", "")
	eventually(t, "end told", func() bool { return r.has(trunkcast.CallEnded) })
}

// TestOwnHangup ends a call from our side; the caller hears why.
func TestOwnHangup(t *testing.T) {
	t.Parallel()
	r := local(t, nil)
	peer := trunktest.NewPeer(t, "tcp")
	leg := peer.Establish(r.addr("pbx"), "100")
	eventually(t, "stream", func() bool { return len(r.streams()) == 1 })
	done := make(chan error, 1)
	go func() {
		ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
		defer cancel()
		done <- r.Bridge.Sessions()[0].Hangup(ctx, "closing time")
	}()
	bye := leg.Await("BYE")
	if !strings.Contains(bye.Header("Reason"), "closing time") {
		t.Errorf("Reason %q", bye.Header("Reason"))
	}
	peer.Response(bye, 200, "", "", "")
	if err := <-done; err != nil {
		t.Error(err)
	}
	eventually(t, "stream gone", func() bool { return len(r.streams()) == 0 && r.has(trunkcast.CallEnded) })
}

// deadServer accepts connections and, if it is to, closes them at once.
func deadServer(t *testing.T, closes bool) (addr string) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan struct{})
	t.Cleanup(func() {
		l.Close()
		<-done
	})
	go func() {
		defer close(done)
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			if closes {
				c.Close()
			} else {
				defer c.Close()
			}
		}
	}()
	return l.Addr().String()
}

// TestDeadServers publishes to a server that accepts and never answers, and to
// one that closes at once: the call does not notice, the events tell the
// states, and the log tells it once.
func TestDeadServers(t *testing.T) {
	t.Parallel()
	for name, closes := range map[string]bool{"never answers": false, "closes": true} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			addr := deadServer(t, closes)
			r := local(t, func(cfg *trunk.Config) { cfg.URL = "rtmp://" + addr + "/live" })
			hangup := r.call("100")
			eventually(t, "sound and picture", r.twoKindsOfMedia)
			attempts := 1 // of those that take 10 s
			if closes {
				attempts = 3
			}
			eventually(t, "failure told", func() bool { return r.waits() >= attempts && r.outputError() != nil })
			st := r.Bridge.Sessions()[0].Stats().Outputs
			if len(st) != 1 || st[0].RTMP == nil || st[0].RTMP.State == rtmp.Live || st[0].RTMP.LastError == nil {
				t.Errorf("outputs %+v", st)
			}
			if n := strings.Count(r.log.String(), `level=WARN msg="RTMP publishing does not begin"`); n != 1 {
				t.Errorf("%d lines of the log tell it", n)
			}
			if r.has(trunkcast.CallEnded) || r.has(trunkcast.OutputEnded) {
				t.Error("the call or its output ended")
			}
			begun := time.Now()
			hangup()
			eventually(t, "end told", func() bool { return r.has(trunkcast.CallEnded) })
			if took := time.Since(begun); took > 10*time.Second {
				t.Errorf("the end took %v", took)
			}
		})
	}
}

// sdpOffer is an offer of some m-lines.
func sdpOffer(lines ...string) string {
	return "v=0\r\no=- 1 1 IN IP4 127.0.0.1\r\ns=-\r\nc=IN IP4 127.0.0.1\r\nt=0 0\r\n" + strings.Join(lines, "\r\n") + "\r\n"
}

func TestOffers(t *testing.T) {
	r := local(t, nil)
	peer := trunktest.NewPeer(t, "tcp")
	for name, c := range map[string]struct {
		body    string
		code    int
		answer  []string // lines of the answer
		warning string
	}{
		"VP8 and PCMA": {
			body: sdpOffer("m=audio 40000 RTP/AVP 8", "m=video 40002 RTP/AVP 100", "a=rtpmap:100 VP8/90000"),
			code: 200, answer: []string{"m=audio ", "m=video 0 RTP/AVP 100"},
		},
		"G.729 only": {
			body: sdpOffer("m=audio 40000 RTP/AVP 18"),
			code: 488, warning: "305",
		},
		"audio only": {
			body: sdpOffer("m=audio 40000 RTP/AVP 0"),
			code: 200, answer: []string{"m=audio "},
		},
		"video only": {
			body: sdpOffer("m=video 40002 RTP/AVP 96", "a=rtpmap:96 H264/90000"),
			code: 200, answer: []string{"m=video "},
		},
		"broken": {body: "this is no SDP", code: 400},
		"60 KB": {
			body: sdpOffer("m=audio 40000 RTP/AVP 8", strings.Repeat("a=x-filler:"+strings.Repeat("0123456789", 10)+"\r\n", 530)+"a=ptime:20"),
			code: 200, answer: []string{"m=audio "},
		},
	} {
		t.Run(name, func(t *testing.T) {
			leg := peer.Invite(r.addr("pbx"), "100", c.body)
			m := leg.Expect("INVITE", c.code)
			for _, line := range c.answer {
				if !strings.Contains("\r\n"+m.Body, "\r\n"+line) {
					t.Errorf("no %q in the answer:\n%s", line, m.Body)
				}
			}
			if !strings.Contains(m.Header("Warning"), c.warning) {
				t.Errorf("Warning %q", m.Header("Warning"))
			}
			if c.code == 200 {
				leg.ACK("")
				hangUp(leg)
			}
		})
	}
}

// TestNoise sends what is neither SIP nor RTMP nor RTP to every port while a
// call runs: the call goes on, and another can be placed.
func TestNoise(t *testing.T) {
	r := local(t, nil)
	r.call("100")
	random := rand.NewChaCha8([32]byte{1})
	noise := func(network string, addr netip.AddrPort) {
		for range 20 {
			c, err := net.DialTimeout(network, addr.String(), 5*time.Second)
			if err != nil {
				t.Fatal(err)
			}
			b := make([]byte, 1200)
			random.Read(b)
			b[0] = 0x80 // RTP, for the media ports
			c.Write(b)
			c.Close()
		}
	}
	rtmpAddr := r.RTMPAddr.(*net.TCPAddr).AddrPort()
	noise("udp", r.addr("pbx"))
	noise("tcp", r.addr("pbx"))
	noise("tcp", rtmpAddr)
	for _, l := range r.Bridge.Sessions()[0].Stats().Media.Lines {
		noise("udp", netip.AddrPortFrom(rtmpAddr.Addr(), uint16(l.LocalPort)))
		noise("udp", netip.AddrPortFrom(rtmpAddr.Addr(), uint16(l.LocalPort+1)))
	}
	pictures(t, r.URL("live/rtmp_100"))
	if r.has(trunkcast.CallEnded) {
		t.Error("the call ended")
	}
	st := r.Bridge.Sessions()[0].Stats().Media
	if st.Foreign+st.Malformed == 0 {
		t.Errorf("no noise counted: %+v", st)
	}
	r.call("101")
	pictures(t, r.URL("live/rtmp_101"))
}
