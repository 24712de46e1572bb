//go:build peers

package gateway_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/trunkcast/trunkcast"
	"github.com/trunkcast/trunkcast/gateway"
	"github.com/trunkcast/trunkcast/internal/peertest"
	"github.com/trunkcast/trunkcast/media/sdp"
	"github.com/trunkcast/trunkcast/trunk"
)

// offered is a session description of SIPp with that version and lines. A first
// line that begins with "c=" is the address of the session.
func offered(version int, lines ...string) string {
	c := "c=IN IP4 [media_ip]"
	if len(lines) > 0 && strings.HasPrefix(lines[0], "c=") {
		c, lines = lines[0], lines[1:]
	}
	return fmt.Sprintf("v=0\no=sipp 7 %d IN IP4 [local_ip]\ns=-\n%s\nt=0 0\n%s\n", version, c, strings.Join(lines, "\n"))
}

const (
	pcma  = "m=audio [media_port] RTP/AVP 8\na=rtpmap:8 PCMA/8000"
	pcmu  = "m=audio [media_port] RTP/AVP 0\na=rtpmap:0 PCMU/8000"
	h264  = "m=video [media_port+2] RTP/AVP 96\na=rtpmap:96 H264/90000\na=fmtp:96 profile-level-id=42e01f;packetization-mode=1"
	noPic = "m=video 0 RTP/AVP 96"

	// takesSound and takesPictures are in an answer that accepts these lines.
	takesSound    = "m=audio [1-9][0-9]* RTP/AVP"
	takesPictures = "m=video [1-9][0-9]* RTP/AVP 96"
)

// dialogs are what PBXs say in a call: one scenario of SIPp each. trunk names
// the trunk that is called.
var dialogs = []struct {
	name, trunk string
	write       func(s *peertest.SIPpScript)
}{
	{"hold and resume, every direction and level", "pbx", holdEveryWay},
	{"address, port and codec change, pictures come and go", "pbx", modifyEveryWay},
	{"a refused re-INVITE and UPDATE leave the session as it was", "pbx", refusedOffers},
	{"an offer that comes late, at first and in a re-INVITE", "pbx", lateOffers},
	{"lines that are not for us are refused, the rest is taken", "pbx", foreignLines},
	{"a body of several parts", "pbx", multipart},
	{"INFO, OPTIONS, what is not known", "pbx", otherRequests},
	{"session timer refreshed by re-INVITE and UPDATE", "pbx", sessionTimer},
	{"session timer of a proxy, refreshed by us", "pbx", sessionOfProxy},
	{"PRACK because the caller requires it", "pbx", prackRequired},
	{"no PRACK where it is off", "off", prackOff},
	{"PRACK because the trunk requires it", "required", prackByTrunk},
	{"REFER and Replaces refused", "pbx", transfersRefused},
	{"Replaces accepted", "accept", replaces},
	{"Replaces followed", "follow", replacesFollowed},
	{"media before the answer", "early", earlyMedia},
	{"media before the answer, by PRACK", "early", earlyMediaReliable},
	{"UPDATE before the answer", "early", earlyUpdate},
	{"an offer that comes late, before the answer", "early", earlyOffer},
}

// TestPeerDialogs speaks to the gateway as PBXs do, over UDP and TCP.
func TestPeerDialogs(t *testing.T) {
	g := dialogGateway(t)
	t.Run("calls", func(t *testing.T) {
		for i, d := range dialogs {
			for _, transport := range []string{"udp", "tcp"} {
				t.Run(d.name+" over "+transport, func(t *testing.T) {
					t.Parallel()
					at := g.addr(d.trunk)
					s := peertest.NewSIPpScript(peertest.SIPpOptions{
						Target: at.String(), Transport: transport, URI: fmt.Sprintf("sip:%d%s@%s", i, transport, at),
					})
					d.write(s)
					s.Start(t).MustPass(60 * time.Second)
				})
			}
		}
	})
	eventually(t, "no calls", func() bool { return len(g.Trunks.Calls()) == 0 && len(g.Bridge.Sessions()) == 0 })
}

