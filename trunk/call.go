package trunk

import (
	"context"
	"errors"
	"log/slog"
	"net/netip"
	"runtime/debug"
	"sync"
	"time"

	"github.com/emiago/sipgo/sip"

	"github.com/trunkcast/trunkcast/internal/sipnet"
)

// phase is where a call stands.
type phase int

const (
	early    phase = iota // not answered
	answered              // the 2xx was sent or came; the ACK may be under way
	ended
)

// turn tells whose offer waits for its answer (RFC 3264 section 4: one at a
// time).
type turn int

const (
	nobody turn = iota
	theirs
	ours
)

// Call is one call, incoming or outgoing. All methods may be called from any
// goroutine.
type Call struct {
	srv      *Server
	trunk    *Trunk
	sock     *socket
	id       string    // Call-ID of its first dialog
	key      dialogKey // mu guards it once there is a dialog
	incoming bool
	request  *sip.Request
	number   string
	offer    []byte // of the INVITE that came, nil without one
	remote   netip.AddrPort
	flow     *sipnet.Flow // of the INVITE
	started  time.Time
	replaces *Call // an incoming call takes its place
	log      *slog.Logger

	ctx      context.Context // ends with the call
	cancel   context.CancelCauseFunc
	done     chan struct{} // closed when the call has ended
	released chan struct{} // closed when its last transaction has, too
	left     chan struct{} // closed when the far side has said BYE

	mu         sync.Mutex
	phase      phase
	err        *EndError
	dialog     dialog
	neg        Negotiator
	turn       turn
	changed    chan struct{}    // closed and replaced when turn, unacked or phase changes
	invite     *sipnet.ServerTx // an INVITE of theirs without a final response
	unacked    *answer          // a 2xx of ours
	rel        reliable
	early      earlyMedia
	onRefer    func(context.Context, *Referral) error
	referring  bool          // a transfer is under way
	ack        *sip.Request  // our last ACK to a 2xx
	taking     chan struct{} // closed when the answer was taken that we have acknowledged; nil: none is
	answering  bool          // Answer or Reject was called
	answeredAt time.Time
	onInfo     func(*sip.Request)
	ringing    *time.Timer // repeats a provisional response
	notes      []any       // of the program's for the log: see Note
	session    session
	abandon    context.CancelCauseFunc // of Dial; nil on an incoming call
	near       []netip.Addr            // let in for this call
	release1   sync.Once
}

// ID is the Call-ID; of a call that was transferred (Config.Transfers "follow")
// the first one.
func (c *Call) ID() string { return c.id }

// Trunk is the trunk the call came by.
func (c *Call) Trunk() *Trunk { return c.trunk }

// Incoming tells that the far side called.
func (c *Call) Incoming() bool { return c.incoming }

// Request is the INVITE that began the call, as the listeners left it. It must
// not be changed.
func (c *Call) Request() *sip.Request { return c.request }

// Number is the number that was called: the user part of the URI that
// Config.NumberFrom chooses, percent escapes decoded, without parameters.
func (c *Call) Number() string { return c.number }

// Caller is the user part of the From header (P-Asserted-Identity is not
// looked at), CallerName its display name.
func (c *Call) Caller() string { return userOf(c.request.From().Address) }

// CallerName is the display name in the From header.
func (c *Call) CallerName() string { return unquote(c.request.From().DisplayName) }

// Remote is where the signalling comes from.
func (c *Call) Remote() netip.AddrPort {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.remote
}

// MediaAddr is the address to tell the far side in SDP: Config.MediaAddress or
// PublicAddress, or the local address of the route to it.
func (c *Call) MediaAddr() netip.Addr {
	c.mu.Lock()
	remote, f := c.remote, c.flow
	c.mu.Unlock()
	return c.trunk.mediaAddr(remote, f)
}

// Started is when the INVITE came or was sent.
func (c *Call) Started() time.Time { return c.started }

// Answered is when the 2xx was sent or came; zero before.
func (c *Call) Answered() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.answeredAt
}

// OnInfo sets what is told each INFO of the far side; it was answered 200
// already. It must not block.
func (c *Call) OnInfo(f func(req *sip.Request)) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.onInfo = f
}

