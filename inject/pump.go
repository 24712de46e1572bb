package inject

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/trunkcast/trunkcast/media"
)

// keyWait is how near the next key frame has to be to be worth waiting for.
const keyWait = time.Second

// maxAhead is how far the times of a live source may be before its frames.
const maxAhead = time.Second

// maxStep is the longest distance of frames that is kept up over a jump.
const maxStep = 100 * time.Millisecond

// A server gives a live stream from its last key frame on, all at once. The
// pictures are needed to decode the next ones; the sound would only make what
// the receiver plays later than its pictures for good, so it is left away until
// a frame has to be waited for.
const (
	catchUpWait = 8 * time.Millisecond
	maxCatchUp  = 3 * time.Second
)

// pump is what one goroutine does for an Injector.
type pump struct {
	*Injector
	ctx   context.Context
	sink  *lockedSink
	burst time.Duration
	timer *time.Timer

	began    time.Time        // time 0 of the sink
	offset   time.Duration    // DTS of the sink - DTS of the source
	anchored bool             // offset is good for the next frame
	jumps    int              // in the source
	last     [2]time.Duration // DTS of the sink, of video and audio
	step     [2]time.Duration // from the one before it
	paused   bool
	waitKey  bool      // pictures are of no use before a key frame
	catching time.Time // set: the frames since then may be old ones
	rounds   int

	key, jumped time.Duration // last key frame in the file, and the one gone back to

	silent bool         // no codec for the sound
	sound  *soundStream // transcodes it, nil if that is not needed
}

// lockedSink lets the goroutine of a stream write the sound and the pump the
// pictures.
type lockedSink struct {
	mu   sync.Mutex
	sink media.Sink
}

func (l *lockedSink) WriteFrame(ctx context.Context, f *media.Frame) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.sink.WriteFrame(ctx, f)
}

func newPump(i *Injector) *pump {
	p := &pump{Injector: i, ctx: i.ctx, sink: &lockedSink{sink: i.Sink}, burst: i.Burst, key: -1, jumped: -1}
	if p.burst <= 0 {
		p.burst = defaultBurst
	}
	if i.Live {
		p.catching = time.Now()
	}
	p.timer = time.NewTimer(0)
	p.timer.Stop()
	return p
}

func (p *pump) run() error {
	for {
		if err := p.control(); err != nil {
			return err
		}
		f, err := p.read()
		if err != nil {
			return err
		}
		if p.Live { // it may have been waited for for long
			if err := p.control(); err != nil {
				return err
			}
		}
		if !p.wanted(f) {
			continue
		}
		if ok, err := p.await(f); err != nil {
			return err
		} else if !ok {
			continue // the source is elsewhere now
		}
		if err := p.write(f); err != nil {
			return err
		}
	}
}

// read returns the next frame, and tells old ones of a live stream.
func (p *pump) read() (*media.Frame, error) {
	if p.catching.IsZero() {
		return p.Source.ReadFrame(p.ctx)
	}
	asked := time.Now()
	f, err := p.Source.ReadFrame(p.ctx)
	if now := time.Now(); now.Sub(asked) >= catchUpWait || now.Sub(p.catching) >= maxCatchUp {
		p.catching = time.Time{}
	}
	return f, err
}

// control does what was asked for, and waits as long as that is to pause.
func (p *pump) control() error {
	for {
		a := p.takeAsked()
		if a.paused != p.paused {
			p.setPaused(a.paused)
		}
		if a.seek {
			if err := p.seek(a.seekTo); err != nil {
				return err
			}
		}
		if a.key {
			if err := p.serveKeyFrame(); err != nil {
				return err
			}
		}
		if !p.paused || p.Live {
			return p.alive()
		}
		select {
		case <-p.wake:
		case <-p.ctx.Done():
		case <-p.soundEnded():
		}
		if err := p.alive(); err != nil {
			return err
		}
	}
}

