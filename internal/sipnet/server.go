package sipnet

import (
	"errors"
	"sync"
	"sync/atomic"
	"time"

	"github.com/emiago/sipgo/sip"
)

// Timers of RFC 3261 section 17.1.1.1.
const (
	t1 = 500 * time.Millisecond // estimate of a round trip
	t2 = 4 * time.Second        // longest interval of retransmissions
	t4 = 5 * time.Second        // how long a message stays in the network
)

// tryingAfter is when an INVITE gets its 100 (RFC 3261 section 17.2.1).
const tryingAfter = 200 * time.Millisecond

// phase is where a transaction stands, server or client.
type phase int

const (
	calling    phase = iota // client: nothing came yet; server: nothing sent yet
	proceeding              // a provisional response was sent or came
	accepted                // INVITE: a 2xx was sent or came (RFC 6026)
	completed               // another final response
	confirmed               // server, INVITE: the ACK came
	terminated
)

// ServerTx is the server transaction of a request (RFC 3261 section 17.2, RFC
// 6026). All methods may be called from any goroutine.
//
// 100 Trying is sent by itself 200 ms after an INVITE without a response.
// Final responses other than 2xx to an INVITE are retransmitted until the
// ACK; repeating a 2xx is the user's: see Resend. A request other than INVITE
// without a final response ends after 64*T1, when its sender has given up.
type ServerTx struct {
	e             *Endpoint
	key, mergeKey string
	req           *sip.Request
	invite        bool
	flow          *Flow
	reply         atomic.Pointer[Flow] // where responses go
	tag           string
	cancelled     chan struct{}
	done          chan struct{}

	sending sync.Mutex // held over a transmission: responses leave in the order of the phases

	mu       sync.Mutex
	phase    phase
	last     *sip.Response // not changed once set
	cancel   *sip.Request
	err      error
	interval time.Duration // of timer G
	trying   *time.Timer
	again    *time.Timer // G
	ending   *time.Timer // H, I, J, L
}

func newServerTx(e *Endpoint, req *sip.Request, f *Flow) *ServerTx {
	tx := &ServerTx{
		e: e, key: serverKey(req, req.Method), mergeKey: mergeKey(req), req: req,
		invite: req.Method == sip.INVITE, flow: f,
		cancelled: make(chan struct{}), done: make(chan struct{}),
	}
	if tag, ok := req.To().Params.Get("tag"); ok {
		tx.tag = tag
	} else {
		tx.tag = e.Tag(req)
	}
	reply := f
	if f.stream == nil {
		reply = &Flow{transport: f.transport, local: f.local, remote: replyAddr(req.Via(), f.remote, f.transport)}
	}
	tx.reply.Store(reply)
	return tx
}

// start sets the timers of a transaction that has been entered in the table.
func (tx *ServerTx) start() {
	tx.mu.Lock()
	defer tx.mu.Unlock()
	if tx.phase != calling {
		return
	}
	if tx.invite {
		tx.trying = tx.e.after(tryingAfter, tx.sendTrying)
	} else {
		tx.ending = tx.e.after(64*t1, func() { tx.end(ErrTimeout) })
	}
}

func (tx *ServerTx) sendTrying() {
	tx.mu.Lock()
	idle := tx.phase == calling
	tx.mu.Unlock()
	if idle {
		tx.Respond(tx.NewResponse(100, "Trying", nil))
	}
}

// Request is the request as it came, and as the listener left it. It must not
// be changed: the transaction reads it at any time.
func (tx *ServerTx) Request() *sip.Request { return tx.req }

// Flow is the way the request came.
func (tx *ServerTx) Flow() *Flow { return tx.flow }

// Tag is the To tag of our responses: that of the request if it has one, else
// [Endpoint.Tag].
func (tx *ServerTx) Tag() string { return tx.tag }

// Cancelled is closed when a CANCEL came before a final response. The
// endpoint answers both.
func (tx *ServerTx) Cancelled() <-chan struct{} { return tx.cancelled }

// Cancel is the CANCEL that closed Cancelled, else nil.
func (tx *ServerTx) Cancel() *sip.Request {
	tx.mu.Lock()
	defer tx.mu.Unlock()
	return tx.cancel
}

// Done is closed when the transaction has ended.
func (tx *ServerTx) Done() <-chan struct{} { return tx.done }

// NewResponse makes a response with the headers RFC 3261 section 8.2.6 asks
// for and, where a dialog may come of it, Record-Route. An empty reason stands
// for the usual one.
func (tx *ServerTx) NewResponse(code int, reason string, body []byte) *sip.Response {
	return newResponse(tx.req, tx.tag, code, reason, body)
}

// Respond sends res and moves the transaction on. A To header without a tag
// gets Tag (except in a 100). After a CANCEL it returns [ErrCancelled], after
// a final response [ErrAnswered], after the end [ErrTimeout] or [ErrClosed],
// else the error of the network: the transaction has then moved on all the
// same, and a retransmission, of the request or of the response, sends res
// again; a 2xx to an INVITE is sent again by Resend only.
func (tx *ServerTx) Respond(res *sip.Response) error {
	res = cloneResponse(res)
	addTag(res, tx.tag)
	tx.sending.Lock()
	defer tx.sending.Unlock()
	if err := tx.advance(res); err != nil {
		return err
	}
	err := tx.transmit(res)
	if res.StatusCode >= 200 && !tx.invite && tx.reliable() {
		tx.end(nil) // timer J is zero there
	}
	return err
}

