package rtpio

import (
	"context"
	"fmt"
	"runtime/debug"
	"time"

	"github.com/pion/rtcp"

	"github.com/trunkcast/trunkcast/media"
	"github.com/trunkcast/trunkcast/media/sdp"
)

const (
	// idle is how long the play-out goroutine sleeps at most: it looks after
	// the media time-out.
	idle = time.Second
	// minSleep bounds how often it wakes: frames that are due within it go
	// out together.
	minSleep = 2 * time.Millisecond
	// flushTimeout bounds what Output may take for the last frames.
	flushTimeout = time.Second
)

// run is the play-out goroutine: it gives frames to Output when their time has
// come, and sends what is due by the clock.
func (s *Session) run() {
	timer := time.NewTimer(0)
	defer timer.Stop()
	for {
		select {
		case <-timer.C:
		case <-s.wake:
		case <-s.ctx.Done():
			s.finalize()
			return
		}
		// Before the packets are read: were the CPU taken away in between, sound
		// would leave and the pictures of its time be in their socket still.
		now := time.Now()
		s.poll()
		next := s.playOut(now)
		for _, l := range s.inUse() {
			if at := l.tick(now); !at.IsZero() && at.Before(next) {
				next = at
			}
		}
		s.checkTimeout(now)
		timer.Reset(s.plan(next))
	}
}

// plan notes when the goroutine wakes, so that readers know whether to wake it
// earlier.
func (s *Session) plan(next time.Time) time.Duration {
	now := time.Now()
	d := max(next.Sub(now), minSleep)
	s.mu.Lock()
	defer s.mu.Unlock()
	if polled && !s.waiting {
		d = untilTick(now, s.slot, s.interval(now))
	}
	// What came meanwhile may be due earlier.
	if at, ok := s.receiver.Next(); ok && (!polled || s.waiting) {
		d = min(d, max(at.Sub(now), minSleep))
	}
	s.wakeAt = now.Add(d)
	return d
}

// rouse wakes the play-out goroutine if the receiver has something for it
// before it would wake by itself. The mutex is held.
func (s *Session) rouse(now time.Time) {
	if polled && !s.waiting {
		return // the next tick is soon enough
	}
	at, ok := s.receiver.Next()
	if !ok || !at.Before(s.wakeAt.Add(-minSleep)) {
		return
	}
	s.wakeAt = now
	select {
	case s.wake <- struct{}{}:
	default:
	}
}

// wakeUp makes the play-out goroutine look at everything now.
func (s *Session) wakeUp() {
	select {
	case s.wake <- struct{}{}:
	default:
	}
}

func (s *Session) inUse() []*line {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.opened
}

// playOut gives the frames that are due to Output.
func (s *Session) playOut(now time.Time) (next time.Time) {
	s.mu.Lock()
	next = now.Add(idle)
	if at := s.receiver.Pop(now, s.collect); !at.IsZero() && at.Before(next) {
		next = at
	}
	s.align(now)
	s.mu.Unlock()
	s.deliver(s.ctx)
	return next
}

// collect is called by the receiver with the mutex held.
func (s *Session) collect(f *media.Frame) { s.frames = append(s.frames, f) }

// deliver calls Output and OnDigit, without the mutex, in the play-out
// goroutine only.
func (s *Session) deliver(ctx context.Context) {
	key := false
	for i, f := range s.frames {
		key = key || f.Key && f.Track.Codec.Video()
		s.output(ctx, f)
		s.frames[i] = nil
	}
	s.frames = s.frames[:0]
	s.mu.Lock()
	if key {
		for _, l := range s.lines {
			if l != nil && l.kind == sdp.Video {
				l.keys.got(time.Now())
			}
		}
	}
	digits := s.digits
	s.digits = nil
	s.mu.Unlock()
	if s.OnDigit != nil {
		for _, d := range digits {
			s.guard("OnDigit", func() { s.OnDigit(d.r, d.d) })
		}
	}
}

func (s *Session) output(ctx context.Context, f *media.Frame) {
	if s.Output == nil {
		return
	}
	if s.outputFailed {
		s.outputDropped.Add(1)
		return
	}
	defer s.contain("Output")
	s.outputFailed = true // stays so after a panic
	err := s.Output.WriteFrame(ctx, f)
	if s.outputFailed = err != nil && ctx.Err() == nil; s.outputFailed {
		s.outputDropped.Add(1)
		s.log.Error("output refused a frame, media of the caller is dropped from here on", "error", err)
	}
}

// guard calls a hook. A panic in it ends this call and no other.
func (s *Session) guard(name string, hook func()) {
	defer s.contain(name)
	hook()
}

