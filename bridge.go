package trunkcast

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"net/netip"
	"runtime/debug"
	"slices"
	"sync"
	"time"

	"github.com/trunkcast/trunkcast/inject"
	"github.com/trunkcast/trunkcast/media"
	"github.com/trunkcast/trunkcast/media/rtpio"
	"github.com/trunkcast/trunkcast/media/sdp"
	"github.com/trunkcast/trunkcast/record"
	"github.com/trunkcast/trunkcast/trunk"
)

// Bridge publishes the calls of a trunk.Server: it is a trunk.Handler. The
// zero value works; set the fields before the first call and do not change
// them afterwards.
type Bridge struct {
	// Codecs decode and encode audio, for targets that cannot take that of the
	// call: []media.AudioCodec{aac.Codec{}, opus.Codec{}, ...}. Nil: audio is
	// passed on where a target can take it, and video in any case.
	Codecs []media.AudioCodec
	// Plan decides what happens with a call, or refuses it by a
	// [*RefusedError]; any other error answers 500. It may take its time: ctx
	// ends with the call. Default: DefaultPlan.
	Plan func(ctx context.Context, c *trunk.Call) (*Plan, error)
	// Streams holds the streams of the calls by name. Default: one of its own.
	Streams *media.Directory
	// OpenTarget makes the sink of a target with a URL. needKeyFrame asks the
	// caller for a key frame; onState may be called with changes of state.
	// Default: an rtmp.Publisher.
	OpenTarget func(t TargetRequest) (media.Sink, error)
	// TLS is for targets with rtmps. Nil verifies by the system's roots.
	TLS *tls.Config
	// Sources opens what is injected into calls by its URL: see Open.
	Sources inject.Opener
	// Recorder makes the files of calls that are recorded. It is not closed:
	// its files may take longer than the calls. Nil: none can be.
	Recorder *record.Recorder
	// OnEvent is told what happens to calls, from several goroutines. It must
	// not block.
	OnEvent func(Event)
	// HangupTimeout is the longest to wait for a caller to confirm a BYE of
	// ours. Default 2 s.
	HangupTimeout time.Duration
	// Logger gets the life of calls. Nil discards. The end of a call, and a
	// refusal, goes to that of the trunk.Server.
	Logger *slog.Logger

	once     sync.Once
	log      *slog.Logger
	mu       sync.Mutex
	closing  bool
	sessions map[*Session]struct{}
	waiting  map[string]chan struct{} // by name: closed when a newer call wants it, too
	ports    map[portKey]*rtpio.Ports
	caps     map[string]*sdp.Capabilities // by trunk
	idle     sync.Cond                    // sessions has shrunk
}

type portKey struct {
	trunk.PortRange
	addr netip.Addr
}

const defaultHangupTimeout = 2 * time.Second

// ErrPanic ends a call when code that was given to the Bridge panicked.
var ErrPanic = errors.New("trunkcast: panic")

func (b *Bridge) init() {
	b.once.Do(func() {
		if b.log = b.Logger; b.log == nil {
			b.log = slog.New(slog.DiscardHandler)
		}
		if b.Streams == nil {
			b.Streams = &media.Directory{}
		}
		b.sessions = map[*Session]struct{}{}
		b.waiting = map[string]chan struct{}{}
		b.ports = map[portKey]*rtpio.Ports{}
		b.caps = map[string]*sdp.Capabilities{}
		b.idle.L = &b.mu
	})
}

// ServeCall answers a call and publishes it until it ends.
func (b *Bridge) ServeCall(ctx context.Context, c *trunk.Call) {
	b.init()
	s, err := b.begin(ctx, c)
	if err != nil {
		b.refuse(c, err)
		return
	}
	defer b.forget(s)
	defer s.contain()
	s.run(ctx)
}

// begin makes the session of a call: its plan, its name, its stream.
func (b *Bridge) begin(ctx context.Context, c *trunk.Call) (s *Session, err error) {
	defer func() {
		if v := recover(); v != nil {
			err = b.panicked("Plan", v)
		}
	}()
	plan, err := b.plan(ctx, c)
	if err != nil {
		return nil, err
	}
	s = newSession(b, c, plan)
	if err := b.claim(ctx, s); err != nil {
		return s, err
	}
	c.Note("stream", s.stream.Name)
	return s, nil
}

// panicked logs a panic of code that is not ours and makes an error of it.
func (b *Bridge) panicked(where string, v any) error {
	b.log.Error("panic", "hook", where, "error", v, "stack", string(debug.Stack()))
	return fmt.Errorf("%w: %s: %v", ErrPanic, where, v)
}

