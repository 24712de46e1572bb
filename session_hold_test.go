package trunkcast_test

import (
	"fmt"
	"net"
	"net/netip"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/trunkcast/trunkcast"
	"github.com/trunkcast/trunkcast/media/sdp"
	"github.com/trunkcast/trunkcast/trunk"
	"github.com/trunkcast/trunkcast/trunk/trunktest"
)

// story notes the events of a call.
type story struct {
	mu   sync.Mutex
	list []string
}

func (s *story) take(e trunkcast.Event) {
	s.mu.Lock()
	defer s.mu.Unlock()
	switch e.Type {
	case trunkcast.CallAnswered, trunkcast.Hold, trunkcast.Resume, trunkcast.CallEnded:
		s.list = append(s.list, e.Type.String())
	}
}

func (s *story) told() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.list)
}

// phone is a caller whose session description has a version that rises.
type phone struct {
	t       *testing.T
	leg     *trunktest.Leg
	session *trunkcast.Session
	version int
}

func newPhone(t *testing.T, b *trunkcast.Bridge, addr netip.AddrPort, body string) *phone {
	t.Helper()
	p := &phone{t: t, version: 1}
	p.leg = trunktest.NewPeer(t, "udp").Invite(addr, "100", p.numbered(body))
	p.leg.Expect("INVITE", 200)
	p.leg.ACK("")
	eventually(t, "session", func() bool { return len(b.Sessions()) == 1 })
	p.session = b.Sessions()[0]
	return p
}

func (p *phone) numbered(body string) string {
	p.version++
	return strings.Replace(body, "o=peer 1 1", fmt.Sprint("o=peer 1 ", p.version), 1)
}

// modify sends an INVITE or UPDATE within the dialog and returns the answer.
func (p *phone) modify(method, body string, code int) string {
	p.t.Helper()
	p.leg.Request(method, "", p.numbered(body))
	res := p.leg.Expect(method, code)
	if method == "INVITE" && code == 200 {
		p.leg.ACK("")
	}
	return res.Body
}

func (p *phone) bye() {
	p.t.Helper()
	p.leg.Request("BYE", "", "")
	p.leg.Expect("BYE", 200)
	<-p.session.Done()
}

const (
	soundLine   = "m=audio 40000 RTP/AVP 8\r\n"
	pictureLine = "m=video 40002 RTP/AVP 96\r\na=rtpmap:96 H264/90000\r\na=fmtp:96 profile-level-id=42e01f;packetization-mode=1\r\n"
)

// described is a session description with lines for the session and media.
func described(session string, lines ...string) string {
	c := "c=IN IP4 127.0.0.1\r\n"
	if strings.HasPrefix(session, "c=") {
		c = ""
	}
	return "v=0\r\no=peer 1 1 IN IP4 127.0.0.1\r\ns=-\r\n" + c + strings.Split(session, "|")[0] + "t=0 0\r\n" +
		strings.Join(append([]string{after(session)}, lines...), "")
}

// after is what follows the t= line.
func after(session string) string {
	_, s, _ := strings.Cut(session, "|")
	return s
}

// TestHoldInAllDirections: each direction is answered by its reverse, at session
// and media level, by re-INVITE and UPDATE; hold and resume are told; the call
// outlives its media time-out in hold; a packet after the resume goes to the
// address of the last offer.
func TestHoldInAllDirections(t *testing.T) {
	for _, tt := range []struct {
		name          string
		session, line string // what is added to the offer
		answer        string // direction in the answer
		held          bool
	}{
		{"sendonly of the session", "|a=sendonly\r\n", "", "recvonly", true},
		{"recvonly of the session", "|a=recvonly\r\n", "", "sendonly", false},
		{"inactive of the session", "|a=inactive\r\n", "", "inactive", true},
		{"sendrecv of the session", "|a=sendrecv\r\n", "", "sendrecv", false},
		{"sendonly of the line", "", "a=sendonly\r\n", "recvonly", true},
		{"recvonly of the line", "", "a=recvonly\r\n", "sendonly", false},
		{"inactive of the line", "", "a=inactive\r\n", "inactive", true},
		{"sendrecv of the line", "", "a=sendrecv\r\n", "sendrecv", false},
		{"the line against the session", "|a=sendrecv\r\n", "a=inactive\r\n", "inactive", true},
		{"address of the session", "c=IN IP4 0.0.0.0\r\n", "", "recvonly", true},
		{"address of the line", "", "c=IN IP4 0.0.0.0\r\n", "recvonly", true},
		{"address and direction", "c=IN IP4 0.0.0.0\r\n|a=sendonly\r\n", "", "recvonly", true},
	} {
		for _, method := range []string{"INVITE", "UPDATE"} {
			t.Run(method+" "+tt.name, func(t *testing.T) {
				t.Parallel()
				holdOnce(t, method, described(tt.session, soundLine+tt.line), tt.answer, tt.held)
			})
		}
	}
}

var directionLine = regexp.MustCompile(`a=(sendrecv|sendonly|recvonly|inactive)\r\n`)

func directionIn(body string) string {
	if m := directionLine.FindStringSubmatch(body); m != nil {
		return m[1]
	}
	return "sendrecv"
}

