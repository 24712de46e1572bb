package sipnet

import (
	"sync"
	"time"
)

// order calls functions one after the other for each Call-ID, and those of
// different Call-IDs side by side. A function that takes longer than
// Limits.OrderWait no longer holds up the next.
type order struct {
	e      *Endpoint
	mu     sync.Mutex
	lanes  map[string]*lane
	closed bool
}

// lane is the row of one Call-ID; it exists while a function of it runs or
// waits.
type lane struct {
	id      string
	waiting []func()
	turn    int // number of the function that has its turn
	since   time.Time
	timer   *time.Timer // takes the turn away, set while another one waits
}

func (o *order) init(e *Endpoint) { o.e, o.lanes = e, map[string]*lane{} }

// add calls f in its turn, in a goroutine of its own. It reports false if too
// many wait already.
func (o *order) add(id string, f func()) bool {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.closed {
		return true
	}
	l := o.lanes[id]
	if l == nil {
		l = &lane{id: id}
		o.lanes[id] = l
		o.start(l, f)
		return true
	}
	if len(l.waiting) >= o.e.limits.PendingPerCID {
		return false
	}
	l.waiting = append(l.waiting, f)
	o.watch(l)
	return true
}

// start gives f the turn. o.mu is held.
func (o *order) start(l *lane, f func()) {
	turn := l.turn
	l.since = time.Now()
	started := o.e.spawn(func() {
		defer o.advance(l, turn)
		f()
	})
	if !started {
		delete(o.lanes, l.id)
	}
}

// watch sees to it that a waiting function gets its turn in time. o.mu is
// held.
func (o *order) watch(l *lane) {
	if l.timer != nil || len(l.waiting) == 0 {
		return
	}
	turn := l.turn
	l.timer = o.e.after(o.e.limits.OrderWait-time.Since(l.since), func() { o.advance(l, turn) })
}

// advance ends a turn, unless it was taken away before.
func (o *order) advance(l *lane, turn int) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if l.turn != turn || o.closed {
		return
	}
	l.turn++
	if l.timer != nil {
		l.timer.Stop()
		l.timer = nil
	}
	if len(l.waiting) == 0 {
		delete(o.lanes, l.id)
		return
	}
	f := l.waiting[0]
	l.waiting = l.waiting[1:]
	o.start(l, f)
	o.watch(l)
}

// close drops what waits.
func (o *order) close() {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.closed = true
	for _, l := range o.lanes {
		if l.timer != nil {
			l.timer.Stop()
		}
	}
	clear(o.lanes)
}
