//go:build linux

package peertest

import (
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"
)

// SIPpScript is a scenario of SIPp as a caller, written step by step. Texts
// may hold SIPp's keywords. Begin with [NewSIPpScript], end with Start.
//
// What a message must have is given by regular expressions (POSIX, extended)
// that are looked for in all of it; one behind "!" must not be found.
type SIPpScript struct {
	sippScenario
	vars    int             // checks, which need a variable each
	kept    map[string]bool // variables that are set
	callID  string          // header value of the dialog
	tag     string          // in To of requests: of the dialog
	seqs    map[string]int
	invited int // CSeq of the last INVITE
}

// NewSIPpScript begins a scenario with some of the options: Target, Transport,
// URI and From.
func NewSIPpScript(o SIPpOptions) *SIPpScript {
	s := &SIPpScript{sippScenario: sippScenario{o: o.withDefaults()}, kept: map[string]bool{}, seqs: map[string]int{}}
	s.out.WriteString("<?xml version=\"1.0\" encoding=\"ISO-8859-1\" ?>\n<scenario name=\"script\">\n")
	s.Dialog("")
	return s
}

// Dialog chooses the dialog that the next steps belong to: the first one by the
// empty name, further ones by names of their own.
func (s *SIPpScript) Dialog(name string) {
	s.seqs[s.callID] = s.cseq
	s.callID, s.tag = "[call_id]", "[$tag]"
	if name != "" {
		s.callID, s.tag = name+"///[call_id]", "[$tag"+name+"]"
	}
	s.cseq = s.seqs[s.callID]
}

// Invite sends the INVITE that begins a dialog. headers are lines.
func (s *SIPpScript) Invite(body string, headers ...string) {
	s.cseq++
	s.invited = s.cseq
	s.request("INVITE", s.o.URI, viaNew, "To: <"+s.o.URI+">", body, append(headers, strings.TrimSpace(contactLine)))
}

// Request sends a request within the dialog.
func (s *SIPpScript) Request(method, body string, headers ...string) {
	if method != "ACK" {
		s.cseq++
	}
	s.request(method, "[next_url]", viaNew, s.to(), body, append(headers, "[routes]", strings.TrimSpace(contactLine)))
}

// ACKFailure acknowledges a final response other than 2xx to a request within
// the dialog, or to the one that was to begin it.
func (s *SIPpScript) ACKFailure(within bool) {
	uri := s.o.URI
	if within {
		uri = "[next_url]"
	}
	s.request("ACK", uri, viaLast, toLast, "", nil)
}

func (s *SIPpScript) to() string { return "To: <" + s.o.URI + ">;tag=" + s.tag }

func (s *SIPpScript) request(method, uri, via, to, body string, headers []string) {
	open := `<send retrans="500">`
	if method == "ACK" {
		open = "<send>"
	}
	s.line(open + "<![CDATA[\n" + method + " " + uri + " SIP/2.0\n" + via + "\nMax-Forwards: 70\nFrom: <sip:" + s.o.From +
		"@[local_ip]:[local_port]>;tag=[pid]t[call_number]\n" + to + "\nCall-ID: " + s.callID + "\nCSeq: " +
		strconv.Itoa(s.cseq) + " " + method + "\n" + s.rest(body, headers) + "]]></send>")
}

// rest is the end of the headers, and the body: a session description unless a
// header says something else.
func (s *SIPpScript) rest(body string, headers []string) string {
	var b strings.Builder
	kind := body != ""
	for _, h := range headers {
		kind = kind && !strings.HasPrefix(h, "Content-Type:")
		b.WriteString(h + "\n")
	}
	if kind {
		b.WriteString("Content-Type: application/sdp\n")
	}
	return b.String() + "Content-Length: [len]\n\n" + strings.ReplaceAll(body, "\r\n", "\n")
}

// Final waits for a final response, and passes over provisional ones.
func (s *SIPpScript) Final(code int, has ...string) {
	s.provisional()
	s.Response(code, has...)
}

