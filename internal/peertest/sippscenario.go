//go:build linux

package peertest

import (
	"fmt"
	"strconv"
	"strings"
	"time"
)

// sippScenario builds the XML of a call that SIPp makes.
type sippScenario struct {
	o      SIPpOptions
	out    strings.Builder
	cseq   int
	offers int
}

// sippScenarioFor returns the scenario that the options describe.
func sippScenarioFor(o SIPpOptions) string {
	s := &sippScenario{o: o}
	s.out.WriteString("<?xml version=\"1.0\" encoding=\"ISO-8859-1\" ?>\n<scenario name=\"peertest\">\n")
	s.invite()
	switch {
	case o.Cancel:
		s.cancel()
	case o.Expect != 200:
		s.final(o.Expect)
		s.ackFailure()
	default:
		s.established()
	}
	s.out.WriteString("</scenario>\n")
	return s.out.String()
}

// invite begins the call, once more with credentials if it is challenged.
func (s *sippScenario) invite() {
	s.firstInvite("")
	if s.o.Password != "" {
		s.provisional()
		s.line(`<recv response="` + strconv.Itoa(s.o.Challenge) + `" auth="true"/>`)
		s.ackFailure()
		s.firstInvite(fmt.Sprintf("[authentication username=%s password=%s]\n", s.o.From, s.o.Password))
	}
}

func (s *sippScenario) firstInvite(extra string) {
	s.cseq++
	for _, h := range s.o.Headers {
		extra += h + "\n"
	}
	body := ""
	if !s.o.Offerless {
		body = s.offer("")
	}
	s.send(true, "INVITE", s.o.URI, viaNew, toPlain, extra+contactLine, body)
}

// provisional lets responses come that need none of ours.
func (s *sippScenario) provisional() {
	for _, code := range []string{"100", "180", "183"} {
		s.line(`<recv response="` + code + `" optional="true"/>`)
	}
}

func (s *sippScenario) final(code int) {
	s.provisional()
	s.line(fmt.Sprintf(`<recv response="%d" rrs="true"/>`, code))
}

// ackFailure acknowledges a final response that is not 2xx, in its
// transaction: RFC 3261 section 17.1.1.3.
func (s *sippScenario) ackFailure() {
	s.send(false, "ACK", s.o.URI, viaLast, toLast, "", "")
}

// cancel ends the call while it rings: RFC 3261 section 9.1.
func (s *sippScenario) cancel() {
	s.line(`<recv response="100" optional="true"/>`)
	s.line(`<recv response="180"/>`)
	s.pause(s.o.Hold)
	s.send(true, "CANCEL", s.o.URI, viaLast, toPlain, "", "")
	s.line(`<recv response="200"/>`)
	s.line(`<recv response="487"/>`)
	s.ackFailure()
}

// established lets the call stand for the hold time, with what happens in it.
func (s *sippScenario) established() {
	s.final(200)
	body := ""
	if s.o.Offerless { // RFC 3261 section 13.2.1: the answer is in the ACK
		body = s.offer("")
	}
	s.inDialog(false, "ACK", body)
	s.media()
	if s.o.Reinvite {
		s.pause(s.o.Hold / 3)
		s.reinvite("sendonly")
		s.pause(s.o.Hold / 3)
		s.reinvite("sendrecv")
		s.pause(s.o.Hold / 3)
	} else if !s.o.WaitBye {
		s.pause(s.o.Hold)
	}
	if s.o.WaitBye {
		s.line(`<recv request="BYE"/>`)
		s.line("<send><![CDATA[\nSIP/2.0 200 OK\n[last_Via:]\n[last_From:]\n[last_To:]\n[last_Call-ID:]\n[last_CSeq:]\nContent-Length: 0\n\n]]></send>")
		return
	}
	s.cseq++
	s.inDialog(true, "BYE", "")
	s.line(`<recv response="200"/>`)
}

func (s *sippScenario) reinvite(direction string) {
	s.cseq++
	s.inDialog(true, "INVITE", s.offer(direction))
	s.line(`<recv response="100" optional="true"/>`)
	s.line(`<recv response="200" rrs="true"/>`)
	s.inDialog(false, "ACK", "")
}