func dialogGateway(t *testing.T) *running {
	var trunks []trunk.Config
	for name, change := range map[string]func(*trunk.Config){
		"pbx":      func(*trunk.Config) {},
		"off":      func(c *trunk.Config) { c.Reliable = "off" },
		"required": func(c *trunk.Config) { c.Reliable = "required" },
		"accept":   func(c *trunk.Config) { c.Transfers = "accept" },
		"follow":   func(c *trunk.Config) { c.Transfers = "follow" },
		"early":    func(c *trunk.Config) { c.EarlyMedia = 300 * time.Millisecond },
	} {
		c := pbx("")
		c.Name = name
		change(&c)
		trunks = append(trunks, c)
	}
	return startGateway(t, gateway.Config{Trunks: trunks, RTMPListen: "off"}, gateway.Options{})
}

// modify sends an offer by re-INVITE or UPDATE, and checks the answer.
func modify(s *peertest.SIPpScript, method, offer string, has ...string) {
	s.Request(method, offer)
	s.Final(200, has...)
	if method == "INVITE" {
		s.Request("ACK", "")
	}
}

func holdEveryWay(s *peertest.SIPpScript) {
	s.Establish(offered(1, pcma, h264), "a=sendrecv")
	version := 1
	for _, method := range []string{"INVITE", "UPDATE"} {
		for _, h := range []struct {
			lines  []string
			answer string
		}{
			{[]string{"a=sendonly", pcma, h264}, "a=recvonly"},
			{[]string{"a=recvonly", pcma, h264}, "a=sendonly"},
			{[]string{"a=inactive", pcma, h264}, "a=inactive"},
			{[]string{pcma, "a=sendonly", h264, "a=sendonly"}, "a=recvonly"},
			{[]string{pcma, "a=inactive", h264, "a=inactive"}, "a=inactive"},
			{[]string{pcma, "a=recvonly", h264, "a=recvonly"}, "a=sendonly"},
			{[]string{"c=IN IP4 0.0.0.0", pcma, h264}, "a=recvonly"},
			{[]string{"c=IN IP4 0.0.0.0", pcma, "a=inactive", h264, "a=inactive"}, "a=inactive"},
		} {
			version++
			modify(s, method, offered(version, h.lines...), h.answer, "!a=sendrecv", takesSound, takesPictures)
			version++
			modify(s, method, offered(version, pcma, h264), "a=sendrecv", "!a="+"(recvonly|sendonly|inactive)")
		}
	}
	s.Bye()
}

func modifyEveryWay(s *peertest.SIPpScript) {
	s.Establish(offered(1, pcma), takesSound, "!m=video")
	version := 1
	for _, method := range []string{"INVITE", "UPDATE"} {
		modify(s, method, offered(version, pcma), takesSound) // the version of before
		for _, m := range []struct{ lines, has []string }{
			{[]string{pcma, h264}, []string{takesSound, takesPictures}},
			{[]string{strings.Replace(pcma, "[media_port]", "[media_port+4]", 1), h264}, []string{takesSound, takesPictures}},
			{[]string{"c=IN IP4 127.0.0.2", pcma, h264}, []string{takesSound, takesPictures}},
			{[]string{pcmu, h264}, []string{"PCMU/8000", "!PCMA", takesPictures}},
			{[]string{pcma, noPic}, []string{"PCMA/8000", "m=video 0 "}},
			{[]string{pcma, h264}, []string{takesSound, takesPictures}},
			{[]string{"m=audio 0 RTP/AVP 8", h264}, []string{"m=audio 0 ", takesPictures}},
			{[]string{pcma, noPic}, []string{takesSound, "m=video 0 "}},
		} {
			version++
			modify(s, method, offered(version, m.lines...), m.has...)
		}
	}
	s.Bye()
}

func refusedOffers(s *peertest.SIPpScript) {
	unknown := "m=audio [media_port] RTP/AVP 77\na=rtpmap:77 nothing/8000"
	s.Establish(offered(1, pcma), takesSound)
	s.Request("INVITE", offered(2, unknown))
	s.Final(488, "Warning: 3[0-9][0-9] ")
	s.ACKFailure(true)
	s.Request("UPDATE", offered(2, unknown))
	s.Final(488, "Warning: 3[0-9][0-9] ")
	s.Request("INVITE", "hello", "Content-Type: text/plain")
	s.Final(415, "Accept: application/sdp")
	s.ACKFailure(true)
	modify(s, "INVITE", offered(2, pcma), takesSound) // and goes on
	s.Bye()
}

