package trunkcast

import (
	"context"
	"errors"
	"fmt"
	"io"
	"sync"
	"time"

	"github.com/trunkcast/trunkcast/inject"
	"github.com/trunkcast/trunkcast/media"
	"github.com/trunkcast/trunkcast/media/sdp"
)

// StandByBlack, as Plan.StandBy, shows black pictures.
const StandByBlack = "black"

const (
	// standByRate is the rate of black pictures, in pictures a second.
	standByRate = 5
	// standByOpen bounds the opening of a stand-by clip.
	standByOpen = 10 * time.Second
	// The size of black pictures in a call whose size is not known.
	standByWidth, standByHeight = 640, 360
)

// standBy is what the caller sees while nothing is injected.
type standBy struct {
	mu       sync.Mutex
	injector *inject.Injector // nil: none plays
}

// beginStandBy shows the stand-by, if the plan has one, nothing else is played
// and the agreed direction lets us send pictures. Silence comes of itself.
func (s *Session) beginStandBy() {
	if s.plan.StandBy == "" {
		return
	}
	b := &s.standBy
	b.mu.Lock()
	defer b.mu.Unlock()
	s.mu.Lock()
	idle := s.injection == nil && !s.ended
	s.mu.Unlock()
	if !idle || b.injector != nil || s.media.SendFormat(sdp.Video) == nil {
		return
	}
	injector, err := s.openStandBy()
	if err != nil {
		s.log.Warn("no stand-by", "error", err)
		return
	}
	if err := injector.Start(context.Background()); err != nil {
		s.log.Warn("no stand-by", "error", err)
		return
	}
	b.injector = injector
}

// endStandBy ends the stand-by, and returns when the last frame of it was
// written.
func (s *Session) endStandBy() {
	b := &s.standBy
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.injector != nil {
		_ = b.injector.Close()
		b.injector = nil
	}
}

// openStandBy makes the player of the stand-by: a clip again and again, or
// black pictures of the call's size.
func (s *Session) openStandBy() (*inject.Injector, error) {
	source, err := s.standBySource()
	if err != nil {
		return nil, err
	}
	_, file := source.(seeker)
	_, still := source.(*black)
	i := &inject.Injector{
		Source: source, Sink: &sender{session: s}, Codecs: s.bridge.Codecs, Audio: s.sendAudio(),
		NoVideo: s.media.SendFormat(sdp.Video) == nil, Live: !file && !still, Loop: file, Logger: s.log,
	}
	i.NoAudio = i.Audio == nil
	return i, nil
}

func (s *Session) standBySource() (media.Source, error) {
	if s.plan.StandBy == StandByBlack || s.plan.StandBy == "" {
		return newBlack(s)
	}
	ctx, cancel := context.WithTimeout(context.Background(), standByOpen)
	defer cancel()
	go func() {
		select {
		case <-s.call.Done():
			cancel()
		case <-ctx.Done():
		}
	}()
	source, err := s.bridge.openFor(ctx, s.plan.StandBy, s)
	if err != nil {
		return nil, err
	}
	i := Injection{session: s}
	if err := errors.Join(i.checkCodecs(source.Tracks()), i.checkSource(source.Tracks())); err != nil {
		return nil, errors.Join(err, source.Close())
	}
	return source, nil
}

// pictureSize is that of the caller's pictures, if they are known.
func (s *Session) pictureSize() (width, height int) {
	for _, t := range s.stream.Tracks() {
		if t.Codec.Video() && t.Width >= 16 && t.Height >= 16 {
			return t.Width &^ 1, t.Height &^ 1
		}
	}
	return standByWidth, standByHeight
}

// black gives black pictures of the size that the caller's pictures have, which
// may be known later only, and change.
type black struct {
	session *Session
	start   time.Duration // of the pictures of still
	next    time.Duration

	mu            sync.Mutex
	still         *inject.Still
	width, height int
}

func newBlack(s *Session) (*black, error) {
	b := &black{session: s}
	_, err := b.sized()
	return b, err
}

// sized is the source of pictures of the size of now.
func (b *black) sized() (*inject.Still, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	width, height := b.session.pictureSize()
	if b.still != nil && b.width == width && b.height == height {
		return b.still, nil
	}
	still, err := inject.NewStill(width, height, standByRate)
	if err != nil {
		return nil, err
	}
	if b.still != nil {
		_ = b.still.Close()
	}
	b.still, b.width, b.height, b.start = still, width, height, b.next
	return still, nil
}

// ReadFrame makes the next picture.
func (b *black) ReadFrame(ctx context.Context) (*media.Frame, error) {
	still, err := b.sized()
	if err != nil {
		return nil, err
	}
	f, err := still.ReadFrame(ctx)
	if err != nil {
		return nil, err
	}
	f.DTS += b.start
	f.PTS += b.start
	b.next = f.DTS + time.Second/standByRate
	return f, nil
}

func (b *black) current() *inject.Still {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.still
}

// Tracks returns the only track.
func (b *black) Tracks() []*media.Track { return b.current().Tracks() }

// RequestKeyFrame makes the next picture a key frame.
func (b *black) RequestKeyFrame() { b.current().RequestKeyFrame() }

// Close ends the source.
func (b *black) Close() error { return b.current().Close() }

// standBy plays the stand-by in the place of a source that has ended, until
// the injection is stopped.
func (i *Injection) standBy() error {
	injector, err := i.session.openStandBy()
	if err != nil {
		return fmt.Errorf("trunkcast: no stand-by at the end of the source: %w", err)
	}
	i.mu.Lock()
	select {
	case <-i.ended:
		err = media.ErrClosed
	default:
		if err = injector.Start(context.Background()); err == nil {
			i.source, i.injector = injector.Source, injector
		}
	}
	i.mu.Unlock()
	if err != nil {
		return errors.Join(err, injector.Close())
	}
	<-injector.Done()
	if err := injector.Err(); !errors.Is(err, io.EOF) {
		return err
	}
	return media.ErrClosed
}

// pictures puts black pictures between the sound of a call without video, for
// servers and platforms that want some. It is the Output of the media session,
// whose WriteFrame is called by one goroutine.
type pictures struct {
	session *Session
	still   *inject.Still
	due     time.Duration // DTS of the next picture
}

// WriteFrame writes the pictures that are due, then the frame.
func (p *pictures) WriteFrame(ctx context.Context, f *media.Frame) error {
	s := p.session
	if s.media.Agreed().Line(sdp.Video) != nil || f.Track.Codec.Video() {
		p.still = nil // it has pictures of its own now
		return s.stream.WriteFrame(ctx, f)
	}
	if p.still == nil {
		var err error
		if p.still, err = inject.NewStill(standByWidth, standByHeight, standByRate); err != nil {
			return err
		}
		p.due = f.DTS
	}
	if f.DTS-p.due > time.Second {
		p.due = f.DTS // after a pause
	}
	for ; p.due <= f.DTS; p.due += time.Second / standByRate {
		black, err := p.still.ReadFrame(ctx)
		if err != nil {
			return err
		}
		black.DTS, black.PTS = p.due, p.due
		if err := s.stream.WriteFrame(ctx, black); err != nil {
			return err
		}
	}
	return s.stream.WriteFrame(ctx, f)
}
