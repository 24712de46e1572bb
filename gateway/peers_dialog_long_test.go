//go:build peers && long

package gateway_test

import (
	"fmt"
	"testing"
	"time"

	"github.com/trunkcast/trunkcast/gateway"
	"github.com/trunkcast/trunkcast/internal/peertest"
	"github.com/trunkcast/trunkcast/trunk"
)

// TestPeerTimers plays what takes a minute and more with SIPp: session timers
// of either side and by either request, one that runs out, and a call that rings
// for long.
func TestPeerTimers(t *testing.T) {
	plain, slow := pbx(""), pbx("")
	slow.Name, slow.EarlyMedia = "slow", 70*time.Second
	plain.MediaTimeout, slow.MediaTimeout = -1, -1 // SIPp sends nothing
	g := startGateway(t, gateway.Config{Trunks: []trunk.Config{plain, slow}, RTMPListen: "off"}, gateway.Options{})
	const timer = "Supported: timer"
	calls := map[string]*peertest.SIPp{} // all at once: they wait
	for i, d := range []struct {
		name, trunk string
		write       func(s *peertest.SIPpScript)
	}{
		{"not refreshed by the caller", "pbx", func(s *peertest.SIPpScript) {
			s.Invite(offered(1, pcma), timer, "Session-Expires: 90;refresher=uac")
			s.Final(200, "Session-Expires: 90;refresher=uac")
			s.Request("ACK", "")
			s.Await("BYE", "Reason: SIP;cause=408;text=.session expired")
			s.Reply(200, "")
		}},
		{"refreshed by us, by UPDATE", "pbx", func(s *peertest.SIPpScript) {
			s.Invite(offered(1, pcma), timer, "Session-Expires: 90;refresher=uas", "Allow: INVITE, ACK, BYE, CANCEL, UPDATE")
			s.Final(200, "Session-Expires: 90;refresher=uas")
			s.Request("ACK", "")
			for range 2 {
				s.Await("UPDATE", "Session-Expires: 90;refresher=uac", "!m=audio")
				s.Reply(200, "", "Session-Expires: 90;refresher=uac", "Require: timer")
			}
			s.Bye()
		}},
		{"refreshed by us, by re-INVITE", "pbx", func(s *peertest.SIPpScript) {
			s.Invite(offered(1, pcma), timer, "Session-Expires: 90;refresher=uas", "Allow: INVITE, ACK, BYE, CANCEL")
			s.Final(200, "Session-Expires: 90;refresher=uas")
			s.Request("ACK", "")
			s.Await("INVITE", "Session-Expires: 90;refresher=uac", takesSound)
			s.Reply(200, offered(1, pcma), "Session-Expires: 90;refresher=uac", "Require: timer")
			s.Await("ACK")
			s.Bye()
		}},
		{"rings for more than a minute", "slow", func(s *peertest.SIPpScript) {
			s.Invite(offered(1, pcma))
			s.Response(180)
			s.Response(183, takesSound)
			s.Final(200, takesSound)
			s.Request("ACK", "")
			s.Bye()
		}},
	} {
		for _, transport := range []string{"udp", "tcp"} {
			at := g.addr(d.trunk)
			s := peertest.NewSIPpScript(peertest.SIPpOptions{
				Target: at.String(), Transport: transport, URI: fmt.Sprintf("sip:%d%s@%s", i, transport, at),
			})
			d.write(s)
			calls[d.name+" over "+transport] = s.Start(t)
		}
	}
	for name, call := range calls {
		t.Log(name)
		r := call.MustPass(150 * time.Second)
		if r.Responses[183] > 0 && r.Responses[183] != 2 { // RFC 3261 section 13.3.1.1; over UDP SIPp takes it for a retransmission
			t.Errorf("%d responses 183, want one a minute", r.Responses[183])
		}
	}
	eventually(t, "no calls", func() bool { return len(g.Trunks.Calls()) == 0 })
}
