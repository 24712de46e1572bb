package sipnet

import (
	"bytes"
	"strconv"
	"strings"
)

// A malformed error says why a message cannot be taken, and the status that
// tells its sender.
type malformed struct {
	code   int
	reason string
}

func (e *malformed) Error() string { return strconv.Itoa(e.code) + " " + e.reason }

// bad is a 400 with a reason phrase that names the fault.
func bad(reason string) error { return &malformed{400, "Bad Request (" + reason + ")"} }

var crlf = []byte("\r\n")

// headEnd finds the empty line that ends start line and headers, looking from
// offset from; the result is the number of bytes up to and with it, or -1.
func headEnd(b []byte, from int) int {
	from = max(0, from-3)
	i := bytes.Index(b[from:], []byte("\r\n\r\n"))
	if i < 0 {
		return -1
	}
	return from + i + 4
}

// skipBlank counts the bytes of the empty lines before a start line (RFC 3261
// section 7.5).
func skipBlank(b []byte) int {
	n := 0
	for len(b) >= n+2 && b[n] == '\r' && b[n+1] == '\n' {
		n += 2
	}
	return n
}

// looksLikeSIP reports whether line, without its end, could be a start line
// of SIP, of any version and however malformed.
func looksLikeSIP(line []byte) bool {
	if bytes.HasPrefix(line, []byte("SIP/")) {
		return true
	}
	line = bytes.TrimRight(line, " \t")
	i := bytes.LastIndexByte(line, ' ')
	return i > 0 && bytes.HasPrefix(line[i+1:], []byte("SIP/"))
}

// field is one header field as it stands in a message: raw with its folds and
// without the final line end, value unfolded and trimmed.
type field struct {
	name  string // lower case, compact forms written out
	orig  string // as it was sent
	raw   string
	value string
}

// fields calls f for each header field of head, which is start line and
// headers up to the empty line. A line that is no field is given with an
// empty name. It stops when f returns false.
func fields(head string, f func(field) bool) {
	_, rest, _ := strings.Cut(head, "\r\n")
	for rest != "" {
		end, folded := fieldEnd(rest)
		raw := rest[:end]
		rest = strings.TrimPrefix(rest[end:], "\r\n")
		if raw == "" {
			return
		}
		if !f(splitField(raw, folded)) {
			return
		}
	}
}

// fieldEnd is the length of the first field of s, its continuation lines (RFC
// 3261 section 7.3.1) counted in.
func fieldEnd(s string) (n int, folded bool) {
	for {
		i := strings.Index(s[n:], "\r\n")
		if i < 0 {
			return len(s), folded
		}
		n += i
		if n+2 >= len(s) || s[n+2] != ' ' && s[n+2] != '\t' || i == 0 && n == 0 {
			return n, folded
		}
		folded = true
		n += 2
	}
}

func splitField(raw string, folded bool) field {
	name, value, ok := strings.Cut(raw, ":")
	if !ok {
		return field{raw: raw}
	}
	if folded {
		name, value = unfold(name), unfold(value)
	}
	name = strings.TrimRight(name, " \t")
	if !isToken(name) {
		return field{raw: raw}
	}
	return field{name: fullName(name), orig: name, raw: raw, value: strings.Trim(value, " \t")}
}

// unfold replaces each line end and the white space around it by one space.
func unfold(s string) string {
	if !strings.Contains(s, "\r\n") {
		return s
	}
	lines := strings.Split(s, "\r\n")
	for i, l := range lines {
		if i > 0 {
			l = strings.TrimLeft(l, " \t")
		}
		if i < len(lines)-1 {
			l = strings.TrimRight(l, " \t")
		}
		lines[i] = l
	}
	return strings.Join(lines, " ")
}

// fullName is the lower-case name of a header field, with the compact forms
// of RFC 3261 section 20 and of the extensions written out (IANA registry
// "SIP Header Fields").
func fullName(name string) string {
	if len(name) == 1 {
		if full, ok := compactNames[name[0]|0x20]; ok {
			return full
		}
	}
	return strings.ToLower(name)
}

var compactNames = map[byte]string{
	'a': "accept-contact", 'b': "referred-by", 'c': "content-type", 'd': "request-disposition",
	'e': "content-encoding", 'f': "from", 'i': "call-id", 'j': "reject-contact", 'k': "supported",
	'l': "content-length", 'm': "contact", 'n': "identity-info", 'o': "event", 'r': "refer-to",
	's': "subject", 't': "to", 'u': "allow-events", 'v': "via", 'x': "session-expires", 'y': "identity",
}

// contentLength reads the Content-Length of a head; -1 when there is none.
func contentLength(head string) (int64, error) {
	n, seen := int64(-1), false
	var err error
	fields(head, func(f field) bool {
		if f.name != "content-length" {
			return true
		}
		if seen {
			err = bad("several Content-Length")
			return false
		}
		seen = true
		n, err = parseLength(f.value)
		return err == nil
	})
	return n, err
}

func parseLength(s string) (int64, error) {
	if s == "" || !isDigits(s) {
		return -1, bad("Content-Length is no number")
	}
	n, err := strconv.ParseUint(s, 10, 32)
	if err != nil {
		return -1, bad("Content-Length out of range")
	}
	return int64(n), nil
}

func isDigits(s string) bool {
	for i := range len(s) {
		if s[i] < '0' || s[i] > '9' {
			return false
		}
	}
	return true
}

// isToken reports whether s is a token (RFC 3261 section 25.1).
func isToken(s string) bool {
	for i := range len(s) {
		if !isTokenByte(s[i]) {
			return false
		}
	}
	return s != ""
}

func isTokenByte(c byte) bool {
	return c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9' ||
		strings.IndexByte("-.!%*_+`'~", c) >= 0
}
