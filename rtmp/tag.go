package rtmp

import (
	"bytes"
	"context"
	"sync"

	"github.com/trunkcast/trunkcast/media"
)

// tag is an audio, video or data message on its way through the server or to
// a reader. It is immutable.
type tag struct {
	kind     byte
	time     uint32 // ms
	payload  []byte
	codec    media.Codec // empty if unknown
	config   bool        // a sequence header
	key      bool        // video from which decoding can start
	enhanced bool        // needs Enhanced RTMP
}

// newTag reads what the server has to know of a message.
func newTag(kind byte, time uint32, payload []byte) (tag, error) {
	t := tag{kind: kind, time: time, payload: payload}
	if len(payload) == 0 {
		return t, nil
	}
	switch kind {
	case kindVideo:
		v, _, err := parseVideo(payload)
		if err != nil {
			return t, err
		}
		t.codec = v.codec
		t.enhanced = payload[0]&exVideo != 0
		t.config = v.codec != "" && v.packet == exSequenceStart
		t.key = v.key && !t.config
	case kindAudio:
		a, _, err := parseAudio(payload)
		if err != nil {
			return t, err
		}
		t.codec = a.codec
		t.enhanced = payload[0]&0xf0 == exAudio
		t.config = a.codec != "" && a.packet == exSequenceStart
	}
	return t, nil
}

// onMetaData is how a message that describes the stream begins: an AMF0 string.
var onMetaData = []byte("\x02\x00\x0aonMetaData")

// metadata tells whether the tag describes the stream.
func (t *tag) metadata() bool { return t.kind == kindData && bytes.HasPrefix(t.payload, onMetaData) }

// tagBuffer is a tagWriter that makes tags.
type tagBuffer struct {
	kind byte
	time uint32
	data []byte
	emit func(kind byte, time uint32, payload []byte)
	left int
}

func (b *tagBuffer) begin(_, kind byte, _, time uint32, n int) {
	b.kind, b.time, b.left = kind, time, n
	b.data = make([]byte, 0, n)
}

func (b *tagBuffer) bytes(p []byte) {
	b.data = append(b.data, p...)
	if b.left -= len(p); b.left == 0 {
		b.emit(b.kind, b.time, b.data)
		b.data = nil
	}
}

// gate decides what a slow reader loses: everything while max bytes wait, and
// after that the video up to the next key frame. Sequence headers and
// metadata pass always. Everybody begins with waitKey set.
type gate struct {
	max     int
	waitKey bool
	dropped uint64
}

func (g *gate) pass(t *tag, queued int, late bool) bool {
	if t.config || t.kind == kindData {
		return true
	}
	if queued > 0 && (queued+len(t.payload) > g.max || late) {
		g.waitKey = g.waitKey || t.kind == kindVideo
		g.dropped++
		return false
	}
	if t.kind == kindVideo && g.waitKey {
		if !t.key {
			g.dropped++
			return false
		}
		g.waitKey = false
	}
	return true
}

// tagQueue is a bounded queue of tags between a writer that never waits and
// one reader.
type tagQueue struct {
	mu     sync.Mutex
	gate   gate
	tags   []tag
	bytes  int
	err    error // once set, the reader gets it after the last tag
	notify chan struct{}
}

func newTagQueue(limit int) *tagQueue {
	return &tagQueue{gate: gate{max: limit, waitKey: true}, notify: make(chan struct{}, 1)}
}

// push appends t unless the gate drops it.
func (q *tagQueue) push(t tag) {
	q.mu.Lock()
	defer q.mu.Unlock()
	// Sequence headers pass the gate: a flood of them ends the reader instead.
	if q.err != nil || q.bytes > 4*q.gate.max {
		return
	}
	if q.gate.pass(&t, q.bytes, false) {
		q.tags = append(q.tags, t)
		q.bytes += len(t.payload)
		q.signal()
	}
}

// close lets the reader have what is there and then err.
func (q *tagQueue) close(err error) {
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.err == nil {
		q.err = err
	}
	q.signal()
}

// discard lets the reader have err at once.
func (q *tagQueue) discard(err error) {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.err, q.tags, q.bytes = err, nil, 0
	q.signal()
}

func (q *tagQueue) signal() {
	select {
	case q.notify <- struct{}{}:
	default:
	}
}

func (q *tagQueue) pop(ctx context.Context) (tag, error) {
	for {
		q.mu.Lock()
		if len(q.tags) > 0 {
			t := q.tags[0]
			q.tags[0] = tag{}
			q.tags = q.tags[1:]
			q.bytes -= len(t.payload)
			q.mu.Unlock()
			return t, nil
		}
		q.tags = nil
		err := q.err
		if err != nil {
			q.signal() // the error is for every later call too
		}
		q.mu.Unlock()
		if err != nil {
			return tag{}, err
		}
		select {
		case <-q.notify:
		case <-ctx.Done():
			return tag{}, context.Cause(ctx)
		}
	}
}

func (q *tagQueue) dropped() uint64 {
	q.mu.Lock()
	defer q.mu.Unlock()
	return q.gate.dropped
}

// tagSource is the media.Source of a tagQueue.
type tagSource struct {
	queue *tagQueue

	mu      sync.Mutex
	demuxer demuxer
}

// Tracks returns the tracks seen so far.
func (s *tagSource) Tracks() []*media.Track {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.demuxer.tracks()
}

// ReadFrame returns the next frame. Broken tags and tags of codecs that are
// not carried are left out.
func (s *tagSource) ReadFrame(ctx context.Context) (*media.Frame, error) {
	for {
		t, err := s.queue.pop(ctx)
		if err != nil {
			return nil, err
		}
		s.mu.Lock()
		f, err := s.demuxer.tag(t.kind, t.time, t.payload)
		s.mu.Unlock()
		if f != nil && err == nil {
			return f, nil
		}
	}
}
