package sipnet

import (
	"fmt"
	"sync"
	"time"

	"github.com/emiago/sipgo/sip"
)

// timerD is how long an INVITE that failed answers repeated responses over
// UDP (RFC 3261 section 17.1.1.2).
const timerD = 32 * time.Second

// keptProvisionals is how many provisional responses wait to be fetched.
const keptProvisionals = 16

// ClientTx is the client transaction of a request (RFC 3261 section 17.1, RFC
// 6026). All methods may be called from any goroutine. The ACK to a failure
// is sent by itself.
type ClientTx struct {
	e         *Endpoint
	key       string
	req       *sip.Request
	flow      *Flow
	invite    bool
	responses chan *sip.Response
	done      chan struct{}

	mu        sync.Mutex
	phase     phase
	err       error
	ack       *sip.Request // to the failure that came
	cancel    []sip.Header
	cancelled bool          // Cancel was called
	interval  time.Duration // of timers A and E
	again     *time.Timer   // A, E
	ending    *time.Timer   // B, D, F, K, M
}

func newClientTx(e *Endpoint, req *sip.Request, f *Flow) *ClientTx {
	return &ClientTx{
		e: e, key: clientKey(req), req: req, flow: f, invite: req.Method == sip.INVITE,
		responses: make(chan *sip.Response, keptProvisionals+1), done: make(chan struct{}),
	}
}

// Request is the request as it was sent, with its Via. It must not be
// changed.
func (tx *ClientTx) Request() *sip.Request { return tx.req }

// Flow is the way the request went.
func (tx *ClientTx) Flow() *Flow { return tx.flow }

// Responses gives the provisional responses and the final one, in order; it
// is closed after the final one, or when the transaction ends without: Err
// then tells why. Provisional responses that are not fetched are dropped
// beyond the newest 16, the final one never.
func (tx *ClientTx) Responses() <-chan *sip.Response { return tx.responses }

// Done is closed when the transaction takes no more responses.
func (tx *ClientTx) Done() <-chan struct{} { return tx.done }

// Err is nil before the end and after a final response; else [ErrTimeout],
// [ErrTransport], [ErrClosed] or [ErrTerminated], wrapped.
func (tx *ClientTx) Err() error {
	tx.mu.Lock()
	defer tx.mu.Unlock()
	return tx.err
}

func (tx *ClientTx) reliable() bool { return tx.flow.stream != nil }

// start sets timers A and B, or E and F, when the request has been sent.
func (tx *ClientTx) start() {
	tx.mu.Lock()
	defer tx.mu.Unlock()
	if tx.phase != calling && tx.phase != proceeding || tx.phase == proceeding && tx.invite {
		return // an answer was faster
	}
	tx.ending = tx.e.after(64*t1, func() { tx.end(ErrTimeout) })
	if !tx.reliable() {
		tx.interval = t1
		if tx.phase == proceeding {
			tx.interval = t2
		}
		tx.again = tx.e.after(tx.interval, tx.retransmit)
	}
}

// retransmit is timers A (RFC 3261 section 17.1.1.2) and E (17.1.2.2).
func (tx *ClientTx) retransmit() {
	tx.mu.Lock()
	if tx.phase != calling && (tx.invite || tx.phase != proceeding) {
		tx.mu.Unlock()
		return
	}
	tx.interval *= 2
	if !tx.invite && (tx.interval > t2 || tx.phase == proceeding) {
		tx.interval = t2
	}
	tx.again = tx.e.after(tx.interval, tx.retransmit)
	tx.mu.Unlock()
	tx.e.transmit(tx.req, tx.flow)
}

// receive takes a response. It reports false for one the user must see
// outside of the transaction: a repeated or forked 2xx.
func (tx *ClientTx) receive(res *sip.Response) bool {
	tx.mu.Lock()
	switch tx.phase {
	case calling, proceeding:
		if res.StatusCode < 200 {
			tx.provisionalLocked(res)
			break
		}
		linger := tx.finalLocked(res)
		tx.mu.Unlock()
		tx.deliver(res, linger)
		return true
	case accepted:
		tx.mu.Unlock()
		return res.StatusCode < 200 || res.StatusCode > 299
	case completed:
		ack := tx.ack
		tx.mu.Unlock()
		tx.e.count.repeated.Add(1)
		if ack != nil && res.StatusCode > 299 {
			tx.e.transmit(ack, tx.flow)
		}
		return true
	}
	tx.mu.Unlock()
	return true
}

