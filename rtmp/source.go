package rtmp

import (
	"io"

	"github.com/trunkcast/trunkcast/media"
)

// StreamSource is a media.Source of a stream of a Server.
type StreamSource struct {
	tagSource
	stream *hubStream
}

func (s *StreamSource) deliver(t *tag) { s.queue.push(*t) }
func (s *StreamSource) end()           { s.queue.close(io.EOF) }

// Dropped returns how many tags were lost because frames were not read in
// time.
func (s *StreamSource) Dropped() uint64 { return s.queue.dropped() }

// Close ends the reading. It may be called more than once and from any
// goroutine.
func (s *StreamSource) Close() error {
	s.stream.leave(s)
	s.queue.discard(media.ErrClosed)
	return nil
}