// alive gives the reason to end, if there is one.
func (p *pump) alive() error {
	if p.ctx.Err() != nil {
		return context.Cause(p.ctx)
	}
	select {
	case <-p.soundEnded():
		return p.sound.sub.Err()
	default:
		return nil
	}
}

func (p *pump) takeAsked() asked {
	p.mu.Lock()
	defer p.mu.Unlock()
	a := p.ask
	p.ask.seek, p.ask.key = false, false
	return a
}

func (p *pump) setPaused(on bool) {
	p.paused = on
	if on {
		p.leaveSound(true) // what it holds would come after the pause
		p.event(Paused, nil)
		return
	}
	p.anchored = false
	if p.Live {
		p.waitKey = true
		p.askSource()
	}
	p.event(Resumed, nil)
}

func (p *pump) askSource() {
	if s, ok := p.Source.(keySource); ok {
		s.RequestKeyFrame()
	}
}

func (p *pump) seek(to time.Duration) error {
	at, err := p.Source.(seeker).Seek(to)
	if err != nil {
		return fmt.Errorf("inject: seek to %v: %w", to, err)
	}
	p.jumps++
	p.anchored = false
	p.key, p.jumped = -1, -1
	p.setPosition(at)
	p.event(Sought, nil)
	return nil
}

func (p *pump) setPosition(at time.Duration) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.status.Position = at
}

// serveKeyFrame gives the receiver a key frame soon: see RequestKeyFrame.
func (p *pump) serveKeyFrame() error {
	s, ok := p.Source.(keyed)
	if !ok {
		p.askSource()
		return nil
	}
	if p.key < 0 || p.key == p.jumped {
		return nil // one is on its way, or was given from this group
	}
	at := p.Status().Position
	if next, ok := s.NextKeyFrame(at); ok && next-at <= keyWait {
		return nil
	}
	if d, ok := s.(interface{ Duration() time.Duration }); ok && d.Duration()-at <= keyWait {
		return nil // the end, or the next round, is as near
	}
	back, err := s.Seek(p.key)
	if err != nil {
		return fmt.Errorf("inject: back to the key frame at %v: %w", p.key, err)
	}
	p.jumps++
	p.anchored = false
	p.jumped = p.key
	p.mu.Lock()
	p.status.KeyFrameJumps++
	p.status.Position = back
	p.mu.Unlock()
	return nil
}

// wanted tells whether a frame goes to the sink.
func (p *pump) wanted(f *media.Frame) bool {
	if !f.Track.Codec.Video() {
		return !p.NoAudio && !p.paused && !p.silent && p.catching.IsZero()
	}
	if p.NoVideo || p.paused {
		return false
	}
	if p.waitKey && !f.Key {
		return false
	}
	p.waitKey = false
	return true
}

// await returns when the frame is due. It is false if the frame is out of
// place because something else was asked for meanwhile.
func (p *pump) await(f *media.Frame) (bool, error) {
	for {
		left := p.schedule(f)
		if left <= 0 || p.Live {
			return true, p.alive()
		}
		p.timer.Reset(left)
		select {
		case <-p.timer.C:
		case <-p.wake:
			p.timer.Stop()
			before := p.jumps
			if err := p.control(); err != nil {
				return false, err
			}
			if p.jumps != before {
				return false, nil
			}
		case <-p.soundEnded():
		case <-p.ctx.Done():
		}
		if err := p.alive(); err != nil {
			return false, err
		}
	}
}

// schedule lays down when a frame is due, if that is not yet done, and returns
// the time until then. A frame that is too late moves the schedule.
func (p *pump) schedule(f *media.Frame) time.Duration {
	if p.began.IsZero() {
		p.began = time.Now()
	}
	now := time.Since(p.began)
	if !p.anchored {
		p.anchored = true
		// After what the sink has had, and as far after it as frames are.
		p.offset = max(now, p.last[0]+p.step[0], p.last[1]+p.step[1]) - f.DTS
	}
	left := f.DTS + p.offset - now
	if left < -p.burst || p.Live && left > maxAhead {
		p.offset = now - f.DTS
		left = 0
		p.mu.Lock()
		p.status.Moved++
		p.mu.Unlock()
	}
	return left
}

