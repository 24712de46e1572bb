package gateway

import (
	"context"
	"errors"
	"sync"
	"time"

	"github.com/trunkcast/trunkcast/media"
	"github.com/trunkcast/trunkcast/rtmp"
)

// retryEmbedded is how often a name is tried again that somebody publishes
// from outside.
const retryEmbedded = time.Second

// embeddedSink publishes to the embedded server without a connection. It tells
// its state and counts as an rtmp.Publisher does.
type embeddedSink struct {
	server       *rtmp.Server
	name         string // application/stream
	needKeyFrame func()
	onState      func(rtmp.State, error)

	mu      sync.Mutex
	sink    *rtmp.StreamSink // nil while the name is not ours
	retryAt time.Time
	closed  bool
	stats   rtmp.PublisherStats
}

// newEmbeddedSink takes the name if it is free. Other errors than that it is
// not are final.
func (g *Gateway) newEmbeddedSink(name string, needKeyFrame func(), onState func(rtmp.State, error)) (*embeddedSink, error) {
	s := &embeddedSink{server: g.RTMP, name: name, needKeyFrame: needKeyFrame, onState: onState}
	s.stats.URL = g.URL(name)
	if err := s.publish(); err != nil {
		return nil, err
	}
	return s, nil
}

// publish takes the name, or notes when to try again.
func (s *embeddedSink) publish() error {
	sink, err := s.server.Publish(s.name, s.needKeyFrame)
	s.mu.Lock()
	if s.closed && err == nil {
		s.mu.Unlock()
		return sink.Close()
	}
	busy := errors.Is(err, rtmp.ErrStreamBusy)
	before := s.stats.State
	switch {
	case err == nil:
		s.sink = sink
		s.stats.State, s.stats.Connects = rtmp.Live, s.stats.Connects+1
	case busy:
		s.retryAt = time.Now().Add(retryEmbedded)
		s.stats.State, s.stats.Refusals, s.stats.LastError = rtmp.Waiting, s.stats.Refusals+1, err
	}
	changed := s.stats.State != before
	if changed {
		s.stats.Since = time.Now()
	}
	state := s.stats.State
	s.mu.Unlock()
	if changed && s.onState != nil {
		s.onState(state, err)
	}
	if busy {
		return nil
	}
	return err
}

// WriteFrame hands a frame to the server, or drops it while the name is in
// use.
func (s *embeddedSink) WriteFrame(ctx context.Context, f *media.Frame) error {
	s.mu.Lock()
	sink, due := s.sink, !time.Now().Before(s.retryAt)
	s.mu.Unlock()
	if sink == nil && due {
		if err := s.publish(); err != nil {
			return err
		}
		s.mu.Lock()
		sink = s.sink
		s.mu.Unlock()
		if sink != nil && s.needKeyFrame != nil {
			s.needKeyFrame()
		}
	}
	var err error
	if sink != nil {
		err = sink.WriteFrame(ctx, f)
	}
	s.count(f, sink != nil && err == nil)
	return err
}

func (s *embeddedSink) count(f *media.Frame, written bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	n := &s.stats.AudioFrames
	switch video := f.Track.Codec.Video(); {
	case video && written:
		n = &s.stats.VideoFrames
	case video:
		n = &s.stats.VideoDropped
	case !written:
		n = &s.stats.AudioDropped
	}
	*n++
	if written {
		s.stats.Bytes += uint64(f.Size())
	}
}

// Close takes the stream off the server.
func (s *embeddedSink) Close() error {
	s.mu.Lock()
	sink, first := s.sink, !s.closed
	s.closed, s.sink = true, nil
	s.stats.State, s.stats.Since = rtmp.Closed, time.Now()
	s.mu.Unlock()
	var err error
	if sink != nil {
		err = sink.Close()
	}
	if first && s.onState != nil {
		s.onState(rtmp.Closed, nil)
	}
	return err
}

// Stats returns the counters now.
func (s *embeddedSink) Stats() rtmp.PublisherStats {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.stats
}
