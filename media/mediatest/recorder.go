package mediatest

import (
	"context"
	"slices"
	"sync"
	"time"

	"github.com/trunkcast/trunkcast/media"
)

// Recorder is a media.Sink and an io.Closer that keeps what it gets. The zero
// value takes everything.
type Recorder struct {
	// Before, if not nil, is called first in each WriteFrame, and its error
	// returned: to be slow, to fail, to hang, to panic.
	Before func(ctx context.Context, f *media.Frame) error
	// OnClose is called by the first Close, and its error returned.
	OnClose func() error
	// Inline makes it a media.DirectSink.
	Inline bool

	mu     sync.Mutex
	frames []*media.Frame
	times  []time.Time
	closes int
	after  int
	change chan struct{} // closed at the next frame or Close
}

// WriteFrame keeps f.
func (r *Recorder) WriteFrame(ctx context.Context, f *media.Frame) error {
	if r.Before != nil {
		if err := r.Before(ctx, f); err != nil {
			return err
		}
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.closes > 0 {
		r.after++
		return media.ErrClosed
	}
	r.frames = append(r.frames, f)
	r.times = append(r.times, time.Now())
	r.changed()
	return nil
}

// Direct is Inline.
func (r *Recorder) Direct() bool { return r.Inline }

// Close counts.
func (r *Recorder) Close() error {
	r.mu.Lock()
	r.closes++
	first := r.closes == 1
	r.changed()
	r.mu.Unlock()
	if first && r.OnClose != nil {
		return r.OnClose()
	}
	return nil
}

func (r *Recorder) changed() {
	if r.change != nil {
		close(r.change)
		r.change = nil
	}
}

// Frames returns what came so far.
func (r *Recorder) Frames() []*media.Frame {
	r.mu.Lock()
	defer r.mu.Unlock()
	return slices.Clone(r.frames)
}

// Times returns when the frames came.
func (r *Recorder) Times() []time.Time {
	r.mu.Lock()
	defer r.mu.Unlock()
	return slices.Clone(r.times)
}

// Closed returns how often Close was called, and how often WriteFrame after
// it.
func (r *Recorder) Closed() (closes, writesAfter int) {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.closes, r.after
}

// Wait returns when ok is true of the frames and the number of Close calls,
// or with ctx's error.
func (r *Recorder) Wait(ctx context.Context, ok func(frames []*media.Frame, closes int) bool) error {
	for {
		r.mu.Lock()
		if ok(r.frames, r.closes) {
			r.mu.Unlock()
			return nil
		}
		if r.change == nil {
			r.change = make(chan struct{})
		}
		change := r.change
		r.mu.Unlock()
		select {
		case <-change:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// Of returns the frames of one kind.
func Of(video bool, frames []*media.Frame) []*media.Frame {
	return slices.DeleteFunc(slices.Clone(frames), func(f *media.Frame) bool { return f.Track.Codec.Video() != video })
}
