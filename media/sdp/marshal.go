package sdp

import (
	"bytes"
	"fmt"
	"net/netip"
	"slices"
	"strconv"
	"strings"
)

// MarshalAnswer writes the answer. It is for an Agreed that came from Match,
// and nil for others. A line for which local has no port, or SRTP but no key
// of the right length, is refused.
func (a *Agreed) MarshalAnswer(local Local) []byte {
	if a == nil || !a.answers {
		return nil
	}
	w := writer{caps: a.caps, local: local}
	for _, l := range a.Lines {
		w.lines = append(w.lines, &l.own)
	}
	return w.marshal()
}

// writer makes an SDP of ours: in the order of RFC 8866 section 5, with CRLF.
type writer struct {
	caps  *Capabilities
	local Local
	lines []*ownLine
	offer bool
	b     bytes.Buffer
}

// marshal takes care of the version (RFC 3264 section 8).
func (w *writer) marshal() []byte {
	prev, _ := Parse(w.local.Prev)
	if prev == nil {
		return w.render(w.local.SessionID, w.local.Version)
	}
	id, err := strconv.ParseUint(prev.Origin.SessionID, 10, 64)
	version, err2 := strconv.ParseUint(prev.Origin.Version, 10, 64)
	if err != nil || err2 != nil {
		return w.render(w.local.SessionID, w.local.Version)
	}
	if same := w.render(id, version); bytes.Equal(same, w.local.Prev) {
		return same
	}
	return w.render(id, version+1)
}

func (w *writer) render(id, version uint64) []byte {
	w.b.Reset()
	w.session(id, version)
	for i, l := range w.lines {
		var local LocalLine
		if i < len(w.local.Lines) {
			local = w.local.Lines[i]
		}
		w.media(l, local)
	}
	return bytes.Clone(w.b.Bytes())
}

// line writes one line. Control characters cannot come from what is parsed;
// they are dropped here for the sake of texts in Capabilities and Local.
func (w *writer) line(typ byte, format string, args ...any) {
	text := fmt.Sprintf(format, args...)
	if !isText(text) {
		text = strings.Map(func(r rune) rune {
			if r < ' ' || r == 0x7f {
				return -1
			}
			return r
		}, text)
	}
	w.b.WriteByte(typ)
	w.b.WriteByte('=')
	w.b.WriteString(text)
	w.b.WriteString("\r\n")
}

func (w *writer) session(id, version uint64) {
	name, user := "-", w.local.Username
	if t := w.caps.Template; t != nil {
		if t.SessionName != "" {
			name = t.SessionName
		}
		if user == "" {
			user = t.Username
		}
	}
	if user = strings.Join(strings.Fields(user), "_"); user == "" {
		user = "-"
	}
	address := addressText(w.local.Addr)
	fromTemplate, fromLines := w.caps.Template.forSession(), w.caps.Lines.forSession()
	w.line('v', "0")
	w.line('o', "%s %d %d %s", user, id, version, address)
	w.line('s', "%s", name)
	for _, typ := range []byte("iuep") { // RFC 8866 section 5 has this order
		w.information(typ, fromLines.information)
	}
	w.line('c', "%s", address)
	w.bandwidth(fromTemplate.bandwidth, fromLines.bandwidth)
	w.line('t', "0 0")
	w.attributes(fromTemplate.attributes, fromLines.attributes)
}

// addressText is an address in o= and c= lines.
func addressText(a netip.Addr) string {
	a = a.Unmap().WithZone("")
	switch {
	case !a.IsValid():
		return "IN IP4 0.0.0.0"
	case a.Is4():
		return "IN IP4 " + a.String()
	default:
		return "IN IP6 " + a.String()
	}
}

// information writes the line of a type, if there is one.
func (w *writer) information(typ byte, list []string) {
	for _, s := range list {
		if s[0] == typ {
			w.line(typ, "%s", s[2:])
		}
	}
}

