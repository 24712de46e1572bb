package trunk

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"strconv"
	"strings"
	"time"

	"github.com/emiago/sipgo/sip"

	"github.com/trunkcast/trunkcast/internal/sipnet"
)

// reliable is what a call knows of its reliable provisional responses (RFC
// 3262). Call.mu guards it.
type reliable struct {
	required  bool // by the caller
	supported bool // by the caller
	seq       uint32
	pending   *provisional // not acknowledged yet; nil: none
}

// provisional is a reliable provisional response that waits for its PRACK.
type provisional struct {
	seq     uint32
	answer  bool          // it holds our answer
	offered bool          // it holds our offer: the PRACK brings the answer
	heard   bool          // the PRACK came; Call.mu guards it
	done    chan struct{} // closed when the PRACK was answered
}

// earlyMedia is what was said of media before the answer. Call.mu guards it.
type earlyMedia struct {
	body    []byte // of the 183; nil: none
	settled bool   // offer and answer have met, the 200 needs none
}

// reliableIn reads what an INVITE says of reliable provisional responses, or
// tells why it is refused.
func (t *Trunk) reliableIn(req *sip.Request) (reliable, *refusal) {
	r := reliable{required: hasToken(req, "Require", "100rel")}
	r.supported = r.required || hasToken(req, "Supported", "100rel")
	if t.cfg.Reliable == "required" && !r.supported {
		return r, &refusal{code: 421, rule: "reliable: the caller must support 100rel",
			headers: []namedValue{{"Require", "100rel"}}}
	}
	return r, nil
}

// reliableLocked reports whether the next provisional response, with a session
// description or without, has to arrive for sure. Without need it does not: a
// ringing tone is not worth two more messages.
func (c *Call) reliableLocked(body bool) bool {
	switch c.trunk.cfg.Reliable {
	case "off":
		return false
	case "required":
		return c.rel.supported
	}
	return c.rel.required || body && c.rel.supported
}

// EarlyMedia takes the offer of an incoming call and sends the answer in a 183,
// so that media flows before the call is answered; Answer, with the same n,
// follows. Where the caller supports it the 183 is a reliable one (RFC 3262),
// and EarlyMedia returns when it was acknowledged. An INVITE without an offer
// gets ours in a reliable 183, and without support for that [ErrNoOffer]. After
// another error of n the call was refused and has ended.
func (c *Call) EarlyMedia(ctx context.Context, n Negotiator) error {
	c.mu.Lock()
	switch {
	case c.phase != early || !c.incoming || c.answering || c.early.body != nil:
		defer c.mu.Unlock()
		return c.stateLocked()
	case c.offer == nil && !c.reliableLocked(true):
		c.mu.Unlock()
		return ErrNoOffer
	}
	c.neg, c.answering = n, true
	tx := c.invite
	c.mu.Unlock()
	defer func() {
		c.mu.Lock()
		c.answering = false
		c.mu.Unlock()
	}()
	body, err := c.describe(ctx, c.offer)
	if err != nil {
		return c.refuseAnswer(tx, err)
	}
	p, err := c.progress(ctx, 183, "", body)
	if err != nil || p == nil {
		return err
	}
	select {
	case <-p.done:
		return c.Err()
	case <-c.done:
		return c.Err()
	case <-ctx.Done():
		return ctx.Err()
	}
}

// earlyFirst lets media flow for the time that the trunk is configured for,
// before the call is answered. A call without an offer, from a caller that takes
// none in a 183, is answered at once.
func (c *Call) earlyFirst(ctx context.Context, n Negotiator) error {
	c.mu.Lock()
	done := c.trunk.cfg.EarlyMedia <= 0 || c.early.body != nil
	c.mu.Unlock()
	if done {
		return nil
	}
	if err := c.EarlyMedia(ctx, n); err != nil {
		if errors.Is(err, ErrNoOffer) {
			return nil
		}
		return err
	}
	return c.pause(ctx, c.trunk.cfg.EarlyMedia)
}

