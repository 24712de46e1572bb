package sipnet

import (
	"bytes"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"time"
)

// maxDatagram is the largest payload of UDP over IPv4.
const maxDatagram = 65507

func (e *Endpoint) writeUDP(data []byte, f *Flow) error {
	if len(data) > maxDatagram {
		return ErrTooLarge
	}
	return e.udp.WritePacket(data, f.local.Addr(), f.remote)
}

// Ping sends an empty message over UDP that keeps the way to a peer open, and
// that peers pass over (RFC 3261 section 7.5).
func (e *Endpoint) Ping(to netip.AddrPort) error {
	if !e.running() {
		return ErrClosed
	}
	return e.writeUDP([]byte("\r\n\r\n"), &Flow{transport: "udp", local: e.addr, remote: unmap(to)})
}

// maxReadErrors is how often in a row reading may fail before the socket is
// given up: an error of an earlier write (ICMP) shows up as one of reading.
const maxReadErrors = 64

// serveUDP reads datagrams until the socket is closed.
func (e *Endpoint) serveUDP() {
	buf := make([]byte, 1<<16)
	failed := 0
	for {
		n, remote, local, err := e.udp.ReadPacket(buf)
		switch {
		case errors.Is(err, net.ErrClosed):
			return
		case err != nil:
			if failed++; failed > maxReadErrors {
				e.fail(fmt.Errorf("sip: read from udp %s: %w", e.addr, err))
				return
			}
			e.sleep(time.Duration(failed) * time.Millisecond)
		default:
			failed = 0
			e.datagram(buf[:n], remote, local)
		}
	}
}

// unmap makes an IPv4 address in IPv6 form one of IPv4.
func unmap(a netip.AddrPort) netip.AddrPort {
	return netip.AddrPortFrom(a.Addr().Unmap(), a.Port())
}

// datagram takes one datagram. Keep-alives, STUN and other things that are no
// SIP are passed over in silence.
func (e *Endpoint) datagram(data []byte, remote netip.AddrPort, local netip.Addr) {
	data = data[skipBlank(data):]
	line, _, ok := bytes.Cut(data, crlf)
	if !ok || !looksLikeSIP(line) {
		if len(data) > 4 {
			e.count.ignored.Add(1)
		}
		return
	}
	if !local.IsValid() {
		local = e.addr.Addr()
	}
	f := &Flow{transport: "udp", local: netip.AddrPortFrom(local, e.addr.Port()), remote: remote}
	if v := e.admitDatagram(line, remote); v != Accept {
		e.refuseStranger(data, f, v)
		return
	}
	u := cutDatagram(data, e.limits.HeaderBytes)
	if u.err != nil {
		e.reject(u.head, f, u.err)
		return
	}
	e.take(u, f)
}

// admitDatagram judges the source. Whom we asked may answer, whoever it is.
func (e *Endpoint) admitDatagram(line []byte, remote netip.AddrPort) Verdict {
	if e.Admit == nil {
		return Accept
	}
	if bytes.HasPrefix(line, []byte("SIP/")) && e.table.asked(remote.Addr()) {
		return Accept
	}
	return e.Admit(remote, "udp")
}

// cutDatagram parts head and body (RFC 3261 section 18.3): bytes beyond
// Content-Length are dropped, missing ones are an error, and without it the
// body goes to the end.
func cutDatagram(data []byte, maxHead int) unit {
	end := headEnd(data, 0)
	switch {
	case end < 0:
		return unit{head: data, err: bad("no end of headers")}
	case end > maxHead:
		return unit{head: data, err: &malformed{513, "Message Too Large"}}
	}
	u := unit{head: data[:end], body: data[end:]}
	n, err := contentLength(string(u.head))
	switch {
	case err != nil:
		u.err = err
	case n > int64(len(u.body)):
		u.err = bad("Content-Length larger than the datagram")
	case n >= 0:
		u.body = u.body[:n]
	}
	return u
}
