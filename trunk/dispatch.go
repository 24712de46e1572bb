package trunk

import (
	"fmt"
	"slices"
	"strings"

	"github.com/emiago/sipgo/sip"

	"github.com/trunkcast/trunkcast/internal/sipnet"
)

// request is the way in for every request that is not dealt with by the
// endpoint. tx is nil for an ACK.
func (k *socket) request(req *sip.Request, tx *sipnet.ServerTx) {
	if local := tagOf(req.To().Params); local != "" {
		key := dialogKey{req.CallID().Value(), local, tagOf(req.From().Params)}
		switch c := k.find(key); {
		case c != nil:
			c.inDialog(req, tx)
		case tx != nil:
			respond(tx, tx.NewResponse(481, "", nil)) // a stray: RFC 3261 section 12.2.2
		}
		return
	}
	if tx == nil {
		return
	}
	t := k.trunkFor(tx.Flow().Remote(), req)
	if t == nil {
		k.srv.refuse(nil, req, tx, &refusal{code: 403, rule: "address of no trunk"})
		return
	}
	switch req.Method {
	case sip.INVITE:
		t.invited(req, tx)
	case sip.OPTIONS:
		t.asked(req, tx)
	case sip.REFER:
		k.srv.refuse(t, req, tx, &refusal{code: 603, rule: "REFER outside of a call"})
	case sip.BYE, sip.INFO, sip.UPDATE, sip.PRACK:
		respond(tx, tx.NewResponse(481, "", nil))
	default:
		respond(tx, notAllowed(tx))
	}
}

// respond sends a response whose loss is made good by a retransmission, and
// whose failure has no other consequence.
func respond(tx *sipnet.ServerTx, res *sip.Response, headers ...sip.Header) {
	for _, h := range headers {
		res.AppendHeader(h)
	}
	_ = tx.Respond(res)
}

func notAllowed(tx *sipnet.ServerTx) *sip.Response {
	res := tx.NewResponse(405, "Method Not Allowed", nil)
	res.AppendHeader(sip.NewHeader("Allow", allowed))
	return res
}

// asked answers an OPTIONS outside of a dialog, by which PBXs see whether we
// live (RFC 3261 section 11.2).
func (t *Trunk) asked(req *sip.Request, tx *sipnet.ServerTx) {
	if no := t.checkRequest(req); no != nil {
		t.srv.refuse(t, req, tx, no)
		return
	}
	code := 200
	if t.srv.isDraining() {
		code = 503
	}
	respond(tx, tx.NewResponse(code, "", nil), t.capabilities()...)
}

// allowed are the methods that we take.
func (t *Trunk) allowed() string {
	if t.cfg.Transfers != "refuse" {
		return allowed + ", REFER"
	}
	return allowed
}

// capabilities are what we tell of ourselves.
func (t *Trunk) capabilities() []sip.Header {
	return []sip.Header{
		sip.NewHeader("Allow", t.allowed()),
		sip.NewHeader("Accept", acceptable),
		sip.NewHeader("Supported", strings.Join(t.extensions(), ", ")),
	}
}

// extensions are the option tags that we understand.
func (t *Trunk) extensions() []string {
	list := []string{extensions}
	if t.cfg.Reliable != "off" {
		list = append(list, "100rel")
	}
	if t.cfg.Transfers != "refuse" {
		list = append(list, "replaces", "norefersub")
	}
	return list
}

// invited takes a new call, or refuses it and tells why.
func (t *Trunk) invited(req *sip.Request, tx *sipnet.ServerTx) {
	c, no := t.newIncoming(req, tx)
	if no == nil && c.replaces != nil && t.cfg.Transfers == "follow" {
		t.sock.enter(c.key, c)
		c.replaces.goOnIn(c)
		return
	}
	if no == nil {
		if no = t.srv.reserve(c); no != nil {
			c.cancel(nil)
		}
	}
	if no != nil {
		t.srv.refuse(t, req, tx, no)
		return
	}
	t.sock.enter(c.key, c)
	c.admitPeers(append(slices.Clone(c.dialog.routes), c.dialog.target))
	t.srv.startHandler(c)
}

// newIncoming checks an INVITE (RFC 3261 section 8.2) and makes its call.
func (t *Trunk) newIncoming(req *sip.Request, tx *sipnet.ServerTx) (*Call, *refusal) {
	switch {
	case t.srv.isDraining():
		return nil, &refusal{code: 503, rule: "shutting down"}
	case !t.srv.arrivals.Take():
		return nil, &refusal{code: 503, rule: fmt.Sprintf("limit of %d calls a second", t.srv.Limits.CallsPerSec),
			headers: []namedValue{{"Retry-After", "2"}}}
	case t.srv.Handler == nil:
		return nil, &refusal{code: 480, rule: "nobody takes calls"}
	}
	if no := t.authenticate(req, tx.Flow().Remote().Addr()); no != nil {
		return nil, no
	}
	if no := t.checkRequest(req); no != nil {
		return nil, no
	}
	if _, ok := targetOf(req); !ok {
		return nil, &refusal{code: 400, rule: "no Contact with a SIP URI"}
	}
	offer, no := offerIn(req)
	if no != nil {
		return nil, no
	}
	session, no := t.srv.sessionIn(req)
	if no != nil {
		return nil, no
	}
	rel, no := t.reliableIn(req)
	if no != nil {
		return nil, no
	}
	old, no := t.replacedBy(req)
	if no != nil {
		return nil, no
	}
	number := t.number(req)
	if number == "" {
		return nil, &refusal{code: 484, rule: "no number by numberFrom " + t.cfg.NumberFrom}
	}
	if len(number) > maxNumber {
		return nil, &refusal{code: 414, rule: fmt.Sprintf("the number has %d bytes, at most %d are taken", len(number), maxNumber)}
	}
	c, no := t.makeIncoming(req, tx, number, offer, session, rel)
	if no == nil {
		c.replaces = old
	}
	return c, no
}

