package sipnet

import (
	"bytes"
	"errors"
	"strconv"
	"strings"

	"github.com/emiago/sipgo/sip"

	"github.com/trunkcast/trunkcast/listener"
)

// take parses one message and hands it on. It runs in the goroutine that reads
// the socket or connection, so that order is kept, and does not wait for the
// users of the message.
func (e *Endpoint) take(u unit, f *Flow) {
	msg, err := e.read(u)
	if err != nil {
		e.reject(u.head, f, err)
		return
	}
	e.count.received.Add(1)
	stamp(msg, f)
	msg, refusal := e.incoming(msg, f, func() sip.Message {
		fresh, _ := parse(u.head, u.body)
		stamp(fresh, f)
		return fresh
	})
	switch m := msg.(type) {
	case *sip.Request:
		if refusal != nil {
			e.refuse(m, f, refusal)
		} else {
			e.request(m, f, u)
		}
	case *sip.Response:
		if refusal == nil {
			e.response(m)
		}
	}
}

// read parses a message. A panic there, which nobody knows of but somebody
// might find, costs the message and not the calls of everyone.
func (e *Endpoint) read(u unit) (msg sip.Message, err error) {
	err = guard(func() error {
		msg, err = parse(u.head, u.body)
		return err
	})
	var p *panicked
	if errors.As(err, &p) {
		e.log.Error("sip parser panicked", "error", err, "stack", string(p.stack))
		return nil, bad("unreadable")
	}
	return msg, err
}

// stamp notes where a message came from.
func stamp(msg sip.Message, f *Flow) {
	msg.SetSource(f.remote.String())
	msg.SetTransport(upper(f.transport))
	if req, ok := msg.(*sip.Request); ok {
		markVia(req.Via(), f.remote)
	}
}

// reject answers what could not be parsed, and counts it.
func (e *Endpoint) reject(raw []byte, f *Flow, err error) {
	e.count.malformed.Add(1)
	fault := &malformed{400, "Bad Request"}
	errors.As(err, &fault)
	if e.complaints.Take() {
		e.log.Info("malformed sip message", "remote_addr", f.remote, "transport", f.transport, "error", err)
	}
	e.answerStateless(raw, f, &e.faults, fault.code, fault.reason)
}

// refuseStranger turns away whom Admit does not let in.
func (e *Endpoint) refuseStranger(raw []byte, f *Flow, v Verdict) {
	e.count.refused.Add(1)
	switch {
	case bytes.HasPrefix(raw, []byte("ACK ")): // it ends what was told with its INVITE
	case !e.complaints.Take():
		e.unsaid.Add(1)
	default:
		e.log.Info("stranger refused", "rule", "not in proxyIp or allow", "more", e.unsaid.Swap(0), "remote_addr", f.remote, "transport", f.transport)
	}
	if v == Refuse {
		e.answerStateless(raw, f, &e.refusals, 403, "Forbidden")
	}
}

// answerStateless sends one response made of the bytes of a request, as often
// as b allows.
func (e *Endpoint) answerStateless(raw []byte, f *Flow, b *Bucket, code int, reason string, extra ...string) {
	data, to := rejection(raw, f.remote, func(callID, from, branch string) string {
		return e.tagOf(callID, from, branch)
	}, code, reason, extra...)
	if data == nil || !b.Take() {
		return
	}
	if f.stream == nil {
		f = &Flow{transport: "udp", local: f.local, remote: to}
	}
	if err := e.write(data, f); err == nil {
		e.count.sent.Add(1)
	}
}

// request finds the transaction of a request, or makes one.
func (e *Endpoint) request(req *sip.Request, f *Flow, u unit) {
	switch req.Method {
	case sip.ACK:
		e.ack(req)
		return
	case sip.CANCEL:
		e.cancelled(req, f, u)
		return
	}
	tx := e.open(req, f, u)
	if tx == nil {
		return
	}
	if !e.inOrder(req, func() { e.call(req, tx) }) {
		e.spawn(func() {
			tx.Respond(tx.NewResponse(503, "Service Unavailable (too many requests of one call)", nil))
		})
	}
}

// open makes the server transaction of req. nil: it was a retransmission, the
// copy of a request under way, or one too many, and has been dealt with.
func (e *Endpoint) open(req *sip.Request, f *Flow, u unit) *ServerTx {
	tx := newServerTx(e, req, f)
	switch e.table.add(tx, e.limits.Transactions) {
	case known:
		e.count.repeated.Add(1)
		if old := e.table.server(tx.key); old != nil {
			old.repeat(f)
		}
		return nil
	case full:
		e.count.overload.Add(1)
		if e.complaints.Take() {
			e.log.Warn("too many transactions", "limit", e.limits.Transactions, "remote_addr", f.remote)
		}
		e.answerStateless(u.head, f, &e.faults, 503, "Service Unavailable (too many transactions)", "Retry-After: 5")
		return nil
	case merged:
		tx.start()
		e.spawn(func() { tx.Respond(tx.NewResponse(482, "Loop Detected (merged request)", nil)) })
		return nil
	}
	tx.start()
	return tx
}

