package sipnet

import (
	"crypto/tls"
	"errors"
	"net"
	"net/netip"
	"os"
	"sync"
	"time"
)

// maxAbandoned is how many messages in a row a connection may leave
// incomplete before it is closed.
const maxAbandoned = 3

// A stream is one TCP or TLS connection, accepted or dialled.
type stream struct {
	e       *Endpoint
	conn    net.Conn
	flow    *Flow
	host    string // name the peer's certificate was verified for, dialled TLS only
	dialled bool
	key     dialKey // dialled only

	writing sync.Mutex
	once    sync.Once
	done    chan struct{}
}

func newStream(e *Endpoint, conn net.Conn, transport, host string, dialled bool) *stream {
	s := &stream{e: e, conn: conn, host: host, dialled: dialled, done: make(chan struct{})}
	s.flow = &Flow{transport: transport, local: addrOf(conn.LocalAddr()), remote: addrOf(conn.RemoteAddr()), stream: s}
	return s
}

func addrOf(a net.Addr) netip.AddrPort {
	switch a := a.(type) {
	case *net.TCPAddr:
		return unmap(a.AddrPort())
	case *net.UDPAddr:
		return unmap(a.AddrPort())
	}
	return netip.AddrPort{}
}

func (s *stream) closed() bool {
	select {
	case <-s.done:
		return true
	default:
		return false
	}
}

// close ends the connection; its reader does the rest.
func (s *stream) close() {
	s.once.Do(func() {
		close(s.done)
		if t, ok := s.conn.(*tls.Conn); ok {
			// The alert of a TLS close could wait for a peer that reads nothing.
			t.NetConn().Close()
		}
		s.conn.Close()
	})
}

// write sends data whole or closes the connection: half a message would spoil
// what follows.
func (s *stream) write(data []byte) error {
	s.writing.Lock()
	defer s.writing.Unlock()
	if s.closed() {
		return net.ErrClosed
	}
	s.conn.SetWriteDeadline(time.Now().Add(s.e.limits.WriteTime))
	if _, err := s.conn.Write(data); err != nil {
		s.close()
		return err
	}
	return nil
}

// handshake completes an accepted TLS connection in time.
func (s *stream) handshake() bool {
	t, ok := s.conn.(*tls.Conn)
	if !ok || s.dialled {
		return true
	}
	t.SetDeadline(time.Now().Add(s.e.limits.ConnectTime))
	if err := t.HandshakeContext(s.e.ctx); err != nil {
		if s.e.complaints.Take() {
			s.e.log.Info("tls handshake failed", "remote_addr", s.flow.remote, "error", err)
		}
		return false
	}
	t.SetDeadline(time.Time{})
	return true
}

// serve reads until the connection ends.
func (s *stream) serve() {
	defer s.e.forget(s)
	defer s.close()
	if !s.handshake() {
		return
	}
	f := &framer{maxHead: s.e.limits.HeaderBytes, maxBody: s.e.limits.BodyBytes}
	begun, abandoned := time.Time{}, 0
	idle := s.e.limits.FirstByte
	if s.dialled {
		idle = s.e.limits.Idle
	}
	for {
		limit := time.Now().Add(idle)
		if f.busy() {
			if begun.IsZero() {
				begun = time.Now()
			}
			limit = begun.Add(s.e.limits.MessageTime)
		}
		s.conn.SetReadDeadline(limit)
		n, err := s.conn.Read(f.space())
		f.fill(n)
		if n > 0 {
			idle = s.e.limits.Idle
		}
		took := s.units(f)
		if took {
			begun, abandoned = time.Time{}, 0
		} else if !f.busy() {
			begun = time.Time{}
		}
		if err == nil && !f.hopeless() {
			continue
		}
		if !errors.Is(err, os.ErrDeadlineExceeded) || !f.busy() {
			return
		}
		if u := f.abandon(); u.head != nil {
			s.e.reject(u.head, s.flow, u.err)
		}
		s.units(f) // what is left of it is no start line
		begun = time.Time{}
		if abandoned++; abandoned >= maxAbandoned || !f.good {
			return
		}
	}
}

// units takes every whole message of f, and reports whether there was one.
func (s *stream) units(f *framer) (took bool) {
	for {
		u, ok := f.next()
		if !ok {
			break
		}
		if !s.dialled && s.e.Admit != nil && s.e.Admit(s.flow.remote, s.flow.transport) != Accept {
			s.close()
			return took
		}
		if u.err != nil {
			s.e.reject(u.head, s.flow, u.err)
			continue
		}
		took = true
		s.e.take(u, s.flow)
	}
	if f.pings > 0 {
		// One pong for all that came together (RFC 5626 section 4.4.1).
		f.pings = 0
		s.write(crlf)
	}
	return took
}
