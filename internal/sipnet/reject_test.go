package sipnet

import (
	"context"
	"log/slog"
	"net/netip"
	"strings"
	"testing"
	"testing/synctest"

	"github.com/emiago/sipgo/sip"

	"github.com/trunkcast/trunkcast/listener"
)

func TestHasTag(t *testing.T) {
	for to, want := range map[string]bool{
		"To: <sip:vintage@h>": false, "To: <sip:a@h;tag=1>": false, "To: \"tag=1\" <sip:a@tag.example>": false,
		"To: sip:tag@h": false, "To: <sip:a@h>;x=tag": false, "To: <sip:a@h>": false,
		"To: <sip:a@h>;tag=1": true, "t: sip:a@h ; TAG=1": true, "To: <sip:a@h>;x=1; tag = 2": true,
	} {
		if got := hasTag(to); got != want {
			t.Errorf("%s: %v", to, got)
		}
	}
}

// A line break that a listener puts into a header does not silence us.
func TestListenerBreaksLine(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		net := newMemNet()
		var log syncBuffer
		e := net.start(t, ourAddr, &Endpoint{
			OnRequest: answer(486), Logger: slog.New(slog.NewTextHandler(&log, nil)),
			Listener: listener.Func(func(_ context.Context, m *listener.Message) error {
				if m.Direction == listener.Outgoing {
					m.Response.AppendHeader(sip.NewHeader("X-Mine", "a\r\nX-Other: b"))
				}
				return nil
			}),
		})
		defer e.Close()
		p := net.rawPeer()
		p.send(ask("INVITE", "z9hG4bK1", "a"))
		synctest.Wait()
		if got := p.next(); !strings.HasPrefix(got, "SIP/2.0 486 ") || strings.Contains(got, "X-") {
			t.Errorf("sent %s", got)
		}
		if text := log.String(); !strings.Contains(text, "level=ERROR") || !strings.Contains(text, "call_id=a") {
			t.Errorf("log %s", text)
		}
	})
}

// The log tells a stranger's call once, by the keys that would let it in.
func TestStrangerLogged(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		net := newMemNet()
		var log syncBuffer
		e := net.start(t, ourAddr, &Endpoint{
			Logger: slog.New(slog.NewTextHandler(&log, nil)),
			Admit:  func(netip.AddrPort, string) Verdict { return Refuse },
		})
		defer e.Close()
		p := net.rawPeer()
		p.send(ask("INVITE", "z9hG4bK1", "a"))
		synctest.Wait()
		p.send(ask("ACK", "z9hG4bK1", "a"))
		synctest.Wait()
		if text := log.String(); strings.Count(text, "stranger refused") != 1 || !strings.Contains(text, `rule="not in proxyIp or allow"`) {
			t.Errorf("log %s", text)
		}
	})
}
