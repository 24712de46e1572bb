package trunk

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/emiago/sipgo/sip"

	"github.com/trunkcast/trunkcast/internal/sipnet"
)

// errPeerLeft settles a 2xx when the far side says BYE before its ACK.
var errPeerLeft = errors.New("trunk: the far side left before its ACK")

// makeIncoming makes the call of an INVITE that passed the checks.
func (t *Trunk) makeIncoming(req *sip.Request, tx *sipnet.ServerTx, number string, offer []byte, s session, rel reliable) (*Call, *refusal) {
	f := tx.Flow()
	contact, err := t.contact(sipnet.Target{Addr: f.Remote(), Flow: f}, req.Recipient.Scheme == "sips")
	if err != nil {
		return nil, &refusal{code: 500, rule: "no local address: " + err.Error()}
	}
	key := dialogKey{req.CallID().Value(), tx.Tag(), tagOf(req.From().Params)}
	c := t.newCall(req, key, number)
	c.incoming, c.offer, c.invite, c.turn, c.session = true, offer, tx, theirs, s
	c.rel = rel
	c.remote, c.flow = f.Remote(), f
	c.dialog = serverDialog(req, tx.Tag(), f)
	c.dialog.contact = contact
	return c, nil
}

// watchCancel ends an incoming call that the caller cancels.
func (c *Call) watchCancel() {
	c.mu.Lock()
	tx := c.invite
	c.mu.Unlock()
	if tx == nil {
		return
	}
	select {
	case <-tx.Cancelled():
		c.cancelled(tx)
	case <-tx.Done():
	case <-c.done:
	}
}

func (c *Call) cancelled(tx *sipnet.ServerTx) {
	e := &EndError{ByPeer: true, Code: 487}
	if req := tx.Cancel(); req != nil {
		e.Reason = textOf(req, "Reason")
	}
	c.end(e)
	c.release()
}

// Ring sends a provisional response (180, 181, 182, 183 without a body). It is
// repeated each minute (RFC 3261 section 13.3.1.1). One that must wait for the
// PRACK of the one before it does so.
func (c *Call) Ring(code int, reason string) error {
	if code < 101 || code > 199 {
		return fmt.Errorf("trunk: %d is no provisional status", code)
	}
	_, err := c.progress(c.ctx, code, reason, nil)
	return err
}

func reasonOr(reason, usual string) string {
	if reason == "" {
		return usual
	}
	q := quoted(reason)
	return unquote(q[1 : len(q)-1])
}

func provisionalText(code int) string {
	switch code {
	case 180:
		return "Ringing"
	case 181:
		return "Call Is Being Forwarded"
	case 182:
		return "Queued"
	case 183:
		return "Session Progress"
	}
	return ""
}

// ringAgain keeps proxies from giving up.
func (c *Call) ringAgain() {
	c.mu.Lock()
	tx := c.invite
	if c.phase != early || tx == nil {
		c.mu.Unlock()
		return
	}
	c.ringing.Reset(c.srv.clock.provisional)
	c.mu.Unlock()
	_ = tx.Resend()
}

// stateLocked is why a method cannot do what it is asked.
func (c *Call) stateLocked() error {
	if c.err != nil {
		return c.err
	}
	return ErrCallState
}

// Reject refuses an incoming call that was not answered yet, with code (300 to
// 699), reason and, if rule is not empty, a Warning header that names it.
func (c *Call) Reject(code int, reason, rule string) error {
	if code < 300 || code > 699 {
		return fmt.Errorf("trunk: %d does not refuse a call", code)
	}
	c.mu.Lock()
	if c.phase != early || !c.incoming || c.answering {
		defer c.mu.Unlock()
		return c.stateLocked()
	}
	c.answering = true
	tx := c.invite
	c.mu.Unlock()
	res := tx.NewResponse(code, reasonOr(reason, statusText(code)), nil)
	if rule != "" {
		res.AppendHeader(warning(399, rule))
	}
	if !c.finish(tx, res, &EndError{Code: code, Reason: rule}) {
		return c.Err()
	}
	return nil
}

// refuseInvite refuses an incoming call by an ending. It reports false if the
// call was answered in the meantime.
func (c *Call) refuseInvite(tx *sipnet.ServerTx, e ending) bool {
	res := tx.NewResponse(e.code, statusText(e.code), nil)
	text := e.text
	switch {
	case text == "" && e.err != nil:
		text = e.err.Error()
	case text == "":
		text = "not answered"
	}
	res.AppendHeader(warning(399, text))
	return c.finish(tx, res, &EndError{Code: e.code, Reason: e.text, Err: e.err})
}

// finish sends the final response that refuses the call, unless a CANCEL or
// an answer was first: the transaction decides. It reports false if the call
// goes on.
func (c *Call) finish(tx *sipnet.ServerTx, res *sip.Response, e *EndError) bool {
	err := tx.Respond(res)
	switch {
	case errors.Is(err, sipnet.ErrCancelled):
		c.cancelled(tx)
		return true
	case errors.Is(err, sipnet.ErrAnswered):
		c.mu.Lock()
		defer c.mu.Unlock()
		return c.phase == ended
	}
	c.end(e)
	c.release()
	return true
}

