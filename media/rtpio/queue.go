package rtpio

import "github.com/trunkcast/trunkcast/media"

const (
	// maxQueued and maxQueuedBytes bound the frames that wait for their time;
	// beyond, the oldest leave early.
	maxQueued      = 256
	maxQueuedBytes = 8 << 20
)

// frameQueue holds the frames of a line in the order of their DTS.
type frameQueue struct {
	list  []*media.Frame
	first int
	bytes int
}

func (q *frameQueue) len() int           { return len(q.list) - q.first }
func (q *frameQueue) head() *media.Frame { return q.list[q.first] }
func (q *frameQueue) full() bool         { return q.len() > maxQueued || q.bytes > maxQueuedBytes }

// overflows tells that nobody takes frames out, though told to.
func (q *frameQueue) overflows() bool { return q.len() > 2*maxQueued || q.bytes > 2*maxQueuedBytes }

func (q *frameQueue) push(f *media.Frame) {
	if q.first > 0 && len(q.list) == cap(q.list) {
		n := copy(q.list, q.list[q.first:])
		clear(q.list[n:])
		q.list, q.first = q.list[:n], 0
	}
	q.list = append(q.list, f)
	q.bytes += f.Size()
}

func (q *frameQueue) pop() *media.Frame {
	f := q.list[q.first]
	q.list[q.first] = nil
	q.bytes -= f.Size()
	if q.first++; q.first == len(q.list) {
		q.list, q.first = q.list[:0], 0
	}
	return f
}
