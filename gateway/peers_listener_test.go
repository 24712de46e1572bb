//go:build peers

package gateway_test

import (
	"context"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/emiago/sipgo/sip"

	"github.com/trunkcast/trunkcast"
	"github.com/trunkcast/trunkcast/gateway"
	"github.com/trunkcast/trunkcast/internal/peertest"
	"github.com/trunkcast/trunkcast/listener"
	"github.com/trunkcast/trunkcast/trunk"
)

// house is a listener that does each thing a listener may do, by the number
// that is dialled, and notes what it has seen.
type house struct {
	mu      sync.Mutex
	invites map[string]int // INVITEs by number, retransmissions counted
	answers map[string]int // responses to them
	byes    []string       // user parts of the Request-URIs
	ports   map[string]int // of the Request-URI when the call reaches its handler
}

func (h *house) ProcessMessage(_ context.Context, m *listener.Message) error {
	h.mu.Lock()
	defer h.mu.Unlock()
	switch {
	case m.Direction == listener.Incoming && m.Request != nil && m.Request.Method == sip.INVITE:
		return h.invite(m.Request.Recipient.User)
	case m.Direction == listener.Incoming && m.Request != nil && m.Request.Method == sip.BYE:
		h.byes = append(h.byes, m.Request.Recipient.User)
	case m.Direction == listener.Outgoing && m.Response != nil && m.Response.CSeq().MethodName == sip.INVITE:
		h.answers[m.Response.To().Address.User]++
		if c := m.Response.Contact(); c != nil && m.Response.IsSuccess() {
			c.Address.User = "front-door"
		}
	}
	return nil
}

func (h *house) invite(number string) error {
	h.invites[number]++
	switch number {
	case "403":
		return listener.Refuse(403, "Barred")
	case "0":
		return listener.Drop
	case "13":
		panic("unlucky")
	}
	return nil
}

// plan notes the port, as the handler of calls sees it.
func (h *house) plan(_ context.Context, c *trunk.Call, p *trunkcast.Plan) error {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.ports[c.Number()] = c.Request().Recipient.Port
	p.Targets = nil
	return nil
}

func (h *house) counts(number string) (invites, answers int) {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.invites[number], h.answers[number]
}

// TestPeerListener: SIPp calls through a chain of listeners that adds the
// missing port, refuses, drops, rewrites and panics.
func TestPeerListener(t *testing.T) {
	for _, transport := range []string{"udp", "tcp"} {
		t.Run(transport, func(t *testing.T) {
			h := &house{invites: map[string]int{}, answers: map[string]int{}, ports: map[string]int{}}
			g := startGateway(t, gateway.Config{Trunks: []trunk.Config{pbx("rtmp://127.0.0.1:1/live")}, RTMPListen: "off"},
				gateway.Options{Plan: h.plan, Listeners: []listener.SipMessageListener{listener.AddPort{}, h}})
			call := func(number string, expect int) *peertest.SIPp {
				return peertest.StartSIPp(t, peertest.SIPpOptions{
					Target: g.addr("pbx").String(), Transport: transport, URI: "sip:" + number + "@127.0.0.1", Expect: expect,
				})
			}
			call("100", 200).MustPass(60 * time.Second)
			if r := call("403", 403).MustPass(60 * time.Second); r.Responses[403] == 0 {
				t.Errorf("refused with %v", r.Responses)
			}
			call("13", 200).MustPass(60 * time.Second)
			call("14", 200).MustPass(60 * time.Second)
			h.dropped(t, transport, call)
			h.check(t, int(g.addr("pbx").Port()))
			g.logged("unlucky")
			if strings.Count(g.log.String(), "unlucky") != 1 {
				t.Error("the panic is logged more than once")
			}
		})
	}
}

// dropped calls a number whose INVITEs get no answer at all; over UDP the
// retransmissions neither.
func (h *house) dropped(t *testing.T, transport string, call func(string, int) *peertest.SIPp) {
	t.Helper()
	want := map[string]int{"udp": 2, "tcp": 1}[transport]
	p := call("0", 200).Process
	eventually(t, "dropped INVITEs", func() bool { n, _ := h.counts("0"); return n >= want })
	time.Sleep(300 * time.Millisecond) // for an answer that must not come
	p.Stop()
	if _, n := h.counts("0"); n != 0 {
		t.Errorf("%d answers to what was dropped", n)
	}
}

func (h *house) check(t *testing.T, port int) {
	t.Helper()
	h.mu.Lock()
	defer h.mu.Unlock()
	if len(h.ports) != 3 {
		t.Errorf("calls that came: %v", h.ports)
	}
	for number, got := range h.ports { // that of 13, too: the panic was behind AddPort
		if got != port {
			t.Errorf("call to %s came with port %d, want %d", number, got, port)
		}
	}
	for _, user := range h.byes {
		if user != "front-door" {
			t.Errorf("BYE to %q: the Contact was not rewritten", user)
		}
	}
	if len(h.byes) != 3 {
		t.Errorf("BYE to %v", h.byes)
	}
}