// Done is closed when the call has ended (its Handler may still run).
func (c *Call) Done() <-chan struct{} { return c.done }

// Err tells why the call ended: an *EndError. Nil while it runs.
func (c *Call) Err() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.err == nil {
		return nil
	}
	return c.err
}

// newCall makes what incoming and outgoing calls have in common.
func (t *Trunk) newCall(req *sip.Request, key dialogKey, number string) *Call {
	c := &Call{
		srv: t.srv, trunk: t, sock: t.sock, id: key.callID, key: key, request: req, number: number, started: time.Now(),
		done: make(chan struct{}), released: make(chan struct{}), left: make(chan struct{}), changed: make(chan struct{}),
		log: t.srv.log.With("trunk", t.cfg.Name, "call_id", key.callID),
	}
	c.ctx, c.cancel = context.WithCancelCause(t.srv.ctx)
	return c
}

// startHandler runs the Handler of a call in a goroutine of its own. The call
// ends when it returns.
func (s *Server) startHandler(c *Call) {
	c.log.Info("call", "number", c.number, "caller", c.Caller(), "remote_addr", c.remote)
	s.spawn(c.watchCancel)
	started := s.serve(func() {
		err := contain(c.log, func() error {
			s.Handler.ServeCall(c.ctx, c)
			return nil
		})
		e := ending{code: 480, protocol: "Q.850", cause: 16}
		if err != nil {
			e = ending{code: 500, protocol: "SIP", cause: 500, text: "internal error", err: err}
		}
		c.hang(e)
	})
	if !started {
		c.end(&EndError{Reason: "server closed", Err: ErrServerClosed})
		c.release()
	}
}

// contain calls code of the user's and makes a panic an [ErrPanic].
func contain(log *slog.Logger, f func() error) (err error) {
	defer func() {
		if v := recover(); v != nil {
			log.Error("handler panicked", "panic", v, "stack", string(debug.Stack()))
			err = ErrPanic
		}
	}()
	return f()
}

// changedLocked wakes who waits for a change.
func (c *Call) changedLocked() {
	close(c.changed)
	c.changed = make(chan struct{})
}

// end ends the call once: Done is closed, the context ends, an INVITE of
// theirs that waits is answered 487. It reports whether this was the end.
func (c *Call) end(e *EndError) bool {
	c.mu.Lock()
	first, invite := c.endLocked(e)
	c.mu.Unlock()
	if first {
		c.ending(e, invite)
	}
	return first
}

func (c *Call) endLocked(e *EndError) (first bool, invite *sipnet.ServerTx) {
	if c.phase == ended {
		return false, nil
	}
	c.phase, c.err = ended, e
	invite, c.invite = c.invite, nil
	if c.ringing != nil {
		c.ringing.Stop()
	}
	c.session.stop()
	c.changedLocked()
	return true, invite
}

// ending does what follows from the end, outside of the lock.
func (c *Call) ending(e *EndError, invite *sipnet.ServerTx) {
	c.srv.leave(c)
	c.cancel(e)
	close(c.done)
	if invite != nil {
		respond(invite, invite.NewResponse(487, "", nil))
	}
	c.logEnd(e)
}

// Note adds an attribute to the line that the log gets when the call ends.
func (c *Call) Note(key string, value any) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.notes = append(c.notes, key, value)
}

// logEnd writes the only line about the end of a call. One that we refuse is a
// warning.
func (c *Call) logEnd(e *EndError) {
	level, msg := slog.LevelInfo, "call ended"
	args := []any{"number", c.number}
	c.mu.Lock()
	refused := c.incoming && c.answeredAt.IsZero() && !e.ByPeer && e.Code >= 400
	args = append(args, c.notes...)
	c.mu.Unlock()
	switch {
	case refused:
		level, msg = slog.LevelWarn, "call refused"
	case e.ByPeer:
		args = append(args, "ended_by", "far side", "duration", time.Since(c.started).Round(time.Millisecond))
	default:
		args = append(args, "ended_by", "us", "duration", time.Since(c.started).Round(time.Millisecond))
	}
	if e.Code != 0 {
		args = append(args, "code", e.Code)
	}
	if e.Reason != "" {
		args = append(args, "reason", e.Reason)
	}
	if e.Err != nil && e.Err.Error() != e.Reason {
		args = append(args, "error", e.Err)
	}
	c.log.Log(context.Background(), level, msg, args...)
}

