package media

import (
	"context"
	"errors"
	"log/slog"
	"runtime/debug"
	"slices"
	"sync"
	"sync/atomic"
	"time"
)

// Stream carries the frames of one writer to any number of sinks, each behind
// a queue and, unless it is a [DirectSink], a goroutine of its own: a slow or
// dead sink loses whole groups of pictures and delays nobody. Audio that a sink cannot take is transcoded,
// once for each target codec however many sinks want it, from the first need
// on and until the last of them has gone.
//
//	WriteFrame --+--------------------------------> queue --goroutine--> Sink
//	             |                                    ^    (who writes --> DirectSink)
//	             +--> decode, resample, encode -------+
//	                  (one goroutine a target codec)
//
// The fields are set before the first method is called.
type Stream struct {
	// Name is the name of the stream, for logs and directories.
	Name string
	// Codecs decode and encode audio. Nil: nothing is transcoded.
	Codecs []AudioCodec
	// NeedKeyFrame is called when a sink cannot go on without a key frame: a
	// new one, or one that lost frames. At most once a second. It must not
	// block. Nil: they wait for the next one.
	NeedKeyFrame func()
	// DrainTimeout is the longest that Close and CloseWrite wait for one sink
	// to take what is queued, and again (and half a second more) for its
	// Close. A sink that takes longer is abandoned. Default 2 s.
	DrainTimeout time.Duration
	// Logger gets sinks that fail or fall behind. Nil discards.
	Logger *slog.Logger

	streamState
}

// SinkOptions tells what a sink wants. The zero value takes everything as it
// is.
type SinkOptions struct {
	// Name is used in logs and statistics.
	Name string
	// Audio are the codecs that the sink takes, the first one being the one to
	// transcode to if the stream has none of them. Once transcoded, it stays
	// so. Nil: any, never transcoded.
	Audio []Codec
	// Encoder is about that transcoding. Sinks with the same codec and options
	// share one encoder.
	Encoder EncoderOptions
	// NoAudio and NoVideo leave a kind of media away.
	NoAudio, NoVideo bool
	// MaxQueue bounds the bytes that wait for the sink, MaxDelay their age.
	// Defaults 4 MiB and 2 s.
	MaxQueue int
	MaxDelay time.Duration
}

// SubscriptionStats are counters of one sink.
type SubscriptionStats struct {
	Frames, Dropped uint64 // written to the sink; lost because it was too slow
	Queued          int    // bytes waiting now
}

const (
	defaultMaxQueue     = 4 << 20
	defaultMaxDelay     = 2 * time.Second
	defaultDrainTimeout = 2 * time.Second
	// grace is the time that a sink has to return once its context is done.
	grace = 500 * time.Millisecond
	// keyInterval is the least time between two calls of NeedKeyFrame.
	keyInterval = time.Second
	// reportInterval is the least time between two log lines on a slow sink.
	reportInterval = 10 * time.Second
)

// errNoTrack is a mistake of the writer.
var errNoTrack = errors.New("media: a frame without a track or codec")

// streamState is what happens to a Stream. Locks are taken in the order
// streamState.mu, Subscription.mu, queue.mu or rendition.mu.
type streamState struct {
	abandoned atomic.Uint64

	mu           sync.Mutex
	done         chan struct{}
	closed       bool // no more frames come
	finished     bool
	listings     []listing
	subs         []*Subscription // not finished
	direct       []*Subscription // those of them that are, replaced as a whole
	renditions   []*rendition    // whose goroutine runs
	past         []RenditionStats
	video, audio *Track
	noVideo      bool      // none is expected
	began        time.Time // when the first frame came
	keyAsked     time.Time
	stats        StreamStats
}

func (s *Stream) drainTimeout() time.Duration {
	if s.DrainTimeout > 0 {
		return s.DrainTimeout
	}
	return defaultDrainTimeout
}

func (s *Stream) log() *slog.Logger {
	if s.Logger == nil {
		return slog.New(slog.DiscardHandler)
	}
	return s.Logger.With("stream", s.Name)
}

