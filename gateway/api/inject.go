package api

import (
	"context"
	"errors"
	"io/fs"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/trunkcast/trunkcast"
	"github.com/trunkcast/trunkcast/inject"
	"github.com/trunkcast/trunkcast/media"
	"github.com/trunkcast/trunkcast/media/rtpio"
)

// Injection tells how an injection stands. It is of ours: the product's
// interface has no question for it.
type Injection struct {
	CallID     string  `json:"callId"`
	StreamName string  `json:"streamName"`
	Position   float64 `json:"position"` // in the source, in seconds
	Elapsed    float64 `json:"elapsed"`  // seconds since its start
	Paused     bool    `json:"paused"`
	Rounds     int     `json:"rounds"` // of a loop
	Frames     uint64  `json:"frames"` // sent

	Sound *Injection `json:"sound,omitempty"` // played over it
}

// injectRoutes are the operations on what is played to a caller. pause,
// resume, seek and find are ours; they are about the sound if nothing else is
// played.
func (h *Handler) injectRoutes() {
	h.handle("/call/inject_stream/startup", h.injectStart)
	h.handle("/call/inject_stream/terminate", h.injectStop)
	h.handle("/call/inject_stream/pause", h.injectDo(func(i *trunkcast.Injection, _ request) error { i.Pause(); return nil }))
	h.handle("/call/inject_stream/resume", h.injectDo(func(i *trunkcast.Injection, _ request) error { i.Resume(); return nil }))
	h.handle("/call/inject_stream/seek", h.injectDo(injectSeek))
	h.handle("/call/inject_stream/find", h.injectFind)
	h.handle("/call/inject_sound", h.injectSound)
	h.handle("/call/inject_sound/terminate", h.injectSoundStop)
}

// injectStart plays a stream or file into a call: streamName is any URL of
// trunkcast.Bridge.Open. Beside the product's keys it knows loop, start (in
// seconds), audioOnly, videoOnly and force.
func (h *Handler) injectStart(r *http.Request, body request) (any, error) {
	if err := body.known("callId", "streamName", "loop", "start", "audioOnly", "videoOnly", "force"); err != nil {
		return nil, err
	}
	s, err := h.session(body)
	if err != nil {
		return nil, err
	}
	url, err := body.needed("streamName")
	if err != nil {
		return nil, err
	}
	o, err := injectOptions(body)
	if err != nil {
		return nil, err
	}
	return nil, startInjection(r.Context(), s, url, o)
}

func injectOptions(body request) (o trunkcast.InjectOptions, err error) {
	var loop bool
	for key, to := range map[string]*bool{"loop": &loop, "audioOnly": &o.NoVideo, "videoOnly": &o.NoAudio, "force": &o.Force} {
		if *to, err = body.flag(key, false); err != nil {
			return o, err
		}
	}
	if o.NoAudio && o.NoVideo {
		return o, badRequest("audioOnly and videoOnly leave nothing")
	}
	if loop {
		o.AtEnd = trunkcast.EndLoop
	}
	o.Start, err = body.seconds("start")
	return o, err
}

// injectSound plays a file of the media folder, or whatever a URL names, its
// sound alone. What is injected already, or the stand-by, goes on: its sound is
// away meanwhile or, with the key mix, heard too. mix, loop and start are ours.
func (h *Handler) injectSound(r *http.Request, body request) (any, error) {
	if err := body.known("callId", "fileName", "loop", "start", "mix"); err != nil {
		return nil, err
	}
	s, err := h.session(body)
	if err != nil {
		return nil, err
	}
	name, err := body.needed("fileName")
	if err != nil {
		return nil, err
	}
	o, err := injectOptions(body)
	if err != nil {
		return nil, err
	}
	mix, err := body.flag("mix", false)
	if err != nil {
		return nil, err
	}
	if !strings.Contains(name, "://") && !strings.HasPrefix(name, "call:") {
		name = "vod://" + name
	}
	o.Over = trunkcast.OverReplace
	if mix {
		o.Over = trunkcast.OverMix
	}
	return nil, startInjection(r.Context(), s, name, o)
}

// injectSoundStop ends the sound alone.
func (h *Handler) injectSoundStop(_ *http.Request, body request) (any, error) {
	s, err := h.session(body)
	if err != nil {
		return nil, err
	}
	i := s.SoundOver()
	if i == nil {
		return nil, notFound("no sound is injected into the call %q", s.ID())
	}
	return nil, i.Close()
}

