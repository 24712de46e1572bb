package relay

import (
	"bytes"
	"net"
	"net/netip"
	"strconv"
	"sync"
)

// SIP stands between callers and a gateway on UDP, as the application gateway
// of a router does: it passes messages on unharmed, and names [Pair]s in their
// SDP, so that the media takes the bad way. Callers send to its Addr. It puts
// itself into Contact, so that later requests come by too.
type SIP struct {
	gateway netip.AddrPort
	options Options
	conns   [2]*net.UDPConn // towards callers, towards the gateway

	mu      sync.Mutex
	calls   map[string]*sipCall // by Call-ID
	pairs   int
	closing bool
	wg      sync.WaitGroup
}

// maxCalls bounds the calls that a relay knows: it forgets none.
const maxCalls = 1000

// sipCall is what SIP knows of a call.
type sipCall struct {
	caller netip.AddrPort
	pairs  []*Pair // by m= line
}

// NewSIP starts the relay. Each media stream gets the impairments, and a seed
// of its own, counted up from that of the options.
func NewSIP(gateway netip.AddrPort, o Options) (*SIP, error) {
	s := &SIP{gateway: gateway, options: o, calls: map[string]*sipCall{}}
	for side := range s.conns {
		c, err := net.ListenUDP("udp", &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1)})
		if err != nil {
			s.Close()
			return nil, err
		}
		s.conns[side] = c
	}
	s.wg.Go(func() { s.read(A) })
	s.wg.Go(func() { s.read(B) })
	return s, nil
}

// Addr is where callers send requests instead of to the gateway.
func (s *SIP) Addr() netip.AddrPort { return s.addr(A) }

func (s *SIP) addr(side Side) netip.AddrPort {
	return s.conns[side].LocalAddr().(*net.UDPAddr).AddrPort()
}

// Pairs returns the media relays of all calls, those of a call in the order of
// its m= lines.
func (s *SIP) Pairs() []*Pair {
	s.mu.Lock()
	defer s.mu.Unlock()
	var all []*Pair
	for _, c := range s.calls {
		for _, p := range c.pairs {
			if p != nil {
				all = append(all, p)
			}
		}
	}
	return all
}

// Close ends the relay and those of the media. It may be called again.
func (s *SIP) Close() {
	s.mu.Lock()
	s.closing = true
	s.mu.Unlock()
	for _, c := range s.conns {
		if c != nil {
			_ = c.Close()
		}
	}
	s.wg.Wait()
	for _, p := range s.Pairs() {
		p.Close()
	}
}

// read passes on what comes from a side.
func (s *SIP) read(side Side) {
	buf := make([]byte, 64<<10)
	for {
		n, from, err := s.conns[side].ReadFromUDPAddrPort(buf)
		if err != nil {
			return
		}
		message, to := s.pass(side, from, buf[:n])
		if to.IsValid() {
			// A party that has gone is its own business.
			_, _ = s.conns[1-side].WriteToUDPAddrPort(message, to)
		}
	}
}

// pass returns the message as it goes on, and where to. What is no SIP, and
// what the gateway says of a call that nobody has made, goes nowhere.
func (s *SIP) pass(side Side, from netip.AddrPort, message []byte) ([]byte, netip.AddrPort) {
	head, body, ok := bytes.Cut(message, []byte("\r\n\r\n"))
	id := header(head, "Call-ID", "i")
	if !ok || id == "" {
		return nil, netip.AddrPort{}
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	call := s.calls[id]
	if call == nil {
		if side == B || s.closing || len(s.calls) >= maxCalls {
			return nil, netip.AddrPort{}
		}
		call = &sipCall{}
		s.calls[id] = call
	}
	to := s.gateway
	if side == A {
		call.caller = from
	} else {
		to = call.caller
	}
	body = s.rewriteSDP(call, side, body)
	var out bytes.Buffer
	for i, line := range bytes.Split(head, []byte("\r\n")) {
		if i > 0 {
			out.WriteString("\r\n")
			line = s.rewriteLine(side, line, len(body))
		}
		out.Write(line)
	}
	out.WriteString("\r\n\r\n")
	out.Write(body)
	return out.Bytes(), to
}

// header returns the value of the first header with one of the names.
func header(head []byte, names ...string) string {
	for line := range bytes.SplitSeq(head, []byte("\r\n")) {
		name, value, ok := bytes.Cut(line, []byte(":"))
		if ok && isHeader(name, names...) {
			return string(bytes.TrimSpace(value))
		}
	}
	return ""
}

func isHeader(name []byte, names ...string) bool {
	name = bytes.TrimSpace(name)
	for _, n := range names {
		if bytes.EqualFold(name, []byte(n)) {
			return true
		}
	}
	return false
}

// rewriteLine puts the relay into Contact and the size of the body into
// Content-Length.
func (s *SIP) rewriteLine(side Side, line []byte, size int) []byte {
	name, value, ok := bytes.Cut(line, []byte(":"))
	switch {
	case !ok:
	case isHeader(name, "Content-Length", "l"):
		return []byte("Content-Length: " + strconv.Itoa(size))
	case isHeader(name, "Contact", "m"):
		return append([]byte("Contact:"), replaceHost(value, s.addr(1-side))...)
	}
	return line
}

// replaceHost puts addr in the place of host and port of the first SIP URI.
func replaceHost(value []byte, addr netip.AddrPort) []byte {
	start := bytes.Index(value, []byte("sip:"))
	if start < 0 {
		return value
	}
	start += len("sip:")
	end := len(value)
	if i := bytes.IndexAny(value[start:], ">;?, \t"); i >= 0 {
		end = start + i
	}
	if i := bytes.LastIndexByte(value[start:end], '@'); i >= 0 {
		start += i + 1
	}
	return bytes.Join([][]byte{value[:start], []byte(addr.String()), value[end:]}, nil)
}
