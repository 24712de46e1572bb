package trunktest

import (
	"crypto/rand"
	"fmt"
	"net/netip"
	"strings"
)

// Leg is one dialog of a Peer, begun by either side. Its fields may be changed
// to make wrong requests.
type Leg struct {
	P            *Peer
	Server       netip.AddrPort // where requests go
	CallID       string
	Local        string // From value of our requests, with tag
	Remote       string // To value, with tag once there is one
	Target       string // Request-URI
	Route        string // header lines
	Seq          int    // of the last request
	Branch       string // of the last request
	InviteBranch string
	InviteSeq    int
	InviteTarget string
}

func token() string { return rand.Text()[:12] }

// NewLeg makes the state before an INVITE to a number.
func (p *Peer) NewLeg(server netip.AddrPort, number string) *Leg {
	uri := "sip:" + number + "@" + server.String()
	return &Leg{
		P: p, Server: server, CallID: token() + "@peer", Target: uri, Remote: "<" + uri + ">",
		Local: fmt.Sprintf("\"Peer\" <sip:peer@%s>;tag=%s", p.addr.Addr(), token()),
	}
}

// Invite begins a call with a body, empty for none.
func (p *Peer) Invite(server netip.AddrPort, number, body string) *Leg {
	p.t.Helper()
	l := p.NewLeg(server, number)
	l.Request("INVITE", "", body)
	return l
}

// Request sends the next request of the dialog. extra are header lines with
// their ends.
func (l *Leg) Request(method, extra, body string) {
	l.P.t.Helper()
	l.Seq++
	l.Branch = "z9hG4bK" + token()
	if method == "INVITE" {
		l.InviteBranch, l.InviteSeq, l.InviteTarget = l.Branch, l.Seq, l.Target
	}
	l.Send(method, l.Target, l.Branch, l.Seq, extra, body)
}

// Send sends a request with everything given.
func (l *Leg) Send(method, uri, branch string, seq int, extra, body string) {
	l.P.t.Helper()
	l.P.Send(l.Server, l.Text(method, uri, branch, seq, extra, body))
}

// Text is the text of a request.
func (l *Leg) Text(method, uri, branch string, seq int, extra, body string) string {
	var b strings.Builder
	fmt.Fprintf(&b, "%s %s SIP/2.0\r\nVia: SIP/2.0/%s %s;branch=%s;rport\r\n%s", method, uri,
		strings.ToUpper(l.P.transport), l.P.addr, branch, l.Route)
	fmt.Fprintf(&b, "Max-Forwards: 70\r\nFrom: %s\r\nTo: %s\r\nCall-ID: %s\r\nCSeq: %d %s\r\n", l.Local, l.Remote, l.CallID, seq, method)
	if !strings.Contains(strings.ToLower(extra), "contact:") {
		b.WriteString("Contact: " + l.P.Contact() + "\r\n")
	}
	b.WriteString(extra)
	writeBody(&b, body)
	return b.String()
}

// Again sends the last request once more, as a retransmission.
func (l *Leg) Again(method, extra, body string) {
	l.P.t.Helper()
	l.Send(method, l.Target, l.Branch, l.Seq, extra, body)
}

// CANCEL cancels the last INVITE.
func (l *Leg) CANCEL(extra string) {
	l.P.t.Helper()
	remote := l.Remote
	l.Remote, _, _ = strings.Cut(remote, ";tag=")
	l.Send("CANCEL", l.InviteTarget, l.InviteBranch, l.InviteSeq, extra, "")
	l.Remote = remote
}

// ACK acknowledges the last 2xx to an INVITE.
func (l *Leg) ACK(body string) {
	l.P.t.Helper()
	l.Send("ACK", l.Target, "z9hG4bK"+token(), l.InviteSeq, "", body)
}

// ackFailure acknowledges another final response, which is the transaction's
// own.
func (l *Leg) ackFailure(m *Message) {
	remote := l.Remote
	l.Remote = m.Header("To")
	l.Send("ACK", l.InviteTarget, l.InviteBranch, l.InviteSeq, "", "")
	l.Remote = remote
}

// Response waits for a final response, or a provisional one above 100, to the
// last request of a method. A 2xx to an INVITE makes the dialog; a failure of
// one is acknowledged.
func (l *Leg) Response(method string) *Message {
	l.P.t.Helper()
	seq := l.Seq
	if method == "INVITE" || method == "CANCEL" {
		seq = l.InviteSeq
	}
	cseq := fmt.Sprint(seq, " ", method)
	m := l.P.Next("a response to "+cseq, func(m *Message) bool {
		return m.Code > 100 && m.Header("Call-ID") == l.CallID && m.Header("CSeq") == cseq
	})
	if method != "INVITE" {
		return m
	}
	if m.Code >= 300 {
		l.ackFailure(m)
		return m
	}
	l.Remote = m.Header("To")
	if c := m.Header("Contact"); c != "" {
		l.Target = uriIn(c)
	}
	return m
}

// Expect waits for a response with that status to the last request of a
// method, passing over provisional ones below it.
func (l *Leg) Expect(method string, code int) *Message {
	l.P.t.Helper()
	for {
		m := l.Response(method)
		if m.Code < 200 && code >= 200 {
			continue
		}
		if m.Code != code {
			l.P.t.Fatalf("%s: got %q (%s), want %d", method, m.Line, m.Header("Warning"), code)
		}
		return m
	}
}

// Await waits for a request of the far side within the dialog.
func (l *Leg) Await(method string) *Message {
	l.P.t.Helper()
	return l.P.Next("a "+method, func(m *Message) bool {
		return m.Method == method && m.Header("Call-ID") == l.CallID
	})
}

// Establish calls with an offer and takes the call to its ACK.
func (p *Peer) Establish(server netip.AddrPort, number string) *Leg {
	p.t.Helper()
	l := p.Invite(server, number, Offer)
	l.Expect("INVITE", 200)
	l.ACK("")
	return l
}

// Accept waits for an INVITE of the far side and answers it 200 with a body;
// the Leg is the dialog. The ACK is not waited for.
func (p *Peer) Accept(extra, body string) (*Leg, *Message) {
	p.t.Helper()
	req := p.Request("INVITE")
	l := p.LegOf(req)
	text := response(req, 200, param(l.Local, "tag"), "Contact: "+p.Contact()+"\r\n"+extra, body)
	p.repeat(l.CallID, func() { _, _ = p.udp.WriteToUDPAddrPort([]byte(text), req.From) })
	p.Send(req.From, text)
	return l, req
}

// LegOf is the dialog that a 2xx to an INVITE of the far side begins.
func (p *Peer) LegOf(req *Message) *Leg {
	return &Leg{
		P: p, Server: req.From, CallID: req.Header("Call-ID"), Target: uriIn(req.Header("Contact")),
		Local: req.Header("To") + ";tag=" + token(), Remote: req.Header("From"), Seq: 100,
	}
}
