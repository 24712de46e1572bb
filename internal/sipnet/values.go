package sipnet

import (
	"net/netip"
	"strconv"
	"strings"

	"github.com/emiago/sipgo/sip"
)

// cut splits s at the first byte of seps that stands outside of quoted
// strings and angle brackets. ok is false when there is none. A quoted string
// or bracket without its end is an error.
func cut(s, seps string) (before string, sep byte, after string, err error) {
	quoted, angled := false, false
	for i := 0; i < len(s); i++ {
		switch c := s[i]; {
		case quoted:
			if c == '\\' {
				i++
			} else if c == '"' {
				quoted = false
			}
		case c == '"':
			quoted = true
		case angled:
			angled = c != '>'
		case c == '<':
			angled = true
		case strings.IndexByte(seps, c) >= 0:
			return s[:i], c, s[i+1:], nil
		}
	}
	if quoted {
		return "", 0, "", bad("quotes without an end")
	}
	if angled {
		return "", 0, "", bad("angle bracket without an end")
	}
	return s, 0, "", nil
}

// eachValue calls f for the comma-separated values of a header field.
func eachValue(s string, f func(string) error) error {
	for {
		v, sep, rest, err := cut(s, ",")
		if err != nil {
			return err
		}
		if err := f(strings.Trim(v, " \t")); err != nil {
			return err
		}
		if sep == 0 {
			return nil
		}
		s = rest
	}
}

// parseParams reads ";name=value" parameters (RFC 3261 section 25.1,
// generic-param), s without the first semicolon. Names are lower case, as
// they are compared so. A quoted value keeps its quotes, except one with white
// space, which sipgo quotes itself. Empty parameters, common in the field, are
// passed over.
func parseParams(s string) (sip.HeaderParams, error) {
	var params sip.HeaderParams
	for s != "" {
		p, _, rest, err := cut(s, ";")
		if err != nil {
			return nil, err
		}
		s = rest
		name, value, hasValue := strings.Cut(p, "=")
		name, value = strings.ToLower(strings.Trim(name, " \t")), strings.Trim(value, " \t")
		if name == "" && !hasValue {
			continue
		}
		if !isToken(name) {
			return nil, bad("malformed parameter")
		}
		if value != "" && value[0] != '"' && strings.ContainsAny(value, " \t<>,\"") {
			return nil, bad("malformed parameter")
		}
		if len(value) > 1 && value[0] == '"' && strings.ContainsAny(value, " \t") {
			value = strings.TrimSuffix(value[1:], `"`)
		}
		if !params.Has(name) {
			params = append(params, sip.HeaderKV{K: name, V: value})
		}
	}
	return params, nil
}

// parseVia reads one Via value (RFC 3261 section 20.42), white space allowed
// where the grammar has it.
func parseVia(s string) (*sip.ViaHeader, error) {
	fault := bad("malformed Via")
	sent, sep, params, err := cut(s, ";")
	if err != nil {
		return nil, err
	}
	name, rest, ok1 := strings.Cut(sent, "/")
	version, rest, ok2 := strings.Cut(rest, "/")
	rest = strings.TrimLeft(rest, " \t")
	i := strings.IndexAny(rest, " \t")
	if !ok1 || !ok2 || i < 0 {
		return nil, fault
	}
	v := &sip.ViaHeader{
		ProtocolName:    strings.Trim(name, " \t"),
		ProtocolVersion: strings.Trim(version, " \t"),
		Transport:       rest[:i],
	}
	if !isToken(v.ProtocolName) || !isToken(v.ProtocolVersion) || !isToken(v.Transport) {
		return nil, fault
	}
	if v.Host, v.Port, ok1 = parseSentBy(strings.Trim(rest[i:], " \t")); !ok1 {
		return nil, fault
	}
	if sep == ';' {
		v.Params, err = parseParams(params)
	}
	return v, err
}

