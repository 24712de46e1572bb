package media

import (
	"context"
	"errors"
	"io"
)

// streamSource reads a Stream: a subscription without a goroutine.
type streamSource struct{ sub *Subscription }

// Source returns a Source that reads the stream from the next key frame on.
// Closing it detaches it. A reader that is too slow loses whole groups of
// pictures. After CloseWrite it can still read what is queued up to io.EOF;
// nobody waits for it. After Close it gets ErrClosed. An *ErrNoEncoder is
// returned beside a source of the video, as by Attach.
func (s *Stream) Source(o SinkOptions) (Source, error) {
	sub, err := s.attach(nil, o)
	if sub == nil {
		return nil, err
	}
	return &streamSource{sub}, err
}

func (r *streamSource) Tracks() []*Track { return r.sub.stream.tracksFor(r.sub) }

func (r *streamSource) ReadFrame(ctx context.Context) (*Frame, error) {
	f, err := r.sub.q.pop(ctx)
	if err == nil {
		r.sub.written.Add(1)
	} else if !errors.Is(err, io.EOF) && ctx.Err() == nil {
		err = ErrClosed
	}
	return f, err
}

func (r *streamSource) Close() error {
	r.sub.stream.detach(r.sub)
	r.sub.abort()
	return nil
}