// progress sends a provisional response, in its turn: one that is to arrive for
// sure holds up those behind it. p is nil for one that is not.
func (c *Call) progress(ctx context.Context, code int, reason string, body []byte) (p *provisional, err error) {
	if err := c.acknowledged(ctx); err != nil {
		return nil, err
	}
	c.mu.Lock()
	if c.phase != early || !c.incoming || c.invite == nil || c.rel.pending != nil {
		defer c.mu.Unlock()
		return nil, c.stateLocked()
	}
	tx := c.invite
	res := tx.NewResponse(code, reasonOr(reason, provisionalText(code)), nil)
	res.AppendHeader(c.dialog.contact.Clone())
	res.AppendHeader(sip.NewHeader("Allow", allowed))
	if c.reliableLocked(body != nil) {
		p = c.reliableNextLocked(body != nil)
		res.AppendHeader(sip.NewHeader("Require", "100rel"))
		res.AppendHeader(sip.NewHeader("RSeq", strconv.FormatUint(uint64(p.seq), 10)))
	}
	if body != nil {
		c.early.body = body
		setSDP(res, body)
	}
	if c.ringing == nil {
		c.ringing = time.AfterFunc(c.srv.clock.provisional, c.ringAgain)
	}
	c.mu.Unlock()
	if err := tx.Respond(res); err != nil && p == nil {
		return nil, err
	}
	if p != nil {
		c.srv.spawn(func() { c.repeatProvisional(tx, p) })
	}
	return p, nil
}

// reliableNextLocked enters the next reliable provisional response.
func (c *Call) reliableNextLocked(body bool) *provisional {
	if c.rel.seq == 0 {
		c.rel.seq = rand.Uint32N(1 << 16) // RFC 3262 section 3: any below 2^31
	}
	c.rel.seq++
	p := &provisional{seq: c.rel.seq, done: make(chan struct{})}
	p.answer, p.offered = body && c.offer != nil, body && c.offer == nil
	if p.offered {
		c.turn = ours
	}
	c.rel.pending = p
	return p
}

