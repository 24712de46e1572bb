package relay

import (
	"container/heap"
	"sync"
	"time"
)

// maxUnderWay bounds the packets that a Link keeps.
const maxUnderWay = 20_000

// Link is one direction: what is sent comes out of deliver, late, twice or
// never. Its time is that of package time, so that testing/synctest drives it.
type Link struct {
	deliver func(channel int, packet []byte)
	done    chan struct{}
	wake    chan struct{}

	mu     sync.Mutex
	fate   *fate
	queue  underWay
	count  int64
	stats  Stats
	closed bool
}

// NewLink starts a direction. Several channels, such as RTP and RTCP, may
// share it. deliver is called by one goroutine, and owns the packet.
func NewLink(i Impairments, seed uint64, deliver func(channel int, packet []byte)) *Link {
	l := &Link{
		deliver: deliver, fate: newFate(i, seed),
		done: make(chan struct{}), wake: make(chan struct{}, 1),
	}
	go l.run()
	return l
}

// Set changes what the link does from now on; a burst under way goes on.
func (l *Link) Set(i Impairments) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.fate.Impairments = i.withDefaults()
}

// Send puts a packet on its way, and keeps it.
func (l *Link) Send(channel int, packet []byte) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.closed {
		return
	}
	l.stats.Received++
	if f := l.fate.Filter; f != nil {
		if packet = f(packet); packet == nil {
			l.stats.Filtered++
			return
		}
	}
	for i, at := range l.fate.decide(time.Now(), len(packet), &l.stats) {
		if len(l.queue) >= maxUnderWay {
			l.stats.Overflowed++
			continue
		}
		if i > 0 {
			packet = append([]byte(nil), packet...)
		}
		l.count++
		heap.Push(&l.queue, parcel{at: at, number: l.count, channel: channel, packet: packet})
	}
	select {
	case l.wake <- struct{}{}:
	default:
	}
}

// Stats returns the counts so far.
func (l *Link) Stats() Stats {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.stats
}

// Close drops what is under way and waits for a delivery that is being made.
// It may be called again, but not from deliver.
func (l *Link) Close() {
	l.mu.Lock()
	if !l.closed {
		l.closed = true
		close(l.wake)
	}
	l.mu.Unlock()
	<-l.done
}

// run delivers what is due.
func (l *Link) run() {
	defer close(l.done)
	timer := time.NewTimer(time.Hour)
	defer timer.Stop()
	for {
		due, wait, ok := l.next()
		if !ok {
			return
		}
		if due != nil {
			l.deliver(due.channel, due.packet)
			continue
		}
		timer.Reset(wait)
		select {
		case <-l.wake:
		case <-timer.C:
		}
	}
}

// next returns the packet that is due, or how long to wait for one.
func (l *Link) next() (due *parcel, wait time.Duration, ok bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.closed {
		return nil, 0, false
	}
	if len(l.queue) == 0 {
		return nil, time.Hour, true
	}
	if wait := time.Until(l.queue[0].at); wait > 0 {
		return nil, wait, true
	}
	p := heap.Pop(&l.queue).(parcel)
	l.stats.Sent++
	return &p, 0, true
}

// parcel is a packet under way.
type parcel struct {
	at      time.Time
	number  int64 // of sending: the order of those due at the same time
	channel int
	packet  []byte
}

// underWay is a heap by time of delivery.
type underWay []parcel

func (u underWay) Len() int      { return len(u) }
func (u underWay) Swap(i, j int) { u[i], u[j] = u[j], u[i] }
func (u underWay) Less(i, j int) bool {
	if u[i].at.Equal(u[j].at) {
		return u[i].number < u[j].number
	}
	return u[i].at.Before(u[j].at)
}

func (u *underWay) Push(x any) { *u = append(*u, x.(parcel)) }

func (u *underWay) Pop() any {
	last := (*u)[len(*u)-1]
	(*u)[len(*u)-1] = parcel{}
	*u = (*u)[:len(*u)-1]
	return last
}
