package trunk

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/emiago/sipgo/sip"

	"github.com/trunkcast/trunkcast/internal/sipnet"
)

const (
	defaultRingTime = 3 * time.Minute
	// forkLife is how long after the INVITE's transaction a 2xx of another
	// branch may still come (RFC 6026 section 7.2).
	forkLife = 33 * time.Second
	maxForks = 16
)

// dialling is an INVITE of ours that begins a dialog. It stays known for a
// while after its end, for the 2xx of other branches.
type dialling struct {
	call    *Call
	invite  *sip.Request
	forget  *time.Timer
	rang    bool          // a provisional response came; for the goroutine that dials
	decided func()        // closes fate
	fate    chan struct{} // closed when it is known which 2xx the call takes, if any
	mu      sync.Mutex
	branch  string // tag of the one that has won, or empty
	others  map[string]*Call
	preview map[string]preview // of provisional responses, by tag
	rseq    map[string]uint64  // last RSeq, by tag (RFC 3262 section 4)
}

// preview is a session description in a provisional response. That of a reliable
// one is the answer, whatever comes later (RFC 3261 section 13.2.1).
type preview struct {
	body  []byte
	final bool
}

// Dial places a call and returns when it is answered: n.Offer made the offer,
// n.Accept took the answer, the ACK is out. The caller must Hangup in the end.
// A refusal is a *StatusError, a redirection beyond DialOptions.Redirects too. When ctx ends first the call
// is cancelled.
func (t *Trunk) Dial(ctx context.Context, n Negotiator, o DialOptions) (*Call, error) {
	return t.dial(ctx, n, o, t.srv.reserve)
}

// dial is Dial. admit may keep the call out.
func (t *Trunk) dial(ctx context.Context, n Negotiator, o DialOptions, admit func(*Call) *refusal) (*Call, error) {
	uri, err := t.dialURI(o)
	if err != nil {
		return nil, err
	}
	to, err := t.dialTarget(ctx, uri, o)
	if err != nil {
		return nil, fmt.Errorf("trunk: dial: %w", err)
	}
	req, err := t.newInvite(uri, to, o)
	if err != nil {
		return nil, fmt.Errorf("trunk: dial: %w", err)
	}
	if err := t.offer(ctx, req, n); err != nil {
		return nil, err
	}
	if o.RingTime <= 0 {
		o.RingTime = defaultRingTime
	}
	c := t.newOutgoing(req, n)
	ctx, cancel := context.WithTimeoutCause(ctx, o.RingTime, ErrRingTime)
	defer cancel()
	ctx, c.abandon = context.WithCancelCause(ctx)
	defer c.abandon(nil)
	stop := context.AfterFunc(c.ctx, func() { c.abandon(context.Cause(c.ctx)) })
	defer stop()
	if no := admit(c); no != nil {
		c.cancel(nil)
		c.rollback()
		if t.srv.isDraining() {
			return nil, ErrServerClosed
		}
		return nil, fmt.Errorf("%w: %s", ErrTooManyCalls, no.rule)
	}
	if err := c.place(ctx, to, o); err != nil {
		c.giveUp(err)
		return nil, err
	}
	return c, nil
}

// dialURI is the Request-URI.
func (t *Trunk) dialURI(o DialOptions) (sip.Uri, error) {
	if o.To != "" {
		var uri sip.Uri
		if err := sip.ParseUri(o.To, &uri); err != nil {
			return uri, fmt.Errorf("trunk: dial %q: %w", o.To, err)
		}
		if uri.Scheme != "sip" && uri.Scheme != "sips" && (uri.Scheme != "tel" || o.Direct) {
			return uri, fmt.Errorf("trunk: dial %q: not a SIP URI", o.To)
		}
		return uri, nil
	}
	if o.Number == "" {
		return sip.Uri{}, errors.New("trunk: dial: neither Number nor To")
	}
	uri := sip.Uri{Scheme: "sip", User: escapeUser(o.Number), Host: uriHost(t.cfg.Domain)}
	if t.cfg.Domain == t.cfg.ProxyIP && t.cfg.RemotePort != 0 && t.cfg.RemotePort != 5060 {
		uri.Port = t.cfg.RemotePort
	}
	return uri, nil
}

