package sipnet

import (
	"net/netip"
	"strconv"
	"strings"
)

// rejection answers the request in raw without parsing it as a message: Via,
// From, To, Call-ID and CSeq are copied as they stand (RFC 3261 section
// 8.2.6.2), so that the sender of a malformed request, too, learns what
// happened and stops retransmitting. It is nil where no answer may go: to a
// response, to an ACK, to what is no SIP, or without a Via.
//
// to is where the answer to a request over UDP goes: the source's address,
// and its port if it asked for that (RFC 3581) or named none.
func rejection(raw []byte, source netip.AddrPort, tag func(callID, from, branch string) string,
	code int, reason string, extra ...string) (response []byte, to netip.AddrPort) {
	// A head without an end is taken as far as it goes.
	head := string(raw[:min(len(raw), maxRejectHead)])
	if i := headEnd(raw[:len(head)], 0); i > 0 {
		head = head[:i]
	}
	line, _, ok := strings.Cut(head, "\r\n")
	method, _, _ := strings.Cut(strings.TrimLeft(line, " \t"), " ")
	if !ok || method == "ACK" || strings.HasPrefix(line, "SIP/") || !looksLikeSIP([]byte(line)) {
		return nil, to
	}
	c := collect(head)
	if c.via == "" {
		return nil, to
	}
	to = source
	var b strings.Builder
	b.Grow(512 + len(c.rest))
	b.WriteString("SIP/2.0 " + strconv.Itoa(code) + " " + reason + "\r\n")
	branch := ""
	if via, err := parseFirstVia(c.via); err == nil {
		branch, _ = via.Params.Get("branch")
		to = replyAddr(via, source, "udp")
	}
	b.WriteString(c.vias)
	if c.to != "" {
		b.WriteString(c.to)
		if !hasTag(c.to) {
			b.WriteString(";tag=" + tag(c.callID, c.from, branch))
		}
		b.WriteString("\r\n")
	}
	b.WriteString(c.rest)
	for _, line := range extra {
		b.WriteString(line + "\r\n")
	}
	b.WriteString("Content-Length: 0\r\n\r\n")
	return []byte(b.String()), to
}

// hasTag reports whether a To field has a tag. What stands in its URI, or before
// it, is none.
func hasTag(to string) bool {
	params := to[strings.LastIndexByte(to, '>')+1:]
	_, params, _ = strings.Cut(params, ";")
	for p := range strings.SplitSeq(params, ";") {
		name, _, _ := strings.Cut(p, "=")
		if strings.EqualFold(strings.TrimSpace(name), "tag") {
			return true
		}
	}
	return false
}

// maxRejectHead bounds what a rejection copies, so that no answer is larger
// than a common request and none needs much memory.
const maxRejectHead = 4096

// collected is what a rejection copies.
type collected struct {
	via          string // value of the first Via field
	vias         string // all Via fields, with line ends
	to           string // the To field, without
	rest         string // From, Call-ID and CSeq, with line ends
	callID, from string // values
}

func collect(head string) collected {
	var c collected
	seen := map[string]bool{}
	fields(head, func(f field) bool {
		switch f.name {
		case "via":
			if c.via == "" {
				c.via = f.value
			}
			c.vias += f.raw + "\r\n"
		case "to", "from", "call-id", "cseq":
			if seen[f.name] {
				return true
			}
			seen[f.name] = true
			switch f.name {
			case "to":
				c.to = f.raw
				return true
			case "from":
				c.from = f.value
			case "call-id":
				c.callID = f.value
			}
			c.rest += f.raw + "\r\n"
		}
		return true
	})
	return c
}