// answer is a 2xx of ours to an INVITE, repeated until the ACK (RFC 3261
// section 13.3.1.4).
type answer struct {
	tx      *sipnet.ServerTx
	seq     uint32
	offered bool              // it holds our offer: the ACK brings the answer
	asked   bool              // the Negotiator was given the answer, or knows that there is none
	acked   bool              // the ACK came; Call.mu guards it
	ack     chan *sip.Request // of one
	stop    chan struct{}     // closed when the far side says BYE
	settled chan struct{}     // closed after err is set
	err     error
}

func newAnswer(tx *sipnet.ServerTx, offered bool) *answer {
	return &answer{
		tx: tx, seq: tx.Request().CSeq().SeqNo, offered: offered,
		ack: make(chan *sip.Request, 1), stop: make(chan struct{}), settled: make(chan struct{}),
	}
}

// Answer answers an incoming call: with n.Answer if the INVITE has an offer,
// else with n.Offer in the 200 and n.Accept of what comes in the ACK; without
// a usable answer there the call ends with BYE. It returns when the ACK has
// come; the 2xx is repeated until then. After an error of n the call was
// refused and has ended. n is used for every later exchange of the dialog.
// When ctx ends before the ACK its error is returned, and the call goes on.
func (c *Call) Answer(ctx context.Context, n Negotiator) error {
	if err := c.earlyFirst(ctx, n); err != nil {
		return err
	}
	c.mu.Lock()
	if c.phase != early || !c.incoming || c.answering {
		defer c.mu.Unlock()
		return c.stateLocked()
	}
	c.answering, c.neg = true, n
	tx := c.invite
	c.mu.Unlock()
	// RFC 3262 section 3: not while an answer in a 183 may be lost.
	if err := c.acknowledged(ctx); err != nil {
		return c.errOr(err)
	}
	c.mu.Lock()
	body, settled := c.early.body, c.early.settled
	c.mu.Unlock()
	if settled {
		body = nil
	} else if body == nil {
		var err error
		if body, err = c.describe(ctx, c.offer); err != nil {
			return c.refuseAnswer(tx, err)
		}
	}
	a, err := c.accept(tx, body, c.offer == nil && !settled)
	if err != nil {
		return err
	}
	select {
	case <-a.settled:
		if a.err != nil {
			return c.errOr(a.err)
		}
		return nil
	case <-ctx.Done():
	}
	c.mu.Lock()
	acked := a.acked
	c.mu.Unlock()
	if !acked {
		return c.errOr(ctx.Err())
	}
	// It was answered, however soon the BYE came behind the ACK.
	<-a.settled
	return a.err
}

// refuseAnswer refuses a call whose offer the Negotiator did not take, or for
// which it made none.
func (c *Call) refuseAnswer(tx *sipnet.ServerTx, err error) error {
	no := refusalOf(err)
	res := tx.NewResponse(no.code, statusText(no.code), nil)
	res.AppendHeader(warning(no.warning, err.Error()))
	if c.Err() != nil { // it was cancelled meanwhile, say
		return c.Err()
	}
	c.finish(tx, res, &EndError{Code: no.code, Reason: err.Error(), Err: err})
	return fmt.Errorf("trunk: answer: %w", err)
}

// describe asks the Negotiator for our side of an exchange: the answer to an
// offer, or without one an offer.
func (c *Call) describe(ctx context.Context, offer []byte) (body []byte, err error) {
	c.mu.Lock()
	n, again := c.neg, c.phase == answered
	c.mu.Unlock()
	err = contain(c.log, func() error {
		var err error
		full, can := n.(FullOfferer)
		switch {
		case offer != nil:
			body, err = n.Answer(ctx, offer)
		case again && can:
			body, err = full.OfferFull(ctx)
		default:
			body, err = n.Offer(ctx)
		}
		return err
	})
	return body, err
}

// rollback undoes an exchange that came to nothing.
func (c *Call) rollback() {
	c.mu.Lock()
	n := c.neg
	c.mu.Unlock()
	if n != nil {
		_ = contain(c.log, func() error { n.Rollback(); return nil })
	}
}

// negotiationFault is how an error of a Negotiator is told the far side.
type negotiationFault struct{ code, warning int }

func refusalOf(err error) negotiationFault {
	f := negotiationFault{488, 399}
	var status interface{ SIPStatus() int }
	if errors.As(err, &status) && status.SIPStatus() >= 300 && status.SIPStatus() <= 699 {
		f.code = status.SIPStatus()
	} else if errors.Is(err, ErrPanic) || errors.Is(err, context.Canceled) || errors.Is(err, context.DeadlineExceeded) {
		f.code = 500 // not for what was offered
	}
	var warn interface{ SIPWarning() int }
	if errors.As(err, &warn) && warn.SIPWarning() >= 300 && warn.SIPWarning() <= 399 {
		f.warning = warn.SIPWarning()
	}
	return f
}

