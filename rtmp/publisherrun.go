package rtmp

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"math/rand/v2"
	"net"
	"runtime/debug"
	"time"

	"github.com/trunkcast/trunkcast/media"
)

// run connects, and connects again, until Close.
func (p *Publisher) run() {
	defer close(p.done)
	d := dialer{
		target: p.target, tls: p.TLS, dial: p.dial,
		timeout: p.ConnectTimeout, writeTimeout: p.WriteTimeout, limit: 1 << 20,
	}
	for attempt := 0; ; {
		p.setState(Connecting, nil)
		s, err := d.open(p.ctx)
		if err == nil {
			var stable bool
			if stable, err = p.live(s); stable {
				attempt = 0
			}
		}
		if p.stopped() {
			break
		}
		attempt++
		p.failed(err)
		if p.givesUp(err, attempt) {
			p.finish(err)
			return
		}
		p.setState(Waiting, err)
		if !p.pause(attempt) {
			break
		}
	}
	p.finish(nil)
}

var errDialPanicked = errors.New("rtmp: Dial panicked")

// live serves one session to its end. stable tells whether it lasted.
func (p *Publisher) live(s *session) (stable bool, err error) {
	began := time.Now()
	stop := context.AfterFunc(p.ctx, s.close)
	defer stop()
	s.space(writeSpacing)
	p.attach(s)
	p.setState(Live, nil)
	err = p.listen(s)
	p.detach(s)
	s.close()
	p.mu.Lock()
	p.stats.Bytes += s.bytesSent()
	p.mu.Unlock()
	// nginx-rtmp says Publish.Start and closes when publishing is denied.
	const early = 2 * time.Second
	if lasted := time.Since(began); lasted < early {
		if isEnd(err) {
			err = &RefusedError{Stage: "publish", Description: "connection closed by the server right after its start"}
		}
		return false, err
	}
	return true, err
}

// attach makes s the session that frames go to.
func (p *Publisher) attach(s *session) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.sess = s
	p.settled = false
	p.told = [2]*media.Track{}
	p.settleBy = time.Now().Add(p.SettleTime)
	last := p.mux
	p.mux = muxer{stream: s.stream, videoMS: last.videoMS, audioMS: last.audioMS}
	p.stats.Connects++
	select {
	case <-p.wasLive:
	default:
		close(p.wasLive)
	}
	if p.video != nil && !p.hold.hasKey() {
		p.needKey()
	}
	p.settle(time.Now(), false)
}

func (p *Publisher) detach(s *session) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.sess = nil
	p.drop(p.hold.clear())
}

// listen reads what the server says until the connection ends.
func (p *Publisher) listen(s *session) error {
	for {
		m, err := s.read()
		if err != nil {
			s.mu.Lock()
			if s.err != nil { // the reason, where a failed write closed the connection
				err = fmt.Errorf("rtmp write: %w", s.err)
			}
			s.mu.Unlock()
			return err
		}
		if m.kind != kindCommand && m.kind != kindCommandAMF3 {
			continue
		}
		c, err := decodeCommand(m)
		if err != nil {
			return err
		}
		if c.name == "close" {
			return &RefusedError{Stage: "publish", Description: "closed by the server"}
		}
		if c.name == "onStatus" {
			if refused, _ := s.judge("publish", "NetStream.Publish.Start", c); refused != nil {
				refused.Description = s.target.scrub(refused.Description)
				return refused
			}
		}
	}
}

func (p *Publisher) failed(err error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.stats.Failures++
	p.stats.LastError = err
	var refused *RefusedError
	if errors.As(err, &refused) {
		p.stats.Refusals++
	}
}

func (p *Publisher) givesUp(err error, attempt int) bool {
	if p.GiveUp != nil {
		yes := false
		p.guard("GiveUp", func() { yes = p.GiveUp(err, attempt) })
		return yes
	}
	return errors.Is(err, ErrAuth)
}

// pause waits before the next attempt; false means Close.
func (p *Publisher) pause(attempt int) bool {
	d := p.RetryMin
	for range min(attempt-1, 30) {
		if d *= 2; d >= p.RetryMax {
			d = p.RetryMax
			break
		}
	}
	// Calls that lost one server together shall not come back as one.
	d -= time.Duration(rand.Int64N(int64(d)/5 + 1))
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return true
	case <-p.ctx.Done():
		return false
	}
}

func (p *Publisher) stopped() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.closing || p.err != nil
}

