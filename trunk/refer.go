package trunk

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"strconv"
	"strings"
	"sync"

	"github.com/emiago/sipgo/sip"

	"github.com/trunkcast/trunkcast/internal/sipnet"
)

// Referral is the far side's wish that we call somebody in its place (RFC
// 3515).
type Referral struct {
	To       sip.Uri // whom to call, without Replaces
	Replaces string  // value of the Replaces header to send there (RFC 3891), empty if there is none to
	By       string  // value of Referred-By (RFC 3892), empty without one
	Request  *sip.Request
}

// OnRefer sets what carries transfers out, for a trunk with Config.Transfers
// "accept"; with "follow" it is not asked. f runs in a goroutine of its own, with a context that ends with the
// call, and the far side is told what it returns: nil is 200, a *StatusError
// its code, another error 503. The call itself goes on; the far side ends it.
// Without f each REFER is refused 603.
func (c *Call) OnRefer(f func(ctx context.Context, r *Referral) error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.onRefer = f
}

// referred answers a REFER.
func (c *Call) referred(req *sip.Request, tx *sipnet.ServerTx) {
	r, no := c.referral(req)
	if no != nil {
		c.refuseRequest(tx, no)
		return
	}
	silent := strings.EqualFold(headerValue(req, "Refer-Sub"), "false") // RFC 4488
	res := tx.NewResponse(202, "Accepted", nil)
	if silent {
		res.AppendHeader(sip.NewHeader("Refer-Sub", "false"))
	}
	res.AppendHeader(c.localContact())
	respond(tx, res)
	c.log.Info("transfer begun", "to_host", r.To.Host)
	c.srv.spawn(func() {
		var begun sync.WaitGroup // of being confirmed: only the end waits for that
		if !silent {
			sent := make(chan struct{})
			begun.Go(func() {
				c.notify(req, "active;expires=180", "SIP/2.0 100 Trying", sync.OnceFunc(func() { close(sent) }))
			})
			<-sent
		}
		from, err := c.transfer(r)
		c.mu.Lock()
		c.referring = false
		c.mu.Unlock()
		line := fragment(err)
		c.log.Info("transfer ended", "result", line, "error", err)
		begun.Wait()
		if !silent {
			from.notify(req, "terminated;reason=noresource", line, func() {})
		}
		if from != c {
			from.expectBye()
		}
	})
}

// transfer carries a transfer out. The call returned is in the dialog of the one
// who has asked for it.
func (c *Call) transfer(r *Referral) (*Call, error) {
	if c.trunk.cfg.Transfers == "follow" {
		return c.follow(r)
	}
	c.mu.Lock()
	f := c.onRefer
	c.mu.Unlock()
	return c, contain(c.log, func() error { return f(c.ctx, r) })
}

func (c *Call) localContact() sip.Header {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.dialog.contact.Clone()
}

// referral reads a REFER and takes the turn of the one transfer that a call may
// have under way, or tells why it is refused.
func (c *Call) referral(req *sip.Request) (*Referral, *refusal) {
	if c.trunk.cfg.Transfers == "refuse" {
		return nil, &refusal{code: 603, rule: "transfers of trunk " + c.trunk.cfg.Name + ": refuse"}
	}
	list, err := sipnet.RouteURIs(req, "Refer-To")
	if err != nil || len(list) != 1 {
		return nil, &refusal{code: 400, rule: "REFER needs one Refer-To with a URI"}
	}
	r := &Referral{To: list[0], By: headerValue(req, "Referred-By"), Request: req}
	switch r.To.Scheme {
	case "sip", "sips", "tel":
	default:
		return nil, &refusal{code: 416, rule: "Refer-To of scheme " + r.To.Scheme}
	}
	if m, _ := r.To.UriParams.Get("method"); m != "" && !strings.EqualFold(m, "INVITE") {
		return nil, &refusal{code: 603, rule: "Refer-To asks for a " + m}
	}
	r.Replaces, _ = r.To.Headers.Get("Replaces")
	if plain, err := url.PathUnescape(r.Replaces); err == nil {
		r.Replaces = plain
	}
	r.To.Headers = nil
	c.mu.Lock()
	defer c.mu.Unlock()
	switch {
	case c.onRefer == nil && c.trunk.cfg.Transfers == "accept":
		return nil, &refusal{code: 603, rule: "nobody carries transfers out"}
	case c.phase != answered:
		return nil, &refusal{code: 603, rule: "transfer of a call that is not answered"}
	case c.referring:
		return nil, &refusal{code: 491, rule: "another transfer is under way"}
	}
	c.referring = true
	return r, nil
}

