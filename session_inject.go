package trunkcast

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/trunkcast/trunkcast/inject"
	"github.com/trunkcast/trunkcast/media"
	"github.com/trunkcast/trunkcast/media/sdp"
)

var (
	// ErrInjecting tells that something is being played into the call already.
	ErrInjecting = errors.New("trunkcast: a stream is being injected already")
	// ErrNotReceiving tells that the caller wants nothing from us, though it
	// was asked (by a re-INVITE) to receive: the call is on hold, or the phone
	// only sends.
	ErrNotReceiving = errors.New("trunkcast: the caller does not want to receive")
)

// AtEnd tells what happens at the end of an injected source.
type AtEnd int

// What can happen.
const (
	EndStop    AtEnd = iota // the injection ends
	EndLoop                 // the source begins again; it must be a file
	EndStandBy              // the plan's stand-by, else black, until it is stopped
)

// InjectOptions tell how a source is played into a call. The zero value plays
// all of it once.
type InjectOptions struct {
	// AtEnd tells what happens at the end of the source.
	AtEnd AtEnd
	// Start is where in a file to begin: at the key frame before it.
	Start time.Duration
	// NoAudio and NoVideo leave a kind of media away.
	NoAudio, NoVideo bool
	// Over plays the sound alone over what is injected, or the stand-by, if
	// there is any. There can be one such sound in a call.
	Over Over
	// Force sends pictures of a profile, level or size that the caller did
	// not offer to take, instead of refusing with a *VideoMismatchError, and to
	// a caller of packetization-mode 0 pictures in slices that do not fit
	// packets, instead of a *rtpio.NALTooLargeError. Another codec than the
	// caller's cannot be forced.
	Force bool
	// Paced tells that a source of one's own keeps no pace: its frames come as
	// fast as they are read. Sources with a method Seek are taken for such
	// anyhow.
	Paced bool
	// Encoder is about transcoding the sound.
	Encoder media.EncoderOptions
	// OnEvent gets what happens. It must not block, nor call Close.
	OnEvent func(inject.Event)
}

const (
	// renegotiateTimeout bounds the return to the direction of before.
	renegotiateTimeout = 10 * time.Second
	// abandonTimeout is what the end of a call waits for an injected source.
	abandonTimeout = 2 * time.Second
	// firstFrame is how long a source may take to bring something that can be
	// played. It is longer than the time-outs of the sources themselves.
	firstFrame = 20 * time.Second
)

// Injection is a source that is played into a call. Its methods may be called
// from any goroutine, also after its end.
type Injection struct {
	session *Session
	name    string
	options InjectOptions
	done    chan struct{}
	ended   chan struct{} // closed by Stop
	stop    sync.Once
	over    sync.Once
	ending  bool // under the session's mutex

	mu       sync.Mutex
	source   media.Source     // nil before it plays
	injector *inject.Injector // the same
	err      error
}

// Inject plays the source that url names to the caller: see [Bridge.Open].
// It returns when the first frame was sent, or with the reason why none will
// be: an error that wraps inject.ErrNoSource for what is not there; a
// *VideoMismatchError for pictures that the caller does not take; an error
// that wraps ErrNotReceiving when the caller refuses to receive. ctx bounds
// that, not the injection, which ends by itself, by Stop, or with the call.
//
// Where the agreed direction does not let us send, it is changed by a
// re-INVITE, and back at the end.
func (s *Session) Inject(ctx context.Context, url string, o InjectOptions) (*Injection, error) {
	i, err := s.reserve(shownURL(url), o)
	if err != nil {
		return nil, err
	}
	ctx, cancel := i.bound(ctx)
	defer cancel()
	source, err := i.open(ctx, url)
	if err != nil {
		i.finish(err)
		return nil, i.Err()
	}
	return i.begin(ctx, source)
}

// InjectSource is Inject with a source that is open. It is closed at the end,
// also if there is an error.
func (s *Session) InjectSource(ctx context.Context, source media.Source, o InjectOptions) (*Injection, error) {
	i, err := s.reserve(fmt.Sprintf("%T", source), o)
	if err != nil {
		return nil, errors.Join(err, source.Close())
	}
	ctx, cancel := i.bound(ctx)
	defer cancel()
	return i.begin(ctx, source)
}