func (t *Trunk) dialTarget(ctx context.Context, uri sip.Uri, o DialOptions) (sipnet.Target, error) {
	if o.Direct && o.To != "" {
		return t.toURI(ctx, uri, t.cfg.Transport)
	}
	return t.toProxy(ctx)
}

// newInvite makes the INVITE, without a body.
func (t *Trunk) newInvite(uri sip.Uri, to sipnet.Target, o DialOptions) (*sip.Request, error) {
	contact, err := t.contact(to, uri.Scheme == "sips")
	if err != nil {
		return nil, err
	}
	name, user := o.DisplayName, o.From
	if name == "" {
		name = t.cfg.VisibleName
	}
	if user == "" {
		user = t.user()
	}
	req := sip.NewRequest(sip.INVITE, uri)
	req.AppendHeader(&sip.FromHeader{
		DisplayName: escapeName(name), Params: withTag(rand.Text()),
		Address: sip.Uri{Scheme: "sip", User: escapeUser(user), Host: uriHost(t.cfg.Domain)},
	})
	called := *uri.Clone()
	called.UriParams, called.Headers = nil, nil
	req.AppendHeader(&sip.ToHeader{Address: called})
	id := sip.CallIDHeader(o.CallID)
	if id == "" {
		id = sip.CallIDHeader(rand.Text())
	}
	if strings.ContainsAny(string(id), " \t\r\n") {
		return nil, errors.New("a Call-ID with white space")
	}
	req.AppendHeader(&id)
	req.AppendHeader(&sip.CSeqHeader{SeqNo: firstSeq(), MethodName: sip.INVITE})
	req.AppendHeader(&contact)
	for _, h := range t.capabilities() {
		req.AppendHeader(h)
	}
	if t.cfg.Reliable == "required" {
		req.AppendHeader(sip.NewHeader("Require", "100rel"))
	}
	for _, h := range o.Headers {
		if h != nil && !filledIn(h.Name()) {
			req.AppendHeader(sip.HeaderClone(h))
		}
	}
	return req, nil
}

// offer makes the body of the INVITE.
func (t *Trunk) offer(ctx context.Context, req *sip.Request, n Negotiator) error {
	var body []byte
	err := contain(t.srv.log, func() (err error) {
		body, err = n.Offer(ctx)
		return err
	})
	if err != nil {
		return fmt.Errorf("trunk: offer: %w", err)
	}
	setSDP(req, body)
	return nil
}

func (t *Trunk) newOutgoing(req *sip.Request, n Negotiator) *Call {
	from := req.From()
	key := dialogKey{callID: req.CallID().Value(), local: tagOf(from.Params)}
	c := t.newCall(req, key, userOf(req.Recipient))
	c.neg, c.turn = n, ours
	c.dialog = dialog{local: *from, remote: *req.To(), contact: *req.Contact(), localSeq: req.CSeq().SeqNo - 1, owner: true}
	return c
}

// place sends the INVITE until it is answered.
func (c *Call) place(ctx context.Context, to sipnet.Target, o DialOptions) error {
	auth := c.trunk.credentials()
	if o.AuthUser != "" || o.Password != "" {
		auth = &credentials{user: o.AuthUser, password: o.Password}
	}
	addrs, more := to.Others, redirects{left: o.Redirects}
	uri, again := c.request.Recipient, false
	for {
		req := c.nextInvite(uri, auth)
		d := c.sock.expect(c, req, o.RingTime+forkLife)
		res, err := c.attempt(ctx, req, to, d, o.OnProgress)
		switch {
		case err == nil && res.StatusCode < 300:
			return c.established(res, d, req)
		case err == nil && auth.learn(res):
			continue
		case to.Transport != "udp" && errors.Is(err, sipnet.ErrTransport) && !again && !d.rang && ctx.Err() == nil:
			again = true // a connection of before that was dead
			continue
		case next(res, err) && len(addrs) > 0 && ctx.Err() == nil:
			to.Addr, addrs = addrs[0], addrs[1:] // RFC 3263 section 4.3
			to.Others = addrs
			continue
		}
		if err == nil {
			if u, at, ok := c.redirected(ctx, &more, res); ok {
				uri, to, addrs = u, at, at.Others
				continue
			}
		}
		c.rollback()
		if err != nil {
			return fmt.Errorf("trunk: dial: %w", err)
		}
		return statusError(res)
	}
}