// fragment is the status line that tells the result of a transfer.
func fragment(err error) string {
	var status *StatusError
	switch {
	case err == nil:
		return "SIP/2.0 200 OK"
	case errors.As(err, &status):
		return fmt.Sprintf("SIP/2.0 %d %s", status.Code, reasonOr(status.Reason, "Refused"))
	}
	return "SIP/2.0 503 Service Unavailable"
}

// notify tells how a transfer stands (RFC 3515 section 2.4.4). sent is called, more
// than once maybe, when dialog and way of the NOTIFY are chosen.
func (c *Call) notify(refer *sip.Request, state, line string, sent func()) {
	ctx, cancel := context.WithTimeout(c.ctx, c.srv.clock.noACK)
	defer cancel()
	hop := func(ctx context.Context) (sipnet.Target, error) {
		defer sent()
		return c.hop(ctx)
	}
	_, err := c.transactBy(ctx, hop, func() *sip.Request {
		req := c.newRequest(sip.NOTIFY)
		req.AppendHeader(sip.NewHeader("Event", "refer;id="+strconv.FormatUint(uint64(refer.CSeq().SeqNo), 10)))
		req.AppendHeader(sip.NewHeader("Subscription-State", state))
		typ := sip.ContentTypeHeader("message/sipfrag;version=2.0")
		req.AppendHeader(&typ)
		req.SetBody([]byte(line + "\r\n"))
		return req
	})
	if err != nil && c.ctx.Err() == nil {
		c.log.Info("transfer not told", "error", err)
	}
}

// Replaced is the call in whose place an incoming one came (Replaces, RFC
// 3891) on a trunk with Config.Transfers "accept", nil for others. It ends when
// this one is answered.
func (c *Call) Replaced() *Call { return c.replaces }

// replacedBy finds the call that an INVITE is to replace, or tells why it is
// refused. Both are nil for an INVITE without Replaces.
func (t *Trunk) replacedBy(req *sip.Request) (*Call, *refusal) {
	list := req.GetHeaders("Replaces")
	if len(list) == 0 {
		return nil, nil
	}
	if t.cfg.Transfers == "refuse" {
		return nil, &refusal{code: 603, rule: "transfers of trunk " + t.cfg.Name + ": refuse"}
	}
	key, earlyOnly, ok := parseReplaces(list[0].Value())
	if !ok || len(list) > 1 {
		return nil, &refusal{code: 400, rule: "malformed Replaces"}
	}
	old := t.sock.find(key)
	if old == nil || old.trunk != t {
		return nil, &refusal{code: 481, rule: "Replaces names no call"}
	}
	old.mu.Lock()
	defer old.mu.Unlock()
	switch {
	case old.phase == ended:
		return nil, &refusal{code: 603, rule: "Replaces names a call that has ended"}
	case old.phase == answered && earlyOnly:
		return nil, &refusal{code: 486, rule: "Replaces names a call that was answered"}
	case old.phase == early:
		return nil, &refusal{code: 481, rule: "Replaces names a call that we have not answered"} // RFC 3891 section 3
	}
	return old, nil
}

// parseReplaces reads a Replaces header: the tags are those of the one who gets
// it.
func parseReplaces(value string) (key dialogKey, earlyOnly, ok bool) {
	id, params, _ := strings.Cut(value, ";")
	key.callID = strings.TrimSpace(id)
	for p := range strings.SplitSeq(params, ";") {
		name, v, _ := strings.Cut(p, "=")
		v = strings.TrimSpace(v)
		switch strings.ToLower(strings.TrimSpace(name)) {
		case "to-tag":
			key.local = v
		case "from-tag":
			key.remote = v
		case "early-only":
			earlyOnly = true
		}
	}
	if key.remote == "0" {
		key.remote = "" // RFC 2543
	}
	return key, earlyOnly, key.callID != "" && key.local != ""
}