// media starts what is sent; it goes on by itself.
func (s *sippScenario) media() {
	if s.o.Audio != "" {
		s.line(`<nop><action><exec rtp_stream="` + s.o.Audio + `,-1,8,PCMA/8000"/></action></nop>`)
	}
	if s.o.VideoPcap != "" {
		s.line(`<nop><action><exec play_pcap_video="` + s.o.VideoPcap + `"/></action></nop>`)
	}
}

func (s *sippScenario) pause(d time.Duration) {
	s.line(fmt.Sprintf(`<pause milliseconds="%d"/>`, d.Milliseconds()))
}

// The forms that the Via and To of a request take.
const (
	viaNew  = "Via: SIP/2.0/[transport] [local_ip]:[local_port];branch=[branch];rport"
	viaLast = "[last_Via:]"
	toPlain = ""
	toLast  = "[last_To:]"

	contactLine = "Contact: <sip:[local_ip]:[local_port];transport=[transport]>\n"
)

// inDialog sends a request along the route of the dialog.
func (s *sippScenario) inDialog(retransmit bool, method, body string) {
	s.send(retransmit, method, "[next_url]", viaNew, toLast, "[routes]\n"+contactLine, body)
}

func (s *sippScenario) send(retransmit bool, method, uri, via, to, extra, body string) {
	if to == toPlain {
		to = "To: <" + s.o.URI + ">"
	}
	open := "<send>"
	if retransmit {
		open = `<send retrans="500">`
	}
	kind := ""
	if body != "" {
		kind = "Content-Type: application/sdp\n"
	}
	s.line(open + "<![CDATA[\n" + method + " " + uri + " SIP/2.0\n" + via +
		"\nMax-Forwards: 70\nFrom: <sip:" + s.o.From + "@[local_ip]:[local_port]>;tag=[pid]t[call_number]\n" + to +
		"\nCall-ID: [call_id]\nCSeq: " + strconv.Itoa(s.cseq) + " " + method + "\n" + extra + kind +
		"Content-Length: [len]\n\n" + body + "]]></send>")
}

func (s *sippScenario) line(text string) { s.out.WriteString(text + "\n") }

// offer returns the SDP, with a direction if given: its version rises with
// each, RFC 3264 section 8.
func (s *sippScenario) offer(direction string) string {
	s.offers++
	var out strings.Builder
	for line := range strings.Lines(s.o.SDP) {
		line = strings.TrimRight(line, "\r\n")
		switch {
		case line == "":
			continue
		case strings.HasPrefix(line, "o="):
			f := strings.Fields(line)
			if len(f) > 2 {
				f[2] = strconv.Itoa(s.offers)
			}
			line = strings.Join(f, " ")
		case direction != "" && isDirection(line):
			line = "a=" + direction
		}
		out.WriteString(line + "\n")
	}
	if direction != "" && !strings.Contains(out.String(), "\na="+direction+"\n") {
		out.WriteString("a=" + direction + "\n")
	}
	return out.String()
}

func isDirection(line string) bool {
	switch line {
	case "a=sendrecv", "a=sendonly", "a=recvonly", "a=inactive":
		return true
	}
	return false
}

// sippSDP is the offer if none is given. SIPp fills in its addresses.
func sippSDP(audio, video bool) string {
	lines := []string{
		"v=0", "o=sipp 1 1 IN IP4 [local_ip]", "s=-", "c=IN IP4 [media_ip]", "t=0 0",
	}
	port := "[media_port]"
	if audio {
		port = "[rtpstream_audio_port]"
	}
	lines = append(lines, "m=audio "+port+" RTP/AVP 8 101", "a=rtpmap:8 PCMA/8000",
		"a=rtpmap:101 telephone-event/8000", "a=fmtp:101 0-15", "a=sendrecv")
	if video {
		lines = append(lines, "m=video [media_port+2] RTP/AVP 96", "a=rtpmap:96 H264/90000",
			"a=fmtp:96 profile-level-id=42e01f;packetization-mode=1", "a=sendrecv")
	}
	return strings.Join(lines, "\n")
}