// Response waits for a response. A 2xx or 18x sets the route and the target of
// the dialog.
func (s *SIPpScript) Response(code int, has ...string) {
	set := ""
	if code > 100 && code < 300 {
		set = ` rrs="true"`
		has = append(has, "")
	}
	s.line(fmt.Sprintf(`<recv response="%d"%s>%s</recv>`, code, set, s.actions(has)))
}

// FinalTo is Final for a request before the last one.
func (s *SIPpScript) FinalTo(method string, code int, has ...string) {
	s.Response(code, append(has, "CSeq: [0-9]+ "+method)...)
}

// Await waits for a request.
func (s *SIPpScript) Await(method string, has ...string) {
	s.line(fmt.Sprintf(`<recv request="%s">%s</recv>`, method, s.actions(has)))
}

// actions checks a message. The empty expression notes the tag in To.
func (s *SIPpScript) actions(has []string) string {
	if len(has) == 0 {
		return ""
	}
	var b strings.Builder
	b.WriteString("<action>")
	for _, text := range has {
		if text == "" {
			name := strings.Trim(s.tag, "[$]")
			s.kept[name], s.kept["all"+name] = true, true
			fmt.Fprintf(&b, `<ereg regexp="tag=([^;]*)" search_in="hdr" header="To:" check_it="true" assign_to="all%s,%s"/>`, name, name)
			continue
		}
		s.vars++
		check := "check_it"
		if text[0] == '!' {
			check, text = "check_it_inverse", text[1:]
		}
		fmt.Fprintf(&b, `<ereg regexp="%s" search_in="msg" %s="true" assign_to="v%d"/>`, escapeXML(text), check, s.vars)
	}
	b.WriteString("</action>")
	return b.String()
}

func escapeXML(s string) string {
	return strings.NewReplacer("&", "&amp;", "<", "&lt;", ">", "&gt;", `"`, "&quot;").Replace(s)
}

// noted keeps what a header has, as [$name].
func (s *SIPpScript) noted(name, header, exp string) string {
	s.kept[name] = true
	return fmt.Sprintf(`<ereg regexp="%s" search_in="hdr" header="%s:" check_it="true" assign_to="%s"/>`, escapeXML(exp), header, name)
}

// PRACK waits for a reliable provisional response and acknowledges it (RFC
// 3262), with a body if there is one.
func (s *SIPpScript) PRACK(code int, body string, has ...string) {
	check := s.actions(append(has, ""))
	check = strings.TrimSuffix(check, "</action>") + s.noted("rseq", "RSeq", "[0-9]+") + "</action>"
	s.line(fmt.Sprintf(`<recv response="%d" rrs="true">%s</recv>`, code, check))
	s.Request("PRACK", body, fmt.Sprintf("RAck: [$rseq] %d INVITE", s.invited))
	s.Response(200)
}

// Reply answers the request that came last.
func (s *SIPpScript) Reply(code int, body string, headers ...string) {
	open := "<send>"
	s.line(open + "<![CDATA[\nSIP/2.0 " + strconv.Itoa(code) + " Test\n[last_Via:]\n[last_From:]\n[last_To:]\n[last_Call-ID:]\n[last_CSeq:]\n" +
		s.rest(body, append(headers, strings.TrimSpace(contactLine))) + "]]></send>")
}

// Pause waits.
func (s *SIPpScript) Pause(d time.Duration) { s.pause(d) }

// Bye ends the call.
func (s *SIPpScript) Bye() {
	s.Request("BYE", "")
	s.Response(200)
}

// Establish calls with an offer.
func (s *SIPpScript) Establish(offer string, has ...string) {
	s.Invite(offer)
	s.Final(200, has...)
	s.Request("ACK", "")
}

// Start runs the scenario once.
func (s *SIPpScript) Start(t testing.TB) *SIPp {
	t.Helper()
	var used []string
	for i := range s.vars {
		used = append(used, "v"+strconv.Itoa(i+1))
	}
	used = slices.AppendSeq(used, maps.Keys(s.kept))
	s.line(`<Reference variables="` + strings.Join(used, ",") + `"/>`)
	s.out.WriteString("</scenario>\n")
	o := s.o
	o.Calls = 1
	return startSIPp(t, s.out.String(), o)
}