// lock takes the mutex of a stream that is ready for use.
func (s *Stream) lock() {
	s.mu.Lock()
	if s.done == nil {
		s.done = make(chan struct{})
	}
}

// unlock gives the mutex back, and ends the stream if nothing is left of it.
func (s *Stream) unlock() {
	last := s.closed && !s.finished && len(s.subs) == 0 && len(s.renditions) == 0
	if last {
		s.finished = true
	}
	s.mu.Unlock()
	if last { // the listings do not change any more
		for _, l := range s.listings {
			l.directory.Remove(l.name, s)
		}
		close(s.done)
	}
}

// listed remembers where the stream is to be taken out at its end.
func (s *Stream) listed(l listing) bool {
	s.lock()
	defer s.unlock()
	if s.finished {
		return false
	}
	if !slices.Contains(s.listings, l) {
		s.listings = append(s.listings, l)
	}
	return true
}

// WriteFrame hands a frame to all sinks. It never blocks and needs no context.
// After CloseWrite or Close it returns ErrClosed. It is called by one
// goroutine at a time.
func (s *Stream) WriteFrame(_ context.Context, f *Frame) error {
	if f == nil || f.Track == nil || f.Track.Codec == "" {
		return errNoTrack
	}
	now := time.Now()
	s.lock()
	if s.closed {
		s.unlock()
		return ErrClosed
	}
	size := f.Size()
	s.note(f, size, now)
	var needKey bool
	if f.Track.Codec.Video() {
		needKey = s.writeVideo(f, size, now)
	} else {
		s.writeAudio(f, size, now)
	}
	ask := needKey && s.mayAsk(now)
	direct := s.direct
	s.unlock()
	for _, u := range direct {
		u.kick()
	}
	if ask {
		s.askKey()
	}
	return nil
}

func (s *Stream) note(f *Frame, size int, now time.Time) {
	s.stats.Frames++
	s.stats.Bytes += uint64(size)
	if s.began.IsZero() {
		s.began = now
	}
	if !f.Track.Codec.Video() {
		s.audio = f.Track
		return
	}
	s.video = f.Track
	if f.Key {
		s.stats.KeyFrames++
	}
}

func (s *Stream) writeVideo(f *Frame, size int, now time.Time) (needKey bool) {
	for _, u := range s.subs {
		if !u.detached && !u.options.NoVideo {
			needKey = u.push(f, size, 0, now) || needKey
		}
	}
	for _, r := range s.renditions {
		r.clock(f.DTS)
	}
	return needKey
}

func (s *Stream) writeAudio(f *Frame, size int, now time.Time) {
	for _, u := range s.subs {
		if u.detached || u.options.NoAudio {
			continue
		}
		if u.routed != f.Track {
			told := u.audioErr != nil
			if err := s.route(u, f.Track); err != nil && !told {
				s.logLater("sink gets no audio", u, err)
			}
		}
		if u.pass {
			u.push(f, size, 0, now)
		}
	}
	for _, r := range s.renditions {
		r.push(f, size)
	}
}

// push queues a frame for the sink.
func (u *Subscription) push(f *Frame, size int, end time.Duration, now time.Time) (needKey bool) {
	p := u.q.push(f, size, end, now)
	if p.behind {
		u.stream.logLater("sink falls behind, frames are dropped", u, nil)
	}
	return p.needKey
}

// logLater logs in a goroutine, because a handler may block and the writer
// must not. It is for what happens rarely.
func (s *Stream) logLater(msg string, u *Subscription, err error) {
	if s.Logger != nil {
		args := []any{"sink", u.options.Name}
		if err != nil {
			args = append(args, "error", err)
		}
		go s.log().Warn(msg, args...)
	}
}

// mayAsk paces requests for key frames.
func (s *Stream) mayAsk(now time.Time) bool {
	if s.NeedKeyFrame == nil || !s.keyAsked.IsZero() && now.Sub(s.keyAsked) < keyInterval {
		return false
	}
	s.keyAsked = now
	s.stats.KeyRequests++
	return true
}

func (s *Stream) askKey() {
	defer func() {
		if v := recover(); v != nil {
			s.log().Error("NeedKeyFrame panicked", "panic", v, "stack", string(debug.Stack()))
		}
	}()
	s.NeedKeyFrame()
}

