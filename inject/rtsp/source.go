package rtsp

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"sync"
	"time"

	"github.com/bluenviron/gortsplib/v4"
	"github.com/bluenviron/gortsplib/v4/pkg/description"
	"github.com/bluenviron/gortsplib/v4/pkg/format"
	"github.com/bluenviron/gortsplib/v4/pkg/liberrors"
	"github.com/pion/rtp"

	"github.com/trunkcast/trunkcast/media"
)

// maxQueue is how many frames may wait for ReadFrame: some seconds. More are
// lost, up to the next key frame.
const maxQueue = 512

// source is a stream that is being played.
type source struct {
	c      *gortsplib.Client
	log    *slog.Logger
	ctx    context.Context
	cancel context.CancelFunc
	queue  chan *media.Frame
	ended  chan struct{} // closed when err is set
	err    error
	close  sync.Once

	mu     sync.Mutex
	tracks []*media.Track // as they are now, one of each kind
	late   bool           // pictures are lost up to the next key frame
	last   [2]time.Duration
}

func newSource(o *Opener) *source {
	s := &source{log: o.Logger, queue: make(chan *media.Frame, maxQueue), ended: make(chan struct{})}
	if s.log == nil {
		s.log = slog.New(slog.DiscardHandler)
	}
	s.ctx, s.cancel = context.WithCancel(context.Background())
	return s
}

// run waits for the end of the connection.
func (s *source) run() {
	err := s.c.Wait()
	var terminated liberrors.ErrClientTerminated
	switch {
	case s.ctx.Err() != nil:
		err = media.ErrClosed
	case errors.Is(err, io.EOF), errors.As(err, &terminated):
		err = io.EOF
	}
	s.err = err
	close(s.ended)
}

// kind is the place of a track: one of video and one of audio are played.
func kind(video bool) int {
	if video {
		return 0
	}
	return 1
}

// wanted is a media of a stream that is played.
type wanted struct {
	media  *description.Media
	format format.Format
	reader reader
}

// choose finds what can be played of a media, if it is the first of its kind.
func (s *source) choose(m *description.Media) *wanted {
	for _, f := range m.Formats {
		r, err := newReader(f)
		if err != nil {
			s.log.Debug("RTSP track left away", "codec", f.Codec(), "reason", err)
			continue
		}
		t := r.track()
		if s.has(t.Codec.Video()) {
			return nil
		}
		s.mu.Lock()
		s.tracks = append(s.tracks, t)
		s.mu.Unlock()
		return &wanted{m, f, r}
	}
	return nil
}

func (s *source) has(video bool) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, t := range s.tracks {
		if t.Codec.Video() == video {
			return true
		}
	}
	return false
}

// packet takes a packet, in order, of one media at a time.
func (s *source) packet(w *wanted, p *rtp.Packet) {
	ticks, ok := s.c.PacketPTS2(w.media, p)
	if !ok {
		return
	}
	rate := int64(w.format.ClockRate())
	pts := time.Duration(ticks/rate)*time.Second + time.Duration(ticks%rate)*time.Second/time.Duration(rate)
	frames, err := w.reader.read(p, pts)
	if err != nil {
		s.log.Debug("RTSP packet not understood", "error", err)
	}
	for _, frame := range frames {
		s.push(frame)
	}
}

// push queues a frame. DTS begin at 0 and do not go back: those of pictures
// that are shown later than they are sent may begin before.
func (s *source) push(f *media.Frame) {
	video := f.Track.Codec.Video()
	s.mu.Lock()
	defer s.mu.Unlock()
	for i, t := range s.tracks {
		if t.Codec.Video() == video {
			s.tracks[i] = f.Track
		}
	}
	k := kind(video)
	if video && s.late && !f.Key {
		return
	}
	f.DTS = max(f.DTS, s.last[k])
	select {
	case s.queue <- f:
		s.last[k] = f.DTS
		if video {
			s.late = false
		}
	default:
		s.log.Debug("RTSP frame lost: it was not read in time", "codec", string(f.Track.Codec))
		s.late = s.late || video
	}
}

// Tracks returns the tracks that are played.
func (s *source) Tracks() []*media.Track {
	s.mu.Lock()
	defer s.mu.Unlock()
	return append([]*media.Track(nil), s.tracks...)
}

// ReadFrame returns the next frame, io.EOF when the server ends the stream.
func (s *source) ReadFrame(ctx context.Context) (*media.Frame, error) {
	if s.ctx.Err() != nil {
		return nil, media.ErrClosed
	}
	select {
	case f := <-s.queue:
		return f, nil
	default:
	}
	select {
	case f := <-s.queue:
		return f, nil
	case <-ctx.Done():
		return nil, ctx.Err()
	case <-s.ended:
		return nil, s.err
	case <-s.ctx.Done():
		return nil, media.ErrClosed
	}
}

// Close ends the connection.
func (s *source) Close() error {
	s.close.Do(func() {
		s.cancel()
		s.c.Close()
	})
	<-s.ended
	return nil
}
