package trunkcast

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"slices"
	"sync/atomic"

	"github.com/trunkcast/trunkcast/media"
	"github.com/trunkcast/trunkcast/rtmp"
)

// TargetRequest is what a Bridge.OpenTarget makes a sink from.
type TargetRequest struct {
	Target
	// NeedKeyFrame asks the caller for a key frame. It does not block.
	NeedKeyFrame func()
	// OnState may be told changes of the connection.
	OnState func(rtmp.State, error)
	// Logger has the call's trunk, Call-ID and number.
	Logger *slog.Logger
}

// Output is one target that a session's stream goes to.
type Output struct {
	name string
	sink media.Sink
	sub  *media.Subscription

	closed atomic.Bool // by Close
}

// Name is Target.Name.
func (o *Output) Name() string { return o.name }

// Close ends the output in order; the call and the other outputs go on.
func (o *Output) Close() error {
	o.closed.Store(true)
	return o.sub.Close()
}

// Done is closed when the target has had its last frame and was closed.
func (o *Output) Done() <-chan struct{} { return o.sub.Done() }

// Err tells why it ended, nil while it runs.
func (o *Output) Err() error { return o.sub.Err() }

// OutputStats are the counters of an [Output].
type OutputStats struct {
	Name string

	output *Output
	media.SubscriptionStats
	// RTMP is nil for a sink that is no rtmp.Publisher.
	RTMP *rtmp.PublisherStats
}

// Stats returns the counters now.
func (o *Output) Stats() OutputStats {
	st := OutputStats{Name: o.name, output: o, SubscriptionStats: o.sub.Stats()}
	if p, ok := o.sink.(interface{ Stats() rtmp.PublisherStats }); ok {
		ps := p.Stats()
		st.RTMP = &ps
	}
	return st
}

// ErrEnded tells that a call has ended.
var ErrEnded = errors.New("trunkcast: the call has ended")

// AddOutput sends the stream to one more target, from its next key frame on
// (the caller is asked for one). A missing audio encoder is logged; the target
// then gets the video.
func (s *Session) AddOutput(t Target) (*Output, error) {
	if t.Audio == nil && t.Sink == nil {
		t.Audio = []media.Codec{media.AAC}
	}
	if t.StreamName == "" {
		t.StreamName = s.stream.Name
	}
	o := &Output{name: t.name(), sink: t.Sink}
	if o.sink == nil {
		open := s.bridge.OpenTarget
		if open == nil {
			open = s.bridge.OpenPublisher
		}
		sink, err := open(TargetRequest{Target: t, Logger: s.log, NeedKeyFrame: s.media.RequestKeyFrame, OnState: func(st rtmp.State, err error) {
			s.tell(Event{Type: OutputState, Output: o.name, State: st, Err: err})
		}})
		if err != nil {
			return nil, err
		}
		o.sink = sink
	}
	if err := s.attach(o, t); err != nil {
		return nil, err
	}
	return o, nil
}

// name is what the target is called in events and statistics.
func (t *Target) name() string {
	switch {
	case t.Name != "":
		return t.Name
	case t.Sink != nil:
		return fmt.Sprintf("%T", t.Sink)
	default:
		return shownURL(t.URL)
	}
}

// attach gives the sink of o the stream. It calls the sink, or has it called,
// which may ask the session: not under the session's lock.
func (s *Session) attach(o *Output, t Target) error {
	sub, err := s.stream.Attach(o.sink, media.SinkOptions{
		Name: o.name, Audio: t.Audio, Encoder: t.Encoder, NoAudio: t.NoAudio, NoVideo: t.NoVideo,
		MaxQueue: t.MaxQueue, MaxDelay: t.MaxDelay,
	})
	if sub == nil {
		if errors.Is(err, media.ErrClosed) {
			err = ErrEnded
		}
		return errors.Join(err, closeSink(o.sink))
	}
	if err != nil {
		s.log.Error("output without sound", "output", o.name, "error", err)
	}
	o.sub = sub
	s.mu.Lock()
	ended := s.ended
	if !ended {
		s.outputs = append(s.outputs, o)
		s.watchers.Go(func() { s.watch(o) })
	}
	s.mu.Unlock()
	if ended {
		return errors.Join(ErrEnded, sub.Close())
	}
	return nil
}

// watch tells the end of an output that did not end with the call.
func (s *Session) watch(o *Output) {
	<-o.Done()
	s.mu.Lock()
	ended := s.ended
	if !ended {
		s.outputs = slices.DeleteFunc(s.outputs, func(x *Output) bool { return x == o })
	}
	s.mu.Unlock()
	if !ended {
		level := slog.LevelWarn
		if o.closed.Load() {
			level = slog.LevelInfo
		}
		s.log.Log(context.Background(), level, "output ended", "output", o.name, "error", o.Err())
		s.tell(Event{Type: OutputEnded, Output: o.name, Err: o.Err()})
	}
}

func closeSink(sink media.Sink) error {
	if c, ok := sink.(io.Closer); ok {
		return c.Close()
	}
	return nil
}

// Outputs returns the targets that the stream goes to now.
func (s *Session) Outputs() []*Output {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.outputs)
}

// OpenPublisher is the default of OpenTarget: an rtmp.Publisher.
func (b *Bridge) OpenPublisher(t TargetRequest) (media.Sink, error) {
	log := t.Logger
	if log == nil {
		log = b.log
	}
	p := &rtmp.Publisher{
		URL: t.URL, StreamName: t.StreamName, NeedKeyFrame: t.NeedKeyFrame, TLS: b.TLS,
		Logger:  log.With("output", t.Name, "stream", t.StreamName),
		OnState: t.OnState,
	}
	if err := p.Start(); err != nil {
		return nil, err
	}
	return p, nil
}
