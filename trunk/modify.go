package trunk

import (
	"strconv"

	"github.com/emiago/sipgo/sip"

	"github.com/trunkcast/trunkcast/internal/sipnet"
)

// inDialog takes a request of the far side within the dialog; tx is nil for an
// ACK.
func (c *Call) inDialog(req *sip.Request, tx *sipnet.ServerTx) {
	if tx == nil {
		c.acked(req)
		return
	}
	if !c.inSequence(req, tx.Flow()) {
		res := tx.NewResponse(500, "", nil) // RFC 3261 section 12.2.2
		respond(tx, res, warning(399, "CSeq below the last one"))
		return
	}
	if req.Method == sip.BYE {
		c.bye(req, tx)
		return
	}
	if c.Err() != nil {
		respond(tx, tx.NewResponse(481, "", nil))
		return
	}
	if no := c.trunk.checkRequest(req); no != nil {
		c.refuseRequest(tx, no)
		return
	}
	switch req.Method {
	case sip.INVITE:
		c.reinvited(req, tx)
	case sip.UPDATE:
		c.updated(req, tx)
	case sip.PRACK:
		c.pracked(req, tx)
	case sip.REFER:
		c.referred(req, tx)
	case sip.INFO:
		respond(tx, tx.NewResponse(200, "", nil))
		c.tellInfo(req)
	case sip.OPTIONS:
		respond(tx, tx.NewResponse(200, "", nil), c.trunk.capabilities()...)
	default:
		respond(tx, notAllowed(tx))
	}
}

// inSequence reports whether a request is newer than those before it, and
// notes its number, and the way it came: requests of ours go back there.
func (c *Call) inSequence(req *sip.Request, f *sipnet.Flow) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	seq := req.CSeq().SeqNo
	if seq < c.dialog.remoteSeq {
		return false
	}
	c.dialog.remoteSeq, c.dialog.flow = seq, f
	return true
}

// acked hands an ACK to the 2xx it belongs to.
func (c *Call) acked(req *sip.Request) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if a := c.unacked; a != nil && a.seq == req.CSeq().SeqNo {
		a.acked = true
		a.take(req)
	}
}

func (a *answer) take(ack *sip.Request) {
	select {
	case a.ack <- ack:
	default: // a repeated one
	}
}

// bye ends the call at the word of the far side, in every state.
func (c *Call) bye(req *sip.Request, tx *sipnet.ServerTx) {
	first := c.end(&EndError{ByPeer: true, Reason: textOf(req, "Reason")})
	respond(tx, tx.NewResponse(200, "", nil))
	c.leave() // after the answer: who waits for this may close everything
	if first {
		c.release()
	}
}

func (c *Call) tellInfo(req *sip.Request) {
	c.mu.Lock()
	f := c.onInfo
	c.mu.Unlock()
	if f != nil {
		_ = contain(c.log, func() error { f(req); return nil })
	}
}

// refuseRequest refuses a request within the dialog; the call goes on.
func (c *Call) refuseRequest(tx *sipnet.ServerTx, no *refusal) {
	res := tx.NewResponse(no.code, statusText(no.code), nil)
	for _, h := range no.headers {
		res.AppendHeader(sip.NewHeader(h.name, h.value))
	}
	respond(tx, res, warning(399, no.rule))
	c.log.Info("request refused", "method", string(tx.Request().Method), "code", no.code, "rule", no.rule)
}

// awaitAccept waits until the answer in an ACK that has come was taken, or one
// that we have acknowledged: a request close behind it finds the exchange ended,
// as its sender knows it.
func (c *Call) awaitAccept() {
	c.mu.Lock()
	a, taking := c.unacked, c.taking
	wait := a != nil && a.offered && a.acked
	c.mu.Unlock()
	if wait {
		<-a.settled
	}
	if taking != nil {
		select {
		case <-taking:
		case <-c.done:
		}
	}
}

// claim gives the far side its turn to negotiate, or tells why not (RFC 3261
// section 14.2, RFC 3311 section 5.2). Without an offer an UPDATE needs none.
func (c *Call) claim(tx *sipnet.ServerTx, invite, offer bool) *refusal {
	c.mu.Lock()
	defer c.mu.Unlock()
	busy := &refusal{code: 500, rule: "another request is being answered",
		headers: []namedValue{{"Retry-After", strconv.Itoa(int(c.dialog.localSeq % 10))}}}
	switch {
	case c.phase == ended:
		return &refusal{code: 481, rule: "call has ended"}
	case !invite && !offer:
		return nil
	case c.turn == ours:
		return &refusal{code: 491, rule: "glare"}
	case c.turn == theirs || c.phase == early && !c.early.settled || invite && c.invite != nil:
		return busy
	}
	if invite {
		if c.unacked != nil {
			// Who sends this has had our 2xx, and its ACK got lost (RFC 5407
			// section 3.1.4).
			c.unacked.take(nil)
		}
		c.invite = tx
	}
	c.turn = theirs
	return nil
}

// yield ends a turn that claim gave.
func (c *Call) yield(tx *sipnet.ServerTx) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.turn = nobody
	if c.taking != nil {
		close(c.taking)
		c.taking = nil
	}
	if c.invite == tx {
		c.invite = nil
	}
	c.changedLocked()
}

// reinvited answers a re-INVITE: a refresh, a new address or codec, hold.
func (c *Call) reinvited(req *sip.Request, tx *sipnet.ServerTx) {
	offer, no := offerIn(req)
	if no == nil {
		_, no = c.srv.sessionIn(req)
	}
	if no == nil {
		c.awaitAccept()
		no = c.claim(tx, true, true)
	}
	if no != nil {
		c.refuseRequest(tx, no)
		return
	}
	body, err := c.describe(c.ctx, offer)
	if err != nil {
		c.refuseOffer(tx, err)
		return
	}
	_, _ = c.accept(tx, body, offer == nil) // its error is the end of the call, or a CANCEL
}

// refuseOffer answers an offer that the Negotiator did not take: the session
// stays as it was.
func (c *Call) refuseOffer(tx *sipnet.ServerTx, err error) {
	c.yield(tx)
	f := refusalOf(err)
	res := tx.NewResponse(f.code, statusText(f.code), nil)
	respond(tx, res, warning(f.warning, err.Error()))
	c.log.Warn("offer refused", "method", string(tx.Request().Method), "code", f.code, "error", err)
}

// updated answers an UPDATE (RFC 3311): of the session, or, without an offer,
// of target and session timer only.
func (c *Call) updated(req *sip.Request, tx *sipnet.ServerTx) {
	offer, no := offerIn(req)
	if no == nil {
		_, no = c.srv.sessionIn(req)
	}
	if no == nil {
		c.awaitAccept()
		no = c.claim(tx, false, offer != nil)
	}
	if no != nil {
		c.refuseRequest(tx, no)
		return
	}
	var body []byte
	if offer != nil {
		var err error
		if body, err = c.describe(c.ctx, offer); err != nil {
			c.refuseOffer(tx, err)
			return
		}
	}
	c.mu.Lock()
	c.dialog.refresh(req)
	res := c.successLocked(tx, body)
	c.mu.Unlock()
	respond(tx, res)
	if offer != nil {
		c.yield(nil)
	}
}
