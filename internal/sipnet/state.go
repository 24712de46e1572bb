package sipnet

import (
	"context"
	"crypto/rand"
	"crypto/tls"
	"errors"
	"log/slog"
	"net"
	"net/netip"
	"sync"
	"sync/atomic"
	"time"

	"github.com/trunkcast/trunkcast/listener"
)

// state is what an Endpoint has besides its options.
type state struct {
	limits Limits
	log    *slog.Logger
	ctx    context.Context // ends when Close begins
	cancel context.CancelFunc

	udp           PacketConn
	ports         []net.Listener
	addr, tlsAddr netip.AddrPort
	key           []byte                        // of Tag
	listeners     []listener.SipMessageListener // of Listener

	table      table
	pool       pool
	order      order
	count      counters
	refusals   Bucket       // stateless responses to strangers
	faults     Bucket       // stateless responses to malformed and surplus requests
	unsaid     atomic.Int64 // strangers that complaints kept out of the log
	complaints Bucket       // log lines about what strangers can cause

	mu      sync.Mutex
	doneCh  chan struct{}
	started bool
	closing bool
	err     error
	stopped chan struct{} // closed when stop has done its work
	tasks   sync.WaitGroup
}

func (l Limits) withDefaults() Limits {
	set := func(v *int, d int) {
		if *v <= 0 {
			*v = d
		}
	}
	setTime := func(v *time.Duration, d time.Duration) {
		if *v <= 0 {
			*v = d
		}
	}
	set(&l.HeaderBytes, 64<<10)
	set(&l.BodyBytes, 256<<10)
	set(&l.Connections, 4096)
	set(&l.PerAddress, 2048)
	set(&l.Transactions, 20000)
	set(&l.RefusalsPerS, 50)
	set(&l.PendingPerCID, 64)
	setTime(&l.MessageTime, 10*time.Second)
	setTime(&l.Idle, 4*time.Hour)
	setTime(&l.FirstByte, time.Minute)
	setTime(&l.WriteTime, 5*time.Second)
	setTime(&l.ConnectTime, 5*time.Second)
	setTime(&l.OrderWait, 20*time.Millisecond)
	return l
}

// Start opens the sockets and serves them until Close, or until ctx ends.
// A port that is taken gives a [*ListenError]. It may be called once.
func (e *Endpoint) Start(ctx context.Context) error {
	if err := e.prepare(ctx); err != nil {
		return err
	}
	if err := e.listen(ctx); err != nil {
		e.stop(err)
		return err
	}
	e.spawn(e.serveUDP)
	for i, l := range e.ports {
		transport := "tcp"
		if i > 0 {
			transport = "tls"
		}
		e.spawn(func() { e.accept(l, transport) })
	}
	unhook := context.AfterFunc(ctx, func() { e.stop(context.Cause(ctx)) })
	context.AfterFunc(e.ctx, func() { unhook() })
	return nil
}

// prepare checks the options and makes the parts that need no network.
func (e *Endpoint) prepare(ctx context.Context) error {
	e.mu.Lock()
	defer e.mu.Unlock()
	switch {
	case e.closing:
		return ErrClosed
	case e.started:
		return errors.New("sipnet: endpoint started twice")
	case !e.Listen.IsValid():
		return errors.New("sipnet: no address to listen on")
	case e.TLSListen.IsValid() && e.TLS == nil:
		return errors.New("sipnet: TLS listener without a configuration")
	}
	e.started = true
	e.limits, e.listeners = e.Limits.withDefaults(), listenersOf(e.Listener)
	e.log = e.Logger
	if e.log == nil {
		e.log = slog.New(slog.DiscardHandler)
	}
	e.key = make([]byte, 32)
	rand.Read(e.key)
	e.ctx, e.cancel = context.WithCancel(context.WithoutCancel(ctx))
	e.table.init()
	e.pool.init()
	e.order.init(e)
	rate := float64(e.limits.RefusalsPerS)
	e.refusals.Init(rate, rate)
	e.faults.Init(rate, rate)
	e.complaints.Init(1, 10)
	return nil
}

// sockets are those of an endpoint.
type sockets struct {
	udp           PacketConn
	listeners     []net.Listener
	addr, tlsAddr netip.AddrPort
}

func (s *sockets) close() {
	if s.udp != nil {
		s.udp.Close()
	}
	for _, l := range s.listeners {
		l.Close()
	}
}

