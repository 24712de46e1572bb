package media

import (
	"context"
	"errors"
)

type streamState struct{}

// WriteFrame hands a frame to all sinks. It never blocks. After CloseWrite or
// Close it returns ErrClosed.
func (s *Stream) WriteFrame(ctx context.Context, f *Frame) error { return nil }

// Attach adds a sink. It starts with a key frame if there is video, and it is
// closed (if it is an io.Closer) after its last frame. An *ErrNoEncoder tells
// that its audio cannot be made; the subscription then still carries the
// video, and the error is returned beside it.
func (s *Stream) Attach(sink Sink, o SinkOptions) (*Subscription, error) { return nil, nil }

// Source returns a Source that reads the stream from the next key frame on.
// Closing it detaches it.
func (s *Stream) Source(o SinkOptions) (Source, error) { return nil, nil }

// Tracks returns the latest track of each kind that was written.
func (s *Stream) Tracks() []*Track { return nil }

// CloseWrite ends the stream in order: every sink gets what is queued, at most
// DrainTimeout long, and is closed. It returns when that is done.
func (s *Stream) CloseWrite() error { return nil }

// Close ends the stream at once: what is queued is dropped.
func (s *Stream) Close() error { return nil }

// Done is closed when the stream has ended and every sink was closed.
func (s *Stream) Done() <-chan struct{} { return nil }

// Subscription is one sink of a Stream.
type Subscription struct{}

// Name is that of the options.
func (s *Subscription) Name() string { return "" }

// Stats returns the counters now.
func (s *Subscription) Stats() SubscriptionStats { return SubscriptionStats{} }

// Close detaches the sink: it gets what is queued, then it is closed.
func (s *Subscription) Close() error { return nil }

// Done is closed when the sink has had its last frame and was closed.
func (s *Subscription) Done() <-chan struct{} { return nil }

// Err tells why it ended: the sink's error, or ErrClosed. Nil while it runs.
func (s *Subscription) Err() error { return nil }

// Directory holds named streams. The zero value is empty and ready. Its
// methods may be called concurrently.
type Directory struct{}

// Add puts a stream in, which leaves by itself when it is Done. A name in use
// gives ErrNameTaken.
func (d *Directory) Add(name string, s *Stream) error { return nil }

// Get returns the stream of that name, nil if there is none.
func (d *Directory) Get(name string) *Stream { return nil }

// Names returns the names in alphabetical order.
func (d *Directory) Names() []string { return nil }

// Remove takes a stream out if it is the one of that name.
func (d *Directory) Remove(name string, s *Stream) {}

// ErrNameTaken tells that a name in a Directory is in use.
var ErrNameTaken = errors.New("media: stream name in use")