// open opens the source; a panic of an opener of the user's is its error.
func (i *Injection) open(ctx context.Context, url string) (source media.Source, err error) {
	defer func() {
		if v := recover(); v != nil {
			err = i.session.bridge.panicked("Sources", v)
		}
	}()
	return i.session.bridge.openFor(ctx, url, i.session)
}

// Injection is what is being played into the call, nil if nothing is.
func (s *Session) Injection() *Injection {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.injection
}

// SoundOver is the sound that is being played over it, see InjectOptions.Over;
// nil if there is none.
func (s *Session) SoundOver() *Injection {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.soundOver
}

// reserve makes the one injection that a call can have, or the one over it.
func (s *Session) reserve(name string, o InjectOptions) (*Injection, error) {
	if o.Over != OverNothing {
		o.NoVideo = true
		if o.AtEnd == EndStandBy { // it goes on below
			o.AtEnd = EndStop
		}
	}
	i := &Injection{session: s, name: name, options: o, done: make(chan struct{}), ended: make(chan struct{})}
	s.mu.Lock()
	defer s.mu.Unlock()
	place := s.placeOf(i)
	switch {
	case s.ended:
		return nil, ErrEnded
	case *place != nil:
		return nil, fmt.Errorf("%w: %s", ErrInjecting, (*place).name)
	case s.media.Agreed() == nil:
		return nil, errors.New("trunkcast: the call is not answered yet")
	}
	*place = i
	return i, nil
}

// placeOf is where the session keeps an injection of its kind. The mutex is
// held.
func (s *Session) placeOf(i *Injection) **Injection {
	if i.options.Over != OverNothing {
		return &s.soundOver
	}
	return &s.injection
}

// bound makes the context of the beginning, which Stop and the end of the call
// cut short.
func (i *Injection) bound(ctx context.Context) (context.Context, context.CancelFunc) {
	ctx, cancel := context.WithTimeout(ctx, firstFrame)
	go func() {
		select {
		case <-i.ended:
			cancel()
		case <-ctx.Done():
		}
	}()
	return ctx, cancel
}

// begin plays the source, or closes it. A panic of a source is its error.
func (i *Injection) begin(ctx context.Context, source media.Source) (_ *Injection, err error) {
	defer func() {
		if v := recover(); v != nil {
			err = i.session.bridge.panicked("source", v)
			i.finish(err)
		}
	}()
	return i.play(ctx, source)
}

func (i *Injection) play(ctx context.Context, source media.Source) (*Injection, error) {
	source, err := i.prepare(ctx, source)
	if err == nil {
		err = i.openDirection(ctx, source)
	}
	if err != nil {
		_ = source.Close()
		i.finish(err)
		return nil, i.Err()
	}
	started := make(chan struct{})
	injector := i.newInjector(source, func() {
		i.tellStarted()
		close(started)
	})
	if err := i.start(injector); err != nil {
		_ = injector.Close()
		i.finish(err)
		return nil, i.Err()
	}
	select {
	case <-started:
		return i, nil
	case <-injector.Done():
	case <-ctx.Done():
		i.Stop()
	}
	<-i.done
	select {
	case <-started:
		return i, nil // a short one, or stopped at once
	default:
	}
	if err := ctx.Err(); err != nil && errors.Is(i.Err(), media.ErrClosed) {
		return nil, fmt.Errorf("trunkcast: nothing to inject came: %w", err)
	}
	return nil, fmt.Errorf("trunkcast: nothing of the source was played: %w", i.Err())
}

// prepare looks at the source: where to begin, and whether the caller takes
// it.
func (i *Injection) prepare(ctx context.Context, source media.Source) (media.Source, error) {
	if i.options.Start > 0 {
		file, ok := source.(seeker)
		if !ok {
			return source, inject.ErrNotSeekable
		}
		if _, err := file.Seek(i.options.Start); err != nil {
			return source, err
		}
	}
	if i.live(source) {
		p, err := peek(ctx, source)
		if err != nil {
			return source, err
		}
		source = p
	}
	return source, nil
}

type seeker interface {
	Seek(at time.Duration) (time.Duration, error)
}

