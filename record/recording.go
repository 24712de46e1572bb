package record

import (
	"context"
	"errors"
	"fmt"
	"runtime/debug"
	"sync"
	"time"

	"github.com/trunkcast/trunkcast/media"
)

// Recording writes the frames of one stream into files. It is a media.Sink and
// an io.Closer, made by Recorder.Record.
type Recording struct {
	recorder *Recorder
	info     Info
	template *Template
	rotation Rotation
	format   Format
	needKey  func()
	pictures func() bool
	queue    queue
	done     chan struct{}

	cutter // belongs to the goroutine

	mu      sync.Mutex
	stats   RecordingStats
	err     error
	stalled bool
}

// RecordingStats are the counters of a recording.
type RecordingStats struct {
	// Path is the file that is being written, empty if there is none.
	Path string
	// Parts were begun.
	Parts int
	// Frames were put into files; Lost were not: while paused, before the
	// first key frame, of tracks that cannot be recorded.
	Frames, Lost uint64
	// Bytes were written.
	Bytes int64
	// Paused is set while nothing can be written.
	Paused bool
}

func newRecording(r *Recorder, info Info, o Options) (*Recording, error) {
	t, err := ParseTemplate(cmpOr(o.Template, r.Template))
	if err != nil {
		return nil, err
	}
	rec := &Recording{recorder: r, info: info.bounded(), template: t, rotation: r.Rotation, format: r.Format,
		needKey: o.NeedKeyFrame, pictures: o.Pictures, done: make(chan struct{})}
	if o.Rotation != nil {
		rec.rotation = *o.Rotation
	}
	if o.Format != nil {
		rec.format = *o.Format
	}
	if err := rec.rotation.check(); err != nil {
		return nil, err
	}
	if rec.format != MP4 && rec.format != MPEGTS {
		return nil, fmt.Errorf("%w: format %d", ErrOptions, rec.format)
	}
	rec.queue.init()
	rec.began = time.Now()
	return rec, nil
}

// Info returns what Record got.
func (r *Recording) Info() Info { return r.info }

// Started is when Record was called.
func (r *Recording) Started() time.Time { return r.began }

// Stats returns the counters now.
func (r *Recording) Stats() RecordingStats {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.stats
}

// Done is closed when the last file was given to the Finisher.
func (r *Recording) Done() <-chan struct{} { return r.done }

// Err is nil until Done; then it is media.ErrClosed or what ended the
// recording. Trouble with the disk does not end it.
func (r *Recording) Err() error {
	select {
	case <-r.done:
	default:
		return nil
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.err
}

// stallLimit is how long the disk may take no frame before Stalled tells.
const stallLimit = 2 * time.Second

// WriteFrame gives a frame to the goroutine that writes. It waits while more
// than 4 MiB are there already, which happens with a disk that is too slow or
// gone; a media.Stream meanwhile drops whole groups of pictures.
func (r *Recording) WriteFrame(ctx context.Context, f *media.Frame) error {
	if err := checkFrame(f); err != nil {
		return err
	}
	if err := ctx.Err(); err != nil {
		return context.Cause(ctx)
	}
	ok, err := r.queue.push(f)
	if ok || err != nil {
		return err
	}
	return r.waitWrite(ctx, f)
}

// waitWrite is the way of a frame for which there was no room.
func (r *Recording) waitWrite(ctx context.Context, f *media.Frame) error {
	t := time.AfterFunc(stallLimit, func() { r.setStalled(true) })
	defer t.Stop()
	for {
		if ok, err := r.queue.push(f); ok || err != nil {
			return err
		}
		select {
		case <-r.queue.room:
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
}

// setStalled tells of a disk that takes no data, once.
func (r *Recording) setStalled(v bool) {
	r.mu.Lock()
	tell := v && !r.stalled
	r.stalled = v
	path := r.stats.Path
	r.mu.Unlock()
	if tell {
		r.recorder.emit(Event{Type: Stalled, Info: r.info, Path: path, Err: ErrStalled})
	}
}

var errFrame = errors.New("record: a frame without track, codec or data")

func checkFrame(f *media.Frame) error {
	if f == nil || f.Track == nil || f.Track.Codec == "" || len(f.Data) == 0 {
		return errFrame
	}
	for _, d := range f.Data {
		if len(d) == 0 {
			return errFrame
		}
	}
	return nil
}

// Close ends the recording: what is queued is written, and the file given to
// the Finisher. It waits for that, but not longer than CloseTimeout: with a
// disk that does not respond it returns ErrStalled, and the goroutine ends
// when the disk lets it. It may be called more than once and from any
// goroutine.
func (r *Recording) Close() error {
	r.queue.end()
	t := time.NewTimer(cmpOr(r.recorder.CloseTimeout, defaultCloseTimeout))
	defer t.Stop()
	select {
	case <-r.done:
		if err := r.Err(); !errors.Is(err, media.ErrClosed) {
			return err
		}
		return nil
	case <-t.C:
		r.setStalled(true)
		return fmt.Errorf("%w: %s is not closed yet", ErrStalled, r.Stats().Path)
	}
}

// run is the goroutine of the recording.
func (r *Recording) run() {
	err := r.pump()
	r.queue.end()
	r.mu.Lock()
	r.err = err
	r.stats.Path = ""
	r.mu.Unlock()
	r.recorder.forget(r)
	close(r.done)
}

func (r *Recording) pump() (err error) {
	defer func() {
		if v := recover(); v != nil {
			err = fmt.Errorf("%w: %v", ErrPanic, v)
			if l := r.recorder.Logger; l != nil {
				l.Error("recording panicked", "stream", r.info.Stream, "panic", v, "stack", string(debug.Stack()))
			}
		}
	}()
	tick := time.NewTicker(r.partDuration())
	defer tick.Stop()
	for {
		f, ended := r.queue.pop()
		switch {
		case f != nil:
			r.take(f)
			r.moved()
		case ended:
			r.finish()
			return media.ErrClosed
		default:
			select {
			case <-r.queue.wake:
			case <-tick.C:
				r.tick()
			}
		}
	}
}

// moved notes that the disk took something again.
func (r *Recording) moved() {
	r.mu.Lock()
	r.stalled = false
	r.mu.Unlock()
}

func (r *Recording) partDuration() time.Duration { return cmpOr(r.recorder.PartDuration, defaultPart) }

// count adds to the counters.
func (r *Recording) count(change func(*RecordingStats)) {
	r.mu.Lock()
	defer r.mu.Unlock()
	change(&r.stats)
}

func (r *Recording) lose(n int) { r.count(func(s *RecordingStats) { s.Lost += uint64(n) }) }

// emit tells of an event of this recording.
func (r *Recording) emit(e Event) {
	e.Info = r.info
	r.recorder.emit(e)
}