func lateOffers(s *peertest.SIPpScript) {
	s.Invite("")
	s.Final(200, takesSound, "m=video [1-9]", "a=sendrecv")
	s.Request("ACK", offered(1, pcma, noPic))
	s.Request("INVITE", "")
	s.Final(200, takesSound, "m=video [1-9]")
	s.Request("ACK", offered(2, pcma, noPic))
	modify(s, "UPDATE", offered(3, pcma, noPic), takesSound, "m=video 0 ")
	s.Bye()
}

func foreignLines(s *peertest.SIPpScript) {
	s.Establish(offered(1, pcma, "a=ice-ufrag:Fx1s", "a=ice-pwd:sWlXu2bBm8W2QvJmQpJYxA1l",
		"a=candidate:1 1 udp 2015363327 [local_ip] 40000 typ host", h264, "a=content:main",
		"m=video [media_port+4] RTP/AVP 96", "a=rtpmap:96 H264/90000", "a=content:slides",
		"m=application 5070 UDP/BFCP *", "a=floorctrl:c-s",
		"m=application 40006 RTP/AVP 100", "a=rtpmap:100 H224/4800",
		"m=image 40008 udptl t38", "a=T38FaxVersion:0",
		"m=audio 40010 UDP/TLS/RTP/SAVPF 8", "a=setup:actpass"),
		takesSound, takesPictures, "!a=candidate", "m=video 0 RTP/AVP 96", "m=application 0 UDP/BFCP",
		"m=application 0 RTP/AVP 100", "m=image 0 udptl t38", "m=audio 0 UDP/TLS/RTP/SAVPF")
	s.Bye()
}

func multipart(s *peertest.SIPpScript) {
	s.Invite("--cut\nContent-Type: application/isup;version=itu-t92+\nContent-Disposition: signal;handling=optional\n\nxx\n"+
		"--cut\nContent-Type: application/sdp\n\n"+offered(1, pcma)+"\n--cut--\n",
		"Content-Type: multipart/mixed;boundary=cut", "MIME-Version: 1.0")
	s.Final(200, takesSound, "Content-Type: application/sdp")
	s.Request("ACK", "")
	s.Bye()
}

func otherRequests(s *peertest.SIPpScript) {
	s.Establish(offered(1, pcma))
	s.Request("INFO", "Signal=5\nDuration=160\n", "Content-Type: application/dtmf-relay")
	s.Response(200)
	s.Request("OPTIONS", "")
	s.Response(200, "Allow: .*UPDATE", "Accept: application/sdp")
	s.Request("PUBLISH", "")
	s.Response(405, "Allow: .*BYE")
	s.Request("INFO", "", "Require: nothing-known")
	s.Response(420, "Unsupported: nothing-known")
	s.Bye()
}

func sessionTimer(s *peertest.SIPpScript) {
	s.Invite(offered(1, pcma), "Supported: timer", "Session-Expires: 60")
	s.Final(422, "Min-SE: 90")
	s.ACKFailure(false)
	s.Invite(offered(1, pcma), "Supported: timer", "Session-Expires: 1800;refresher=uac", "Min-SE: 90")
	s.Final(200, "Session-Expires: 1800;refresher=uac", "Require: timer")
	s.Request("ACK", "")
	s.Request("INVITE", offered(1, pcma), "Supported: timer", "Session-Expires: 1800;refresher=uac")
	s.Final(200, "Session-Expires: 1800;refresher=uac", takesSound)
	s.Request("ACK", "")
	s.Request("UPDATE", "", "Supported: timer", "Session-Expires: 1800;refresher=uac")
	s.Response(200, "Session-Expires: 1800;refresher=uac")
	s.Request("UPDATE", "", "Supported: timer", "Session-Expires: 10;refresher=uac")
	s.Response(422, "Min-SE: 90")
	s.Bye()
}

func sessionOfProxy(s *peertest.SIPpScript) {
	s.Invite(offered(1, pcma), "Session-Expires: 1800")
	s.Final(200, "Session-Expires: 1800;refresher=uas", "!Require: timer")
	s.Request("ACK", "")
	s.Bye()
}

