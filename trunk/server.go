package trunk

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"log/slog"
	"net/netip"
	"slices"
	"sync"
	"time"

	"github.com/trunkcast/trunkcast/internal/sipnet"
)

// serverState is what a Server has besides its options.
type serverState struct {
	clock    timing
	packets  func(at netip.AddrPort) sipnet.PacketConn // of tests, in place of sockets; nil: none
	resolver sipnet.Resolver
	log      *slog.Logger
	key      []byte // of the nonces
	nonces   nonces
	ctx      context.Context // of calls and background work; ends with Close
	cancel   context.CancelFunc
	list     []*Trunk
	sockets  []*socket
	arrivals sipnet.Bucket // new calls, Limits.CallsPerSec

	tasks   sync.WaitGroup // goroutines of ours
	serving tally          // Handlers, and the BYEs after them

	opening sync.Mutex // held while endpoints start, and while they close

	mu       sync.Mutex
	doneCh   chan struct{}
	started  bool
	ready    bool // Start has opened the ports
	draining bool // Shutdown has begun
	closing  bool // Close has begun
	err      error
	calls    map[*Call]struct{}
	count    int // of calls that have not ended
}

// timing holds the periods that tests shorten.
type timing struct {
	t1, t2      time.Duration // RFC 3261 section 17.1.1.1
	noACK       time.Duration // 64*T1
	provisional time.Duration // between repetitions of a 18x
	resolve     time.Duration // between look-ups of a name
	minSession  time.Duration // Min-SE, RFC 4028 section 5
	backoff     time.Duration // first wait after a failed registration; doubles
	maxBackoff  time.Duration
	login       time.Duration // first wait after a refused login; doubles
	maxLogin    time.Duration
	unregister  time.Duration // longest wait for the removal of a registration
	certs       time.Duration // between looks at the files of certificates
	glare       time.Duration // unit of the waits after a 491, RFC 3261 section 14.1
	order       time.Duration // a message waits for the one before it; 0: the endpoint's default
	message     time.Duration // from the first byte of a message to its last; 0: the endpoint's default
}

func (t timing) withDefaults() timing {
	for _, d := range []struct {
		p *time.Duration
		d time.Duration
	}{
		{&t.t1, 500 * time.Millisecond}, {&t.t2, 4 * time.Second}, {&t.provisional, time.Minute},
		{&t.resolve, time.Minute}, {&t.minSession, 90 * time.Second}, {&t.backoff, 5 * time.Second},
		{&t.maxBackoff, 5 * time.Minute}, {&t.login, 5 * time.Minute}, {&t.maxLogin, time.Hour},
		{&t.unregister, 4 * time.Second}, {&t.glare, 10 * time.Millisecond}, {&t.certs, 10 * time.Second},
	} {
		if *d.p == 0 {
			*d.p = d.d
		}
	}
	t.noACK = 64 * t.t1
	return t
}

func (l Limits) withDefaults() Limits {
	if l.MaxCalls <= 0 {
		l.MaxCalls = 10000
	}
	if l.CallsPerSec <= 0 {
		l.CallsPerSec = 1000
	}
	return l
}

// ListenAndServe opens the local ports of all trunks and serves until ctx ends
// (abrupt, as Close) or Shutdown or Close is called; it returns
// [ErrServerClosed] then. A port that is taken gives a *ListenError naming
// trunk, transport and address.
func (s *Server) ListenAndServe(ctx context.Context) error {
	if err := s.Start(ctx); err != nil {
		return err
	}
	<-s.Done()
	return s.Err()
}

// Start opens the local ports of all trunks and returns: registration and
// calls go on until Shutdown, Close, or the end of ctx. It may be called once.
func (s *Server) Start(ctx context.Context) error {
	if err := s.prepare(ctx); err != nil {
		return err
	}
	s.resolveFirst(ctx)
	if err := s.open(); err != nil {
		if s.ctx.Err() != nil {
			err = ErrServerClosed
		}
		s.Close()
		return err
	}
	for _, t := range s.list {
		s.spawn(t.resolveOften)
		if t.cfg.KeepAlive > 0 {
			s.spawn(t.keepAlive)
		}
		if t.registrar != nil && !s.spawn(t.registrar.run) {
			close(t.registrar.ended)
		}
	}
	s.mu.Lock()
	s.ready = true
	s.mu.Unlock()
	unhook := context.AfterFunc(ctx, func() { s.stop(ErrServerClosed) })
	context.AfterFunc(s.ctx, func() { unhook() })
	return nil
}