// acknowledged waits until no provisional response waits for its PRACK.
func (c *Call) acknowledged(ctx context.Context) error {
	for {
		c.mu.Lock()
		p := c.rel.pending
		c.mu.Unlock()
		if p == nil {
			return nil
		}
		select {
		case <-p.done:
		case <-c.done:
			return c.Err()
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// repeatProvisional repeats a reliable response until its PRACK comes, on every
// transport, and refuses the call without one (RFC 3262 section 3).
func (c *Call) repeatProvisional(tx *sipnet.ServerTx, p *provisional) {
	interval := c.srv.clock.t1
	again, deadline := time.NewTimer(interval), time.NewTimer(c.srv.clock.noACK)
	defer again.Stop()
	defer deadline.Stop()
	for {
		select {
		case <-p.done:
			return
		case <-c.done:
			return
		case <-again.C:
			c.mu.Lock()
			waits := !p.heard && c.phase == early
			c.mu.Unlock()
			if waits {
				_ = tx.Resend() // what is lost is sent again
			}
			interval *= 2
			again.Reset(interval)
		case <-deadline.C:
			c.refuseInvite(tx, ending{code: 504, text: "provisional response not acknowledged", err: ErrNoPRACK})
			return
		}
	}
}

// pracked answers a PRACK.
func (c *Call) pracked(req *sip.Request, tx *sipnet.ServerTx) {
	p := c.matchPRACK(req)
	if p == nil {
		c.refuseRequest(tx, &refusal{code: 481, rule: "RAck of no provisional response that waits"})
		return
	}
	defer c.settled(p)
	body, no := offerIn(req)
	if no == nil && body != nil && !p.offered {
		no = c.claim(tx, false, true)
	}
	if no != nil {
		c.refuseRequest(tx, no)
		return
	}
	if p.offered {
		c.prackAnswered(req, tx)
		return
	}
	if body == nil {
		respond(tx, tx.NewResponse(200, "", nil))
		return
	}
	answer, err := c.describe(c.ctx, body) // another offer, right behind the answer
	if err != nil {
		c.refuseOffer(tx, err)
		return
	}
	res := tx.NewResponse(200, "", nil)
	setSDP(res, answer)
	respond(tx, res)
	c.yield(nil)
}

// matchPRACK takes the response that a PRACK acknowledges off the wait; nil if
// there is none such.
func (c *Call) matchPRACK(req *sip.Request) *provisional {
	f := strings.Fields(headerValue(req, "RAck"))
	c.mu.Lock()
	defer c.mu.Unlock()
	p := c.rel.pending
	if p == nil || p.heard || c.phase != early || len(f) != 3 || f[0] != fmt.Sprint(p.seq) ||
		f[1] != fmt.Sprint(c.request.CSeq().SeqNo) || !strings.EqualFold(f[2], "INVITE") {
		return nil
	}
	p.heard = true
	if p.answer {
		c.early.settled, c.turn = true, nobody
	}
	return p
}

// settled lets the next provisional response, or the answer, go out: not before
// the PRACK was answered, for callers that expect one after the other.
func (c *Call) settled(p *provisional) {
	c.mu.Lock()
	c.rel.pending = nil
	c.mu.Unlock()
	close(p.done)
}

// prackAnswered takes the answer to our offer in a reliable provisional
// response. Without a usable one the call is refused.
func (c *Call) prackAnswered(req *sip.Request, tx *sipnet.ServerTx) {
	err := c.takeAnswer(req)
	c.mu.Lock()
	c.turn = nobody
	c.early.settled = err == nil
	c.mu.Unlock()
	if err == nil {
		respond(tx, tx.NewResponse(200, "", nil))
		return
	}
	f := refusalOf(err)
	respond(tx, tx.NewResponse(f.code, statusText(f.code), nil), warning(f.warning, err.Error()))
	c.hang(ending{code: f.code, text: err.Error(), err: err})
}

// heard acknowledges a reliable provisional response to our INVITE. It reports
// false for a repeated one, and for one before which another is missing: those
// are passed over (RFC 3262 section 4).
func (c *Call) heard(res *sip.Response, d *dialling) bool {
	if c.trunk.cfg.Reliable == "off" || !hasToken(res, "Require", "100rel") {
		return true
	}
	seq, err := strconv.ParseUint(headerValue(res, "RSeq"), 10, 32)
	tag := tagOf(res.To().Params)
	if err != nil || seq == 0 || tag == "" || !d.inSequence(tag, seq) {
		return false
	}
	c.mu.Lock()
	branch := c.dialog // each branch of a fork has a dialog of its own
	c.mu.Unlock()
	branch.answered(res)
	rack := fmt.Sprintf("%d %d INVITE", seq, res.CSeq().SeqNo)
	c.srv.spawn(func() { c.prack(&branch, rack) })
	return true
}

// inSequence notes the RSeq of a branch.
func (d *dialling) inSequence(tag string, seq uint64) bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	last, known := d.rseq[tag]
	if known && seq != last+1 || !known && len(d.rseq) >= maxForks {
		return false
	}
	d.rseq[tag] = seq
	return true
}

// prack sends the PRACK. If it fails the far side refuses the call.
func (c *Call) prack(branch *dialog, rack string) {
	ctx, cancel := context.WithTimeout(c.ctx, c.srv.clock.noACK)
	defer cancel()
	hop := func(ctx context.Context) (sipnet.Target, error) { return c.hopOf(ctx, branch) }
	res, err := c.transactBy(ctx, hop, func() *sip.Request {
		c.mu.Lock()
		defer c.mu.Unlock()
		req := branch.request(c.id, sip.PRACK, c.dialog.next())
		req.AppendHeader(sip.NewHeader("RAck", rack))
		return req
	})
	if err == nil && res.StatusCode > 299 {
		err = statusError(res)
	}
	if err != nil && !errors.Is(err, context.Canceled) {
		c.log.Info("provisional response not acknowledged", "error", err)
	}
}