// accept sends the 200 to an INVITE, the first or a later one, and sees to its
// ACK.
func (c *Call) accept(tx *sipnet.ServerTx, body []byte, offered bool) (*answer, error) {
	a := newAnswer(tx, offered)
	c.mu.Lock()
	if c.phase == ended {
		err := c.err
		c.mu.Unlock()
		c.rollback()
		return nil, err
	}
	first := c.phase == early
	// Before it is sent: the ACK may be here at once.
	c.phase, c.unacked, c.invite = answered, a, nil
	if first {
		c.answeredAt = time.Now()
		if c.ringing != nil {
			c.ringing.Stop()
		}
	}
	if !first {
		c.dialog.refresh(tx.Request())
	}
	if !offered {
		c.turn = nobody
	}
	res := c.successLocked(tx, body)
	c.mu.Unlock()
	err := tx.Respond(res)
	if errors.Is(err, sipnet.ErrCancelled) || errors.Is(err, sipnet.ErrAnswered) {
		c.withdraw(a, first, err)
		return nil, c.errOr(err)
	}
	if err != nil {
		c.log.Info("answer not sent, tried again", "error", err)
	}
	if first && c.replaces != nil {
		c.replaces.hang(ending{protocol: "SIP", cause: 200, text: "replaced"})
	}
	if !c.srv.spawn(func() { c.confirm(a) }) {
		c.settle(a, ErrServerClosed)
	}
	return a, nil
}

func (c *Call) errOr(err error) error {
	if e := c.Err(); e != nil {
		return e
	}
	return err
}

// successLocked is a 200 to an INVITE or UPDATE.
func (c *Call) successLocked(tx *sipnet.ServerTx, body []byte) *sip.Response {
	res := tx.NewResponse(200, "", nil)
	res.AppendHeader(c.dialog.contact.Clone())
	for _, h := range c.trunk.capabilities() {
		res.AppendHeader(h)
	}
	for _, h := range c.session.answer(c, tx.Request()) {
		res.AppendHeader(h)
	}
	if body != nil {
		setSDP(res, body)
	}
	return res
}

// withdraw undoes accept when a CANCEL, or a refusal of ours, was faster.
func (c *Call) withdraw(a *answer, first bool, err error) {
	c.rollback()
	a.asked = true
	c.settle(a, err)
	if first && errors.Is(err, sipnet.ErrCancelled) {
		c.cancelled(a.tx)
	}
}

// settle notes that a 2xx needs no more care. An offer in it that got no answer
// is taken back.
func (c *Call) settle(a *answer, err error) {
	if a.offered && !a.asked {
		c.rollback()
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	a.err = err
	close(a.settled)
	if c.unacked == a {
		c.unacked = nil
	}
	if a.offered {
		c.turn = nobody
	}
	c.changedLocked()
}

// confirm repeats a 2xx until its ACK comes: on every transport, as a proxy on
// the way may use UDP.
func (c *Call) confirm(a *answer) {
	clock := c.srv.clock
	interval := clock.t1
	again, deadline := time.NewTimer(interval), time.NewTimer(clock.noACK)
	defer again.Stop()
	defer deadline.Stop()
	for {
		select {
		case ack := <-a.ack:
			c.confirmed(a, ack)
			return
		case <-a.stop:
			select {
			case ack := <-a.ack: // it came before the BYE
				c.confirmed(a, ack)
			default:
				c.settle(a, errPeerLeft)
			}
			return
		case <-again.C:
			_ = a.tx.Resend() // what is lost is sent again
			interval = min(2*interval, clock.t2)
			again.Reset(interval)
		case <-deadline.C:
			// First the end: who waits for the answer is not to give another reason.
			c.hang(ending{protocol: "SIP", cause: 408, text: "no ACK", err: ErrNoACK})
			c.settle(a, ErrNoACK)
			return
		case <-c.srv.ctx.Done():
			c.settle(a, ErrServerClosed)
			return
		}
	}
}

// confirmed takes the ACK, and the answer in it if we have offered.
func (c *Call) confirmed(a *answer, ack *sip.Request) {
	if !a.offered || c.ctx.Err() != nil {
		c.settle(a, nil)
		return
	}
	a.asked = true
	err := c.takeAnswer(ack)
	if err != nil {
		c.hang(ending{protocol: "SIP", cause: refusalOf(err).code, text: err.Error(), err: err})
	}
	c.settle(a, err)
}

// takeAnswer gives the answer in an ACK or a 2xx to the Negotiator.
func (c *Call) takeAnswer(msg sip.Message) error {
	body, err := sdpOf(msg)
	if err == nil && body == nil {
		err = ErrNoAnswerSDP
	}
	if err != nil {
		c.rollback()
		return err
	}
	return c.takeBody(body)
}

func (c *Call) takeBody(body []byte) error {
	c.mu.Lock()
	n := c.neg
	c.mu.Unlock()
	return contain(c.log, func() error { return n.Accept(c.ctx, body) })
}