// prepare checks the configuration and makes what needs no network.
func (s *Server) prepare(ctx context.Context) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	switch {
	case s.closing || s.draining:
		return ErrServerClosed
	case s.started:
		return errors.New("trunk: server started twice")
	}
	s.log = s.Logger
	if s.log == nil {
		s.log = slog.New(slog.DiscardHandler)
	}
	s.clock, s.Limits = s.clock.withDefaults(), s.Limits.withDefaults()
	s.arrivals.Init(float64(s.Limits.CallsPerSec), float64(s.Limits.CallsPerSec))
	s.key = make([]byte, 32)
	rand.Read(s.key)
	s.calls = map[*Call]struct{}{}
	if checker, ok := s.Handler.(ConfigChecker); ok {
		if err := checker.CheckConfigs(s.Trunks); err != nil {
			return err
		}
	}
	if err := s.makeTrunks(); err != nil {
		return err
	}
	if err := s.makeSockets(); err != nil {
		return err
	}
	s.ctx, s.cancel = context.WithCancel(context.WithoutCancel(ctx))
	for _, t := range s.list {
		if *t.cfg.Register {
			t.registrar = newRegistrar(t)
		}
	}
	s.started = true
	return nil
}

func (s *Server) makeTrunks() error {
	if len(s.Trunks) == 0 {
		return errors.New("trunk: no trunks")
	}
	var list []*Trunk
	seen := map[string]bool{}
	for _, c := range s.Trunks {
		for _, w := range c.Warnings {
			s.log.Warn("trunk file", "trunk", c.Name, "warning", w)
		}
		t, err := newTrunk(s, c)
		if err == nil && seen[c.Name] {
			err = errors.New("two trunks have this name")
		}
		if err != nil {
			return &ConfigError{Trunk: c.Name, Err: err}
		}
		seen[c.Name] = true
		list = append(list, t)
	}
	s.list = list
	return nil
}

// open starts the endpoints.
func (s *Server) open() error {
	s.opening.Lock()
	defer s.opening.Unlock()
	for _, sock := range s.sockets {
		if err := sock.start(); err != nil {
			return err
		}
	}
	return nil
}

// makeSockets gives each local address and port its socket. The kernel gives
// each trunk with port 0 one of its own.
func (s *Server) makeSockets() error {
	var sockets []*socket
	for _, t := range s.list {
		i := slices.IndexFunc(sockets, func(k *socket) bool { return t.listen.Port() != 0 && k.listen == t.listen })
		if i < 0 {
			i = len(sockets)
			sockets = append(sockets, newSocket(s, t.listen))
		}
		t.sock = sockets[i]
		t.sock.trunks = append(t.sock.trunks, t)
	}
	for _, k := range sockets {
		if err := k.prepare(); err != nil {
			return err
		}
	}
	s.sockets = sockets // all of them or none: Close closes their endpoints
	return nil
}

// spawn runs f in a goroutine that Close waits for; false after Close.
func (s *Server) spawn(f func()) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closing || !s.started {
		return false
	}
	s.tasks.Go(f)
	return true
}

// serve runs f, a Handler or the end of a call, in a goroutine that Shutdown
// waits for; false after Close.
func (s *Server) serve(f func()) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closing || !s.started {
		return false
	}
	s.serving.add(1)
	go func() {
		defer s.serving.add(-1)
		f()
	}()
	return true
}

// Shutdown takes no more calls (OPTIONS and INVITE are answered 503), removes
// the registrations, hangs up what runs (BYE), waits for the Handlers and
// closes everything, at the latest when ctx ends: its error is returned then.
func (s *Server) Shutdown(ctx context.Context) error {
	s.mu.Lock()
	s.draining = true
	running := s.started && !s.closing
	s.mu.Unlock()
	if running {
		s.drain(ctx)
	}
	s.stop(ErrServerClosed)
	if ctx.Err() != nil {
		return ctx.Err()
	}
	return s.Close()
}

// drain ends registrations and calls, side by side: a registrar that is gone
// must not take the time in which callers hear of the end.
func (s *Server) drain(ctx context.Context) {
	var wg sync.WaitGroup
	for _, t := range s.list {
		if t.registrar != nil {
			wg.Go(func() { t.registrar.remove(ctx) })
		}
	}
	for _, c := range s.Calls() {
		wg.Go(func() { c.hangup(ctx, ending{code: 503, protocol: "SIP", cause: 503, text: "shutting down"}) })
	}
	wg.Wait()
	s.serving.wait(ctx)
}