func prackRequired(s *peertest.SIPpScript) {
	s.Invite(offered(1, pcma), "Require: 100rel")
	s.PRACK(180, "", "Require: 100rel")
	s.Final(200, takesSound)
	s.Request("ACK", "")
	s.Bye()
}

func prackOff(s *peertest.SIPpScript) {
	s.Invite(offered(1, pcma), "Require: 100rel")
	s.Final(420, "Unsupported: 100rel")
	s.ACKFailure(false)
	s.Invite(offered(1, pcma), "Supported: 100rel")
	s.Response(180, "!RSeq:")
	s.Final(200)
	s.Request("ACK", "")
	s.Bye()
}

func prackByTrunk(s *peertest.SIPpScript) {
	s.Invite(offered(1, pcma))
	s.Final(421, "Require: 100rel")
	s.ACKFailure(false)
	s.Invite(offered(1, pcma), "Supported: 100rel")
	s.PRACK(180, "")
	s.Final(200, takesSound)
	s.Request("ACK", "")
	s.Bye()
}

func transfersRefused(s *peertest.SIPpScript) {
	s.Establish(offered(1, pcma))
	s.Request("REFER", "", "Refer-To: <sip:200@127.0.0.1:9>")
	s.Response(603, "Warning: 399 .*transfers of trunk pbx: refuse")
	s.Dialog("b")
	s.Invite(offered(1, pcma), "Replaces: [call_id];to-tag=[$tag];from-tag=[pid]t[call_number]")
	s.Final(603, "Warning: 399 .*transfers of trunk pbx: refuse")
	s.ACKFailure(false)
	s.Dialog("")
	s.Bye()
}

func replaces(s *peertest.SIPpScript) {
	s.Establish(offered(1, pcma))
	s.Dialog("b")
	s.Invite(offered(1, pcma), "Replaces: [call_id];to-tag=[$tag];from-tag=[pid]t[call_number]")
	s.Final(200, takesSound)
	s.Await("BYE", "Call-ID: 1-") // of the first call, behind the answer: the ACK may be later
	s.Reply(200, "")
	s.Request("ACK", "")
	s.Bye()
}

func earlyMedia(s *peertest.SIPpScript) {
	s.Invite(offered(1, pcma))
	s.Response(180)
	s.Response(183, takesSound, "!RSeq:")
	s.Final(200, takesSound)
	s.Request("ACK", "")
	s.Bye()
}

func earlyMediaReliable(s *peertest.SIPpScript) {
	s.Invite(offered(1, pcma), "Supported: 100rel")
	s.Response(180)
	s.PRACK(183, "", takesSound)
	s.FinalTo("INVITE", 200, "!m=audio") // it was said
	s.Request("ACK", "")
	modify(s, "INVITE", offered(2, pcma), takesSound)
	s.Bye()
}

func earlyUpdate(s *peertest.SIPpScript) {
	s.Invite(offered(1, pcma), "Supported: 100rel")
	s.Response(180)
	s.PRACK(183, "", takesSound)
	s.Request("UPDATE", offered(2, pcma, h264))
	s.Response(200, takesPictures)
	s.FinalTo("INVITE", 200, "!m=audio")
	s.Request("ACK", "")
	s.Bye()
}

func earlyOffer(s *peertest.SIPpScript) {
	s.Invite("", "Require: 100rel")
	s.PRACK(180, "", "!m=audio")
	s.PRACK(183, offered(1, pcma, noPic), takesSound, "m=video [1-9]")
	s.FinalTo("INVITE", 200, "!m=audio")
	s.Request("ACK", "")
	s.Bye()
}

func replacesFollowed(s *peertest.SIPpScript) {
	s.Establish(offered(1, pcma))
	s.Dialog("b")
	s.Invite(offered(1, pcmu), "Replaces: [call_id];to-tag=[$tag];from-tag=[pid]t[call_number]")
	s.Final(200, "PCMU/8000")
	s.Request("ACK", "")
	s.Await("BYE", "Call-ID: 1-", "Reason: SIP;cause=200;text=.replaced")
	s.Reply(200, "")
	modify(s, "INVITE", offered(2, pcma), "PCMA/8000")
	s.Bye()
}