// next reports whether the next address of a name may do better.
func next(res *sip.Response, err error) bool {
	if err != nil {
		return errors.Is(err, sipnet.ErrTimeout) || errors.Is(err, sipnet.ErrTransport)
	}
	return res.StatusCode == 503
}

// nextInvite makes the INVITE of the next attempt: the first as it is.
func (c *Call) nextInvite(uri sip.Uri, auth *credentials) *sip.Request {
	req := c.request.Clone()
	req.Recipient = uri
	c.mu.Lock()
	req.CSeq().SeqNo = c.dialog.next()
	c.mu.Unlock()
	auth.sign(req)
	return req
}

// expect makes the answers of all branches find their INVITE.
func (k *socket) expect(c *Call, req *sip.Request, life time.Duration) *dialling {
	d := &dialling{call: c, invite: req, others: map[string]*Call{}, preview: map[string]preview{}, rseq: map[string]uint64{}}
	d.fate = make(chan struct{})
	d.decided = sync.OnceFunc(func() { close(d.fate) })
	id := c.id + "\x00" + c.key.local
	k.mu.Lock()
	defer k.mu.Unlock()
	if old := k.dials[id]; old != nil {
		old.forget.Stop()
	}
	d.forget = time.AfterFunc(life, func() { k.forget(id, d) })
	k.dials[id] = d
	return d
}

func (k *socket) forget(id string, d *dialling) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.dials[id] == d {
		delete(k.dials, id)
	}
}

// attempt sends one INVITE and waits for its final response. When ctx ends it
// is cancelled, and a 2xx that comes all the same is acknowledged and ended in
// the background.
func (c *Call) attempt(ctx context.Context, req *sip.Request, to sipnet.Target, d *dialling, progress func(*sip.Response)) (res *sip.Response, err error) {
	cancelled := false // then late sees to the end
	defer func() {
		if !cancelled {
			d.forget.Reset(forkLife)
		}
		if cancelled || err != nil || res.StatusCode > 299 { // else established decides
			d.decided()
		}
	}()
	c.mu.Lock()
	c.remote = to.Addr
	c.mu.Unlock()
	c.admitPeers(nil, to.Addr.Addr())
	tx, err := c.sock.ep.Request(ctx, req, to)
	if err != nil {
		return nil, err
	}
	c.mu.Lock()
	c.remote, c.flow, c.dialog.flow = tx.Flow().Remote(), tx.Flow(), tx.Flow()
	c.mu.Unlock()
	for {
		select {
		case res, ok := <-tx.Responses():
			switch {
			case !ok:
				return nil, tx.Err()
			case res.StatusCode >= 200:
				return res, nil
			}
			d.rang = true
			if !c.heard(res, d) {
				continue
			}
			d.note(res)
			if progress != nil && res.StatusCode > 100 {
				_ = contain(c.log, func() error { progress(res); return nil })
			}
		case <-ctx.Done():
			cause := context.Cause(ctx)
			tx.Cancel(reason("SIP", 487, cancelText(cause)))
			cancelled = true
			c.srv.serve(func() { d.late(tx) })
			return nil, cause
		}
	}
}

func cancelText(cause error) string {
	var e *EndError
	if errors.As(cause, &e) && e.Reason != "" {
		return e.Reason
	}
	if errors.Is(cause, ErrRingTime) {
		return "not answered in time"
	}
	return "given up"
}