// live tells whether a source keeps the pace by itself.
func (i *Injection) live(source media.Source) bool {
	_, file := source.(seeker)
	return !file && !i.options.Paced
}

// openDirection sees to it that we may send, and that the caller takes what
// we have.
func (i *Injection) openDirection(ctx context.Context, source media.Source) error {
	s := i.session
	if err := i.checkCodecs(source.Tracks()); err != nil {
		return err
	}
	if s.media.SetSending(true) {
		if err := s.call.Renegotiate(ctx); err != nil {
			return fmt.Errorf("%w: %w", ErrNotReceiving, err)
		}
	}
	if len(s.media.SendTracks()) == 0 {
		return fmt.Errorf("%w: the answer to the re-INVITE does not let us send", ErrNotReceiving)
	}
	if i.options.Over != OverNothing && s.sendAudio() == nil {
		return fmt.Errorf("%w sound: none is agreed", ErrNotReceiving)
	}
	if err := i.checkSource(source.Tracks()); err != nil {
		return err
	}
	return i.checkSlices(ctx, source)
}

// newInjector makes the player. started is called after the first frame.
func (i *Injection) newInjector(source media.Source, started func()) *inject.Injector {
	s := i.session
	injector := &inject.Injector{
		Source: source, Codecs: s.bridge.Codecs, Encoder: i.options.Encoder,
		NoAudio: i.options.NoAudio, NoVideo: i.options.NoVideo, Live: i.live(source), Loop: i.options.AtEnd == EndLoop,
		OnEvent: i.options.OnEvent, Logger: s.log,
	}
	injector.Audio = s.sendAudio()
	injector.NoAudio = injector.NoAudio || injector.Audio == nil
	injector.NoVideo = injector.NoVideo || s.media.SendFormat(sdp.Video) == nil
	over := i.options.Over
	if over == OverMix {
		injector.Audio = nil // the mixer decodes
	}
	injector.Sink = &sender{session: s, over: over != OverNothing, started: started, pictures: !injector.NoVideo && hasVideo(source.Tracks())}
	return injector
}

func hasVideo(tracks []*media.Track) bool {
	return slices.ContainsFunc(tracks, func(t *media.Track) bool { return t.Codec.Video() })
}

// sendAudio are the codecs of sound to send, nil if none may be sent.
func (s *Session) sendAudio() (list []media.Codec) {
	for _, t := range s.media.SendTracks() {
		if t.Codec.Audio() {
			list = append(list, t.Codec)
		}
	}
	return list
}

// start begins to play, unless Stop has come before.
func (i *Injection) start(injector *inject.Injector) error {
	if i.options.Over == OverNothing {
		i.session.endStandBy()
		i.session.media.SetCutting(i.options.Force)
	} else if err := i.session.beginOver(i.options.Over); err != nil {
		return err
	}
	i.mu.Lock()
	defer i.mu.Unlock()
	select {
	case <-i.ended:
		return media.ErrClosed
	default:
	}
	if err := injector.Start(context.Background()); err != nil {
		return err
	}
	i.source, i.injector = injector.Source, injector
	go func() {
		<-injector.Done()
		err := injector.Err()
		if i.options.AtEnd == EndStandBy && errors.Is(err, io.EOF) {
			err = i.standBy()
		}
		i.finish(err)
	}()
	return nil
}

// finish goes back to the direction of before and tells the end.
func (i *Injection) finish(err error) { i.over.Do(func() { i.end(err) }) }

func (i *Injection) end(err error) {
	s := i.session
	if i.options.Over != OverNothing {
		s.endOver()
	}
	s.restoreDirection(i)
	select {
	case <-i.ended:
		err = media.ErrClosed // whatever it was that Stop broke off
	default:
	}
	i.mu.Lock()
	i.err = err
	i.mu.Unlock()
	s.mu.Lock()
	*s.placeOf(i) = nil
	s.mu.Unlock()
	i.tellEnded(err)
	close(i.done)
	s.beginStandBy()
}

// tellStarted and tellEnded tell the life of the injection.
func (i *Injection) tellStarted() {
	i.session.log.Info("injection started", "source", i.name, "over", i.options.Over != OverNothing)
	i.session.tell(Event{Type: InjectionStarted, Injection: i})
}