func holdOnce(t *testing.T, method, body, answer string, held bool) {
	var seen story
	const patience = 2 * time.Second
	long := method == "INVITE" && strings.Contains(body, "a=sendonly") // once is enough: the rest is package rtpio's
	b := &trunkcast.Bridge{OnEvent: seen.take}
	addr := serve(t, b, func(c *trunk.Config) {
		if long {
			c.MediaTimeout = patience
		}
	})
	p := newPhone(t, b, addr, trunktest.Offer)
	eventually(t, "answer told", func() bool { return len(seen.told()) == 1 })
	got := p.modify(method, body, 200)
	if d := directionIn(got); d != answer {
		t.Errorf("answered %s, want %s:\n%s", d, answer, got)
	}
	want := []string{"call_answered"}
	if held {
		want = append(want, "hold")
	}
	eventually(t, fmt.Sprint(want), func() bool { return slices.Equal(seen.told(), want) })
	if p.session.Held() != held {
		t.Errorf("held: %v", !held)
	}
	if long { // nothing comes: the call goes on
		select {
		case <-p.session.Done():
			t.Fatalf("ended in hold: %v", p.session.Err())
		case <-time.After(patience + patience/2):
		}
	}
	if held {
		want = append(want, "resume")
	}
	// Back, at another port than before.
	rtp, err := net.ListenUDP("udp4", &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1)})
	if err != nil {
		t.Fatal(err)
	}
	defer rtp.Close()
	line := fmt.Sprintf("m=audio %d RTP/AVP 8\r\n", netip.MustParseAddrPort(rtp.LocalAddr().String()).Port())
	if d := directionIn(p.modify(method, described("", line), 200)); d != "sendrecv" {
		t.Errorf("resume answered %s", d)
	}
	_ = rtp.SetReadDeadline(time.Now().Add(15 * time.Second))
	if _, err := rtp.Read(make([]byte, 1500)); err != nil {
		t.Errorf("no media after resume: %v", err)
	}
	p.bye()
	want = append(want, "call_ended")
	eventually(t, fmt.Sprint(want), func() bool { return slices.Equal(seen.told(), want) })
}

// TestModify: pictures come and go within the call, codecs and addresses change,
// and what is refused leaves all as it was.
func TestModify(t *testing.T) {
	for _, method := range []string{"INVITE", "UPDATE"} {
		t.Run(method, func(t *testing.T) {
			b := &trunkcast.Bridge{}
			addr := serve(t, b, nil)
			p := newPhone(t, b, addr, described("", soundLine))
			line := func(kind sdp.Kind) *sdp.Line { return p.session.Agreed().Line(kind) }
			for _, tt := range []struct {
				name  string
				body  string
				code  int
				audio string // codec of the answer in force; empty: none
				video bool
				ports []bool // whether the m-lines of the answer are accepted
			}{
				{"unchanged", described("", soundLine), 200, "PCMA", false, []bool{true}},
				{"video added", described("", soundLine, pictureLine), 200, "PCMA", true, []bool{true, true}},
				{"new port", described("", "m=audio 40010 RTP/AVP 8\r\n", pictureLine), 200, "PCMA", true, []bool{true, true}},
				{"new address", described("c=IN IP4 127.0.0.2\r\n", soundLine, pictureLine), 200, "PCMA", true, []bool{true, true}},
				{"another codec", described("", "m=audio 40000 RTP/AVP 0\r\n", pictureLine), 200, "PCMU", true, []bool{true, true}},
				{"no codec", described("", "m=audio 40000 RTP/AVP 77\r\na=rtpmap:77 nothing/8000\r\n",
					"m=video 0 RTP/AVP 96\r\n"), 488, "PCMU", true, nil},
				{"no description", "hello", 400, "PCMU", true, nil},
				{"video off", described("", soundLine, "m=video 0 RTP/AVP 96\r\n"), 200, "PCMA", false, []bool{true, false}},
				{"video on again", described("", soundLine, pictureLine), 200, "PCMA", true, []bool{true, true}},
				{"slides beside", described("", soundLine, pictureLine, pictureLine+"a=content:slides\r\n"), 200, "PCMA", true,
					[]bool{true, true, false}},
				{"audio off", described("", "m=audio 0 RTP/AVP 8\r\n", pictureLine, "m=video 0 RTP/AVP 96\r\n"), 200, "", true,
					[]bool{false, true, false}},
				{"all back", described("", soundLine, pictureLine, "m=video 0 RTP/AVP 96\r\n"), 200, "PCMA", true,
					[]bool{true, true, false}},
			} {
				body := p.modify(method, tt.body, tt.code)
				var ports []bool
				for _, m := range regexp.MustCompile(`m=\w+ (\d+) `).FindAllStringSubmatch(body, -1) {
					ports = append(ports, m[1] != "0")
				}
				if !slices.Equal(ports, tt.ports) {
					t.Errorf("%s: answered %v:\n%s", tt.name, ports, body)
				}
				audio := ""
				if l := line(sdp.Audio); l != nil {
					audio = string(l.Send.First().Codec)
				}
				if audio != tt.audio || (line(sdp.Video) != nil) != tt.video {
					t.Errorf("%s: audio %q, video %v", tt.name, audio, line(sdp.Video) != nil)
				}
			}
			p.bye()
		})
	}
}