// inOrder calls f after what came before with the same Call-ID. It reports
// false if too much of that waits already.
func (e *Endpoint) inOrder(msg sip.Message, f func()) bool {
	if e.order.add(msg.CallID().Value(), f) {
		return true
	}
	e.count.overload.Add(1)
	if e.complaints.Take() {
		e.log.Warn("too many messages of one call wait", "limit", e.limits.PendingPerCID,
			"call_id", msg.CallID().Value(), "remote_addr", msg.Source())
	}
	return false
}

// call hands a request to the user.
func (e *Endpoint) call(req *sip.Request, tx *ServerTx) {
	err := guard(func() error {
		if e.OnRequest != nil {
			e.OnRequest(req, tx)
		} else if tx != nil {
			return tx.Respond(tx.NewResponse(501, "Not Implemented", nil))
		}
		return nil
	})
	var p *panicked
	if !errors.As(err, &p) {
		return
	}
	e.log.Error("request handler panicked", "method", string(req.Method), "call_id", req.CallID().Value(),
		"error", err, "stack", string(p.stack))
	if tx != nil {
		tx.Respond(tx.NewResponse(500, "Server Internal Error", nil))
	}
}

// ack ends the wait of an INVITE that failed, or passes the ACK to a 2xx up.
func (e *Endpoint) ack(req *sip.Request) {
	if tx := e.table.server(serverKey(req, sip.INVITE)); tx != nil && tx.acked() {
		return
	}
	e.inOrder(req, func() { e.call(req, nil) })
}

// cancelled deals with a CANCEL (RFC 3261 section 9.2).
func (e *Endpoint) cancelled(req *sip.Request, f *Flow, u unit) {
	tx := e.open(req, f, u)
	if tx == nil {
		return
	}
	invite := e.table.server(serverKey(req, sip.INVITE))
	if invite == nil {
		e.spawn(func() { tx.Respond(tx.NewResponse(481, "", nil)) })
		return
	}
	first := invite.cancelBy(req)
	e.spawn(func() {
		tx.Respond(tx.NewResponse(200, "", nil))
		if first {
			invite.resend(true)
		}
	})
}

// refuse answers a request as the listener wants it. A retransmission gets
// what the first one got.
func (e *Endpoint) refuse(req *sip.Request, f *Flow, r *listener.RefuseError) {
	if req.Method == sip.ACK {
		if tx := e.table.server(serverKey(req, sip.INVITE)); tx != nil {
			tx.acked()
		}
		return
	}
	code := r.Code
	if code < 300 || code > 699 {
		code = 500
	}
	tx := e.open(req, f, unit{})
	if tx == nil {
		return
	}
	e.log.Info("request refused", "rule", "listener", "method", string(req.Method), "status", code,
		"call_id", req.CallID().Value(), "remote_addr", f.remote)
	res := tx.NewResponse(code, oneLine(r.Reason), nil)
	res.AppendHeader(sip.NewHeader("Warning", `399 trunkcast "refused by a listener"`))
	e.spawn(func() { tx.Respond(res) })
}

// response gives a response to its transaction, or to the user.
func (e *Endpoint) response(res *sip.Response) {
	if key := clientKey(res); key != "" {
		if tx := e.table.client(key); tx != nil && tx.receive(res) {
			return
		}
	}
	e.pass(res)
}

// pass hands a response without a transaction to the user.
func (e *Endpoint) pass(res *sip.Response) {
	if e.OnResponse == nil {
		return
	}
	e.inOrder(res, func() {
		err := guard(func() error { e.OnResponse(res); return nil })
		var p *panicked
		if errors.As(err, &p) {
			e.log.Error("response handler panicked", "status", res.StatusCode, "call_id", res.CallID().Value(),
				"error", err, "stack", string(p.stack))
		}
	})
}

// mergeKey names what a forking proxy leaves unchanged in a request that
// begins a dialog or stands alone (RFC 3261 section 8.2.2.2).
func mergeKey(req *sip.Request) string {
	fromTag, ok := req.From().Params.Get("tag")
	if !ok || req.To().Params.Has("tag") || req.Method == sip.CANCEL || req.Method == sip.ACK {
		return ""
	}
	return strings.Join([]string{req.CallID().Value(), fromTag,
		strconv.Itoa(int(req.CSeq().SeqNo)), string(req.Method)}, "\x00")
}
