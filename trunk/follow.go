package trunk

import (
	"context"
	"errors"
	"slices"
	"time"

	"github.com/emiago/sipgo/sip"
)

// errMoved refuses what comes in a dialog that a call has left: 488.
var errMoved = errors.New("trunk: the call goes on in another dialog")

// moved is the Negotiator of such a dialog.
type moved struct{}

func (moved) Offer(context.Context) ([]byte, error)          { return nil, errMoved }
func (moved) Answer(context.Context, []byte) ([]byte, error) { return nil, errMoved }
func (moved) Accept(context.Context, []byte) error           { return errMoved }
func (moved) Rollback()                                      {}

// fullOffer offers a new party all there is, not what the last one has left of
// it.
type fullOffer struct{ Negotiator }

func (n fullOffer) Offer(ctx context.Context) ([]byte, error) {
	if full, can := n.Negotiator.(FullOfferer); can {
		return full.OfferFull(ctx)
	}
	return n.Negotiator.Offer(ctx)
}

// follow carries a transfer out by itself: it calls the party that the far side
// names with the media of this call, which goes on in the new dialog when that
// is answered. Until then, and if it is not, nothing changes. What is returned
// is in the dialog of the one who has asked: c itself, or the one that it has
// left.
func (c *Call) follow(r *Referral) (*Call, error) {
	ctx, cancel := c.bound(context.Background())
	defer cancel()
	if err := c.takeTurn(ctx); err != nil {
		return c, err
	}
	c.mu.Lock()
	n := fullOffer{c.neg}
	c.mu.Unlock()
	o := DialOptions{To: r.To.String()}
	for name, value := range map[string]string{"Replaces": r.Replaces, "Referred-By": r.By} {
		if value != "" {
			o.Headers = append(o.Headers, sip.NewHeader(name, value))
		}
	}
	inPlace := func(*Call) *refusal { return nil } // of this one: no limit counts it twice
	to, err := c.trunk.dial(ctx, n, o, inPlace)
	if err != nil {
		c.yield(nil)
		return c, err
	}
	return c.moveTo(ctx, to)
}

// goOnIn answers an INVITE with Replaces with the media of the call that it
// replaces, which goes on in the new dialog (RFC 3891 section 3).
func (c *Call) goOnIn(to *Call) {
	to.admitPeers(append(slices.Clone(to.dialog.routes), to.dialog.target))
	to.replaces = nil // it does not end by the answer
	c.log.Info("call is replaced", "by_call_id", to.id, "remote_addr", to.remote)
	c.srv.spawn(to.watchCancel)
	started := c.srv.spawn(func() {
		ctx, cancel := c.bound(context.Background())
		defer cancel()
		err := c.takeTurn(ctx)
		if err != nil {
			to.hang(ending{code: 603, protocol: "SIP", cause: 603, text: "the call to replace has ended", err: err})
			return
		}
		c.mu.Lock()
		n := c.neg
		c.mu.Unlock()
		if err := to.Answer(ctx, n); err != nil {
			c.yield(nil)
			to.hang(ending{code: 500, protocol: "SIP", cause: 500, text: "not answered", err: err})
			c.log.Info("call not replaced", "error", err)
			return
		}
		from, err := c.moveTo(ctx, to)
		if err != nil {
			return
		}
		from.hang(ending{protocol: "SIP", cause: 200, text: "replaced"})
	})
	if !started {
		to.end(&EndError{Reason: "server closed", Err: ErrServerClosed})
		to.release()
	}
}

// moveTo has the call go on in the dialog of to, which was answered with its
// Negotiator, and returns a call in the dialog that it leaves. Its turn to
// negotiate is taken, and given back.
func (c *Call) moveTo(ctx context.Context, to *Call) (*Call, error) {
	defer c.yield(nil)
	if err := to.takeTurn(ctx); err != nil { // a re-INVITE there may be under way
		to.hang(ending{protocol: "SIP", cause: 487, text: "the call that was transferred has ended", err: err})
		// The new party has gone already: the media is to be that of before.
		c.srv.spawn(func() { _ = c.Renegotiate(c.ctx) })
		return c, err
	}
	from := c.trunk.newCall(c.request, c.key, c.number)
	c.mu.Lock()
	if c.phase != answered {
		defer c.mu.Unlock()
		to.yield(nil)
		to.hang(ending{protocol: "SIP", cause: 487, text: "the call that was transferred has ended"})
		return c, c.stateLocked()
	}
	to.mu.Lock()
	from.phase, from.incoming, from.neg, from.referring = answered, c.incoming, moved{}, true
	from.dialog, from.remote, from.flow, from.near, from.ack = c.dialog, c.remote, c.flow, c.near, c.ack
	c.key, c.dialog, c.remote, c.flow, c.near, c.ack = to.key, to.dialog, to.remote, to.flow, to.near, to.ack
	to.near = nil
	c.session.stop()
	to.session.stop()
	c.session = to.session
	c.session.arm(c)
	c.sock.enter(from.key, from)
	c.sock.enter(c.key, c)
	to.mu.Unlock()
	c.mu.Unlock()
	c.log.Info("call goes on in another dialog", "new_call_id", to.id, "remote_addr", to.Remote())
	if to.end(&EndError{Reason: "goes on in the call " + c.id}) {
		to.release()
	}
	return from, nil
}

// expectBye ends a dialog that the call has left, if the far side does not in a
// while.
func (c *Call) expectBye() {
	timer := time.NewTimer(4 * c.srv.clock.t1)
	defer timer.Stop()
	select {
	case <-c.done:
	case <-timer.C:
		c.hang(ending{protocol: "SIP", cause: 200, text: "transferred"})
	case <-c.srv.ctx.Done():
		c.end(&EndError{Reason: "server closed", Err: ErrServerClosed})
		c.release()
	}
}
