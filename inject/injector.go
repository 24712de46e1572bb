package inject

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"runtime/debug"
	"sync"
	"time"

	"github.com/trunkcast/trunkcast/media"
)

// Injector takes a source to a sink in real time: each frame is written when
// its DTS is due on a schedule that was laid down with the first one, so
// nothing drifts. Times go on for the sink whatever is done to the source: a
// pause is a pause in them too, a jump in the source is none, and a loop has
// no seam.
//
// Audio that the sink does not take is transcoded by a media.Stream between
// them, which makes it some ten milliseconds later than the pictures. The
// fields are set before Start. The methods may be called from any goroutine.
type Injector struct {
	// Source is what is played. It is closed at the end.
	Source media.Source
	// Sink gets the frames. It is not closed.
	Sink media.Sink
	// Audio are the codecs that the sink takes, the first one being the one to
	// transcode to. Nil: any.
	Audio []media.Codec
	// Codecs decode and encode. L16 (of WAV files) is decoded without them.
	Codecs []media.AudioCodec
	// Encoder is about transcoding.
	Encoder media.EncoderOptions
	// NoAudio and NoVideo leave a kind of media away: a sink that takes none
	// would end the injection at the first frame.
	NoAudio, NoVideo bool
	// Loop begins again at the end of the source. It must be a *File, or
	// another with a method SetLoop(bool).
	Loop bool
	// Live is for sources that keep the pace themselves: frames are written
	// as they come.
	Live bool
	// Burst is how late frames may be, because the source or the sink held
	// them up, to be still written at once to catch up; when they are later,
	// the schedule moves instead. Default 200 ms.
	Burst time.Duration
	// OnEvent gets what happens, in order, from one goroutine. It may call
	// any method but Close.
	OnEvent func(Event)
	// Logger gets the beginning and the end, for debugging, and what is left
	// away. Nil discards.
	Logger *slog.Logger

	start    sync.Once
	initDone sync.Once
	ctx      context.Context // from Start to the end
	cancel   context.CancelCauseFunc
	done     chan struct{}
	wake     chan struct{} // something was asked for
	log      *slog.Logger

	mu     sync.Mutex
	ask    asked
	err    error
	status Status
}

// asked is what the pump has to do next.
type asked struct {
	stopped bool
	paused  bool
	seek    bool
	seekTo  time.Duration
	key     bool // a key frame
}

// Status tells how an injection stands.
type Status struct {
	// Position is the place in the source, in a file counted from its start in
	// each round.
	Position time.Duration
	// Elapsed is the DTS that the sink saw last.
	Elapsed time.Duration
	Paused  bool
	// Rounds of a loop that were played to their end.
	Rounds int
	// Frames that the sink was given.
	Frames uint64
	// Moved counts how often the schedule moved because frames were late.
	Moved uint64
	// KeyFrameJumps counts the ways back to a key frame that was asked for.
	KeyFrameJumps uint64
}

// EventType tells what an [Event] is about.
type EventType int

// The events of an injection: Started at the first frame, Ended last.
const (
	Started EventType = iota
	Paused
	Resumed
	Sought
	Looped
	NoAudioCodec // the sound is left away: see Err
	Ended        // see Err
)

func (t EventType) String() string {
	names := [...]string{"started", "paused", "resumed", "sought", "looped", "no_audio_codec", "ended"}
	if t >= 0 && int(t) < len(names) {
		return names[t]
	}
	return "unknown"
}

// Event tells what happened to an injection.
type Event struct {
	Type     EventType
	Position time.Duration // as in Status
	Err      error
}

// What some sources can do.
type (
	seeker interface {
		Seek(at time.Duration) (time.Duration, error)
	}
	looper interface{ SetLoop(on bool) }
	// keyed is a file that knows where its key frames are.
	keyed interface {
		seeker
		NextKeyFrame(after time.Duration) (time.Duration, bool)
	}
	rounder interface {
		Round() (n int, start time.Duration)
	}
	// keySource is a live source whose sender can be asked.
	keySource interface{ RequestKeyFrame() }
)

const defaultBurst = 200 * time.Millisecond

func (i *Injector) init() {
	i.initDone.Do(func() {
		i.done = make(chan struct{})
		i.wake = make(chan struct{}, 1)
		i.ctx, i.cancel = context.WithCancelCause(context.Background())
		if i.log = i.Logger; i.log == nil {
			i.log = slog.New(slog.DiscardHandler)
		}
	})
}

// Start begins. When ctx is done the injection ends. It can be started once;
// after Close it returns ErrClosed of media.
func (i *Injector) Start(ctx context.Context) error {
	i.init()
	err := fmt.Errorf("inject: started before: %w", media.ErrClosed)
	i.start.Do(func() { err = i.begin(ctx) })
	return err
}