// bandwidth writes b= lines, each type once: a later list replaces an earlier.
func (w *writer) bandwidth(lists ...[]string) {
	var types, values []string
	for _, s := range slices.Concat(lists...) {
		typ, value, _ := strings.Cut(s, ":")
		if i := slices.Index(types, typ); i >= 0 {
			values[i] = value
			continue
		}
		types, values = append(types, typ), append(values, value)
	}
	for i := range types {
		w.line('b', "%s:%s", types[i], values[i])
	}
}

func (w *writer) attributes(lists ...[]string) {
	for _, s := range slices.Concat(lists...) {
		w.line('a', "%s", s)
	}
}

// usable tells whether all is there that an active line needs.
func (l *ownLine) usable(local LocalLine) bool {
	key, salt := l.suite.KeyLen()
	return l.active && local.RTPPort > 0 && local.RTPPort <= 65535 && len(l.list) > 0 &&
		(l.suite == "" || len(local.Key) == key+salt)
}

func (w *writer) media(l *ownLine, local LocalLine) {
	if !l.usable(local) {
		formats := l.formats
		if len(formats) == 0 {
			formats = []string{"0"} // the grammar wants one
		}
		w.line('m', "%s 0 %s %s", l.typ, l.proto, strings.Join(formats, " "))
		return
	}
	formats := make([]string, len(l.list))
	for i, f := range l.list {
		formats[i] = strconv.Itoa(int(f.pt))
	}
	caps := w.caps.of(l.kind)
	var fromTemplate addedLines
	if t := w.caps.Template.line(l.kind); t != nil {
		fromTemplate = t.added
	}
	fromLines := w.caps.Lines.forKind(l.kind)
	w.line('m', "%s %d %s %s", l.typ, local.RTPPort, l.proto, strings.Join(formats, " "))
	w.information('i', fromLines.information)
	if local.Addr.IsValid() && local.Addr != w.local.Addr {
		w.line('c', "%s", addressText(local.Addr))
	}
	w.bandwidth(fromTemplate.bandwidth, bitRateLines(caps.MaxBitRate), fromLines.bandwidth)
	w.rtcp(l, local)
	w.formats(l)
	if l.ptime > 0 {
		w.line('a', "ptime:%d", l.ptime.Milliseconds())
	}
	if l.suite != "" {
		w.line('a', "crypto:%s", cryptoLine(l.tag, l.suite, local.Key))
	}
	if l.content != "" {
		w.line('a', "content:%s", l.content)
	}
	w.attributes(fromTemplate.attributes, fromLines.attributes)
	w.line('a', "%s", l.direction)
}

// bitRateLines state a limit in bit/s. AS counts the headers below RTP, which
// is left to the one who sets the limit: the difference depends on the sender.
func bitRateLines(limit int) []string {
	if limit <= 0 {
		return nil
	}
	return []string{fmt.Sprintf("AS:%d", (limit+999)/1000), fmt.Sprintf("TIAS:%d", limit)}
}

// rtcp writes where RTCP goes (RFC 3605), where that is not the port above. In
// an answer that shares the port there is nothing to say; in an offer it is
// for a peer that does not share (RFC 5761 section 5.1.1).
func (w *writer) rtcp(l *ownLine, local LocalLine) {
	port := local.RTCPPort
	if port == 0 && l.mux {
		port = local.RTPPort
	}
	if port > 0 && port <= 65535 && port != local.RTPPort+1 && (w.offer || !l.mux) {
		w.line('a', "rtcp:%d", port)
	}
	if l.mux {
		w.line('a', "rtcp-mux")
	}
	if l.rsize {
		w.line('a', "rtcp-rsize")
	}
}

func (w *writer) formats(l *ownLine) {
	for _, f := range l.list {
		w.line('a', "rtpmap:%d %s", f.pt, f.encoding)
		if f.fmtp != "" {
			w.line('a', "fmtp:%d %s", f.pt, f.fmtp)
		}
	}
	for _, f := range l.feedback {
		w.line('a', "rtcp-fb:%s %s", f.target, f.text)
	}
}