// Attach adds a sink. It starts with a key frame, which is asked for, if there
// is video; audio begins with it too, or a second later without. An audio-only
// stream is known as such after a second, or by ExpectVideo; what came before
// is not lost.
//
// The sink is closed (if it is an io.Closer) after its last frame. An
// *ErrNoEncoder tells that its audio cannot be made; the subscription then
// still carries the video, and the error is returned beside it. Where the
// audio of the stream is not known yet, Subscription.AudioErr tells later.
// After Close or CloseWrite there is no subscription, the sink is not closed,
// and the error is ErrClosed.
func (s *Stream) Attach(sink Sink, o SinkOptions) (*Subscription, error) {
	if sink == nil {
		return nil, errors.New("media: no sink to attach")
	}
	u, err := s.attach(sink, o)
	switch {
	case u == nil:
	case u.direct:
		u.kick() // what came since it is listed
	default:
		go u.run()
	}
	return u, err
}

func (s *Stream) attach(sink Sink, o SinkOptions) (*Subscription, error) {
	o.Audio = slices.Clone(o.Audio)
	u := newSubscription(s, sink, o)
	u.direct = sink != nil && direct(sink)
	now := time.Now()
	s.lock()
	if s.closed {
		s.unlock()
		u.cancel()
		return nil, ErrClosed
	}
	s.subs = append(s.subs, u)
	if u.direct {
		s.direct = append(slices.Clone(s.direct), u)
	}
	u.q.started = u.q.started || s.noVideo || s.video == nil && !s.began.IsZero() && now.Sub(s.began) >= startDelay
	var err error
	if s.audio != nil && !o.NoAudio {
		err = s.route(u, s.audio)
	}
	ask := s.video != nil && !o.NoVideo && s.mayAsk(now)
	s.unlock()
	if ask {
		s.askKey()
	}
	return u, err
}

// ExpectVideo tells whether there will be video, for a writer that knows: where
// there is none, audio goes at once, and otherwise waits up to a second for
// the first key frame. It may be called again when that changes, as by a
// re-INVITE. Default: true.
func (s *Stream) ExpectVideo(yes bool) {
	s.lock()
	defer s.unlock()
	s.noVideo = !yes
	for _, u := range s.subs {
		if !yes {
			u.q.start()
			u.nudge()
		}
	}
}

// route decides how a sink gets audio of track t.
func (s *Stream) route(u *Subscription, t *Track) error {
	u.routed = t
	if u.audio != nil && !u.audio.ended { // one track all the time
		return nil
	}
	u.audio, u.audioErr = nil, nil
	if u.pass = u.options.Audio == nil || slices.Contains(u.options.Audio, t.Codec); u.pass {
		return nil
	}
	if len(u.options.Audio) == 0 {
		return nil
	}
	if u.audio, u.audioErr = s.rendition(t, u.options.Audio[0], u.options.Encoder); u.audioErr == nil {
		u.audio.sinks++
		u.q.setMerge()
	}
	return u.audioErr
}

// rendition returns the one that runs, or a new one.
func (s *Stream) rendition(from *Track, to Codec, o EncoderOptions) (*rendition, error) {
	key := renditionKey{to, o}
	for _, r := range s.renditions {
		if r.key == key && r.sinks > 0 && !r.ended {
			return r, nil
		}
	}
	if findCodec(s.Codecs, from.Codec) == nil || findCodec(s.Codecs, to) == nil {
		return nil, &ErrNoEncoder{From: from.Codec, To: to}
	}
	r := newRendition(s, key, from)
	s.renditions = append(s.renditions, r)
	go r.run()
	return r, nil
}

// deliver gives a frame of a rendition to its sinks.
func (s *Stream) deliver(r *rendition, f *Frame, end time.Duration) {
	now := time.Now()
	size := f.Size()
	s.lock()
	for _, u := range s.subs {
		if u.audio == r && !u.detached {
			u.push(f, size, end, now)
		}
	}
	direct := s.direct
	s.unlock()
	for _, u := range direct {
		u.kick()
	}
}