func (i *Injection) tellEnded(err error) {
	s := i.session
	if errors.Is(err, io.EOF) || errors.Is(err, media.ErrClosed) {
		s.log.Info("injection ended", "source", i.name, "reason", err)
		s.tell(Event{Type: InjectionEnded, Injection: i, Err: err})
		return
	}
	s.log.Warn("injection failed", "source", i.name, "error", err)
	s.tell(Event{Type: InjectionFailed, Injection: i, Err: err})
}

// restoreDirection offers what was agreed before the injection, unless another
// one needs to send.
func (s *Session) restoreDirection(ended *Injection) {
	s.mu.Lock()
	ended.ending = true
	alone := (s.injection == nil || s.injection.ending) && (s.soundOver == nil || s.soundOver.ending)
	s.mu.Unlock()
	if !alone || !s.media.SetSending(false) {
		return
	}
	select {
	case <-s.call.Done():
		return
	default:
	}
	ctx, cancel := context.WithTimeout(context.Background(), renegotiateTimeout)
	defer cancel()
	if err := s.call.Renegotiate(ctx); err != nil {
		s.log.Warn("direction after an injection not restored", "error", err)
	}
}

// abandon ends the injection with the call. A source that does not return is
// left behind: what the caller sends must be written out in time.
func (i *Injection) abandon() {
	i.Stop()
	patience := time.NewTimer(abandonTimeout)
	defer patience.Stop()
	select {
	case <-i.done:
	case <-patience.C:
		i.session.log.Error("injected source does not end, abandoned", "source", i.name)
	}
}

// Name tells what is played: the URL without what is secret in it.
func (i *Injection) Name() string { return i.name }

// Stop ends the injection without waiting for that.
func (i *Injection) Stop() {
	i.stop.Do(func() { close(i.ended) })
	i.do((*inject.Injector).Stop)
	i.mu.Lock()
	source := i.source
	i.mu.Unlock()
	if source != nil {
		_ = source.Close() // ends a read that hangs
	}
}

// Close ends the injection and returns when the last frame was sent and the
// direction of before was negotiated.
func (i *Injection) Close() error {
	i.Stop()
	<-i.done
	return nil
}

// Pause holds the injection, Resume goes on. What comes of a live source
// meanwhile is lost.
func (i *Injection) Pause() { i.do((*inject.Injector).Pause) }

// Resume goes on after Pause.
func (i *Injection) Resume() { i.do((*inject.Injector).Resume) }

// Seek goes to the key frame at or before that time of a file. Other sources
// give inject.ErrNotSeekable.
func (i *Injection) Seek(at time.Duration) (err error) {
	i.do(func(p *inject.Injector) { err = p.Seek(at) })
	return err
}

// Status tells how the injection stands.
func (i *Injection) Status() (st inject.Status) {
	i.do(func(p *inject.Injector) { st = p.Status() })
	return st
}

func (i *Injection) requestKeyFrame() { i.do((*inject.Injector).RequestKeyFrame) }

// do calls fn with the player, if it plays already.
func (i *Injection) do(fn func(*inject.Injector)) {
	i.mu.Lock()
	p := i.injector
	i.mu.Unlock()
	if p != nil {
		fn(p)
	}
}

// Done is closed when the injection has ended.
func (i *Injection) Done() <-chan struct{} { return i.done }

// Err tells why the injection ended: io.EOF at the end of the source,
// media.ErrClosed after Stop and Close and at the end of the call, else what
// failed. Nil while it runs.
func (i *Injection) Err() error {
	i.mu.Lock()
	defer i.mu.Unlock()
	return i.err
}

// shownURL is a URL for logs and errors: without user, password and query.
func shownURL(url string) string {
	url, _, _ = strings.Cut(url, "?")
	scheme, rest, ok := strings.Cut(url, "://")
	if !ok {
		return url
	}
	host, path, hasPath := strings.Cut(rest, "/")
	if at := strings.LastIndexByte(host, '@'); at >= 0 {
		host = host[at+1:]
	}
	if hasPath {
		host += "/" + path
	}
	return scheme + "://" + host
}
