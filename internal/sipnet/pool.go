package sipnet

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"sync"
	"time"
)

// pool holds the open connections, accepted and dialled.
type pool struct {
	mu       sync.Mutex
	all      map[*stream]struct{}
	accepted int
	perAddr  map[netip.Addr]int // accepted ones
	dialled  map[dialKey]*dial
	closed   bool
}

// dialKey tells connections apart that may not stand for each other: what one
// TLS configuration trusts another may not.
type dialKey struct {
	transport string
	addr      netip.AddrPort
	host      string
	tls       *tls.Config
}

// dial is a connection being made, or made; done is closed then.
type dial struct {
	done chan struct{}
	s    *stream
	err  error
}

func (p *pool) init() {
	p.all = map[*stream]struct{}{}
	p.perAddr = map[netip.Addr]int{}
	p.dialled = map[dialKey]*dial{}
}

func (p *pool) size() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return len(p.all)
}

var errTooMany = errors.New("too many connections")

// add enters s, an accepted one only within the limits.
func (p *pool) add(s *stream, l *Limits) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.closed {
		return ErrClosed
	}
	if !s.dialled {
		addr := s.flow.remote.Addr()
		if p.accepted >= l.Connections || p.perAddr[addr] >= l.PerAddress {
			return errTooMany
		}
		p.accepted++
		p.perAddr[addr]++
	}
	p.all[s] = struct{}{}
	return nil
}

func (p *pool) remove(s *stream) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if _, ok := p.all[s]; !ok {
		return
	}
	delete(p.all, s)
	if s.dialled {
		if d := p.dialled[s.key]; d != nil && d.s == s {
			delete(p.dialled, s.key)
		}
		return
	}
	p.accepted--
	addr := s.flow.remote.Addr()
	if p.perAddr[addr]--; p.perAddr[addr] <= 0 {
		delete(p.perAddr, addr)
	}
}

// undial forgets a connection that has died, for the next one to be made.
func (p *pool) undial(key dialKey, d *dial) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.dialled[key] == d {
		delete(p.dialled, key)
	}
}

func (p *pool) close() {
	p.mu.Lock()
	p.closed = true
	list := make([]*stream, 0, len(p.all))
	for s := range p.all {
		list = append(list, s)
	}
	p.mu.Unlock()
	for _, s := range list {
		s.close()
	}
}

// forget drops a connection that has ended, and ends what waited on it.
func (e *Endpoint) forget(s *stream) {
	e.pool.remove(s)
	e.table.lost(s, net.ErrClosed)
}

// accept serves a listener until it is closed.
func (e *Endpoint) accept(l net.Listener, transport string) {
	failed := 0
	for {
		conn, err := l.Accept()
		switch {
		case errors.Is(err, net.ErrClosed):
			return
		case err != nil:
			// Out of descriptors, mostly: connections end, and it goes on.
			failed = min(failed+1, 100)
			if e.complaints.Take() {
				e.log.Error("accept failed", "transport", transport, "error", err)
			}
			e.sleep(time.Duration(failed) * 10 * time.Millisecond)
		default:
			failed = 0
			e.admitConn(conn, transport)
		}
	}
}

// admitConn lets a connection in or closes it, before anything is read.
func (e *Endpoint) admitConn(conn net.Conn, transport string) {
	s := newStream(e, conn, transport, "", false)
	if e.Admit != nil && e.Admit(s.flow.remote, transport) != Accept {
		e.refuseStranger(nil, s.flow, Silent)
		s.close()
		return
	}
	if err := e.pool.add(s, &e.limits); err != nil {
		e.count.overload.Add(1)
		if e.complaints.Take() {
			e.log.Warn("connection refused", "rule", "limit", "remote_addr", s.flow.remote, "error", err)
		}
		s.close()
		return
	}
	if !e.spawn(s.serve) {
		s.close()
		e.pool.remove(s)
	}
}

// connect gives the connection to a target, a new one if there is none.
func (e *Endpoint) connect(ctx context.Context, to Target) (*Flow, error) {
	key := dialKey{transport: transportOf(to), addr: unmap(to.Addr)}
	if key.transport == "tls" {
		key.host, key.tls = to.Host, to.TLS
		if key.host == "" {
			key.host = key.addr.Addr().String()
		}
		if key.tls == nil {
			key.tls = e.TLSClient
		}
	}
	fail := func(err error) (*Flow, error) {
		return nil, fmt.Errorf("%w: connect %s %s: %w", ErrTransport, key.transport, key.addr, err)
	}
	for range 3 { // one that has died is replaced, one that dies at once is not asked for ever
		d := e.dialOnce(key)
		select {
		case <-d.done:
		case <-ctx.Done():
			return fail(ctx.Err())
		}
		if d.err != nil {
			return fail(d.err)
		}
		if d.s.flow.Alive() {
			return d.s.flow, nil
		}
		e.pool.undial(key, d)
	}
	return fail(net.ErrClosed)
}

// dialOnce joins the dial that is under way or done, or begins one. It does
// not depend on the context of who asks first: others may wait for it.
func (e *Endpoint) dialOnce(key dialKey) *dial {
	p := &e.pool
	p.mu.Lock()
	defer p.mu.Unlock()
	if d := p.dialled[key]; d != nil {
		return d
	}
	d := &dial{done: make(chan struct{})}
	p.dialled[key] = d
	started := e.spawn(func() {
		defer close(d.done)
		s, err := e.dial(key)
		p.mu.Lock()
		d.s, d.err = s, err
		p.mu.Unlock()
		if err != nil {
			p.undial(key, d)
		}
	})
	if !started {
		delete(p.dialled, key)
		d.err = ErrClosed
		close(d.done)
	}
	return d
}

// dial connects, within Limits.ConnectTime.
func (e *Endpoint) dial(key dialKey) (*stream, error) {
	ctx, cancel := context.WithTimeout(e.ctx, e.limits.ConnectTime)
	defer cancel()
	d := net.Dialer{}
	if a := e.addr.Addr(); !a.IsUnspecified() && a.Is4() == key.addr.Addr().Is4() {
		d.LocalAddr = net.TCPAddrFromAddrPort(netip.AddrPortFrom(a, 0))
	}
	conn, err := d.DialContext(ctx, "tcp", key.addr.String())
	if err != nil {
		return nil, err
	}
	if key.transport == "tls" {
		if conn, err = e.secure(ctx, conn, key); err != nil {
			return nil, err
		}
	}
	s := newStream(e, conn, key.transport, key.host, true)
	s.key = key
	if err := e.pool.add(s, &e.limits); err != nil {
		s.close()
		return nil, err
	}
	if !e.spawn(s.serve) {
		s.close()
		e.pool.remove(s)
		return nil, ErrClosed
	}
	return s, nil
}

func (e *Endpoint) secure(ctx context.Context, conn net.Conn, key dialKey) (net.Conn, error) {
	cfg := &tls.Config{}
	if key.tls != nil {
		cfg = key.tls.Clone()
	}
	if cfg.ServerName == "" {
		cfg.ServerName = key.host
	}
	t := tls.Client(conn, cfg)
	if err := t.HandshakeContext(ctx); err != nil {
		conn.Close()
		return nil, err
	}
	return t, nil
}