// release forgets the dialog when nothing more is due in it.
func (c *Call) release() {
	c.release1.Do(func() {
		c.mu.Lock()
		key, near := c.key, c.near
		c.near = nil
		c.mu.Unlock()
		c.sock.leave(key, c)
		c.sock.unadmit(near)
		close(c.released)
	})
}

// ending tells how to end a call: the status of an incoming one that was not
// answered, and the Reason header of a BYE or CANCEL.
type ending struct {
	code     int
	protocol string // "SIP" or "Q.850"; empty: no Reason header
	cause    int
	text     string
	err      error
}

func (e ending) header() []sip.Header {
	if e.protocol == "" {
		return nil
	}
	return []sip.Header{reason(e.protocol, e.cause, e.text)}
}

// Hangup ends the call: BYE, CANCEL or, for an incoming call not answered yet,
// 480. why goes into the Reason header (RFC 3326) if not empty. It returns when
// the far side has confirmed, at the latest when ctx ends; nil if the call has
// ended already.
func (c *Call) Hangup(ctx context.Context, why string) error {
	e := ending{code: 480, text: why}
	if why != "" {
		e.protocol, e.cause = "Q.850", 16 // normal clearing
	}
	return c.hangup(ctx, e)
}

func (c *Call) hangup(ctx context.Context, e ending) error {
	if !c.hang(e) {
		return nil
	}
	select {
	case <-c.released:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// hang ends the call from our side and does not wait for the far one. It
// reports false if the call has ended already.
func (c *Call) hang(e ending) bool {
	c.mu.Lock()
	switch {
	case c.phase == ended:
		c.mu.Unlock()
		return false
	case c.phase == early && c.incoming:
		tx := c.invite
		c.mu.Unlock()
		if c.refuseInvite(tx, e) {
			return true
		}
		// A final response was faster. After a 2xx it takes a BYE.
		return c.isAnswered() && c.hang(e)
	case c.phase == early:
		c.mu.Unlock()
		c.abandon(&EndError{Reason: e.text, Err: e.err})
		return true
	}
	end := &EndError{Reason: e.text, Err: e.err}
	_, invite := c.endLocked(end)
	c.mu.Unlock()
	c.ending(end, invite)
	if !c.srv.serve(func() { c.sayBye(e) }) {
		c.release()
	}
	return true
}

// leave notes that the far side has said BYE, and tells whether it had before.
func (c *Call) leave() {
	c.mu.Lock()
	defer c.mu.Unlock()
	select {
	case <-c.left:
		return
	default:
	}
	close(c.left)
	if c.unacked != nil {
		close(c.unacked.stop) // who says BYE has heard the answer
	}
}

func (c *Call) hasLeft() bool {
	select {
	case <-c.left:
		return true
	default:
		return false
	}
}

func (c *Call) isAnswered() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.phase == answered
}

// sayBye ends the dialog. The BYE has to wait until the ACK has come, or will
// not (RFC 3261 section 15).
func (c *Call) sayBye(e ending) {
	defer c.release()
	c.mu.Lock()
	a := c.unacked
	c.mu.Unlock()
	if a != nil {
		select {
		case <-a.settled:
		case <-c.left:
			return
		case <-c.srv.ctx.Done():
			return
		}
		if errors.Is(a.err, sipnet.ErrCancelled) || errors.Is(a.err, errPeerLeft) {
			return
		}
	}
	ctx, cancel := context.WithTimeout(c.srv.ctx, c.srv.clock.noACK)
	defer cancel()
	go func() {
		select {
		case <-c.left: // at the same time as we: nobody may be there to confirm
			cancel()
		case <-ctx.Done():
		}
	}()
	_, err := c.transact(ctx, func() *sip.Request {
		req := c.newRequest(sip.BYE)
		for _, h := range e.header() {
			req.AppendHeader(h)
		}
		return req
	})
	if err != nil && !c.hasLeft() {
		c.log.Info("bye not confirmed", "error", err)
	}
}