func (b *Bridge) plan(ctx context.Context, c *trunk.Call) (*Plan, error) {
	plan := b.Plan
	if plan == nil {
		plan = b.DefaultPlan
	}
	p, err := plan(ctx, c)
	switch {
	case err != nil:
		return nil, err
	case p == nil || p.Name == "":
		return nil, errors.New("trunkcast: a plan without a stream name")
	}
	copied := *p // the caller's stays as it is
	if copied.Ports == nil {
		copied.Ports = b.portsOf(c.Trunk().Config())
	}
	if copied.Capabilities == nil {
		copied.Capabilities = &sdp.Capabilities{}
	}
	return &copied, nil
}

// forget takes a session out when its stream has ended.
func (b *Bridge) forget(s *Session) {
	b.Streams.Remove(s.stream.Name, s.stream)
	b.mu.Lock()
	delete(b.sessions, s)
	b.idle.Broadcast()
	b.mu.Unlock()
	s.finish()
}

// refuse answers a call that has no session.
func (b *Bridge) refuse(c *trunk.Call, err error) {
	code, reason, rule := 500, "", "no plan for this call"
	var r *RefusedError
	switch {
	case c.Err() != nil:
		err = c.Err() // the caller was faster than the plan
	case errors.As(err, &r):
		code, reason, rule = r.Code, r.Reason, r.Rule
	}
	if c.Err() == nil && r == nil && !errors.Is(err, ErrPanic) {
		b.log.Error("no plan for a call", "trunk", c.Trunk().Name(), "call_id", c.ID(), "number", c.Number(), "error", err)
	}
	_ = c.Reject(code, reason, rule)
	b.tell(Event{Type: CallRefused, Call: c, Err: err})
}

func (b *Bridge) tell(e Event) {
	if b.OnEvent == nil {
		return
	}
	defer func() {
		if v := recover(); v != nil {
			_ = b.panicked("OnEvent", v)
		}
	}()
	e.Time = time.Now()
	b.OnEvent(e)
}

// portsOf returns the sockets of a trunk. Trunks with the same range share it.
func (b *Bridge) portsOf(cfg trunk.Config) *rtpio.Ports {
	b.init()
	key := portKey{PortRange: cfg.MediaPorts}
	if a, err := netip.ParseAddr(cfg.ListenAddress); err == nil && !a.IsUnspecified() {
		key.addr = a
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	p := b.ports[key]
	if p == nil {
		p = &rtpio.Ports{First: key.First, Last: key.Last, Addr: key.addr}
		b.ports[key] = p
	}
	return p
}

// capabilities are those of a trunk, read once.
func (b *Bridge) capabilities(cfg trunk.Config) (*sdp.Capabilities, error) {
	b.init()
	b.mu.Lock()
	defer b.mu.Unlock()
	if c := b.caps[cfg.Name]; c != nil {
		return c, nil
	}
	c, err := newCapabilities(cfg)
	if err == nil {
		b.caps[cfg.Name] = c
	}
	return c, err
}

// Sessions returns the calls that run, in the order in which they began.
func (b *Bridge) Sessions() []*Session {
	b.init()
	b.mu.Lock()
	defer b.mu.Unlock()
	list := make([]*Session, 0, len(b.sessions))
	for s := range b.sessions {
		list = append(list, s)
	}
	slices.SortFunc(list, func(x, y *Session) int { return x.call.Started().Compare(y.call.Started()) })
	return list
}

// Session returns the call with that Call-ID, nil if there is none. A PBX may
// give several calls the same one, told apart by their tags (RFC 3261 section
// 12): it is the newest of them.
func (b *Bridge) Session(id string) *Session {
	for _, s := range slices.Backward(b.Sessions()) {
		if s.ID() == id {
			return s
		}
	}
	return nil
}

// Shutdown takes no more calls, hangs up those that run and returns when
// their streams have been written out, or with ctx's error when that ends
// first. Shut the trunk.Server down before, so that callers hear of it.
func (b *Bridge) Shutdown(ctx context.Context) error {
	b.init()
	b.mu.Lock()
	b.closing = true
	b.mu.Unlock()
	var wg sync.WaitGroup
	for _, s := range b.Sessions() {
		wg.Go(func() { _ = s.Hangup(ctx, "the gateway is shutting down") })
	}
	wg.Wait()
	stop := context.AfterFunc(ctx, func() {
		b.mu.Lock() // or the wake-up falls between a look and its Wait
		defer b.mu.Unlock()
		b.idle.Broadcast()
	})
	defer stop()
	b.mu.Lock()
	defer b.mu.Unlock()
	for len(b.sessions) > 0 && ctx.Err() == nil {
		b.idle.Wait()
	}
	if len(b.sessions) > 0 {
		return ctx.Err()
	}
	return nil
}

// Close is Shutdown with little patience: 2 s, after which sessions may still
// be about to end.
func (b *Bridge) Close() error {
	ctx, cancel := context.WithTimeout(context.Background(), defaultHangupTimeout)
	defer cancel()
	return b.Shutdown(ctx)
}