// checkRequest looks at what any request may ask of us.
func (t *Trunk) checkRequest(req *sip.Request) *refusal {
	switch req.Recipient.Scheme {
	case "sip", "sips", "tel":
	default:
		return &refusal{code: 416, rule: "URI of scheme " + req.Recipient.Scheme}
	}
	known := t.extensions()
	var unknown []string
	for _, v := range tokens(req, "Require") {
		if !slices.ContainsFunc(known, func(k string) bool { return strings.EqualFold(k, v) }) {
			unknown = append(unknown, v)
		}
	}
	if len(unknown) == 0 {
		return nil
	}
	no := &refusal{code: 420, rule: "extension not supported"}
	for _, v := range unknown {
		no.headers = append(no.headers, namedValue{"Unsupported", v})
	}
	return no
}

// offerIn is the offer of an INVITE or UPDATE, nil without one.
func offerIn(req *sip.Request) ([]byte, *refusal) {
	body, err := sdpOf(req)
	if err != nil {
		return nil, &refusal{code: 415, rule: "body is no session description",
			headers: []namedValue{{"Accept", acceptable}, {"Accept-Encoding", "identity"}}}
	}
	if accept := tokens(req, "Accept"); len(req.GetHeaders("Accept")) > 0 && !acceptsSDP(accept) {
		return nil, &refusal{code: 406, rule: "session descriptions are not accepted"}
	}
	return body, nil
}

func acceptsSDP(accept []string) bool {
	for _, v := range accept {
		switch typ, _ := mediaType(v); typ {
		case "application/sdp", "application/*", "*/*":
			return true
		}
	}
	return false
}

// refuse answers a request that begins no call, and tells the log, the caller
// and the program which rule it was.
func (s *Server) refuse(t *Trunk, req *sip.Request, tx *sipnet.ServerTx, no *refusal) {
	res := tx.NewResponse(no.code, statusText(no.code), nil)
	for _, h := range no.headers {
		res.AppendHeader(sip.NewHeader(h.name, h.value))
	}
	if no.code != 401 { // a challenge is no refusal
		res.AppendHeader(warning(399, no.rule))
	}
	respond(tx, res)
	if no.code == 401 {
		return
	}
	r := Refusal{CallID: req.CallID().Value(), Remote: tx.Flow().Remote(), Code: no.code, Rule: no.rule}
	if t != nil {
		r.Trunk = t.cfg.Name
	}
	msg, args := "call refused", []any{"call_id", r.CallID, "remote_addr", r.Remote, "code", r.Code, "reason", r.Rule}
	if req.Method != sip.INVITE {
		msg, args = "request refused", append(args, "method", string(req.Method))
	} else if t != nil && t.number(req) != "" {
		args = append(args, "number", t.number(req))
	}
	if t != nil {
		args = append(args, "trunk", r.Trunk)
	}
	s.log.Warn(msg, args...)
	if s.OnRefused != nil && req.Method == sip.INVITE {
		s.OnRefused(r)
	}
}

// statusText is the reason phrase of the codes that sipnet does not know.
func statusText(code int) string {
	switch code {
	case 400:
		return "Bad Request"
	case 401:
		return "Unauthorized"
	case 406:
		return "Not Acceptable"
	case 414:
		return "Request-URI Too Long"
	case 415:
		return "Unsupported Media Type"
	case 416:
		return "Unsupported URI Scheme"
	case 420:
		return "Bad Extension"
	case 421:
		return "Extension Required"
	case 422:
		return "Session Interval Too Small"
	case 484:
		return "Address Incomplete"
	case 491:
		return "Request Pending"
	case 603:
		return "Decline"
	case 504:
		return "Server Time-out"
	}
	return ""
}

// response takes the repeated and forked 2xx to INVITEs of ours.
func (k *socket) response(res *sip.Response) {
	if res.CSeq().MethodName != sip.INVITE || res.StatusCode < 200 || res.StatusCode > 299 {
		return
	}
	local, remote := tagOf(res.From().Params), tagOf(res.To().Params)
	callID := res.CallID().Value()
	if c := k.find(dialogKey{callID, local, remote}); c != nil {
		c.acknowledge(res)
		return
	}
	k.mu.Lock()
	d := k.dials[callID+"\x00"+local]
	k.mu.Unlock()
	if d != nil {
		d.fork(res)
	}
}