// parseSentBy reads host [":" port]. The brackets of an IPv6 address go, as
// sipgo's ViaHeader wants it.
func parseSentBy(s string) (host string, port int, ok bool) {
	host, rest := s, ""
	if strings.HasPrefix(s, "[") {
		end := strings.IndexByte(s, ']')
		if end < 0 {
			return "", 0, false
		}
		host, rest = s[1:end], strings.TrimLeft(s[end+1:], " \t")
		if a, err := netip.ParseAddr(host); err != nil || !a.Is6() {
			return "", 0, false
		}
	} else if i := strings.IndexByte(s, ':'); i >= 0 {
		host, rest = strings.TrimRight(s[:i], " \t"), s[i:]
		if !isHostname(host) {
			return "", 0, false
		}
	} else if !isHostname(host) {
		return "", 0, false
	}
	if rest == "" {
		return host, 0, true
	}
	digits := strings.TrimLeft(strings.TrimPrefix(rest, ":"), " \t")
	p, err := strconv.ParseUint(digits, 10, 16)
	if rest[0] != ':' || err != nil {
		return "", 0, false
	}
	return host, int(p), true
}

func isHostname(s string) bool {
	for i := range len(s) {
		if c := s[i]; c >= 0x80 || !isTokenByte(c) {
			return false
		}
	}
	return s != ""
}

// nameAddr is a name-addr or addr-spec with parameters (RFC 3261 section
// 20.10): the value of From, To, Contact, Route and the like.
type nameAddr struct {
	name   string
	uri    sip.Uri
	params sip.HeaderParams
}

func parseNameAddr(s string) (a nameAddr, err error) {
	left := strings.IndexByte(s, '<')
	if strings.HasPrefix(s, `"`) {
		end := quoteEnd(s)
		if end < 0 {
			return a, bad("quotes without an end")
		}
		a.name = s[1:end]
		s = strings.TrimLeft(s[end+1:], " \t")
		if !strings.HasPrefix(s, "<") {
			return a, bad("no address after the display name")
		}
		left = 0
	} else if left >= 0 {
		a.name = strings.Trim(s[:left], " \t")
		// Only tokens may stand without quotes; what many send beside them is
		// harmless, a separator is not.
		if strings.ContainsAny(a.name, `,;:"\@<>`) {
			return a, bad("malformed display name")
		}
	}
	if left < 0 {
		return a, a.parseBare(s)
	}
	right := strings.IndexByte(s, '>')
	if right < left {
		return a, bad("angle bracket without an end")
	}
	if err := parseURI(s[left+1:right], &a.uri); err != nil {
		return a, err
	}
	return a, a.parseRest(strings.Trim(s[right+1:], " \t"))
}

// parseBare reads an address without angle brackets: what follows the first
// semicolon belongs to the header, and a comma or question mark may not occur
// (RFC 3261 section 20).
func (a *nameAddr) parseBare(s string) error {
	uri, params, _ := strings.Cut(s, ";")
	uri = strings.TrimRight(uri, " \t")
	if strings.ContainsAny(uri, "?,") {
		return bad("address needs angle brackets")
	}
	if err := parseURI(uri, &a.uri); err != nil {
		return err
	}
	var err error
	a.params, err = parseParams(params)
	return err
}

func (a *nameAddr) parseRest(s string) (err error) {
	if s == "" {
		return nil
	}
	if s[0] != ';' {
		return bad("text after an address")
	}
	a.params, err = parseParams(s[1:])
	return err
}

// quoteEnd is the index of the quotation mark that ends the quoted string s
// begins with, or -1.
func quoteEnd(s string) int {
	for i := 1; i < len(s); i++ {
		switch s[i] {
		case '\\':
			i++
		case '"':
			return i
		}
	}
	return -1
}

// parseCSeq reads number and method (RFC 3261 section 20.16).
func parseCSeq(s string) (*sip.CSeqHeader, error) {
	digits, method, ok := strings.Cut(strings.ReplaceAll(s, "\t", " "), " ")
	method = strings.Trim(method, " ")
	n, err := strconv.ParseUint(digits, 10, 31)
	if !ok || err != nil || !isDigits(digits) || !isToken(method) {
		return nil, bad("malformed CSeq")
	}
	return &sip.CSeqHeader{SeqNo: uint32(n), MethodName: sip.RequestMethod(method)}, nil
}