// detach gives the sink no more frames.
func (s *Stream) detach(u *Subscription) {
	s.lock()
	defer s.unlock()
	s.release(u)
}

func (s *Stream) release(u *Subscription) {
	if u.detached {
		return
	}
	u.detached = true
	if r := u.audio; r != nil {
		if r.sinks--; r.sinks == 0 {
			r.stop(false)
		}
	}
}

// forget takes a sink out that has ended.
func (s *Stream) forget(u *Subscription) {
	s.lock()
	defer s.unlock()
	s.release(u)
	s.subs = slices.DeleteFunc(s.subs, func(x *Subscription) bool { return x == u })
	if u.direct {
		s.direct = slices.DeleteFunc(slices.Clone(s.direct), func(x *Subscription) bool { return x == u })
	}
}

// renditionEnded takes a rendition out. Its sinks have had all audio.
func (s *Stream) renditionEnded(r *rendition, err error) {
	s.lock()
	defer s.unlock()
	if r.ended {
		return
	}
	r.ended = true
	s.renditions = slices.DeleteFunc(s.renditions, func(x *rendition) bool { return x == r })
	st := r.snapshot()
	st.Running = false
	if s.past = addRendition(s.past, st); len(s.past) > maxPast {
		s.past = s.past[1:]
	}
	r.err = err
	close(r.done)
}

// Tracks returns the latest track of each kind that was written.
func (s *Stream) Tracks() []*Track {
	s.lock()
	defer s.unlock()
	return s.latestTracks()
}

func (s *Stream) latestTracks() (list []*Track) {
	for _, t := range []*Track{s.video, s.audio} {
		if t != nil {
			list = append(list, t)
		}
	}
	return list
}

// tracksFor returns the tracks as a sink gets them.
func (s *Stream) tracksFor(u *Subscription) (list []*Track) {
	s.lock()
	defer s.unlock()
	if s.video != nil && !u.options.NoVideo {
		list = append(list, s.video)
	}
	if t := s.audioFor(u); t != nil {
		list = append(list, t)
	}
	return list
}

func (s *Stream) audioFor(u *Subscription) *Track {
	switch {
	case u.pass:
		return s.audio
	case u.audio != nil:
		return u.audio.snapshot().Track
	default:
		return nil
	}
}

// CloseWrite ends the stream in order: transcoders give what they hold, every
// sink gets what is queued, all side by side and at most DrainTimeout long,
// and is closed. It returns when that is done. It may be called more than once
// and from any goroutine but a sink's own.
func (s *Stream) CloseWrite() error {
	subs, renditions := s.close()
	for _, r := range renditions {
		r.stop(true)
		r.watch(s.drainTimeout() + grace)
	}
	for _, u := range subs {
		if s.renditionOf(u) == nil {
			u.drain()
		} else if u.sink != nil {
			u.patient()
		}
	}
	for _, r := range renditions {
		<-r.done
	}
	for _, u := range subs {
		u.drain()
	}
	<-s.Done()
	return nil
}

// Close ends the stream at once: what is queued is dropped, and sinks are
// closed. It may be called like CloseWrite, also while that runs.
func (s *Stream) Close() error {
	subs, renditions := s.close()
	for _, r := range renditions {
		r.stop(false)
		r.watch(s.drainTimeout() + grace)
	}
	for _, u := range subs {
		u.abort()
	}
	<-s.Done()
	return nil
}

// close lets no more frames and sinks in and returns what is to be ended.
func (s *Stream) close() ([]*Subscription, []*rendition) {
	s.lock()
	defer s.unlock()
	s.closed = true
	return slices.Clone(s.subs), slices.Clone(s.renditions)
}

// renditionOf returns the rendition that still gives audio to a sink.
func (s *Stream) renditionOf(u *Subscription) *rendition {
	s.lock()
	defer s.unlock()
	if u.detached || u.audio == nil || u.audio.ended {
		return nil
	}
	return u.audio
}

// Done is closed when the stream has ended and every sink was closed.
func (s *Stream) Done() <-chan struct{} {
	s.lock()
	defer s.unlock()
	return s.done
}
