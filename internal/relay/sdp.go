package relay

import (
	"net/netip"
	"strconv"
	"strings"
)

// maxLines bounds the m= lines of a call: more of them pass unchanged.
const maxLines = 16

// rewriteSDP puts the ports of the call's pairs in the place of those that a
// side names, and tells the pairs where that side receives. What is no SDP
// passes unchanged.
func (s *SIP) rewriteSDP(call *sipCall, side Side, body []byte) []byte {
	if !strings.HasPrefix(string(body), "v=0") {
		return body
	}
	session, media := splitSDP(string(body))
	host := connection(session, netip.Addr{})
	var out strings.Builder
	for i, lines := range media {
		at := connection(lines, host)
		kind, port, rest, ok := mediaLine(lines[0])
		if !ok || i >= maxLines || !at.Is4() {
			continue
		}
		pair := s.pair(call, i)
		if pair == nil {
			continue
		}
		if !at.IsUnspecified() { // RFC 2543 hold by 0.0.0.0
			pair.SetPeer(side, netip.AddrPortFrom(at, port))
		}
		mine := strconv.Itoa(int(pair.Addr(1 - side).Port()))
		lines[0] = kind + " " + mine + " " + rest
		media[i] = rewriteAddress(lines)
	}
	for _, lines := range append([][]string{rewriteAddress(session)}, media...) {
		for _, line := range lines {
			out.WriteString(line + "\r\n")
		}
	}
	return []byte(out.String())
}

// splitSDP returns the lines of the session and of each medium.
func splitSDP(body string) (session []string, media [][]string) {
	for line := range strings.Lines(body) {
		line = strings.TrimRight(line, "\r\n")
		switch {
		case line == "":
		case strings.HasPrefix(line, "m="):
			media = append(media, []string{line})
		case len(media) > 0:
			media[len(media)-1] = append(media[len(media)-1], line)
		default:
			session = append(session, line)
		}
	}
	return session, media
}

// mediaLine takes apart an m= line that is in use: RFC 8866 section 5.14.
func mediaLine(line string) (kind string, port uint16, rest string, ok bool) {
	f := strings.SplitN(line, " ", 3)
	if len(f) < 3 {
		return "", 0, "", false
	}
	n, err := strconv.ParseUint(f[1], 10, 16)
	return f[0], uint16(n), f[2], err == nil && n > 0
}

// connection returns the address of the c= line, or that of the session.
func connection(lines []string, session netip.Addr) netip.Addr {
	for _, line := range lines {
		if text, ok := strings.CutPrefix(line, "c=IN IP4 "); ok {
			if a, err := netip.ParseAddr(strings.TrimSpace(text)); err == nil {
				return a
			}
		}
	}
	return session
}

// rewriteAddress names the relay's address, and drops a=rtcp (RFC 3605): the
// relay's RTCP port is always the next one.
func rewriteAddress(lines []string) []string {
	var out []string
	for _, line := range lines {
		if a := connection([]string{line}, netip.Addr{}); a.IsValid() && !a.IsUnspecified() {
			line = "c=IN IP4 127.0.0.1"
		}
		if !strings.HasPrefix(line, "a=rtcp:") {
			out = append(out, line)
		}
	}
	return out
}

// pair returns the relay of the m= line with that index, nil if there can be
// none.
func (s *SIP) pair(call *sipCall, index int) *Pair {
	for len(call.pairs) <= index {
		call.pairs = append(call.pairs, nil)
	}
	if call.pairs[index] == nil {
		o := s.options
		o.Seed += uint64(s.pairs)
		p, err := NewPair(o)
		if err != nil {
			return nil
		}
		call.pairs[index] = p
		s.pairs++
	}
	return call.pairs[index]
}
