package trunkcast

import (
	"context"
	"errors"
	"log/slog"
	"sync"
	"time"

	"github.com/trunkcast/trunkcast/media"
	"github.com/trunkcast/trunkcast/media/rtpio"
	"github.com/trunkcast/trunkcast/media/sdp"
	"github.com/trunkcast/trunkcast/trunk"
)

// Session is a call that a [Bridge] serves. Its methods may be called from any
// goroutine, also after the call has ended.
type Session struct {
	bridge *Bridge
	call   *trunk.Call
	plan   *Plan
	log    *slog.Logger
	media  *rtpio.Session
	stream *media.Stream
	began  time.Time // what is sent to the caller is timed from here
	done   chan struct{}

	watchers sync.WaitGroup // of the outputs, and of followCongestion
	holding  holding
	standBy  standBy
	sounds   sounds

	mu        sync.Mutex
	ended     bool // no more outputs
	limiting  bool // followCongestion runs
	outputs   []*Output
	injection *Injection // nil: nothing is played to the caller
	soundOver *Injection // nil: no sound over it
	err       error
}

func newSession(b *Bridge, c *trunk.Call, plan *Plan) *Session {
	s := &Session{
		bridge: b, call: c, plan: plan, began: time.Now(), done: make(chan struct{}),
		log: b.log.With("trunk", c.Trunk().Name(), "call_id", c.ID(), "number", c.Number()),
	}
	s.stream = &media.Stream{Codecs: b.Codecs, Logger: s.log, NeedKeyFrame: func() { s.media.RequestKeyFrame() }}
	s.media = &rtpio.Session{
		Caps: plan.Capabilities, Ports: plan.Ports, Advertise: c.MediaAddr(), Peer: c.Remote().Addr(),
		Output: s.stream, Latching: plan.Latching, MediaTimeout: plan.MediaTimeout, ForceFeedback: plan.ForceFeedback,
		PeriodicKeyFrames:    plan.KeyFrameInterval,
		JitterMin:            plan.JitterMin,
		JitterMax:            plan.JitterMax,
		PassDamaged:          plan.PassDamaged,
		MaxFreeze:            plan.MaxFreeze,
		MaxVideoBitRate:      plan.MaxVideoBitRate,
		RequestKeyFrameBySIP: s.requestKeyFrameBySIP,
		OnKeyFrameRequested:  s.keyFrameRequested,
		OnDigit:              s.digit,
		OnMedia:              s.mediaStarted,
		Logger:               s.log,
	}
	if plan.BlackPictures {
		s.media.Output = &pictures{session: s}
	}
	return s
}

// ID is the Call-ID.
func (s *Session) ID() string { return s.call.ID() }

// Call is the call.
func (s *Session) Call() *trunk.Call { return s.call }

// Stream carries what the caller sends; its Name is the one that the plan, and
// the policy about names in use, have given it.
func (s *Session) Stream() *media.Stream { return s.stream }

// Done is closed when the call has ended and everything of it was written out.
func (s *Session) Done() <-chan struct{} { return s.done }

// Err tells why the call ended, nil while it runs.
func (s *Session) Err() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.err
}

// Agreed is what was negotiated, nil before.
func (s *Session) Agreed() *sdp.Agreed { return s.media.Agreed() }

// Held tells that the caller wants nothing from us: the call is on hold.
func (s *Session) Held() bool { return s.media.Held() }

// Stats are the figures of a [Session].
type Stats struct {
	Media   rtpio.Stats
	Stream  media.StreamStats
	Outputs []OutputStats
}

// Stats returns the figures now.
func (s *Session) Stats() Stats {
	st := Stats{Media: s.media.Stats(), Stream: s.stream.Stats()}
	for _, o := range s.Outputs() {
		st.Outputs = append(st.Outputs, o.Stats())
	}
	return st
}

// Hangup ends the call, with why in a Reason header, and returns when the
// caller has confirmed it or ctx is done. Done follows when the streams were
// written out.
func (s *Session) Hangup(ctx context.Context, why string) error { return s.call.Hangup(ctx, why) }

// SendDTMF sends digits (0 to 9, *, #, A to D) by telephone-event (RFC 4733),
// each for duration; 0 means 160 ms. It returns when they are out.
func (s *Session) SendDTMF(ctx context.Context, digits string, duration time.Duration) error {
	return s.media.SendDTMF(ctx, digits, duration)
}

