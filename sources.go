package trunkcast

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"

	"github.com/trunkcast/trunkcast/inject"
	"github.com/trunkcast/trunkcast/media"
	"github.com/trunkcast/trunkcast/media/sdp"
	"github.com/trunkcast/trunkcast/rtmp"
)

// Open opens a source by its URL, for [Session.Inject]:
//
//   - call:ID is what the caller with that Call-ID sends,
//   - a name without a scheme is a stream of Bridge.Streams,
//   - everything else, and names that are not there, is for Bridge.Sources,
//   - rtmp and rtmps are played by an [rtmp.Player] if there are no Sources.
//
// What is not there gives an error that wraps inject.ErrNoSource.
func (b *Bridge) Open(ctx context.Context, url string) (media.Source, error) {
	return b.openFor(ctx, url, nil)
}

// openFor is Open for a call, nil if it is for none: another call's sound is
// transcoded where it comes from, once for all who get it.
func (b *Bridge) openFor(ctx context.Context, url string, to *Session) (media.Source, error) {
	b.init()
	if id, ok := strings.CutPrefix(url, "call:"); ok {
		from := b.Session(id)
		if from == nil {
			return nil, fmt.Errorf("%w: no call %q", inject.ErrNoSource, id)
		}
		return streamSource(from.stream, to)
	}
	named := !strings.Contains(url, "://")
	if st := b.Streams.Get(url); named && st != nil {
		return streamSource(st, to)
	}
	switch {
	case b.Sources != nil:
		if to != nil {
			ctx = inject.WithAudio(ctx, to.sendableAudio())
		}
		return b.Sources.Open(ctx, url)
	case named:
		return nil, fmt.Errorf("%w: no stream %q", inject.ErrNoSource, url)
	default:
		return inject.Mux{"rtmp": inject.OpenerFunc(b.openRTMP), "rtmps": inject.OpenerFunc(b.openRTMP)}.Open(ctx, url)
	}
}

func streamSource(st *media.Stream, to *Session) (media.Source, error) {
	o := media.SinkOptions{Name: "injection"}
	if to != nil {
		// Not "any" where the caller takes no sound, but nothing.
		if o.Audio = to.sendableAudio(); o.Audio == nil {
			o.NoAudio = true
		}
	}
	source, err := st.Source(o)
	if source == nil {
		return nil, err
	}
	return source, nil // an error beside a source is about its sound: the pictures are good
}

func (b *Bridge) openRTMP(_ context.Context, url string) (media.Source, error) {
	return &rtmp.Player{URL: url, TLS: b.TLS, Logger: b.log}, nil
}

// sendableAudio are the codecs of sound that the caller takes, by the agreed
// payload types and whatever the direction of now is; nil if it takes none.
func (s *Session) sendableAudio() (list []media.Codec) {
	if l := s.media.Agreed().Line(sdp.Audio); l != nil {
		if f := l.Send.First(); f != nil {
			list = append(list, f.Codec)
		}
	}
	return list
}

const (
	// peekFrames and peekTime bound how long a live source is read to learn
	// its tracks: some bring a picture later than the sound.
	peekFrames = 500
	peekTime   = 3 * time.Second
)

// peeked is a live source of which some frames were read already.
type peeked struct {
	media.Source
	frames []*media.Frame
}

// peek reads a live source until it has brought a key frame or, if there seem
// to be no pictures, for a while. The error tells why nothing came.
func peek(ctx context.Context, source media.Source) (*peeked, error) {
	p := &peeked{Source: source}
	deadline := time.Time{}
	for len(p.frames) < peekFrames {
		limit, cancel := ctx, context.CancelFunc(func() {})
		if !deadline.IsZero() {
			limit, cancel = context.WithDeadline(ctx, deadline)
		}
		f, err := source.ReadFrame(limit)
		cancel()
		switch {
		case err == nil:
		case len(p.frames) > 0 && ctx.Err() == nil && errors.Is(err, context.DeadlineExceeded):
			return p, nil
		default:
			return nil, noFrames(err)
		}
		if deadline.IsZero() {
			deadline = time.Now().Add(peekTime)
		}
		p.frames = append(p.frames, f)
		if f.Track.Codec.Video() && f.Key {
			break
		}
	}
	return p, nil
}

// noFrames tells why a source brings nothing, as what its URL's owner can
// mend.
func noFrames(err error) error {
	var refused *rtmp.RefusedError
	switch {
	case errors.Is(err, io.EOF):
		return fmt.Errorf("%w: it ended before a frame came", inject.ErrNoSource)
	case errors.As(err, &refused):
		return fmt.Errorf("%w: %w", inject.ErrNoSource, err)
	default:
		return err
	}
}

// Tracks are those of the frames that were read, and what the source knows.
func (p *peeked) Tracks() []*media.Track {
	tracks := slices.Clone(p.Source.Tracks())
	for _, f := range p.frames {
		same := func(t *media.Track) bool { return t.Codec.Video() == f.Track.Codec.Video() }
		if !slices.ContainsFunc(tracks, same) {
			tracks = append(tracks, f.Track)
		}
	}
	return tracks
}

// ReadFrame gives what was read, then what comes.
func (p *peeked) ReadFrame(ctx context.Context) (*media.Frame, error) {
	if len(p.frames) == 0 {
		return p.Source.ReadFrame(ctx)
	}
	f := p.frames[0]
	p.frames = p.frames[1:]
	return f, nil
}

// RequestKeyFrame asks the sender, if it can be asked.
func (p *peeked) RequestKeyFrame() {
	if s, ok := p.Source.(interface{ RequestKeyFrame() }); ok {
		s.RequestKeyFrame()
	}
}
