package sipnet

import (
	"strconv"
	"strings"

	"github.com/emiago/sipgo/sip"
)

// parse makes a message of its head (start line and headers up to and with
// the empty line) and body. The header types are sipgo's; lists of Via,
// Route, Record-Route and Contact become one header a value; compact names
// are written out. The message shares no memory with head or body.
//
// An error is a *malformed. Header fields that this package does not know are
// taken as they are.
func parse(head, body []byte) (sip.Message, error) {
	text := string(head)
	msg, err := parseStartLine(text)
	if err != nil {
		return nil, err
	}
	p := parser{msg: msg}
	fields(text, func(f field) bool {
		p.err = p.add(f)
		return p.err == nil
	})
	if p.err == nil {
		p.err = p.check()
	}
	if p.err != nil {
		return nil, p.err
	}
	if len(body) > 0 || p.seen[seenContentLength] {
		msg.SetBody(append([]byte(nil), body...))
	}
	return msg, nil
}

// parseStartLine reads a request or status line (RFC 3261 sections 7.1, 7.2):
// single spaces only, as a liberal reading would let through what others
// refuse (RFC 4475 sections 3.1.2.7 to 3.1.2.10).
func parseStartLine(text string) (sip.Message, error) {
	line, _, _ := strings.Cut(text, "\r\n")
	if strings.ContainsAny(line, "\r\n") {
		return nil, bad("bare CR or LF")
	}
	if strings.HasPrefix(line, "SIP/") {
		return parseStatusLine(line)
	}
	method, rest, _ := strings.Cut(line, " ")
	i := strings.LastIndexByte(rest, ' ')
	if i < 0 || !isToken(method) {
		return nil, bad("malformed request line")
	}
	uri, version := rest[:i], rest[i+1:]
	if !strings.EqualFold(version, "SIP/2.0") {
		if strings.HasPrefix(version, "SIP/") {
			return nil, &malformed{505, "Version Not Supported"}
		}
		return nil, bad("malformed request line")
	}
	var recipient sip.Uri
	if err := parseURI(uri, &recipient); err != nil {
		return nil, err
	}
	return sip.NewRequest(sip.RequestMethod(method), recipient), nil
}

func parseStatusLine(line string) (sip.Message, error) {
	version, rest, _ := strings.Cut(line, " ")
	digits, reason, _ := strings.Cut(rest, " ")
	code, err := strconv.Atoi(digits)
	if version != "SIP/2.0" || len(digits) != 3 || err != nil || code < 100 || code > 699 {
		return nil, bad("malformed status line")
	}
	return sip.NewResponse(code, reason), nil
}

// Header fields that may occur once only (RFC 3261 section 7.3.1), of those
// we read.
const (
	seenCallID = iota
	seenCSeq
	seenFrom
	seenTo
	seenMaxForwards
	seenContentLength
	seenContentType
	seenVia
	seenCount
)

type parser struct {
	msg  sip.Message
	seen [seenCount]bool
	err  error
}

func (p *parser) once(i int, name string) error {
	if p.seen[i] {
		return bad("several " + name)
	}
	p.seen[i] = true
	return nil
}

func (p *parser) add(f field) error {
	if strings.ContainsAny(f.value, "\r\n") {
		return bad("bare CR or LF") // others could take it for a line end
	}
	switch f.name {
	case "":
		return bad("malformed header line")
	case "via":
		p.seen[seenVia] = true
		return eachValue(f.value, func(v string) error {
			via, err := parseVia(v)
			if err == nil {
				p.msg.AppendHeader(via)
			}
			return err
		})
	case "from", "to":
		return p.addParty(f)
	case "contact", "route", "record-route":
		return eachValue(f.value, func(v string) error { return p.addAddress(f.name, v) })
	case "call-id", "cseq", "max-forwards", "content-length", "content-type":
		return p.addScalar(f)
	default:
		name := f.orig
		if len(f.name) > len(name) { // it was a compact one
			name = canonicalName(f.name)
		}
		p.msg.AppendHeader(sip.NewHeader(name, f.value))
		return nil
	}
}

