package trunk

import (
	"context"
	"errors"
	"fmt"
	"net/netip"

	"github.com/emiago/sipgo/sip"

	"github.com/trunkcast/trunkcast/internal/sipnet"
)

// statusError makes an error of a final response.
func statusError(res *sip.Response) *StatusError {
	e := &StatusError{Code: res.StatusCode, Reason: res.Reason, Warning: textOf(res, "Warning")}
	if res.StatusCode < 400 {
		for _, u := range contactsOf(res) {
			e.Contacts = append(e.Contacts, u.String())
		}
	}
	return e
}

// newRequest makes the next request of the dialog.
func (c *Call) newRequest(method sip.RequestMethod) *sip.Request {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.dialog.request(c.key.callID, method, c.dialog.next())
}

// hop says how the next request of the dialog goes: over the connection of the
// far side while that lives, else to the host of the first route or the target.
func (c *Call) hop(ctx context.Context) (sipnet.Target, error) {
	c.mu.Lock()
	d := c.dialog
	c.mu.Unlock()
	return c.hopOf(ctx, &d)
}

// hopOf is hop for a copy of a dialog's state.
func (c *Call) hopOf(ctx context.Context, d *dialog) (sipnet.Target, error) {
	uri, f, routed := d.nextHop(), d.flow, len(d.routes) > 0
	if f.Transport() != "udp" && f.Alive() {
		return sipnet.Target{Transport: f.Transport(), Addr: f.Remote(), Flow: f}, nil
	}
	to, err := c.trunk.toURI(ctx, uri, f.Transport())
	if err == nil && !routed && behindNAT(to.Addr.Addr(), f.Remote().Addr()) {
		err = errors.New("trunk: a private address in the Contact of a peer that has another")
	}
	if err != nil {
		c.log.Debug("request goes to the source of the last one", "error", err)
		to = sipnet.Target{Transport: f.Transport(), Addr: f.Remote(), TLS: c.trunk.clientTLS,
			SentBy: c.trunk.sentBy(f.Remote().Addr()), TryTCP: c.trunk.cfg.LargeRequests == "tcp"}
	}
	if f.Transport() == "udp" && to.Transport == "udp" && to.Addr == f.Remote() {
		to.Flow = f // answers from the address the peer knows
	}
	return to, nil
}

// behindNAT reports whether a peer names an address that cannot be its own as
// we see it.
func behindNAT(named, seen netip.Addr) bool {
	hidden := func(a netip.Addr) bool {
		return a.IsPrivate() || a.IsLoopback() || a.IsUnspecified() || a.IsLinkLocalUnicast()
	}
	return named != seen && (named.IsUnspecified() || hidden(named) && !hidden(seen))
}

// transact sends a request of the dialog and returns its final response; a
// digest challenge is answered. make is called for each attempt. A response
// that means that the far side knows the dialog no more ends the call (RFC 3261
// section 12.2.1.2).
func (c *Call) transact(ctx context.Context, make func() *sip.Request) (*sip.Response, error) {
	return c.transactBy(ctx, c.hop, make)
}

// transactBy is transact with a way of its own.
func (c *Call) transactBy(ctx context.Context, hop func(context.Context) (sipnet.Target, error),
	make func() *sip.Request) (*sip.Response, error) {
	auth := c.trunk.credentials()
	for {
		req := make()
		auth.sign(req)
		to, err := hop(ctx)
		if err != nil {
			return nil, err
		}
		tx, err := c.sock.ep.Request(ctx, req, to)
		if err != nil {
			return nil, err
		}
		res, err := final(ctx, tx)
		if err != nil {
			return nil, err
		}
		if auth.learn(res) {
			continue
		}
		if res.StatusCode == 481 || res.StatusCode == 408 {
			c.lost(res, req.Method)
		}
		return res, nil
	}
}

