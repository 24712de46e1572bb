package media

import "time"

// A DirectSink is a [Sink] that may tell that its WriteFrame never waits: for
// the network, a disk, or a lock that somebody holds while waiting. A Stream
// then calls it from the goroutine that brings the frame, rather than from one
// of its own, which saves a switch of goroutines for each frame: with many
// calls that is a large part of their cost.
//
// WriteFrame is still called by one goroutine at a time, in order, and without
// a lock of the Stream. It must not call the Stream's writing or closing
// methods.
type DirectSink interface {
	Sink
	// Direct is asked once, by Attach.
	Direct() bool
}

func direct(s Sink) bool {
	d, ok := s.(DirectSink)
	return ok && d.Direct()
}

// kick gives a direct sink what may leave now. It may be called from any
// goroutine, without the stream's mutex.
func (u *Subscription) kick() {
	if u.kicks.Add(1) > 1 {
		return // who is at it looks once more
	}
	for {
		n := u.kicks.Load()
		u.give()
		if u.kicks.CompareAndSwap(n, 0) {
			return
		}
	}
}

// nudge is kick for those who hold a lock or must not run the sink. It does
// nothing for a sink with a goroutine of its own, which the queue wakes.
func (u *Subscription) nudge() {
	if u.direct {
		go u.kick()
	}
}

// give is the body of kick.
func (u *Subscription) give() {
	for !u.given {
		f, wait, err := u.q.take(time.Now())
		switch {
		case u.ctx.Err() != nil:
			err = ErrClosed
		case f != nil:
			err = u.hand(f)
		case err != nil:
			err = ErrClosed
		case wait > 0:
			u.giveLater(wait)
			return
		default:
			return
		}
		if err != nil {
			u.given = true
			if u.later != nil {
				u.later.Stop()
			}
			go u.conclude(err)
		}
	}
}

func (u *Subscription) giveLater(d time.Duration) {
	if u.later == nil {
		u.later = time.AfterFunc(d, u.kick)
		return
	}
	u.later.Reset(d)
}