// canonicalName writes a lower-case name the way RFC 3261 does.
func canonicalName(name string) string {
	parts := strings.Split(name, "-")
	for i, s := range parts {
		parts[i] = strings.ToUpper(s[:1]) + s[1:]
	}
	return strings.Join(parts, "-")
}

func (p *parser) addParty(f field) error {
	a, err := parseNameAddr(f.value)
	if err != nil {
		return err
	}
	if f.name == "from" {
		p.msg.AppendHeader(&sip.FromHeader{DisplayName: a.name, Address: a.uri, Params: a.params})
		return p.once(seenFrom, "From")
	}
	p.msg.AppendHeader(&sip.ToHeader{DisplayName: a.name, Address: a.uri, Params: a.params})
	return p.once(seenTo, "To")
}

func (p *parser) addAddress(name, value string) error {
	if name == "contact" && value == "*" {
		p.msg.AppendHeader(&sip.ContactHeader{Address: sip.Uri{Host: "*", Wildcard: true}})
		return nil
	}
	a, err := parseNameAddr(value)
	if err != nil {
		return err
	}
	switch {
	case name == "contact":
		p.msg.AppendHeader(&sip.ContactHeader{DisplayName: a.name, Address: a.uri, Params: a.params})
	case len(a.params) > 0 || a.name != "":
		// sipgo's types hold the URI alone, and the value is to be copied whole
		// (RFC 3261 section 12.1.1): see RouteURIs.
		p.msg.AppendHeader(sip.NewHeader(canonicalName(name), value))
	case name == "route":
		p.msg.AppendHeader(&sip.RouteHeader{Address: a.uri})
	default:
		p.msg.AppendHeader(&sip.RecordRouteHeader{Address: a.uri})
	}
	return nil
}

func (p *parser) addScalar(f field) error {
	switch f.name {
	case "call-id":
		if f.value == "" || strings.ContainsAny(f.value, " \t") {
			return bad("malformed Call-ID")
		}
		id := sip.CallIDHeader(f.value)
		p.msg.AppendHeader(&id)
		return p.once(seenCallID, "Call-ID")
	case "cseq":
		cseq, err := parseCSeq(f.value)
		if err != nil {
			return err
		}
		p.msg.AppendHeader(cseq)
		return p.once(seenCSeq, "CSeq")
	case "max-forwards":
		n, err := strconv.ParseUint(f.value, 10, 8) // 0 to 255: RFC 3261 section 20.22
		if err != nil {
			return bad("malformed Max-Forwards")
		}
		max := sip.MaxForwardsHeader(n)
		p.msg.AppendHeader(&max)
		return p.once(seenMaxForwards, "Max-Forwards")
	case "content-length":
		n, err := parseLength(f.value)
		if err != nil {
			return err
		}
		length := sip.ContentLengthHeader(n)
		p.msg.AppendHeader(&length)
		return p.once(seenContentLength, "Content-Length")
	default:
		if f.value == "" {
			return nil
		}
		typ := sip.ContentTypeHeader(f.value)
		p.msg.AppendHeader(&typ)
		return p.once(seenContentType, "Content-Type")
	}
}

// check asks for the mandatory fields (RFC 3261 section 8.1.1). Max-Forwards
// and the From tag may be missing, as with peers of RFC 2543.
func (p *parser) check() error {
	for i, name := range [...]string{seenVia: "Via", seenCallID: "Call-ID", seenCSeq: "CSeq", seenFrom: "From", seenTo: "To"} {
		if name != "" && !p.seen[i] {
			return bad("no " + name)
		}
	}
	if req, ok := p.msg.(*sip.Request); ok && req.CSeq().MethodName != req.Method {
		return bad("CSeq of another method")
	}
	return nil
}
