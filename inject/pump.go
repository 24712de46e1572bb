package inject

import (
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/trunkcast/trunkcast/media"
)

// keyWait is how near the next key frame has to be to be worth waiting for.
const keyWait = time.Second

// maxAhead is how far the times of a live source may be before its frames.
const maxAhead = time.Second

// maxStep is the longest distance of frames that is kept up over a jump.
const maxStep = 100 * time.Millisecond

// pump is what one goroutine does for an Injector.
type pump struct {
	*Injector
	ctx   context.Context
	sink  media.Sink // the injector's, or the stream before it
	burst time.Duration
	timer *time.Timer

	began    time.Time        // time 0 of the sink
	offset   time.Duration    // DTS of the sink - DTS of the source
	anchored bool             // offset is good for the next frame
	jumps    int              // in the source
	last     [2]time.Duration // DTS of the sink, of video and audio
	step     [2]time.Duration // from the one before it
	paused   bool
	waitKey  bool // pictures are of no use before a key frame
	rounds   int

	key, jumped time.Duration // last key frame in the file, and the one gone back to

	routed bool // the source's tracks were looked at
	silent bool // no codec for the sound
	stream *media.Stream
	sub    *media.Subscription
	ended  <-chan struct{} // of sub
}

func newPump(i *Injector) *pump {
	p := &pump{Injector: i, ctx: i.ctx, sink: i.Sink, burst: i.Burst, key: -1, jumped: -1}
	if p.burst <= 0 {
		p.burst = defaultBurst
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
		f, err := p.Source.ReadFrame(p.ctx)
		if err != nil {
			return err
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
		case <-p.ended:
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
	case <-p.ended:
		return p.sub.Err()
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
		return !p.NoAudio && !p.paused && !p.silent
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
		case <-p.ended:
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
	if err := p.route(f.Track); err != nil {
		return err
	}
	kind := 0
	if f.Track.Codec.Audio() {
		if p.silent {
			return nil
		}
		kind = 1
	}
	out := *f // a frame is immutable: others may read this one
	out.DTS = max(f.DTS+p.offset, p.last[kind])
	out.PTS = max(f.PTS+p.offset, 0)
	p.step[kind] = min(out.DTS-p.last[kind], maxStep)
	p.last[kind] = out.DTS
	looped := p.note(f, out.DTS)
	if err := p.sink.WriteFrame(p.ctx, &out); err != nil {
		return err
	}
	if looped {
		p.event(Looped, nil)
	}
	return nil
}

// note keeps the status.
func (p *pump) note(f *media.Frame, elapsed time.Duration) (looped bool) {
	at, rounds := f.DTS, 0
	if r, ok := p.Source.(rounder); ok {
		var start time.Duration
		rounds, start = r.Round()
		at -= start
	}
	p.mu.Lock()
	first := p.status.Frames == 0
	p.status.Position = max(at, 0)
	p.status.Elapsed, p.status.Rounds = elapsed, rounds
	p.status.Frames++
	p.mu.Unlock()
	if f.Key && f.Track.Codec.Video() {
		if p.key = max(at, 0); p.key != p.jumped {
			p.jumped = -1 // another group
		}
	}
	looped, p.rounds = rounds != p.rounds, rounds
	if first {
		p.log.Info("injection started", "codec", string(f.Track.Codec))
		p.event(Started, nil)
	}
	return looped
}

// route puts a media.Stream before the sink when there is audio in a codec
// that the sink does not take. It is done before the first picture where that
// is possible: a stream begins with a key frame.
func (p *pump) route(t *media.Track) error {
	if p.stream != nil || p.silent || p.Audio == nil || p.NoAudio {
		return nil
	}
	if t.Codec.Video() {
		if p.routed {
			return nil
		}
		tracks := p.Source.Tracks()
		i := slices.IndexFunc(tracks, func(t *media.Track) bool { return t.Codec.Audio() })
		if p.routed = true; i < 0 {
			return nil
		}
		t = tracks[i]
	}
	if slices.Contains(p.Audio, t.Codec) {
		return nil
	}
	if len(p.Audio) == 0 || !p.transcodable(t.Codec, p.Audio[0]) {
		return p.goSilent(t)
	}
	return p.transcode()
}

func (p *pump) transcode() error {
	p.stream = &media.Stream{Name: "inject", Codecs: p.codecs(), NeedKeyFrame: p.RequestKeyFrame, Logger: p.Logger}
	sub, err := p.stream.Attach(media.SinkFunc(p.Sink.WriteFrame), media.SinkOptions{
		Name: "injected", Audio: p.Audio, Encoder: p.Encoder, NoVideo: p.NoVideo,
	})
	if err != nil {
		return fmt.Errorf("inject: transcoding: %w", err)
	}
	p.sub, p.ended, p.sink = sub, sub.Done(), p.stream
	return nil
}

// goSilent leaves the sound away. It is no reason to end if there is video.
func (p *pump) goSilent(t *media.Track) error {
	err := &media.ErrNoEncoder{From: t.Codec}
	if len(p.Audio) > 0 {
		err.To = p.Audio[0]
	}
	video := slices.ContainsFunc(p.Source.Tracks(), func(t *media.Track) bool { return t.Codec.Video() })
	if !video || p.NoVideo {
		return err
	}
	p.silent = true
	p.log.Warn("injected without sound", "error", err)
	p.event(NoAudioCodec, err)
	return nil
}

// close ends the stream, after what is queued if the source came to its end.
func (p *pump) close(orderly bool) {
	p.timer.Stop()
	switch {
	case p.stream == nil:
	case orderly:
		_ = p.stream.CloseWrite()
	default:
		_ = p.stream.Close()
	}
}