// listen opens the sockets, unless Close comes meanwhile.
func (e *Endpoint) listen(ctx context.Context) error {
	var s sockets
	if err := e.openAll(ctx, &s); err != nil {
		s.close()
		return err
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.closing {
		s.close()
		return ErrClosed
	}
	e.udp, e.ports, e.addr, e.tlsAddr = s.udp, s.listeners, s.addr, s.tlsAddr
	return nil
}

// openAll opens the sockets. With port 0 it looks for a number that is free on UDP
// and TCP both.
func (e *Endpoint) openAll(ctx context.Context, s *sockets) error {
	if e.Packets != nil {
		s.udp, s.addr = e.Packets, e.Listen
		return nil
	}
	tries := 1
	if e.Listen.Port() == 0 {
		tries = 32
	}
	var err error
	for range tries {
		if err = s.openPair(ctx, e.Listen); err == nil {
			break
		}
		var l *ListenError
		if errors.As(err, &l) && l.Transport == "udp" {
			return err
		}
	}
	if err != nil || !e.TLSListen.IsValid() {
		return err
	}
	var lc net.ListenConfig
	l, err := lc.Listen(ctx, network("tcp", e.TLSListen), e.TLSListen.String())
	if err != nil {
		return &ListenError{"tls", e.TLSListen, err}
	}
	s.tlsAddr = addrOf(l.Addr())
	s.listeners = append(s.listeners, tls.NewListener(l, e.TLS))
	return nil
}

// openPair opens one port for UDP and TCP.
func (s *sockets) openPair(ctx context.Context, at netip.AddrPort) error {
	udp, err := listenUDP(at)
	if err != nil {
		return &ListenError{"udp", at, err}
	}
	at = netip.AddrPortFrom(at.Addr(), udp.addr.Port())
	var lc net.ListenConfig
	tcp, err := lc.Listen(ctx, network("tcp", at), at.String())
	if err != nil {
		udp.Close()
		return &ListenError{"tcp", at, err}
	}
	s.udp, s.addr, s.listeners = udp, udp.addr, []net.Listener{tcp}
	return nil
}

// network makes "::" serve both families and "0.0.0.0" IPv4 only.
func network(proto string, at netip.AddrPort) string {
	if at.Addr().Is4() {
		return proto + "4"
	}
	return proto
}

// spawn runs f in a goroutine that Close waits for; false after Close.
func (e *Endpoint) spawn(f func()) bool {
	if !e.enter() {
		return false
	}
	go func() {
		defer e.tasks.Done()
		f()
	}()
	return true
}

// enter counts the caller as a task, unless the endpoint closes.
func (e *Endpoint) enter() bool {
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.closing {
		return false
	}
	e.tasks.Add(1)
	return true
}

// after calls f in a goroutine after d, unless the endpoint closes before.
func (e *Endpoint) after(d time.Duration, f func()) *time.Timer {
	return time.AfterFunc(d, func() {
		if e.enter() {
			defer e.tasks.Done()
			f()
		}
	})
}

// sleep waits for d or the end.
func (e *Endpoint) sleep(d time.Duration) {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
	case <-e.ctx.Done():
	}
}

// fail ends the endpoint from within, because of err.
func (e *Endpoint) fail(err error) {
	e.log.Error("sip endpoint failed", "error", err)
	e.stop(err)
}

// stop ends all and does not wait for the goroutines.
func (e *Endpoint) stop(err error) {
	e.mu.Lock()
	if e.closing {
		e.mu.Unlock()
		return
	}
	e.closing, e.err, e.stopped = true, err, make(chan struct{})
	close(e.doneLocked())
	started := e.started
	e.mu.Unlock()
	defer close(e.stopped)
	if !started {
		return
	}
	e.cancel()
	if e.udp != nil {
		e.udp.Close()
	}
	for _, l := range e.ports {
		l.Close()
	}
	e.order.close()
	e.table.end(ErrClosed)
	e.pool.close()
}

// Close ends all: sockets and connections are closed, open transactions end
// with [ErrClosed], and it returns when every goroutine of the endpoint has
// ended, so that it must not be called from OnRequest, OnResponse or the
// Listener. It is idempotent.
func (e *Endpoint) Close() error {
	e.stop(ErrClosed)
	<-e.stopped
	e.tasks.Wait()
	return nil
}

func (e *Endpoint) doneLocked() chan struct{} {
	if e.doneCh == nil {
		e.doneCh = make(chan struct{})
	}
	return e.doneCh
}

// Done is closed when Close begins, for whatever reason; Err then tells it.
func (e *Endpoint) Done() <-chan struct{} {
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.doneLocked()
}

// Err is nil before Done, [ErrClosed] after Close, the context's error or
// that of a socket that failed.
func (e *Endpoint) Err() error {
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.err
}