func (tx *ClientTx) provisionalLocked(res *sip.Response) {
	first := tx.phase == calling
	tx.phase = proceeding
	if tx.invite && first {
		stopTimer(tx.again)
		stopTimer(tx.ending)
		if tx.cancelled {
			tx.sendCancelLocked()
		}
	}
	for len(tx.responses) >= keptProvisionals {
		select {
		case <-tx.responses:
		default:
		}
	}
	tx.responses <- res
}

// finalLocked enters the phase that follows from the final response res, and
// tells how long to stay in it.
func (tx *ClientTx) finalLocked(res *sip.Response) (linger time.Duration) {
	stopTimer(tx.again)
	stopTimer(tx.ending)
	switch {
	case tx.invite && res.StatusCode < 300:
		tx.phase = accepted
		return 64 * t1 // M: RFC 6026 section 7.2
	case tx.invite:
		tx.phase = completed
		tx.ack = newACK(tx.req, res)
		linger = timerD
	default:
		tx.phase = completed
		linger = t4 // K
	}
	if tx.reliable() {
		return 0
	}
	return linger
}

// deliver hands the final response out, after the ACK if it is a failure of an
// INVITE: whoever gets it may send the next request at once.
func (tx *ClientTx) deliver(res *sip.Response, linger time.Duration) {
	if tx.invite && res.StatusCode > 299 {
		tx.e.transmit(tx.ack, tx.flow)
	}
	tx.responses <- res // there is always room for it
	close(tx.responses)
	if linger == 0 {
		tx.end(nil)
		return
	}
	tx.mu.Lock()
	defer tx.mu.Unlock()
	if tx.phase != terminated {
		tx.ending = tx.e.after(linger, func() { tx.end(nil) })
	}
}

// Cancel cancels an INVITE (RFC 3261 section 9.1): the CANCEL, with headers
// added to it, goes out once a provisional response has come, over the flow
// of the INVITE. The INVITE still ends by a final response (487 mostly), or by
// [ErrTimeout] 64*T1 later. It does nothing after a final response, or the
// second time.
func (tx *ClientTx) Cancel(headers ...sip.Header) {
	tx.mu.Lock()
	defer tx.mu.Unlock()
	if !tx.invite || tx.cancelled || tx.phase != calling && tx.phase != proceeding {
		return
	}
	tx.cancelled, tx.cancel = true, headers
	if tx.phase == proceeding {
		tx.sendCancelLocked()
	}
}

func (tx *ClientTx) sendCancelLocked() {
	tx.ending = tx.e.after(64*t1, func() { tx.end(ErrTimeout) })
	cancel := newClientTx(tx.e, newCANCEL(tx.req, tx.cancel), tx.flow)
	tx.e.spawn(func() {
		if err := cancel.begin(); err != nil {
			tx.e.log.Info("cancel not sent", "remote_addr", tx.flow.remote, "call_id", tx.req.CallID().Value(), "error", err)
		}
	})
}

// begin enters the transaction in the table and sends its request.
func (tx *ClientTx) begin() error {
	if !tx.e.table.addClient(tx) {
		return fmt.Errorf("sipnet: branch in use: %s", branchOf(tx.req))
	}
	sent, err := tx.e.transmit(tx.req, tx.flow)
	switch {
	case err != nil:
		err = fmt.Errorf("%w: %w", ErrTransport, err)
	case !sent:
		err = ErrDropped
	case tx.e.ctx.Err() != nil:
		err = ErrClosed
	default:
		tx.start()
		return nil
	}
	tx.end(err)
	return err
}

// Terminate ends the transaction at once; nothing more is sent.
func (tx *ClientTx) Terminate() { tx.end(ErrTerminated) }

// connectionLost ends a transaction that still waits for a response.
func (tx *ClientTx) connectionLost(err error) {
	tx.end(fmt.Errorf("%w: %w", ErrTransport, err))
}

func (tx *ClientTx) end(err error) {
	tx.mu.Lock()
	defer tx.mu.Unlock()
	tx.endLocked(err)
}

// endLocked ends the transaction. err counts only without a final response.
func (tx *ClientTx) endLocked(err error) {
	if tx.phase == terminated {
		return
	}
	if tx.phase == calling || tx.phase == proceeding {
		tx.err = err
		close(tx.responses)
	}
	tx.phase = terminated
	stopTimer(tx.again)
	stopTimer(tx.ending)
	tx.e.table.removeClient(tx)
	close(tx.done)
}
