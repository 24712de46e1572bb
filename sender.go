package trunkcast

import (
	"context"
	"sync"
	"time"

	"github.com/trunkcast/trunkcast/media"
)

// sender is what writes to a caller go through: each writer has a timeline
// that begins at 0, and they are laid behind each other on the clock of the
// call.
type sender struct {
	session *Session
	over    bool // its sound is over that of others
	// started is called after the first frame, or the first picture if there
	// are to be pictures; nil tells nobody.
	started  func()
	pictures bool

	once  sync.Once
	first sync.Once
	base  time.Duration
}

// WriteFrame gives a frame to the media session, with its times moved.
func (w *sender) WriteFrame(ctx context.Context, f *media.Frame) error {
	w.once.Do(func() { w.base = time.Since(w.session.began) - f.DTS })
	moved := *f // a frame is immutable
	moved.DTS += w.base
	moved.PTS += w.base
	err := w.write(ctx, &moved)
	if err == nil && w.started != nil && (f.Track.Codec.Video() || !w.pictures) {
		w.first.Do(w.started)
	}
	return err
}

func (w *sender) write(ctx context.Context, f *media.Frame) error {
	if f.Track.Codec.Video() {
		return w.session.media.WriteFrame(ctx, f)
	}
	return w.session.writeSound(ctx, f, w.over)
}
