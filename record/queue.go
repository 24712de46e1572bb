package record

import (
	"sync"

	"github.com/trunkcast/trunkcast/media"
)

// maxQueued bounds the bytes and maxFrames the frames that wait for the disk.
// More waits in the Stream.
const (
	maxQueued = 4 << 20
	maxFrames = 1024
)

// queue holds the frames between WriteFrame and the goroutine of a recording.
type queue struct {
	wake chan struct{} // there is something to read
	room chan struct{} // there may be room

	mu     sync.Mutex
	frames []*media.Frame
	first  int // those before it were taken
	bytes  int
	ended  bool
}

func (q *queue) init() {
	q.wake = make(chan struct{}, 1)
	q.room = make(chan struct{}, 1)
}

// push adds a frame if there is room.
func (q *queue) push(f *media.Frame) (ok bool, err error) {
	q.mu.Lock()
	defer q.mu.Unlock()
	size := f.Size()
	switch {
	case q.ended:
		return false, media.ErrClosed
	case q.bytes > 0 && (q.bytes+size > maxQueued || len(q.frames)-q.first == maxFrames):
		return false, nil
	}
	if q.first > 0 && len(q.frames) == cap(q.frames) {
		n := copy(q.frames, q.frames[q.first:])
		clear(q.frames[n:])
		q.first, q.frames = 0, q.frames[:n]
	}
	q.frames = append(q.frames, f)
	q.bytes += size
	signal(q.wake)
	return true, nil
}

func signal(c chan struct{}) {
	select {
	case c <- struct{}{}:
	default:
	}
}

// pop takes the first frame, nil if there is none. ended tells that none comes
// any more.
func (q *queue) pop() (f *media.Frame, ended bool) {
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.first == len(q.frames) {
		return nil, q.ended
	}
	f = q.frames[q.first]
	q.frames[q.first] = nil
	if q.first++; q.first == len(q.frames) { // the memory is used again
		q.first, q.frames = 0, q.frames[:0]
	}
	q.bytes -= f.Size()
	signal(q.room)
	return f, false
}

// end lets no more frames in.
func (q *queue) end() {
	q.mu.Lock()
	q.ended = true
	q.mu.Unlock()
	signal(q.wake)
	signal(q.room)
}