// contain is deferred around code of others.
func (s *Session) contain(name string) {
	if v := recover(); v != nil {
		s.log.Error("panic", "hook", name, "error", v, "stack", string(debug.Stack()))
		s.end(fmt.Errorf("%w: %s: %v", ErrPanic, name, v))
	}
}

// tick sends what is due on a line.
func (l *line) tick(now time.Time) (next time.Time) {
	s := l.s
	s.mu.Lock()
	b, sip, next := l.due(now)
	to := l.latch.destinationRTCP(now)
	c := l.agreed.Load()
	l.noteRepair(now)
	s.mu.Unlock()
	if c == nil {
		return time.Time{}
	}
	l.sendRTCP(b, to, c.mux)
	if sip {
		s.askBySIP()
	}
	if at := l.keepAlive(now); !at.IsZero() && at.Before(next) {
		next = at
	}
	return next
}

// askBySIP runs RequestKeyFrameBySIP, once at a time. A caller who refuses it
// three times is not asked so again.
func (s *Session) askBySIP() {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.asking || s.closed {
		return
	}
	s.asking = true
	s.wg.Go(func() {
		var err error
		s.guard("RequestKeyFrameBySIP", func() { err = s.RequestKeyFrameBySIP(s.ctx) })
		s.mu.Lock()
		defer s.mu.Unlock()
		s.asking = false
		if err == nil {
			s.refused = 0
		} else if s.refused++; s.refused >= 3 {
			s.noINFO = true
			s.log.Info("key frame requests by SIP INFO given up", "error", err)
		}
	})
}

// checkTimeout ends the session when the caller is silent who should not be.
func (s *Session) checkTimeout(now time.Time) {
	limit := s.mediaTimeout()
	s.mu.Lock()
	expected := false
	for _, l := range s.lines {
		if l != nil {
			c := l.agreed.Load()
			expected = expected || c != nil && c.recv != nil
		}
	}
	// A caller on hold may or may not send music; one that never wanted
	// anything from us, a camera say, is to send.
	if !expected || s.agreed.Load() == nil || s.twoWay && s.Held() {
		s.lastIn = now
	}
	silent := now.Sub(s.lastIn)
	s.mu.Unlock()
	if limit > 0 && silent >= limit {
		s.log.Warn("no media from the caller", "duration", silent)
		s.end(ErrMediaTimeout)
	}
}

// finalize is the end: goodbye to the caller, the last frames to Output,
// sockets closed and their goroutines gone.
func (s *Session) finalize() {
	now := time.Now()
	s.mu.Lock()
	lines := s.opened
	s.opened = nil
	s.mu.Unlock()
	for _, l := range lines {
		l.goodbye(now)
		l.pair.stop()
	}
	s.wg.Wait()
	s.mu.Lock()
	s.receiver.Flush(s.collect)
	s.mu.Unlock()
	ctx, cancel := context.WithTimeout(context.Background(), flushTimeout)
	s.deliver(ctx)
	cancel()
	for _, l := range lines {
		l.pair.release()
	}
	close(s.done)
}

// goodbye sends an RTCP BYE (RFC 3550 section 6.6).
func (l *line) goodbye(now time.Time) {
	l.s.mu.Lock()
	c := l.agreed.Load()
	var b []byte
	if c != nil {
		b = l.protect(c, l.compound(now, &rtcp.Goodbye{Sources: []uint32{l.send.ssrc}}))
	}
	to := l.latch.destinationRTCP(now)
	l.s.mu.Unlock()
	if c != nil {
		l.sendRTCP(b, to, c.mux)
	}
}

// RequestKeyFrame asks the caller for a key frame until one comes, by the
// ways that were agreed. It returns at once.
func (s *Session) RequestKeyFrame() {
	s.init()
	s.mu.Lock()
	now := time.Now()
	for _, l := range s.lines {
		if l != nil && l.kind == sdp.Video {
			l.keys.want(now, l.keys.came.IsZero())
		}
	}
	s.mu.Unlock()
	s.wakeUp()
}

// SetMaxVideoBitRate changes MaxVideoBitRate, in bit/s; 0 says nothing more
// to the caller, who may go on with the old limit.
func (s *Session) SetMaxVideoBitRate(bitsPerSecond int) {
	s.init()
	s.mu.Lock()
	s.limit = max(bitsPerSecond, 0)
	for _, l := range s.lines {
		if l != nil && l.kind == sdp.Video {
			l.report.next = time.Now()
		}
	}
	s.mu.Unlock()
	s.wakeUp()
}