// finish ends for good.
func (p *Publisher) finish(err error) {
	p.mu.Lock()
	if p.err == nil {
		p.err = media.ErrClosed
		if err != nil {
			p.err = err
		}
	}
	p.drop(p.hold.clear())
	p.mu.Unlock()
	p.setState(Closed, err)
}

func (p *Publisher) setState(s State, err error) {
	p.mu.Lock()
	p.state = s
	p.stats.Since = time.Now()
	level := p.warnLevel(s, err)
	never, last := p.stats.Connects == 0, p.stats.LastError
	p.mu.Unlock()
	switch {
	case err != nil && never:
		p.log.Log(context.Background(), level, "RTMP publishing does not begin", "state", s.String(), "error", err)
	case err != nil:
		p.log.Log(context.Background(), level, "RTMP publishing interrupted", "state", s.String(), "error", err)
	case s == Closed && never:
		p.log.Warn("nothing was published", "state", s.String(), "error", last)
	case s == Live, s == Closed:
		p.log.Info("RTMP publishing", "state", s.String())
	}
	if p.OnState != nil {
		p.tell(s, err)
	}
}

// warnLevel is Warn for the first of several attempts in a row that fail for
// the same reason and for the end, else Debug: a server that is away for an
// hour is one line of the log.
func (p *Publisher) warnLevel(s State, err error) slog.Level {
	if s == Live {
		p.warned = ""
	}
	if err == nil {
		return slog.LevelInfo
	}
	text := err.Error()
	var op *net.OpError
	if errors.As(err, &op) || errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
		text = "network" // whether it is a reset or an end is chance
	}
	if text != p.warned || s == Closed {
		p.warned = text
		return slog.LevelWarn
	}
	return slog.LevelDebug
}

// tell calls OnState.
func (p *Publisher) tell(s State, err error) { p.guard("OnState", func() { p.OnState(s, err) }) }

// guard calls a hook, whose panic is not to end the program. It tells whether
// the hook panicked.
func (p *Publisher) guard(name string, hook func()) (panicked bool) {
	defer func() {
		if r := recover(); r != nil {
			panicked = true
			p.log.Error(name+" panicked", "panic", r, "stack", string(debug.Stack()))
		}
	}()
	hook()
	return false
}

// dial calls Dial. A panic is an attempt that failed.
func (p *Publisher) dial(ctx context.Context, network, addr string) (nc net.Conn, err error) {
	if p.Dial == nil {
		return (&net.Dialer{}).DialContext(ctx, network, addr)
	}
	if p.guard("Dial", func() { nc, err = p.Dial(ctx, network, addr) }) {
		return nil, errDialPanicked
	}
	return nc, err
}

// Close sends what is left, unpublishes and closes the connection, within
// CloseTimeout. It may be called more than once and from any goroutine, and
// returns when everything has ended.
func (p *Publisher) Close() error {
	p.mu.Lock()
	again := p.closing
	p.closing = true
	p.mu.Unlock()
	p.once.Do(p.start)
	if again { // the first one ends the session
		<-p.done
		return nil
	}
	p.mu.Lock()
	s, waiting := p.sess, p.err == nil && p.sess == nil && (p.state == Idle || p.state == Connecting) && !p.hold.empty()
	p.mu.Unlock()
	deadline := time.Now().Add(p.CloseTimeout)
	if waiting {
		s = p.awaitSession()
	}
	if s != nil {
		p.leave(s, deadline)
	}
	p.cancel()
	<-p.done
	return nil
}

// awaitSession gives a connection that is under way the chance to take the
// frames that wait for it.
func (p *Publisher) awaitSession() *session {
	t := time.NewTimer(p.CloseTimeout)
	defer t.Stop()
	select {
	case <-p.wasLive:
	case <-t.C:
	case <-p.done:
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.sess
}

// leave ends a session in good order.
func (p *Publisher) leave(s *session, deadline time.Time) {
	p.mu.Lock()
	if p.sess == s {
		p.settle(time.Now(), true)
	}
	p.mu.Unlock()
	s.unpublish(time.Until(deadline))
	// nginx-rtmp answers NetStream.Unpublish.Success; a close with unread
	// input would reset the connection and could take our last bytes along.
	const grace = 300 * time.Millisecond
	t := time.NewTimer(min(grace, max(time.Until(deadline), 0)))
	defer t.Stop()
	select {
	case <-p.done: // listen saw the answer or the end
	case <-t.C:
	}
	s.close()
}