// lost ends a call whose dialog the far side does not know.
func (c *Call) lost(res *sip.Response, method sip.RequestMethod) {
	switch method {
	case sip.BYE:
		return
	case sip.PRACK, sip.NOTIFY: // of one branch of a fork; of the transfer only (RFC 5057 section 5.1)
		return
	}
	c.hang(ending{protocol: "SIP", cause: res.StatusCode, text: fmt.Sprintf("%s answered %d", method, res.StatusCode), err: statusError(res)})
}

// final waits for the final response. The transaction outlives ctx.
func final(ctx context.Context, tx *sipnet.ClientTx) (*sip.Response, error) {
	for {
		select {
		case res, ok := <-tx.Responses():
			if !ok {
				return nil, tx.Err()
			}
			if res.StatusCode >= 200 {
				return res, nil
			}
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
}

// credentials are those of the trunk.
func (t *Trunk) credentials() *credentials {
	return &credentials{user: t.cfg.AuthUser, password: t.cfg.Password}
}

// Do sends a request within the dialog, such as INFO, and returns the final
// response. Request-URI, Via, Route, From, To, Call-ID, CSeq and Contact are
// filled in. A digest challenge is answered. INVITE, ACK, BYE, CANCEL and PRACK
// have methods of their own and are refused.
func (c *Call) Do(ctx context.Context, req *sip.Request) (*sip.Response, error) {
	switch req.Method {
	case sip.INVITE, sip.ACK, sip.BYE, sip.CANCEL, sip.PRACK, "":
		return nil, fmt.Errorf("trunk: a %q is not for Do", req.Method)
	}
	c.mu.Lock()
	if c.phase != answered {
		defer c.mu.Unlock()
		return nil, c.stateLocked()
	}
	c.mu.Unlock()
	ctx, cancel := c.bound(ctx)
	defer cancel()
	res, err := c.transact(ctx, func() *sip.Request {
		full := c.newRequest(req.Method)
		for _, h := range req.Headers() {
			if !filledIn(h.Name()) {
				full.AppendHeader(sip.HeaderClone(h))
			}
		}
		if req.Body() != nil {
			full.SetBody(req.Body())
		}
		return full
	})
	if err != nil && ctx.Err() != nil {
		err = c.errOr(err)
	}
	return res, err
}

// filledIn names the headers that are ours to set.
func filledIn(name string) bool {
	switch sip.HeaderToLower(name) {
	case "via", "route", "from", "to", "call-id", "cseq", "contact", "max-forwards", "content-length", "record-route":
		return true
	}
	return false
}

// acknowledge sends the ACK to a 2xx of the dialog, again if the 2xx came
// again.
func (c *Call) acknowledge(res *sip.Response) {
	c.mu.Lock()
	ack := c.ack
	if ack != nil && ack.CSeq().SeqNo != res.CSeq().SeqNo {
		ack = nil
	}
	c.mu.Unlock()
	if ack != nil {
		c.sendACK(ack)
	}
}

// confirmAnswer makes and sends the ACK to a 2xx to our INVITE invite (RFC 3261
// section 13.2.2.4).
func (c *Call) confirmAnswer(invite *sip.Request) {
	c.mu.Lock()
	ack := c.dialog.request(c.key.callID, sip.ACK, invite.CSeq().SeqNo)
	for _, name := range []string{"Authorization", "Proxy-Authorization"} {
		for _, h := range invite.GetHeaders(name) {
			ack.AppendHeader(sip.HeaderClone(h))
		}
	}
	c.ack = ack
	if c.turn == ours && c.taking == nil {
		c.taking = make(chan struct{})
	}
	c.mu.Unlock()
	c.sendACK(ack)
}

func (c *Call) sendACK(ack *sip.Request) {
	to, err := c.hop(c.srv.ctx)
	if err == nil {
		// A copy: sending adds the Via, and each transmission is one of its own.
		err = c.sock.ep.Send(c.srv.ctx, ack.Clone(), to)
	}
	if err != nil {
		c.log.Info("ack not sent", "error", err) // its 2xx comes again
	}
}
