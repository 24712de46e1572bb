package media

import (
	"context"
	"sync"
	"time"
)

const (
	// startDelay is how long audio waits for the first key frame.
	startDelay = time.Second
	// mergeWindow is the longest that a video frame waits for audio that is
	// behind it in a transcoder: an AAC frame of 21 ms, 43 ms of look-ahead,
	// a packet of 20 ms, and some for the scheduler.
	mergeWindow = 120 * time.Millisecond
)

// entry is a frame that waits.
type entry struct {
	f    *Frame
	at   time.Time // when it came
	size int       // bytes
}

func (e *entry) video() bool { return e.f.Track.Codec.Video() }
func (e *entry) key() bool   { return e.f.Key && e.video() }

// queue holds the frames that wait for one reader, bounded by bytes and age.
// What does not fit is lost by whole groups of pictures. It decides where the
// reader begins: with a key frame, or with audio when none comes in time.
type queue struct {
	maxBytes int
	maxAge   time.Duration
	wake     chan struct{} // of capacity 1
	timer    *time.Timer   // the reader's

	mu      sync.Mutex
	ring    []entry
	head, n int
	bytes   int

	started bool          // frames may leave
	startBy time.Time     // when audio goes without video
	from    time.Duration // audio before it is not wanted
	audio   time.Duration // DTS of the last audio that was queued
	waitKey bool          // video up to the next key frame is not wanted
	late    bool          // waitKey because frames were lost
	moved   bool          // the reader has taken a frame since then
	told    time.Time     // when the last loss was reported

	// With merge, audio comes from a transcoder and is put between the video
	// frames, which wait for it until the audio has reached mark.
	merge bool
	mark  time.Duration

	err     error // set: no more frames come
	dropped uint64
}

func (q *queue) init(o SinkOptions) {
	if q.maxBytes = o.MaxQueue; q.maxBytes <= 0 {
		q.maxBytes = defaultMaxQueue
	}
	if q.maxAge = o.MaxDelay; q.maxAge <= 0 {
		q.maxAge = defaultMaxDelay
	}
	q.wake = make(chan struct{}, 1)
	q.started = o.NoVideo
	q.waitKey = true
}

func (q *queue) slot(i int) *entry { return &q.ring[(q.head+i)&(len(q.ring)-1)] }

// pushed is what became of a frame.
type pushed struct {
	needKey bool // the reader cannot go on without a key frame
	behind  bool // frames were lost, which was not reported lately
}

// push adds a frame. end is where the next one of its track begins, if known.
func (q *queue) push(f *Frame, size int, end time.Duration, now time.Time) (p pushed) {
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.err != nil {
		return p
	}
	if f.Track.Codec.Video() {
		if q.waitKey && !f.Key {
			if q.late {
				q.dropped++
			}
			// A reader that is stuck cannot use a key frame, which costs the
			// others quality.
			p.needKey = !q.late || q.moved
			return p
		}
	} else if !q.wantsAudio(f, end, now) {
		return p
	}
	q.insert(q.place(f), entry{f, now, size})
	q.bytes += size
	if q.over(now) {
		p.behind = q.shed(now)
	}
	q.signal()
	return p
}

// wantsAudio tells whether an audio frame is to be queued.
func (q *queue) wantsAudio(f *Frame, end time.Duration, now time.Time) bool {
	if q.merge {
		q.mark = max(q.mark, end)
	}
	if !q.started && q.startBy.IsZero() {
		q.startBy = now.Add(min(startDelay, q.maxAge/2))
	}
	if f.DTS < q.from {
		return false
	}
	q.audio = f.DTS
	return true
}

// place finds where f belongs, mostly at the end. The first key frame goes
// before the audio that comes after it, and audio before it is dropped.
func (q *queue) place(f *Frame) int {
	i := q.n
	switch {
	case !f.Track.Codec.Video():
		for q.merge && i > 0 && q.slot(i-1).video() && q.slot(i-1).f.DTS > f.DTS {
			i--
		}
	case q.waitKey:
		q.waitKey, q.late = false, false
		if q.started {
			break
		}
		q.started, q.from = true, f.DTS
		for q.n > 0 && q.slot(0).f.DTS < f.DTS {
			q.remove()
		}
		i = 0
	}
	return i
}

