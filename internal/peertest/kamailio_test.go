//go:build peers

package peertest_test

import (
	"net"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/trunkcast/trunkcast/internal/peertest"
)

// TestPeerKamailioBaresip lets two softphones talk through the proxy, and
// looks at what the registrar, the calls and the control connection do.
func TestPeerKamailioBaresip(t *testing.T) {
	clip := peertest.MakeClip(t, peertest.ClipOptions{Seconds: 20})
	for _, transport := range []string{"udp", "tcp"} {
		t.Run(transport, func(t *testing.T) {
			t.Parallel()
			k := peertest.StartKamailioWith(t, peertest.KamailioOptions{AuthInvite: true})
			called := peertest.StartBaresip(t, peertest.BaresipOptions{
				User: "202", Proxy: k.Addr(), Transport: transport, Video: clip.Video, Audio: clip.Audio,
			})
			caller := peertest.StartBaresip(t, peertest.BaresipOptions{
				User: "201", Proxy: k.Addr(), Transport: transport, Video: clip.Video, Audio: clip.Audio,
			})
			caller.Do("dial", "sip:202@"+k.Addr())
			called.Answer()
			caller.Wait("CALL_ESTABLISHED", 30*time.Second)
			caller.SendDTMF("1#")
			for _, key := range []string{"1", "#"} {
				if e := called.Wait("CALL_DTMF_START", 20*time.Second); e.Param != key {
					t.Errorf("heard the key %q, want %q", e.Param, key)
				}
			}
			caller.Hangup()
			called.Wait("CALL_CLOSED", 30*time.Second)
			// Record-Route keeps the proxy in the call.
			if k.Seen("BYE") == 0 || k.Seen("INVITE") < 2 {
				t.Errorf("seen: %d INVITE, %d BYE", k.Seen("INVITE"), k.Seen("BYE"))
			}
		})
	}
}

// TestPeerKamailioRefuses: a wrong password, a number that nobody has, a
// gateway that does not answer.
func TestPeerKamailioRefuses(t *testing.T) {
	k := peertest.StartKamailioWith(t, peertest.KamailioOptions{AuthInvite: true})
	phone := peertest.StartBaresip(t, peertest.BaresipOptions{Proxy: k.Addr(), Password: "wrong", NoWait: true})
	if e := phone.Wait("REGISTER_FAIL", 30*time.Second); !strings.Contains(e.Param, "403") {
		t.Errorf("%+v", e)
	}
	for number, o := range map[string]peertest.SIPpOptions{
		"299": {Expect: 404, Password: peertest.KamailioPassword},
		"900": {Expect: 404, Password: peertest.KamailioPassword},
		"100": {Expect: 503, Password: peertest.KamailioPassword},
		"101": {Expect: 403, Password: "wrong"},
		"102": {Expect: 407},
	} {
		o.Target, o.From, o.URI = k.Addr(), "201", "sip:"+number+"@"+k.Addr()
		if r := peertest.StartSIPp(t, o).MustPass(30 * time.Second); r.Responses[o.Expect] != 1 {
			t.Errorf("%s: %+v", number, r)
		}
	}
}

// TestPeerKamailioGateways: calls to an address, and to the contact that
// registered as trunk; a gateway that drains gets none.
func TestPeerKamailioGateways(t *testing.T) {
	draining, open := newResponder(t, "503 Draining"), newResponder(t, "200 OK")
	k := peertest.StartKamailioWith(t, peertest.KamailioOptions{Gateways: []string{draining.addr, open.addr}, Ping: true})
	trunk := peertest.StartBaresip(t, peertest.BaresipOptions{
		User: "trunk", Proxy: k.Addr(), AutoAnswer: true, Codecs: []string{"PCMA/8000"},
	})
	peertest.Eventually(t, 30*time.Second, "both are pinged", func() bool {
		return draining.count("OPTIONS") > 1 && open.count("OPTIONS") > 1
	})
	call := peertest.SIPpOptions{Target: k.Addr(), URI: "sip:100@" + k.Addr(), Calls: 4, Expect: 486}
	peertest.StartSIPp(t, call).MustPass(60 * time.Second)
	if draining.count("INVITE") != 0 || open.count("INVITE") < 4 {
		t.Errorf("%d and %d INVITEs", draining.count("INVITE"), open.count("INVITE"))
	}
	peertest.StartSIPp(t, peertest.SIPpOptions{Target: k.Addr(), URI: "sip:900@" + k.Addr()}).MustPass(60 * time.Second)
	trunk.Wait("CALL_ESTABLISHED", 10*time.Second)
}

// responder answers to OPTIONS as it is told, and is busy for calls.
type responder struct {
	addr string
	mu   sync.Mutex
	seen map[string]int
}

func newResponder(t *testing.T, options string) *responder {
	t.Helper()
	c, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	r := &responder{addr: c.LocalAddr().String(), seen: map[string]int{}}
	done := make(chan struct{})
	t.Cleanup(func() {
		_ = c.Close()
		<-done
	})
	go func() {
		defer close(done)
		buf := make([]byte, 64<<10)
		for {
			n, from, err := c.ReadFrom(buf)
			if err != nil {
				return
			}
			if res := r.respond(string(buf[:n]), options); res != "" {
				_, _ = c.WriteTo([]byte(res), from)
			}
		}
	}()
	return r
}

// respond returns the response, with the headers that go from the request.
func (r *responder) respond(request, options string) string {
	method, _, _ := strings.Cut(request, " ")
	r.mu.Lock()
	r.seen[method]++
	r.mu.Unlock()
	status := map[string]string{"OPTIONS": options, "INVITE": "486 Busy Here"}[method]
	if status == "" {
		return ""
	}
	out := "SIP/2.0 " + status + "\r\n"
	for line := range strings.SplitSeq(request, "\r\n") {
		name, value, _ := strings.Cut(line, ":")
		switch name {
		case "To":
			value += ";tag=responder"
			fallthrough
		case "Via", "From", "Call-ID", "CSeq", "Record-Route":
			out += name + ":" + value + "\r\n"
		}
	}
	return out + "Content-Length: 0\r\n\r\n"
}

func (r *responder) count(method string) int {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.seen[method]
}