// TestPeerTransfer: SIPp transfers its call to another SIPp, with which the
// session goes on.
func TestPeerTransfer(t *testing.T) {
	for flag, transport := range map[string]string{"u1": "udp", "t1": "tcp"} {
		t.Run(transport, func(t *testing.T) {
			t.Parallel()
			port, media := peertest.Port(t), peertest.Ports(t, 4)
			party := peertest.Start(t, "sipp", "-sn", "uas", "-t", flag, "-i", "127.0.0.1", "-p", fmt.Sprint(port),
				"-mp", fmt.Sprint(media), "-m", "1", "-timeout", "60s", "-nostdin")
			cfg := pbx("")
			cfg.Transfers, cfg.Transport, cfg.RemotePort = "follow", transport, port
			g := startGateway(t, gateway.Config{Trunks: []trunk.Config{cfg}, RTMPListen: "off"}, gateway.Options{})
			at := g.addr("pbx").String()
			s := peertest.NewSIPpScript(peertest.SIPpOptions{Target: at, Transport: transport, URI: "sip:1@" + at})
			s.Establish(offered(1, pcma))
			s.Request("REFER", "", fmt.Sprintf("Refer-To: <sip:b@127.0.0.1:%d>", port))
			s.Response(202)
			s.Await("NOTIFY", "Event: refer", "SIP/2.0 100")
			s.Reply(200, "")
			s.Await("NOTIFY", "Subscription-State: terminated", "SIP/2.0 200")
			s.Reply(200, "")
			s.Bye()
			s.Start(t).MustPass(60 * time.Second)
			sessions := g.Bridge.Sessions()
			if len(sessions) != 1 || g.has(trunkcast.CallEnded) || g.count(trunkcast.CallStarted) != 1 {
				t.Fatalf("%d sessions after the transfer", len(sessions))
			}
			if got := sessions[0].Agreed().Line(sdp.Audio).RTPPort; got != media {
				t.Errorf("media goes to port %d, not to %d of the new party", got, media)
			}
			g.hangUp()
			if err := party.Wait(30 * time.Second); err != nil {
				t.Errorf("the new party: %v", err)
			}
		})
	}
}

// TestPeerGlare: a re-INVITE of ours is refused 491 and comes again after the
// wait of RFC 3261 section 14.1; one of SIPp's is while ours waits.
func TestPeerGlare(t *testing.T) {
	for _, transport := range []string{"udp", "tcp"} {
		t.Run("ours refused over "+transport, func(t *testing.T) {
			t.Parallel()
			err := renegotiated(t, transport, func(s *peertest.SIPpScript) {
				s.Await("INVITE", takesSound)
				s.Reply(491, "")
				s.Await("ACK")
				s.Await("INVITE", takesSound)
				s.Reply(200, offered(2, pcma))
				s.Await("ACK")
				modify(s, "INVITE", offered(3, pcma), takesSound)
				s.Bye()
			})
			if err != nil {
				t.Error(err)
			}
		})
		t.Run("theirs refused over "+transport, func(t *testing.T) {
			t.Parallel()
			err := renegotiated(t, transport, func(s *peertest.SIPpScript) {
				s.Await("INVITE", takesSound)
				s.Request("INVITE", offered(2, pcma))
				s.Final(491, "Warning: 399 .*glare")
				s.ACKFailure(true)
				s.Bye()
			})
			if end := (*trunk.EndError)(nil); !errors.As(err, &end) || !end.ByPeer {
				t.Errorf("renegotiated though nobody answered: %v", err)
			}
		})
	}
}

// renegotiated has SIPp call, and us offer anew in that call.
func renegotiated(t *testing.T, transport string, write func(s *peertest.SIPpScript)) error {
	t.Helper()
	g := startGateway(t, gateway.Config{Trunks: []trunk.Config{pbx("")}, RTMPListen: "off"}, gateway.Options{})
	at := g.addr("pbx").String()
	s := peertest.NewSIPpScript(peertest.SIPpOptions{Target: at, Transport: transport, URI: "sip:1@" + at})
	s.Establish(offered(1, pcma))
	write(s)
	sipp := s.Start(t)
	eventually(t, "call answered", func() bool { return g.has(trunkcast.CallAnswered) })
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
	defer cancel()
	err := g.Bridge.Sessions()[0].Call().Renegotiate(ctx)
	sipp.MustPass(60 * time.Second)
	return err
}