func (i *Injector) begin(ctx context.Context) error {
	err := i.check()
	if err == nil && i.stopped() {
		err = media.ErrClosed
	}
	if err != nil {
		i.finish(err)
		return err
	}
	unbind := context.AfterFunc(ctx, func() { i.cancel(context.Cause(ctx)) })
	go func() {
		defer unbind()
		i.run()
	}()
	return nil
}

func (i *Injector) check() error {
	if i.Source == nil || i.Sink == nil {
		return errors.New("inject: an Injector needs a Source and a Sink")
	}
	if !i.Loop {
		return nil
	}
	l, ok := i.Source.(looper)
	if !ok {
		return fmt.Errorf("%w: it cannot be looped", ErrNotSeekable)
	}
	l.SetLoop(true)
	return nil
}

// Pause holds the injection. A live source is read on and what comes is left
// away.
func (i *Injector) Pause() { i.tell(func(a *asked) { a.paused = true }) }

// Resume goes on after Pause; a live source at its next key frame.
func (i *Injector) Resume() { i.tell(func(a *asked) { a.paused = false }) }

// Seek goes to the key frame at or before that time of the source, soon after
// it has returned. The source of a live stream gives ErrNotSeekable.
func (i *Injector) Seek(at time.Duration) error {
	if _, ok := i.Source.(seeker); !ok {
		return ErrNotSeekable
	}
	if i.stopped() {
		return media.ErrClosed
	}
	i.tell(func(a *asked) { a.seek, a.seekTo = true, at })
	return nil
}

// RequestKeyFrame tells that the receiver needs a key frame. A live source is
// asked for one. A file gives the next one if that comes within a second;
// otherwise it goes back to the last one, sound and picture, but only once
// from each group of pictures, so that it gets on however often it is asked.
func (i *Injector) RequestKeyFrame() { i.tell(func(a *asked) { a.key = true }) }

// Stop ends the injection without waiting for that.
func (i *Injector) Stop() {
	i.tell(func(a *asked) { a.stopped = true })
	i.cancel(media.ErrClosed)
}

// Close ends the injection and returns when the last frame was written and the
// source closed. It may be called more than once, and before Start.
func (i *Injector) Close() error {
	i.Stop()
	i.start.Do(func() { i.finish(media.ErrClosed) })
	<-i.done
	return nil
}

// Done is closed when the injection has ended.
func (i *Injector) Done() <-chan struct{} {
	i.init()
	return i.done
}

// Err tells why the injection ended: io.EOF at the end of the source,
// media.ErrClosed after Stop and Close, the error of the context, the source
// or the sink. Nil while it runs.
func (i *Injector) Err() error {
	i.mu.Lock()
	defer i.mu.Unlock()
	return i.err
}

// Status tells how the injection stands now.
func (i *Injector) Status() Status {
	i.mu.Lock()
	defer i.mu.Unlock()
	s := i.status
	s.Paused = i.ask.paused
	return s
}

func (i *Injector) stopped() bool {
	i.mu.Lock()
	defer i.mu.Unlock()
	return i.ask.stopped
}

// tell changes what is asked for and wakes the pump.
func (i *Injector) tell(change func(*asked)) {
	i.init()
	i.mu.Lock()
	change(&i.ask)
	i.mu.Unlock()
	select {
	case i.wake <- struct{}{}:
	default: // it is about to look
	}
}

func (i *Injector) event(t EventType, err error) {
	if i.OnEvent != nil {
		i.OnEvent(Event{Type: t, Position: i.Status().Position, Err: err})
	}
}

// run is the goroutine of the injection.
func (i *Injector) run() {
	p := newPump(i)
	err := i.contain(p.run)
	if cause := context.Cause(i.ctx); cause != nil {
		err = cause
	}
	p.close(errors.Is(err, io.EOF))
	i.finish(err)
}

// contain turns a panic of a sink, a source or OnEvent into an error.
func (i *Injector) contain(fn func() error) (err error) {
	defer func() {
		if v := recover(); v != nil {
			err = fmt.Errorf("inject: panic: %v", v)
			i.log.Error("injection panicked", "panic", v, "stack", string(debug.Stack()))
		}
	}()
	return fn()
}

func (i *Injector) finish(err error) {
	i.cancel(err)
	if i.Source != nil {
		_ = i.Source.Close() // it was read to the end that is told
	}
	i.mu.Lock()
	i.err = err
	i.ask.stopped = true
	i.mu.Unlock()
	i.log.Debug("injector ended", "reason", err)
	_ = i.contain(func() error { i.event(Ended, err); return nil })
	close(i.done)
}

// transcodable tells whether the codecs at hand can turn one into the other.
func (i *Injector) transcodable(from, to media.Codec) bool {
	return hasCodec(i.codecs(), from) && hasCodec(i.codecs(), to)
}

// codecs are those that were given and, if it is not among them, L16.
func (i *Injector) codecs() []media.AudioCodec { return withCodecs(i.Codecs, L16Codec{}) }
