package media

import (
	"context"
	"errors"
	"fmt"
	"io"
	"runtime/debug"
	"sync"
	"sync/atomic"
	"time"
)

var (
	// ErrAbandoned tells that a sink did not return though its context was
	// done, or did not close in time. Its goroutine ends when it returns.
	ErrAbandoned = errors.New("media: sink did not return in time and was abandoned")
	// ErrPanic tells that a sink, or a codec, panicked.
	ErrPanic = errors.New("media: panic")
)

// phase is where the goroutine of a sink stands.
type phase int

const (
	writing phase = iota
	closing       // the sink's Close runs
	finished
)

// Subscription is one sink of a [Stream].
type Subscription struct {
	stream  *Stream
	sink    Sink // nil: read by a Source
	options SinkOptions
	q       queue
	ctx     context.Context // of the sink's WriteFrame
	cancel  context.CancelFunc
	done    chan struct{}
	written atomic.Uint64

	direct bool // the sink has no goroutine: see kick
	kicks  atomic.Int32
	given  bool        // kick has had the last frame
	later  *time.Timer // kick, for a frame that waits

	// Under the stream's mutex.
	detached bool   // gets no more frames
	routed   *Track // the audio track that what follows was decided for
	pass     bool   // audio goes through as it is
	audio    *rendition
	audioErr error

	mu     sync.Mutex
	phase  phase
	ending bool        // in order
	watch  *time.Timer // on the phase
	err    error
}

func newSubscription(s *Stream, sink Sink, o SinkOptions) *Subscription {
	u := &Subscription{stream: s, sink: sink, options: o, done: make(chan struct{})}
	u.ctx, u.cancel = context.WithCancel(context.Background())
	u.q.init(o)
	return u
}

// Name is that of the options.
func (u *Subscription) Name() string { return u.options.Name }

// Stats returns the counters now.
func (u *Subscription) Stats() SubscriptionStats {
	st := u.q.stats()
	st.Frames = u.written.Load()
	return st
}

// Done is closed when the sink has had its last frame and was closed.
func (u *Subscription) Done() <-chan struct{} { return u.done }

// Err tells why it ended: the sink's error, or ErrClosed, joined with that of
// the sink's Close; ErrAbandoned; ErrPanic. Nil until Done.
func (u *Subscription) Err() error {
	u.mu.Lock()
	defer u.mu.Unlock()
	return u.err
}

// AudioErr tells why the sink gets no audio: an *ErrNoEncoder, or what a
// codec said. Nil if it does, or if there is none.
func (u *Subscription) AudioErr() error {
	u.stream.mu.Lock()
	defer u.stream.mu.Unlock()
	if u.audio != nil {
		return u.audio.err
	}
	return u.audioErr
}

// Close detaches the sink: it gets what is queued, then it is closed. It may
// be called more than once and from any goroutine but the sink's own, and
// returns when that is done.
func (u *Subscription) Close() error {
	u.stream.detach(u)
	u.drain()
	<-u.done
	return nil
}

// run is the goroutine of a sink that is not direct.
func (u *Subscription) run() { u.conclude(u.pump()) }

// conclude closes the sink, which takes no more frames because of err.
func (u *Subscription) conclude(err error) {
	u.stream.detach(u)
	u.q.abort(ErrClosed)
	u.enter(closing)
	u.watchFor(u.stream.drainTimeout()+grace, u.abandon)
	if cerr := u.closeSink(); cerr != nil {
		err = errors.Join(err, cerr)
	}
	u.finish(err)
}

// pump writes frames until one fails or there are no more.
func (u *Subscription) pump() error {
	for {
		f, err := u.q.pop(u.ctx)
		if err != nil {
			return ErrClosed
		}
		if err = u.hand(f); err != nil {
			return err
		}
	}
}

// hand gives the sink a frame. An error is its last.
func (u *Subscription) hand(f *Frame) error {
	err := u.write(f)
	switch {
	case err == nil:
		u.written.Add(1)
	case u.ctx.Err() != nil:
		err = ErrClosed
	default:
		u.stream.logLater("sink failed", u, err)
	}
	return err
}

func (u *Subscription) write(f *Frame) (err error) {
	defer u.contain(&err)
	return u.sink.WriteFrame(u.ctx, f)
}

func (u *Subscription) closeSink() (err error) {
	defer u.contain(&err)
	if c, ok := u.sink.(io.Closer); ok {
		return c.Close()
	}
	return nil
}

// contain turns the panic of a sink into its error.
func (u *Subscription) contain(err *error) {
	if v := recover(); v != nil {
		*err = fmt.Errorf("%w: %v", ErrPanic, v)
		u.stream.log().Error("sink panicked", "sink", u.options.Name, "panic", v, "stack", string(debug.Stack()))
	}
}

// enter begins a phase, unless the end was reached.
func (u *Subscription) enter(p phase) (ok bool) {
	u.mu.Lock()
	defer u.mu.Unlock()
	if u.phase == finished {
		return false
	}
	u.phase = p
	return true
}

// watchFor calls fn after d, in place of what was to be called before.
func (u *Subscription) watchFor(d time.Duration, fn func()) {
	u.mu.Lock()
	defer u.mu.Unlock()
	if u.phase == finished {
		return
	}
	if u.watch != nil {
		u.watch.Stop()
	}
	u.watch = time.AfterFunc(d, fn)
}

// drain lets the sink have what is queued, for a while.
func (u *Subscription) drain() {
	if u.patient() {
		u.q.end(io.EOF)
		u.nudge()
	}
}

// patient begins the time for draining. It tells whether there is more to do.
func (u *Subscription) patient() bool {
	if u.sink == nil { // nobody waits for the reader of a Source
		u.q.end(io.EOF)
		u.finish(ErrClosed)
		return false
	}
	u.mu.Lock()
	first := !u.ending && u.phase == writing
	u.ending = true
	u.mu.Unlock()
	if first {
		u.watchFor(u.stream.drainTimeout(), u.expire)
	}
	return true
}

// expire ends draining.
func (u *Subscription) expire() {
	u.mu.Lock()
	late := u.phase == writing
	u.mu.Unlock()
	if late {
		u.q.abort(ErrClosed)
		u.cancel()
		u.nudge()
		u.watchFor(grace, u.abandon)
	}
}

// abort ends the sink without what is queued.
func (u *Subscription) abort() {
	u.q.abort(ErrClosed)
	u.cancel()
	if u.sink == nil {
		u.finish(ErrClosed)
		return
	}
	u.mu.Lock()
	u.ending = true
	write := u.phase == writing
	u.mu.Unlock()
	if write {
		u.watchFor(u.stream.drainTimeout(), u.abandon)
	}
	u.nudge()
}

// abandon gives the sink up.
func (u *Subscription) abandon() {
	if u.finish(ErrAbandoned) {
		u.cancel()
		u.stream.abandoned.Add(1)
		u.stream.log().Error("sink does not return, abandoned", "sink", u.options.Name)
	}
}

// finish reaches the end. Only the first call counts.
func (u *Subscription) finish(err error) bool {
	u.mu.Lock()
	first := u.phase != finished
	if first {
		u.phase, u.err = finished, err
		if u.watch != nil {
			u.watch.Stop()
		}
	}
	u.mu.Unlock()
	if first {
		u.cancel()
		close(u.done)
		u.stream.forget(u)
	}
	return first
}