func startInjection(ctx context.Context, s *trunkcast.Session, url string, o trunkcast.InjectOptions) error {
	_, err := s.Inject(ctx, url, o)
	return injectError(err)
}

// injectError gives an error of Session.Inject its status.
func injectError(err error) error {
	if own := (*Error)(nil); err == nil || errors.As(err, &own) {
		return err
	}
	status := http.StatusBadGateway // the source's server, or the file
	var mismatch *trunkcast.VideoMismatchError
	var codec *inject.ErrUnsupportedCodec
	var large *rtpio.NALTooLargeError
	var coder *media.ErrNoEncoder
	switch {
	case errors.Is(err, inject.ErrNoSource), errors.Is(err, fs.ErrNotExist), errors.Is(err, trunkcast.ErrEnded):
		status = http.StatusNotFound
	case errors.Is(err, inject.ErrForbidden):
		status = http.StatusForbidden
	case errors.Is(err, trunkcast.ErrInjecting), errors.Is(err, trunkcast.ErrNotReceiving):
		status = http.StatusConflict
	case errors.Is(err, inject.ErrNotSeekable):
		status = http.StatusBadRequest
	case errors.As(err, &mismatch), errors.As(err, &codec), errors.As(err, &large), errors.As(err, &coder),
		errors.Is(err, inject.ErrNotMedia), errors.Is(err, inject.ErrBounds), errors.Is(err, inject.ErrUnsupportedForm):
		status = http.StatusUnsupportedMediaType
	case errors.Is(err, context.DeadlineExceeded):
		status = http.StatusGatewayTimeout
	}
	return &Error{Status: status, Message: err.Error()}
}

// injectStop ends what is played: the stream, and a sound over it.
func (h *Handler) injectStop(_ *http.Request, body request) (any, error) {
	s, err := h.session(body)
	if err != nil {
		return nil, err
	}
	sound, stream := s.SoundOver(), s.Injection()
	if sound == nil && stream == nil {
		return nil, nothingInjected(s)
	}
	for _, i := range []*trunkcast.Injection{sound, stream} {
		if i != nil {
			_ = i.Close() // gives no error
		}
	}
	return nil, nil
}

func nothingInjected(s *trunkcast.Session) error {
	return notFound("nothing is injected into the call %q", s.ID())
}

// injection finds what is played into the call that a request names: the
// stream, or the sound if there is none.
func (h *Handler) injection(body request) (*trunkcast.Session, *trunkcast.Injection, error) {
	s, err := h.session(body)
	if err != nil {
		return nil, nil, err
	}
	i := s.Injection()
	if i == nil {
		i = s.SoundOver()
	}
	if i == nil {
		return nil, nil, nothingInjected(s)
	}
	return s, i, nil
}

// injectDo is an operation on a running injection.
func (h *Handler) injectDo(do func(*trunkcast.Injection, request) error) operation {
	return func(_ *http.Request, body request) (any, error) {
		_, i, err := h.injection(body)
		if err != nil {
			return nil, err
		}
		return nil, injectError(do(i, body))
	}
}

func injectSeek(i *trunkcast.Injection, body request) error {
	at, err := body.seconds("position")
	if err != nil {
		return err
	}
	return i.Seek(at)
}

func (h *Handler) injectFind(_ *http.Request, body request) (any, error) {
	s, i, err := h.injection(body)
	if err != nil {
		return nil, err
	}
	out := describeInjection(s, i)
	if sound := s.SoundOver(); sound != nil && sound != i {
		over := describeInjection(s, sound)
		out.Sound = &over
	}
	return out, nil
}

func describeInjection(s *trunkcast.Session, i *trunkcast.Injection) Injection {
	st := i.Status()
	return Injection{
		CallID: s.ID(), StreamName: i.Name(), Position: st.Position.Seconds(), Elapsed: st.Elapsed.Seconds(),
		Paused: st.Paused, Rounds: st.Rounds, Frames: st.Frames,
	}
}

// seconds is a time in seconds, with a fraction if need be; 0 if it is
// missing.
func (r request) seconds(key string) (time.Duration, error) {
	s, err := r.text(key)
	if err != nil || s == "" {
		return 0, err
	}
	const most = 1e6 // eleven days, far from the limits of a Duration
	f, err := strconv.ParseFloat(s, 64)
	if err != nil || !(f >= 0 && f <= most) {
		return 0, badRequest("%s must be a number of seconds, not %q", key, s)
	}
	return time.Duration(f * float64(time.Second)), nil
}