// write gives a frame to the sink.
func (p *pump) write(f *media.Frame) error {
	out := *f // a frame is immutable: others may read this one
	kind := 0
	if f.Track.Codec.Audio() {
		kind = 1
	}
	out.DTS = max(f.DTS+p.offset, p.last[kind])
	out.PTS = max(f.PTS+p.offset, 0)
	gap := out.DTS - p.last[kind]
	p.step[kind] = min(gap, maxStep)
	p.last[kind] = out.DTS
	looped := p.note(f, out.DTS)
	var err error
	if kind == 1 {
		err = p.writeAudio(&out)
	} else {
		err = p.sink.WriteFrame(p.ctx, &out)
	}
	if looped && err == nil {
		p.event(Looped, nil)
	}
	return err
}

// note keeps the status. A track that is still in the round before of a loop
// tells nothing of the place in the file.
func (p *pump) note(f *media.Frame, elapsed time.Duration) (looped bool) {
	at, rounds := f.DTS, 0
	if r, ok := p.Source.(rounder); ok {
		var start time.Duration
		rounds, start = r.Round()
		at -= start
	}
	p.mu.Lock()
	first := p.status.Frames == 0
	if at >= 0 {
		p.status.Position = at
	}
	p.status.Elapsed, p.status.Rounds = elapsed, rounds
	p.status.Frames++
	p.mu.Unlock()
	if f.Key && f.Track.Codec.Video() && at >= 0 {
		if p.key = at; p.key != p.jumped {
			p.jumped = -1 // another group
		}
	}
	looped, p.rounds = rounds != p.rounds, rounds
	if first {
		p.log.Debug("injector started", "codec", string(f.Track.Codec))
		p.event(Started, nil)
	}
	return looped
}

// writeAudio gives sound to the sink, by way of a media.Stream if the sink does
// not take its codec.
func (p *pump) writeAudio(f *media.Frame) error {
	switch {
	case p.sound == nil && (p.Audio == nil || slices.Contains(p.Audio, f.Track.Codec)):
		return p.sink.WriteFrame(p.ctx, f)
	case p.sound == nil && (len(p.Audio) == 0 || !p.transcodable(f.Track.Codec, p.Audio[0])):
		none := &media.ErrNoEncoder{From: f.Track.Codec}
		if len(p.Audio) > 0 {
			none.To = p.Audio[0]
		}
		return p.goSilent(none)
	}
	if p.sound == nil {
		// It carries the sound alone: pictures wait for nothing that way.
		p.sound = &soundStream{name: "injected sound", codecs: p.codecs(), audio: p.Audio, encoder: p.Encoder, sink: p.sink, log: p.Logger}
	}
	err := p.sound.write(p.ctx, f)
	var none *media.ErrNoEncoder
	if errors.As(err, &none) || errors.Is(err, errSound) {
		return p.goSilent(err)
	}
	return err
}

// soundEnded is closed when the sink takes no more sound that is transcoded.
func (p *pump) soundEnded() <-chan struct{} {
	if p.sound == nil {
		return nil
	}
	return p.sound.ended()
}

// leaveSound ends transcoding, after what is queued if that is wanted.
func (p *pump) leaveSound(orderly bool) {
	if p.sound != nil {
		p.sound.leave(orderly)
		p.sound = nil
	}
}

// goSilent leaves the sound away. It is no reason to end if there is video.
func (p *pump) goSilent(err error) error {
	video := slices.ContainsFunc(p.Source.Tracks(), func(t *media.Track) bool { return t.Codec.Video() })
	if !video || p.NoVideo {
		return err
	}
	p.silent = true
	p.leaveSound(false)
	p.log.Warn("injected without sound", "error", err)
	p.event(NoAudioCodec, err)
	return nil
}

// close frees what the pump holds.
func (p *pump) close(orderly bool) {
	p.timer.Stop()
	p.leaveSound(orderly)
}