// insert puts e before the i-th frame.
func (q *queue) insert(i int, e entry) {
	if q.n == len(q.ring) {
		grown := make([]entry, max(16, 2*q.n))
		for k := range q.n {
			grown[k] = *q.slot(k)
		}
		q.ring, q.head = grown, 0
	}
	for k := q.n; k > i; k-- {
		*q.slot(k) = *q.slot(k - 1)
	}
	*q.slot(i) = e
	q.n++
}

// remove takes the first frame out.
func (q *queue) remove() *Frame {
	e := q.slot(0)
	f := e.f
	q.bytes -= e.size
	*e = entry{}
	q.head = (q.head + 1) & (len(q.ring) - 1)
	q.n--
	return f
}

// over tells whether too much waits. One frame is never too much.
func (q *queue) over(now time.Time) bool {
	return q.n > 1 && (q.bytes > q.maxBytes || now.Sub(q.slot(0).at) > q.maxAge)
}

// shed drops the oldest frames up to a key frame from which the rest fits. It
// tells whether a report is due.
func (q *queue) shed(now time.Time) (report bool) {
	before, rest := q.n, q.bytes
	defer func() {
		q.dropped += uint64(before - q.n)
		if report = now.Sub(q.told) >= reportInterval; report {
			q.told = now
		}
	}()
	for i := 1; i < q.n; i++ {
		rest -= q.slot(i - 1).size
		if e := q.slot(i); e.key() && rest <= q.maxBytes && now.Sub(e.at) <= q.maxAge {
			for range i {
				q.remove()
			}
			return
		}
	}
	q.shedVideo(now)
	return
}

// shedVideo drops all video, and so much audio that it is not cut again soon.
func (q *queue) shedVideo(now time.Time) {
	keep := 0
	for i := range q.n {
		e := *q.slot(i)
		*q.slot(i) = entry{}
		if e.video() {
			q.waitKey, q.late, q.moved = true, true, false
			q.bytes -= e.size
		} else if q.bytes > q.maxBytes/2 && i < q.n-1 || now.Sub(e.at) > q.maxAge/2 {
			q.bytes -= e.size
		} else {
			*q.slot(keep) = e
			keep++
		}
	}
	q.n = keep
}

func (q *queue) signal() {
	select {
	case q.wake <- struct{}{}:
	default:
	}
}

// end lets the reader have what is queued and then err.
func (q *queue) end(err error) {
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.err == nil {
		q.err = err
	}
	q.signal()
}

// abort drops what is queued. The reader gets err at once.
func (q *queue) abort(err error) {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.dropped += uint64(q.n)
	for q.n > 0 {
		q.remove()
	}
	q.err = err
	q.signal()
}

// start lets audio go without video.
func (q *queue) start() {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.started = true
	q.signal()
}

// setMerge makes video wait for audio that comes late. Where audio came as it
// was until now, what a transcoder makes of the same time is not wanted.
func (q *queue) setMerge() {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.merge = true
	q.from = max(q.from, q.audio)
}

// take returns the next frame if it may leave now, or how long to wait at
// most for a better answer, 0 for as long as nothing happens.
func (q *queue) take(now time.Time) (f *Frame, wait time.Duration, err error) {
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.n == 0 {
		return nil, 0, q.err
	}
	if q.err == nil {
		if wait = q.holds(now); wait > 0 {
			return nil, wait, nil
		}
	}
	q.started, q.moved = true, true
	return q.remove(), 0, nil
}

// holds tells how long the first frame has to wait.
func (q *queue) holds(now time.Time) time.Duration {
	if !q.started {
		return q.startBy.Sub(now)
	}
	if e := q.slot(0); q.merge && e.video() && e.f.DTS > q.mark {
		return mergeWindow - now.Sub(e.at)
	}
	return 0
}

// pop waits for a frame. It is called by one goroutine at a time.
func (q *queue) pop(ctx context.Context) (*Frame, error) {
	for {
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		f, wait, err := q.take(time.Now())
		if f != nil || err != nil {
			return f, err
		}
		var expired <-chan time.Time
		if wait > 0 {
			if q.timer == nil {
				q.timer = time.NewTimer(wait)
			} else {
				q.timer.Reset(wait)
			}
			expired = q.timer.C
		}
		select {
		case <-q.wake:
		case <-expired:
		case <-ctx.Done():
		}
	}
}

func (q *queue) stats() (st SubscriptionStats) {
	q.mu.Lock()
	defer q.mu.Unlock()
	return SubscriptionStats{Dropped: q.dropped, Queued: q.bytes}
}
