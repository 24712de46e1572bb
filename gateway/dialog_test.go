package gateway_test

import (
	"fmt"
	"regexp"
	"strings"
	"testing"

	"github.com/trunkcast/trunkcast/gateway"
	"github.com/trunkcast/trunkcast/trunk"
	"github.com/trunkcast/trunkcast/trunk/trunktest"
)

const soundAndPictures = "v=0\r\no=peer 1 1 IN IP4 127.0.0.1\r\ns=-\r\nc=IN IP4 127.0.0.1\r\nt=0 0\r\nm=audio 40000 RTP/AVP 8\r\n" +
	"m=video 40002 RTP/AVP 96\r\na=rtpmap:96 H264/90000\r\na=fmtp:96 profile-level-id=42e01f;packetization-mode=1\r\n"

// quiet runs a gateway whose calls go nowhere.
func quiet(t *testing.T) *running {
	t.Helper()
	return startGateway(t, gateway.Config{Trunks: []trunk.Config{pbx("")}, RTMPListen: "off"}, gateway.Options{})
}

// An INVITE whose offer makes it too large for one packet of the network comes
// over UDP in fragments, and is answered as any other; so is a re-INVITE of
// that size.
func TestLargeInviteOverUDP(t *testing.T) {
	t.Parallel()
	g := quiet(t)
	p := trunktest.NewPeer(t, "udp")
	for _, size := range []int{1301, 4 << 10, 20 << 10, 60 << 10} {
		pad := strings.Repeat("a=x-note:"+strings.Repeat("x", 60)+"\r\n", max(1, (size-len(soundAndPictures))/71))
		leg := p.Invite(g.addr("pbx"), fmt.Sprint(size), soundAndPictures+pad)
		for _, again := range []bool{false, true} {
			if again {
				leg.Request("INVITE", "", strings.Replace(soundAndPictures, "peer 1 1", "peer 1 2", 1)+pad)
			}
			res := leg.Expect("INVITE", 200)
			if !regexp.MustCompile(`m=audio [1-9]\d* .*(\r\n.*)*m=video [1-9]\d* `).MatchString(res.Body) {
				t.Errorf("%d bytes, again %v: answered\n%s", size, again, res.Body)
			}
			leg.ACK("")
		}
		hangUp(leg)
	}
}

// Hold and resume by phones that leave the last line of their offer without an
// end: each direction is answered by its reverse.
func TestHoldWithoutFinalNewline(t *testing.T) {
	t.Parallel()
	g := quiet(t)
	p := trunktest.NewPeer(t, "udp")
	leg := p.Establish(g.addr("pbx"), "1")
	version := 1
	for _, tt := range []struct{ from, to, last, answer string }{
		{"", "", "a=sendonly", "recvonly"}, {"", "", "a=inactive", "inactive"}, {"", "", "a=recvonly", "sendonly"},
		{"IN IP4 127.0.0.1\r\nt=", "IN IP4 0.0.0.0\r\nt=", "a=ptime:20", "recvonly"},
		{"t=0 0\r\n", "t=0 0\r\na=sendonly\r\n", "a=ptime:20", "recvonly"},
	} {
		for _, held := range []bool{true, false} {
			version++
			body, want := trunktest.Offer, "sendrecv"
			if held {
				body, want = strings.Replace(body, tt.from, tt.to, 1)+tt.last, tt.answer
			} else {
				body = strings.TrimSuffix(body, "\r\n")
			}
			body = strings.Replace(body, "peer 1 1", fmt.Sprint("peer 1 ", version), 1)
			leg.Request("INVITE", "", body)
			res := leg.Expect("INVITE", 200)
			leg.ACK("")
			if !strings.Contains(res.Body, "a="+want+"\r\n") {
				t.Errorf("held %v by %q: want %s in\n%s", held, tt.to+tt.last, want, res.Body)
			}
		}
	}
	hangUp(leg)
}