// advance enters the phase that follows from sending res.
func (tx *ServerTx) advance(res *sip.Response) error {
	tx.mu.Lock()
	defer tx.mu.Unlock()
	switch {
	case tx.cancel != nil:
		return ErrCancelled
	case tx.last != nil && tx.last.StatusCode >= 200:
		return ErrAnswered
	case tx.phase == terminated:
		return tx.err
	case res.StatusCode == 100 && tx.phase != calling:
		return nil
	}
	tx.last = res
	if res.StatusCode < 200 {
		tx.phase = proceeding
		stopTimer(tx.trying)
		return nil
	}
	tx.finalLocked(res.StatusCode)
	return nil
}

// finalLocked sets the timers after a final response.
func (tx *ServerTx) finalLocked(code int) {
	stopTimer(tx.trying)
	stopTimer(tx.ending)
	end := func() { tx.end(nil) }
	switch {
	case tx.invite && code < 300:
		tx.phase = accepted
		tx.ending = tx.e.after(64*t1, end) // L
	case tx.invite:
		tx.phase = completed
		tx.ending = tx.e.after(64*t1, end) // H
		if !tx.reliable() {
			tx.interval = t1
			tx.again = tx.e.after(tx.interval, tx.timerG)
		}
	default:
		tx.phase = completed
		if !tx.reliable() {
			tx.ending = tx.e.after(64*t1, end) // J
		}
		tx.e.table.unmerge(tx)
	}
}

func (tx *ServerTx) reliable() bool { return tx.flow.stream != nil }

func (tx *ServerTx) timerG() {
	tx.mu.Lock()
	if tx.phase != completed {
		tx.mu.Unlock()
		return
	}
	tx.interval = min(2*tx.interval, t2)
	tx.again = tx.e.after(tx.interval, tx.timerG)
	tx.mu.Unlock()
	tx.resend(true)
}

// Resend sends the last response once more: the 2xx to an INVITE until its
// ACK comes (RFC 6026 section 7.1), a provisional each minute. It works after
// the transaction has ended, too, but not after Close.
func (tx *ServerTx) Resend() error { return tx.resend(true) }

// resend sends the last response. With wait false it gives way to a
// transmission that is under way.
func (tx *ServerTx) resend(wait bool) error {
	if wait {
		tx.sending.Lock()
	} else if !tx.sending.TryLock() {
		return nil
	}
	defer tx.sending.Unlock()
	tx.mu.Lock()
	last := tx.last
	tx.mu.Unlock()
	if last == nil {
		return errors.New("sipnet: no response to send again")
	}
	return tx.transmit(last)
}

// repeat absorbs a retransmission of the request, which came over f.
func (tx *ServerTx) repeat(f *Flow) {
	tx.mu.Lock()
	answer := tx.phase == proceeding || tx.phase == completed
	tx.mu.Unlock()
	if f.stream != nil && !tx.reply.Load().Alive() {
		tx.reply.Store(f)
	}
	if answer {
		tx.resend(false)
	}
}

// transmit sends res. A connection that is gone is replaced by one to the
// address in the Via header (RFC 3261 section 18.2.2).
func (tx *ServerTx) transmit(res *sip.Response) error {
	reply := tx.reply.Load()
	_, err := tx.e.transmit(res, reply)
	if err == nil || reply.stream == nil || reply.Alive() {
		return err
	}
	via := tx.req.Via()
	f, dialErr := tx.e.connect(tx.e.ctx, Target{
		Transport: reply.transport,
		Addr:      replyAddr(via, tx.flow.remote, reply.transport),
		Host:      via.Host,
	})
	if dialErr != nil {
		return errors.Join(err, dialErr)
	}
	tx.reply.Store(f)
	_, err = tx.e.transmit(res, f)
	return err
}

// acked takes an ACK. It reports true if the ACK ends here, false if it is for
// a 2xx.
func (tx *ServerTx) acked() bool {
	tx.mu.Lock()
	switch tx.phase {
	case completed:
		tx.phase = confirmed
		stopTimer(tx.again)
		stopTimer(tx.ending)
		if !tx.reliable() {
			tx.ending = tx.e.after(t4, func() { tx.end(nil) }) // I
		}
	case confirmed:
	default:
		tx.mu.Unlock()
		return false
	}
	tx.mu.Unlock()
	if tx.reliable() {
		tx.end(nil)
	}
	return true
}

// cancelBy cancels an INVITE that has no final response yet, and reports
// whether it did. The 487 is still to be sent, by resend.
func (tx *ServerTx) cancelBy(req *sip.Request) bool {
	tx.mu.Lock()
	defer tx.mu.Unlock()
	if tx.phase != calling && tx.phase != proceeding {
		return false
	}
	tx.cancel = req
	tx.last = tx.NewResponse(487, "", nil)
	tx.finalLocked(487)
	close(tx.cancelled)
	return true
}

// end ends the transaction; err is what a later Respond returns if no final
// response was sent.
func (tx *ServerTx) end(err error) {
	tx.mu.Lock()
	defer tx.mu.Unlock()
	if tx.phase == terminated {
		return
	}
	tx.phase, tx.err = terminated, err
	stopTimer(tx.trying)
	stopTimer(tx.again)
	stopTimer(tx.ending)
	tx.e.table.removeServer(tx)
	close(tx.done)
}

func stopTimer(t *time.Timer) {
	if t != nil {
		t.Stop()
	}
}
