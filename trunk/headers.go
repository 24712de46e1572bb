package trunk

import (
	"fmt"
	"net/url"
	"strconv"
	"strings"
	"unicode/utf8"

	"github.com/emiago/sipgo/sip"

	"github.com/trunkcast/trunkcast/internal/sipnet"
)

// What this user agent understands (RFC 3261 sections 20.1, 20.5, 20.37).
const (
	allowed    = "INVITE, ACK, BYE, CANCEL, OPTIONS, INFO, UPDATE, PRACK"
	acceptable = "application/sdp, multipart/mixed"
	extensions = "timer"
)

// warning names a rule in a response (RFC 3261 section 20.43).
func warning(code int, text string) sip.Header {
	return sip.NewHeader("Warning", fmt.Sprintf("%03d trunkcast %s", code, quoted(text)))
}

// reason is the value of a Reason header (RFC 3326): of SIP with a status, of
// Q.850 with a cause.
func reason(protocol string, cause int, text string) sip.Header {
	value := fmt.Sprintf("%s;cause=%d", protocol, cause)
	if text != "" {
		value += ";text=" + quoted(text)
	}
	return sip.NewHeader("Reason", value)
}

// maxText bounds in bytes what of an error goes into a header.
const maxText = 200

// quoted makes a quoted string of s (RFC 3261 section 25.1), cut to maxText.
func quoted(s string) string {
	if len(s) > maxText {
		s = strings.ToValidUTF8(s[:maxText], "")
	}
	var b strings.Builder
	b.WriteByte('"')
	for _, r := range s {
		switch {
		case r == '"' || r == '\\':
			b.WriteByte('\\')
			b.WriteRune(r)
		case r < ' ' || r == 0x7f:
			b.WriteByte(' ')
		default:
			b.WriteRune(r)
		}
	}
	b.WriteByte('"')
	return b.String()
}

// escapeName makes s fit between the quotes of a display name.
func escapeName(s string) string {
	q := quoted(s)
	return q[1 : len(q)-1]
}

// unquote removes the escapes of a quoted string, whose quotes are gone.
func unquote(s string) string {
	if !strings.Contains(s, `\`) {
		return s
	}
	var b strings.Builder
	for i := 0; i < len(s); i++ {
		if s[i] == '\\' && i+1 < len(s) {
			i++
		}
		b.WriteByte(s[i])
	}
	return b.String()
}

// textOf is the quoted text in the first value of a Reason or Warning header,
// empty without one.
func textOf(msg sip.Message, name string) string {
	value := headerValue(msg, name)
	_, text, ok := strings.Cut(value, `"`)
	if !ok {
		return value
	}
	for i := 0; i < len(text); i++ {
		switch text[i] {
		case '\\':
			i++
		case '"':
			return unquote(text[:i])
		}
	}
	return text
}

// headerValue is the first value of a header, empty without one.
func headerValue(msg sip.Message, name string) string {
	if list := msg.GetHeaders(name); len(list) > 0 {
		return strings.TrimSpace(list[0].Value())
	}
	return ""
}

// tokens are the comma-separated values of all headers of that name, as they
// stand.
func tokens(msg sip.Message, name string) []string {
	var list []string
	for _, h := range msg.GetHeaders(name) {
		for v := range strings.SplitSeq(h.Value(), ",") {
			if v = strings.TrimSpace(v); v != "" {
				list = append(list, v)
			}
		}
	}
	return list
}

// hasToken reports whether a list header holds a token.
func hasToken(msg sip.Message, name, token string) bool {
	for _, v := range tokens(msg, name) {
		if strings.EqualFold(v, token) {
			return true
		}
	}
	return false
}

// seconds reads delta-seconds before any parameters; ok is false for what is
// none, a number that is too large counts as the largest.
func seconds(value string) (n int, ok bool) {
	digits, _, _ := strings.Cut(value, ";")
	digits, _, _ = strings.Cut(digits, "(") // Retry-After may have a comment
	v, err := strconv.ParseUint(strings.TrimSpace(digits), 10, 32)
	if err != nil {
		return 0, false
	}
	return int(min(v, 1<<30)), true
}

// contactOf is the URI of the first Contact of msg; ok is false if there is
// none to send requests to.
func contactOf(msg sip.Message) (uri sip.Uri, ok bool) {
	list, err := sipnet.RouteURIs(msg, "Contact")
	if err != nil || len(list) == 0 || list[0].Scheme != "sip" && list[0].Scheme != "sips" || list[0].Host == "" {
		return sip.Uri{}, false
	}
	return list[0], true
}

// userOf is the number or name a URI is for: percent escapes decoded, without
// the parameters of a telephone-subscriber (RFC 3261 section 19.1.1, RFC 3966).
func userOf(uri sip.Uri) string {
	user := uri.User
	if raw := uri.Raw(); raw != "" && strings.EqualFold(uri.Scheme, "tel") {
		user, _, _ = strings.Cut(raw, ";")
		user = strings.NewReplacer("-", "", ".", "", "(", "", ")", "").Replace(user) // visual separators
	}
	user, _, _ = strings.Cut(user, ";")
	decoded, err := url.PathUnescape(user)
	if err != nil || !utf8.ValidString(decoded) || strings.ContainsFunc(decoded, func(r rune) bool { return r < ' ' || r == 0x7f }) {
		return user // better as it stands than a guess
	}
	return strings.TrimSpace(decoded)
}

// escapeUser makes s fit for the user part of a URI.
func escapeUser(s string) string {
	const plain = "-_.!~*'()&=+$"
	var b strings.Builder
	for i := range len(s) {
		c := s[i]
		if '0' <= c && c <= '9' || 'a' <= c && c <= 'z' || 'A' <= c && c <= 'Z' || strings.IndexByte(plain, c) >= 0 {
			b.WriteByte(c)
		} else {
			fmt.Fprintf(&b, "%%%02X", c)
		}
	}
	return b.String()
}

// uriHost is a host as it stands in a URI: IPv6 addresses in brackets.
func uriHost(s string) string {
	if strings.Contains(s, ":") && !strings.HasPrefix(s, "[") {
		return "[" + s + "]"
	}
	return s
}
