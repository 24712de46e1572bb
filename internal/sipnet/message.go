package sipnet

import (
	"bytes"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"

	"github.com/emiago/sipgo/sip"
)

// errLineBreak is for a message whose header holds a line end: it would be
// read as something else.
var errLineBreak = errors.New("sipnet: line break in a header or start line")

// buffers for what is written, up to maxKeptBuffer bytes each.
var buffers = sync.Pool{New: func() any { return new(bytes.Buffer) }}

const maxKeptBuffer = 64 << 10

// encode appends msg as it goes over the wire to b. What a listener or a user
// made of a message is checked: a broken one gives an error, no panic and no
// second message behind a line break.
func encode(b *bytes.Buffer, msg sip.Message) (err error) {
	defer func() {
		if v := recover(); v != nil {
			err = fmt.Errorf("sipnet: message cannot be written: %v", v)
		}
	}()
	var list []sip.Header
	switch m := msg.(type) {
	case *sip.Request:
		list = m.Headers()
	case *sip.Response:
		list = m.Headers()
	}
	msg.StringWrite(b)
	head := b.Bytes()[:b.Len()-len(msg.Body())]
	if n := len(list) + 2; bytes.Count(head, []byte("\n")) != n || bytes.Count(head, []byte("\r")) != n {
		return errLineBreak
	}
	return nil
}

// cloneMessage copies msg so that no change of the copy reaches it. sipgo's
// Clone shares some headers and the body of a response.
func cloneMessage(msg sip.Message) sip.Message {
	switch m := msg.(type) {
	case *sip.Request:
		return cloneRequest(m)
	case *sip.Response:
		return cloneResponse(m)
	}
	return msg
}

func cloneRequest(r *sip.Request) *sip.Request {
	c := sip.NewRequest(r.Method, r.Recipient) // copies the URI's parameters
	c.Laddr = r.Laddr
	copyData(&c.MessageData, &r.MessageData)
	return c
}

func cloneResponse(r *sip.Response) *sip.Response {
	c := sip.NewResponse(r.StatusCode, r.Reason)
	copyData(&c.MessageData, &r.MessageData)
	return c
}

func copyData(to, from *sip.MessageData) {
	to.SipVersion, to.CompactHeaders = from.SipVersion, from.CompactHeaders
	for _, h := range from.Headers() {
		to.AppendHeader(cloneHeader(h))
	}
	if body := from.Body(); body != nil {
		to.SetBody(slices.Clone(body))
	}
	to.SetTransport(from.Transport())
	to.SetSource(from.Source())
	to.SetDestination(from.Destination())
}

func cloneHeader(h sip.Header) sip.Header {
	switch h := h.(type) {
	case *sip.CallIDHeader:
		c := *h
		return &c
	case *sip.MaxForwardsHeader:
		c := *h
		return &c
	case *sip.ContentLengthHeader:
		c := *h
		return &c
	case *sip.ContentTypeHeader:
		c := *h
		return &c
	case *sip.ExpiresHeader:
		c := *h
		return &c
	}
	return sip.HeaderClone(h)
}

func copyHeaders(to, from sip.Message, name string) {
	for _, h := range from.GetHeaders(name) {
		to.AppendHeader(cloneHeader(h))
	}
}

// newResponse makes a response by RFC 3261 section 8.2.6, with tag in the To
// header if it has none, except in a 100.
func newResponse(req *sip.Request, tag string, code int, reason string, body []byte) *sip.Response {
	if reason == "" {
		reason = statusText(code)
	}
	res := sip.NewResponse(code, reason)
	copyHeaders(res, req, "Via")
	if code > 100 && code < 300 && makesDialog(req.Method) {
		copyHeaders(res, req, "Record-Route") // RFC 3261 section 12.1.1
	}
	copyHeaders(res, req, "From")
	copyHeaders(res, req, "To")
	copyHeaders(res, req, "Call-ID")
	copyHeaders(res, req, "CSeq")
	if code == 100 {
		copyHeaders(res, req, "Timestamp") // RFC 3261 section 8.2.6.1
	}
	addTag(res, tag)
	res.SetBody(body)
	return res
}

func makesDialog(m sip.RequestMethod) bool {
	return m == sip.INVITE || m == sip.SUBSCRIBE || m == sip.REFER || m == sip.NOTIFY
}

func addTag(res *sip.Response, tag string) {
	if to := res.To(); to != nil && res.StatusCode != 100 && !to.Params.Has("tag") {
		to.Params.Add("tag", tag)
	}
}

// newACK acknowledges a failure of an INVITE of ours (RFC 3261 section
// 17.1.1.3).
func newACK(invite *sip.Request, res *sip.Response) *sip.Request {
	ack := fromInvite(invite, sip.ACK)
	copyHeaders(ack, res, "To")
	finish(ack)
	return ack
}

// newCANCEL cancels an INVITE of ours (RFC 3261 section 9.1).
func newCANCEL(invite *sip.Request, extra []sip.Header) *sip.Request {
	cancel := fromInvite(invite, sip.CANCEL)
	copyHeaders(cancel, invite, "To")
	for _, h := range extra {
		cancel.AppendHeader(cloneHeader(h))
	}
	finish(cancel)
	return cancel
}

// fromInvite makes what ACK and CANCEL have in common with their INVITE.
func fromInvite(invite *sip.Request, method sip.RequestMethod) *sip.Request {
	req := sip.NewRequest(method, invite.Recipient)
	req.AppendHeader(cloneHeader(invite.Via()))
	copyHeaders(req, invite, "Route")
	copyHeaders(req, invite, "From")
	copyHeaders(req, invite, "Call-ID")
	req.AppendHeader(&sip.CSeqHeader{SeqNo: invite.CSeq().SeqNo, MethodName: method})
	return req
}

// finish adds what every request needs and has not.
func finish(req *sip.Request) {
	if req.MaxForwards() == nil {
		hops := sip.MaxForwardsHeader(70)
		req.AppendHeader(&hops)
	}
	if req.ContentLength() == nil || int(*req.ContentLength()) != len(req.Body()) {
		req.SetBody(req.Body())
	}
}

// statusText is the reason phrase of RFC 3261 section 21 for the codes this
// package sends, and of the class for others.
func statusText(code int) string {
	switch code {
	case 100:
		return "Trying"
	case 180:
		return "Ringing"
	case 200:
		return "OK"
	case 403:
		return "Forbidden"
	case 404:
		return "Not Found"
	case 480:
		return "Temporarily Unavailable"
	case 481:
		return "Call/Transaction Does Not Exist"
	case 482:
		return "Loop Detected"
	case 486:
		return "Busy Here"
	case 487:
		return "Request Terminated"
	case 488:
		return "Not Acceptable Here"
	case 500:
		return "Server Internal Error"
	case 503:
		return "Service Unavailable"
	case 603:
		return "Decline"
	}
	classes := [...]string{"", "Progress", "OK", "Redirected", "Request Failure", "Server Failure", "Global Failure"}
	if c := code / 100; c > 0 && c < len(classes) {
		return classes[c]
	}
	return "Unknown"
}

// oneLine makes s fit for a reason phrase or a quoted string.
func oneLine(s string) string {
	return strings.Map(func(r rune) rune {
		if r < ' ' || r == 0x7f {
			return ' '
		}
		return r
	}, s)
}