// run is the call from its answer to its end.
func (s *Session) run(ctx context.Context) {
	s.tell(Event{Type: CallStarted})
	s.call.OnInfo(s.info)
	if err := s.answer(ctx); err != nil {
		s.end(err)
		return
	}
	s.log.Info("call answered", "stream", s.stream.Name)
	s.tell(Event{Type: CallAnswered})
	s.beginHolding()
	s.watchers.Go(s.beginStandBy)
	s.beginRecording()
	for _, t := range s.plan.Targets {
		if _, err := s.AddOutput(t); err != nil {
			s.log.Error("target not opened", "output", t.name(), "error", err)
			s.tell(Event{Type: OutputEnded, Output: t.name(), Err: err})
		}
	}
	select {
	case <-ctx.Done():
		s.end(s.call.Err())
	case <-s.call.Done():
		s.end(s.call.Err())
	case <-s.media.Done():
		err := s.media.Err()
		s.hangup(err.Error())
		s.end(err)
	}
}

func (s *Session) answer(ctx context.Context) error {
	if err := s.call.Ring(180, ""); err != nil {
		return err
	}
	return s.call.Answer(ctx, negotiator{s.media, s})
}

// contain is deferred around run: a panic of code that was given to the Bridge
// ends this call and no other.
func (s *Session) contain() {
	v := recover()
	if v == nil {
		return
	}
	err := s.bridge.panicked("call", v)
	s.hangup("internal error")
	s.end(err)
}

// hangup is for an end of our own.
func (s *Session) hangup(why string) {
	limit := s.bridge.HangupTimeout
	if limit <= 0 {
		limit = defaultHangupTimeout
	}
	ctx, cancel := context.WithTimeout(context.Background(), limit)
	defer cancel()
	if err := s.call.Hangup(ctx, why); err != nil {
		s.log.Info("hang-up not confirmed", "error", err)
	}
}

// end closes everything in the order in which media flows, so that the last
// frames reach the outputs.
func (s *Session) end(err error) {
	s.mu.Lock()
	s.ended, s.err = true, err // first: outputs end by themselves from here on
	injections := [...]*Injection{s.soundOver, s.injection}
	s.mu.Unlock()
	for _, i := range injections {
		if i != nil {
			i.abandon()
		}
	}
	s.endStandBy()
	_ = s.media.Close()
	_ = s.stream.CloseWrite()
	s.watchers.Wait()
	s.log.Debug("call written out", "stream", s.stream.Name)
}

// finish tells the end, when the name of the stream is free again.
func (s *Session) finish() {
	s.mu.Lock()
	ended, err := s.ended, s.err
	s.mu.Unlock()
	close(s.done)
	if ended {
		s.tell(Event{Type: CallEnded, Err: err})
	}
}

func (s *Session) tell(e Event) {
	e.Call, e.Session = s.call, s
	s.bridge.tell(e)
}

func (s *Session) digit(r rune, d time.Duration) {
	s.tell(Event{Type: Digit, Digit: r, Duration: d})
}

// negotiator tells the stream whether pictures are agreed to, and the program of
// hold. It gives errors that are our own fault a status of their own: 488 would
// blame the caller's offer.
type negotiator struct {
	*rtpio.Session
	of *Session
}

func (n negotiator) Answer(ctx context.Context, offer []byte) ([]byte, error) {
	body, err := n.Session.Answer(ctx, offer)
	n.changed()
	return body, ownFault(err)
}

func (n negotiator) Accept(ctx context.Context, answer []byte) error {
	err := n.Session.Accept(ctx, answer)
	n.changed()
	return err
}

func (n negotiator) Rollback() {
	n.Session.Rollback()
	n.changed()
}

func (n negotiator) changed() {
	n.of.stream.ExpectVideo(n.Session.Agreed().Line(sdp.Video) != nil)
	n.of.noteHold()
	n.of.limitCaller()
}

func (n negotiator) Offer(ctx context.Context) ([]byte, error) {
	body, err := n.Session.Offer(ctx)
	return body, ownFault(err)
}

func (n negotiator) OfferFull(ctx context.Context) ([]byte, error) {
	body, err := n.Session.OfferFull(ctx)
	return body, ownFault(err)
}

func ownFault(err error) error {
	switch {
	case errors.Is(err, rtpio.ErrNoPorts):
		return statusError{err, 503}
	case errors.Is(err, rtpio.ErrNoAddress), errors.Is(err, rtpio.ErrClosed):
		return statusError{err, 500}
	default:
		return err
	}
}

// statusError carries a SIP status for trunk.Negotiator.
type statusError struct {
	error
	code int
}

func (e statusError) Unwrap() error  { return e.error }
func (e statusError) SIPStatus() int { return e.code }