// Close ends everything at once and returns when every goroutine of the server
// has ended, the Handlers among them, so that it must not be called from one.
// It is idempotent.
func (s *Server) Close() error {
	s.stop(ErrServerClosed)
	s.mu.Lock()
	sockets := s.sockets
	s.mu.Unlock()
	s.opening.Lock()
	for _, sock := range sockets {
		sock.ep.Close()
	}
	s.opening.Unlock()
	s.tasks.Wait()
	s.serving.wait(context.Background())
	return nil
}

// stop ends all and does not wait.
func (s *Server) stop(err error) {
	s.mu.Lock()
	if s.closing {
		s.mu.Unlock()
		return
	}
	s.closing, s.err = true, err
	started := s.started
	close(s.doneLocked())
	calls := s.callsLocked()
	s.mu.Unlock()
	if !started {
		return
	}
	for _, c := range calls {
		c.end(&EndError{Reason: "server closed", Err: ErrServerClosed})
		c.release()
	}
	s.cancel()
	for _, sock := range s.sockets {
		sock.stop()
	}
}

func (s *Server) doneLocked() chan struct{} {
	if s.doneCh == nil {
		s.doneCh = make(chan struct{})
	}
	return s.doneCh
}

// Done is closed when the server has ended or is about to, by Shutdown, Close,
// the end of Start's context, or because a socket failed: Err tells.
func (s *Server) Done() <-chan struct{} {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.doneLocked()
}

// Err tells why the server ended: [ErrServerClosed] if that was asked for. It
// is nil while it runs.
func (s *Server) Err() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.err
}

// Trunk returns the trunk of that name, nil if there is none or before Start.
func (s *Server) Trunk(name string) *Trunk {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, t := range s.list {
		if s.ready && t.cfg.Name == name {
			return t
		}
	}
	return nil
}

// Calls returns the calls that run now.
func (s *Server) Calls() []*Call {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.callsLocked()
}

func (s *Server) callsLocked() []*Call {
	list := make([]*Call, 0, len(s.calls))
	for c := range s.calls {
		list = append(list, c)
	}
	return list
}

// refusal is why a request is refused before there is a call.
type refusal struct {
	code    int
	rule    string
	headers []namedValue
}

type namedValue struct{ name, value string }

// reserve counts a new call in, or tells which limit keeps it out.
func (s *Server) reserve(c *Call) *refusal {
	t := c.trunk
	s.mu.Lock()
	defer s.mu.Unlock()
	switch {
	case s.closing || s.draining:
		return &refusal{code: 503, rule: "shutting down"}
	case s.count >= s.Limits.MaxCalls:
		return &refusal{code: 503, rule: fmt.Sprintf("limit of %d calls", s.Limits.MaxCalls),
			headers: []namedValue{{"Retry-After", "5"}}}
	case t.cfg.MaxCalls > 0 && t.count >= t.cfg.MaxCalls:
		return &refusal{code: 486, rule: fmt.Sprintf("maxCalls of %d of trunk %s", t.cfg.MaxCalls, t.cfg.Name)}
	}
	s.count++
	t.count++
	s.calls[c] = struct{}{}
	return nil
}

// leave counts a call out that has ended.
func (s *Server) leave(c *Call) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if _, ok := s.calls[c]; ok {
		delete(s.calls, c)
		s.count--
		c.trunk.count--
	}
}

// isDraining reports whether new calls are refused for good.
func (s *Server) isDraining() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.draining || s.closing
}

// tally counts what runs. Unlike a WaitGroup it may grow from zero while
// somebody waits, and the wait can end before.
type tally struct {
	mu   sync.Mutex
	n    int
	zero chan struct{} // closed at zero, if somebody waits
}

func (c *tally) add(n int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.n += n
	if c.n == 0 && c.zero != nil {
		close(c.zero)
		c.zero = nil
	}
}

func (c *tally) wait(ctx context.Context) {
	c.mu.Lock()
	if c.n == 0 {
		c.mu.Unlock()
		return
	}
	if c.zero == nil {
		c.zero = make(chan struct{})
	}
	zero := c.zero
	c.mu.Unlock()
	select {
	case <-zero:
	case <-ctx.Done():
	}
}