// note keeps the session description of a provisional response: some peers
// leave it out of the 2xx.
func (d *dialling) note(res *sip.Response) {
	body, err := sdpOf(res)
	if err != nil || body == nil {
		return
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	tag := tagOf(res.To().Params)
	if old, known := d.preview[tag]; !old.final && (known || len(d.preview) < maxForks) {
		d.preview[tag] = preview{body, hasToken(res, "Require", "100rel")}
	}
}

// late waits for the end of an INVITE that was cancelled.
func (d *dialling) late(tx *sipnet.ClientTx) {
	for res := range tx.Responses() {
		if res.StatusCode >= 200 && res.StatusCode < 300 {
			d.fork(res)
		}
	}
	d.forget.Reset(forkLife)
}

// fork ends the dialog of a 2xx that nobody waits for: of another branch, or
// after a CANCEL (RFC 3261 section 13.2.2.4).
func (d *dialling) fork(res *sip.Response) {
	<-d.fate // a repeated 2xx may be faster than who waits for the first
	tag := tagOf(res.To().Params)
	d.mu.Lock()
	if tag == d.branch && d.branch != "" {
		d.mu.Unlock()
		d.call.acknowledge(res) // our own, after its end
		return
	}
	c := d.others[tag]
	known := c != nil
	if !known && len(d.others) < maxForks {
		c = d.call.sibling(res)
		d.others[tag] = c
	}
	d.mu.Unlock()
	switch {
	case c == nil: // more than any proxy forks to
	case known:
		c.acknowledge(res)
	default:
		c.confirmAnswer(d.invite)
		c.hang(ending{protocol: "SIP", cause: 487, text: "answered elsewhere or given up"})
	}
}

// sibling makes the dialog of a 2xx that is to end at once.
func (c *Call) sibling(res *sip.Response) *Call {
	key := c.key
	key.remote = tagOf(res.To().Params)
	s := c.trunk.newCall(c.request, key, c.number)
	c.mu.Lock()
	s.dialog, s.remote, s.flow = c.dialog, c.remote, c.flow
	c.mu.Unlock()
	s.dialog.answered(res)
	s.phase = answered
	c.sock.enter(key, s)
	return s
}

// established takes a 2xx: the dialog begins, the ACK goes out, the Negotiator
// gets the answer.
func (c *Call) established(res *sip.Response, d *dialling, invite *sip.Request) error {
	tag := tagOf(res.To().Params)
	c.mu.Lock()
	if c.phase == ended { // the server closes
		c.mu.Unlock()
		d.decided()
		d.fork(res)
		return c.Err()
	}
	c.phase, c.answeredAt = answered, time.Now()
	c.dialog.answered(res)
	c.key.remote = tag
	key, peers := c.key, append(slices.Clone(c.dialog.routes), c.dialog.target)
	c.session.take(c, res)
	c.mu.Unlock()
	d.mu.Lock()
	d.branch = tag
	before := d.preview[tag]
	d.mu.Unlock()
	d.decided()
	c.sock.enter(key, c)
	c.admitPeers(peers)
	c.confirmAnswer(invite)
	var err error
	if before.body != nil && (before.final || len(res.Body()) == 0) {
		err = c.takeBody(before.body)
	} else {
		err = c.takeAnswer(res)
	}
	c.yield(nil)
	if err != nil {
		c.hang(ending{protocol: "SIP", cause: refusalOf(err).code, text: err.Error(), err: err})
		return fmt.Errorf("trunk: answer: %w", err)
	}
	return nil
}

// giveUp ends a call that was not answered.
func (c *Call) giveUp(err error) {
	e := &EndError{Err: err}
	var status *StatusError
	if errors.As(err, &status) {
		e = &EndError{ByPeer: true, Code: status.Code, Reason: status.Warning, Err: err}
	}
	if c.end(e) {
		c.release()
	}
}
