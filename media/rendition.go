package media

import (
	"fmt"
	"runtime/debug"
	"slices"
	"sync"
	"time"
)

const (
	// maxWaiting and maxWaitingBytes bound what waits for a transcoder: some
	// seconds of audio.
	maxWaiting      = 128 // frames, a power of 2
	maxWaitingBytes = 1 << 20
	// wakeLag is how far video is ahead of audio before a transcoder is woken
	// for it.
	wakeLag = 100 * time.Millisecond
)

// findCodec returns the first of codecs for c, nil if there is none.
func findCodec(codecs []AudioCodec, c Codec) AudioCodec {
	i := slices.IndexFunc(codecs, func(a AudioCodec) bool { return a != nil && a.Codec() == c })
	if i < 0 {
		return nil
	}
	return codecs[i]
}

// renditionKey is what sinks must have in common to share an encoder.
type renditionKey struct {
	codec   Codec
	options EncoderOptions
}

// rendition transcodes the audio of a stream to one codec, in a goroutine of
// its own behind a bounded queue.
type rendition struct {
	stream *Stream
	key    renditionKey
	from   *Track
	wake   chan struct{}
	done   chan struct{}

	// Under the stream's mutex.
	sinks int
	ended bool
	err   error // why it could not go on

	mu       sync.Mutex
	ring     [maxWaiting]*Frame
	head, n  int
	bytes    int
	video    time.Duration // DTS of the latest video
	audio    time.Duration // PTS of the latest audio
	ticked   bool          // video is news
	flush    bool          // end in order
	aborted  bool
	stats    RenditionStats
	watchdog *time.Timer
}

func newRendition(s *Stream, key renditionKey, from *Track) *rendition {
	return &rendition{
		stream: s, key: key, from: from, wake: make(chan struct{}, 1), done: make(chan struct{}),
		stats: RenditionStats{Codec: key.codec, Encoder: key.options, Running: true},
	}
}

// push queues an audio frame. The oldest goes when there are too many.
func (r *rendition) push(f *Frame, size int) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.flush || r.aborted {
		return
	}
	for r.n > 0 && (r.n == maxWaiting || r.bytes+size > maxWaitingBytes) {
		r.shift()
		r.stats.Dropped++
	}
	r.ring[(r.head+r.n)%maxWaiting] = f
	r.n++
	r.bytes += size
	r.audio = max(r.audio, f.PTS)
	r.signal()
}

// shift takes the oldest frame out.
func (r *rendition) shift() *Frame {
	f := r.ring[r.head]
	r.ring[r.head] = nil
	r.head = (r.head + 1) % maxWaiting
	r.n--
	r.bytes -= f.Size()
	return f
}

// clock tells how far the video is.
func (r *rendition) clock(dts time.Duration) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.video, r.ticked = dts, true
	if dts-r.audio > wakeLag {
		r.signal()
	}
}

func (r *rendition) signal() {
	select {
	case r.wake <- struct{}{}:
	default:
	}
}

// stop ends the rendition: in order, with all that is queued, or at once.
func (r *rendition) stop(flush bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if flush {
		r.flush = true
	} else {
		r.aborted = true
	}
	r.signal()
}

// watch gives the rendition up when it has not ended after d: a codec hangs.
func (r *rendition) watch(d time.Duration) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.watchdog == nil {
		r.watchdog = time.AfterFunc(d, func() {
			r.stop(false)
			r.stream.log().Error("transcoder does not return, abandoned", "codec", string(r.key.codec))
			r.stream.renditionEnded(r, ErrAbandoned)
		})
	}
}

func (r *rendition) snapshot() RenditionStats {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.stats
}

// run is the goroutine.
func (r *rendition) run() {
	err := r.transcode()
	r.mu.Lock()
	if r.watchdog != nil {
		r.watchdog.Stop()
	}
	r.mu.Unlock()
	if err != nil {
		r.stream.log().Error("audio cannot be transcoded", "from", string(r.from.Codec), "to", string(r.key.codec), "error", err)
	}
	r.stream.renditionEnded(r, err)
}

func (r *rendition) transcode() (err error) {
	defer func() {
		if v := recover(); v != nil {
			err = fmt.Errorf("%w: codec: %v", ErrPanic, v)
			r.stream.log().Error("codec panicked", "panic", v, "stack", string(debug.Stack()))
		}
	}()
	t, err := newTranscoder(r.stream.Codecs, r.key, r.emit)
	if err != nil {
		return err
	}
	defer t.close()
	t.log = r.stream.log()
	r.publish(t)
	for r.step(t) {
		r.publish(t)
	}
	r.publish(t)
	return nil
}

// emit passes a frame on. end is where the next one begins.
func (r *rendition) emit(f *Frame, end time.Duration) { r.stream.deliver(r, f, end) }

// publish makes the counters of t visible.
func (r *rendition) publish(t *transcoder) {
	r.mu.Lock()
	defer r.mu.Unlock()
	st := t.stats
	st.Codec, st.Encoder, st.Running = r.key.codec, r.key.options, true
	st.Track, st.Dropped = t.out, r.stats.Dropped
	r.stats = st
}

// step does what is next: audio first, then silence up to the video. It
// returns false at the end.
func (r *rendition) step(t *transcoder) bool {
	for {
		r.mu.Lock()
		switch {
		case r.aborted:
			r.mu.Unlock()
			return false
		case r.n > 0:
			f := r.shift()
			r.mu.Unlock()
			t.frame(f)
			return true
		case r.flush:
			r.mu.Unlock()
			t.flush()
			return false
		case r.ticked:
			r.ticked = false
			at := r.video
			r.mu.Unlock()
			if t.video(at) {
				return true
			}
		default:
			r.mu.Unlock()
			<-r.wake
		}
	}
}
