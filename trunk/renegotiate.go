package trunk

import (
	"context"
	"errors"
	"math/rand/v2"
	"time"

	"github.com/emiago/sipgo/sip"

	"github.com/trunkcast/trunkcast/internal/sipnet"
)

// maxGlares bounds the attempts of one Renegotiate.
const maxGlares = 5

// Renegotiate sends a re-INVITE with n.Offer, waits out a glare (491, RFC 3261
// section 14.1) and returns when it is settled. A refusal is a *StatusError and
// leaves the session as it was. It waits its turn while another exchange is
// under way. When ctx ends the re-INVITE is cancelled.
func (c *Call) Renegotiate(ctx context.Context) error {
	ctx, cancel := c.bound(ctx)
	defer cancel()
	for try := 1; ; try++ {
		if err := c.takeTurn(ctx); err != nil {
			return err
		}
		result := make(chan error, 1)
		started := c.srv.spawn(func() {
			err := c.reinvite(ctx)
			c.yield(nil)
			result <- err
		})
		if !started {
			c.yield(nil)
			return ErrServerClosed
		}
		var err error
		select {
		case err = <-result:
		case <-ctx.Done():
			return c.errOr(ctx.Err()) // the goroutine cancels, and holds the turn until that is done
		}
		var status *StatusError
		if !errors.As(err, &status) || status.Code != 491 || try == maxGlares {
			return err
		}
		if err := c.pause(ctx, c.glareWait()); err != nil {
			return err
		}
	}
}

// bound makes a context that ends with the call, too.
func (c *Call) bound(ctx context.Context) (context.Context, context.CancelFunc) {
	ctx, cancel := context.WithCancel(ctx)
	stop := context.AfterFunc(c.ctx, cancel)
	return ctx, func() { stop(); cancel() }
}

// glareWait is how long to wait after a 491 (RFC 3261 section 14.1): the owner
// of the Call-ID 2.1 to 4 s, the other side 0 to 2 s, in units of 10 ms.
func (c *Call) glareWait() time.Duration {
	unit := c.srv.clock.glare
	c.mu.Lock()
	owner := c.dialog.owner
	c.mu.Unlock()
	if !owner {
		return time.Duration(rand.IntN(201)) * unit
	}
	return time.Duration(210+rand.IntN(191)) * unit
}

// pause waits for d, the end of ctx, or of the call.
func (c *Call) pause(ctx context.Context, d time.Duration) error {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	case <-c.done:
		return c.Err()
	}
}

// takeTurn waits until we may offer: no exchange and no INVITE is under way
// (RFC 3261 section 14.1).
func (c *Call) takeTurn(ctx context.Context) error {
	for {
		c.mu.Lock()
		if c.phase != answered {
			defer c.mu.Unlock()
			return c.stateLocked()
		}
		if c.turn == nobody && c.unacked == nil {
			c.turn = ours
			c.mu.Unlock()
			return nil
		}
		changed := c.changed
		c.mu.Unlock()
		select {
		case <-changed:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// reinvite makes one attempt.
func (c *Call) reinvite(ctx context.Context) error {
	c.mu.Lock()
	n := c.neg
	c.mu.Unlock()
	var body []byte
	err := contain(c.log, func() error {
		var err error
		body, err = n.Offer(ctx)
		return err
	})
	if err != nil {
		return err
	}
	invite, res, err := c.sendReinvite(ctx, body)
	switch {
	case err != nil:
		c.rollback()
		if errors.Is(err, sipnet.ErrTimeout) { // RFC 3261 section 14.1
			c.hang(ending{protocol: "SIP", cause: 408, text: "re-INVITE not answered", err: err})
		}
		return err
	case res.StatusCode > 299:
		c.rollback()
		return statusError(res)
	}
	c.mu.Lock()
	c.dialog.refresh(res)
	c.session.take(c, res)
	c.mu.Unlock()
	c.confirmAnswer(invite)
	if err := c.takeAnswer(res); err != nil {
		c.hang(ending{protocol: "SIP", cause: refusalOf(err).code, text: err.Error(), err: err})
		return err
	}
	return nil
}

// sendReinvite returns the INVITE that was answered, and its final response.
func (c *Call) sendReinvite(ctx context.Context, body []byte) (*sip.Request, *sip.Response, error) {
	auth := c.trunk.credentials()
	for {
		req := c.newRequest(sip.INVITE)
		req.AppendHeader(sip.NewHeader("Allow", allowed))
		c.mu.Lock()
		c.session.ask(req)
		c.mu.Unlock()
		setSDP(req, body)
		auth.sign(req)
		to, err := c.hop(ctx)
		if err != nil {
			return nil, nil, err
		}
		tx, err := c.sock.ep.Request(ctx, req, to)
		if err != nil {
			return nil, nil, err
		}
		res, err := c.finalOrCancel(ctx, tx)
		if err != nil {
			return nil, nil, err
		}
		if auth.learn(res) {
			continue
		}
		if res.StatusCode == 481 || res.StatusCode == 408 {
			c.lost(res, sip.INVITE)
		}
		return req, res, nil
	}
}

// finalOrCancel waits for the final response to an INVITE, which is cancelled
// when ctx or the call ends.
func (c *Call) finalOrCancel(ctx context.Context, tx *sipnet.ClientTx) (*sip.Response, error) {
	res, err := final(ctx, tx)
	if err == nil || ctx.Err() == nil {
		return res, err
	}
	tx.Cancel(reason("SIP", 487, "given up"))
	return final(c.srv.ctx, tx)
}
