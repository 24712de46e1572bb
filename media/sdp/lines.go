package sdp

import (
	"fmt"
	"slices"
	"strings"
)

// Lines is a checked list of SDP lines to add to every SDP of ours. It is
// immutable.
type Lines struct {
	// Warnings tells which lines do harm, though they are sent as they are.
	Warnings []string

	session, audio, video addedLines
}

// addedLines are the values of lines for one section of an SDP.
type addedLines struct {
	information []string // i=, and at session level u=, e= and p=, with their type
	bandwidth   []string
	attributes  []string
}

func (l *Lines) forKind(k Kind) addedLines {
	switch {
	case l == nil:
		return addedLines{}
	case k == Audio:
		return l.audio
	case k == Video:
		return l.video
	default:
		return addedLines{}
	}
}

func (l *Lines) forSession() addedLines {
	if l == nil {
		return addedLines{}
	}
	return l.session
}

// ParseLines reads a trunk's sdpParams: lines for the session level
// ("b=AS:2000"), or for the m-line of a kind ("video:b=AS:1500",
// "audio:a=maxptime:40"). Lines that this package writes itself are refused.
// The [*ParseError] counts the elements of params from 1.
func ParseLines(params []string) (*Lines, error) {
	l := &Lines{}
	for i, text := range params {
		if why := l.add(text); why != "" {
			return nil, &ParseError{Line: i + 1, Text: text[:min(len(text), 80)], Err: ErrSyntax, Why: why}
		}
	}
	return l, nil
}

// add returns what is wrong with a line, empty for nothing.
func (l *Lines) add(text string) (why string) {
	text = strings.TrimSpace(text)
	to := &l.session
	if len(text) > 6 && strings.EqualFold(text[:6], "audio:") {
		to, text = &l.audio, strings.TrimSpace(text[6:])
	} else if len(text) > 6 && strings.EqualFold(text[:6], "video:") {
		to, text = &l.video, strings.TrimSpace(text[6:])
	}
	typ, value, ok := splitLine(text)
	switch {
	case !ok || value == "":
		return `want a line like "b=AS:2000" or "video:b=AS:1500"`
	case !isText(value):
		return "control characters are not allowed"
	}
	switch typ {
	case 'b':
		return l.addBandwidth(to, value)
	case 'a':
		return to.addAttribute(value)
	case 'i':
	case 'u', 'e', 'p':
		if to != &l.session {
			return "allowed at session level only"
		}
	default:
		return "allowed are b=, a=, i=, and at session level u=, e=, p="
	}
	if slices.ContainsFunc(to.information, func(s string) bool { return s[0] == typ }) {
		return "there is a line of this type already" // many parsers take one only
	}
	to.information = append(to.information, string(typ)+"="+value)
	return ""
}

func (l *Lines) addBandwidth(to *addedLines, value string) string {
	b, ok := parseBandwidth(value)
	if !ok {
		return "want a type and a number, as in b=AS:2000"
	}
	if !registered(b.Type) {
		return "the types are AS, CT, TIAS, RS, RR and X-..."
	}
	if w := bandwidthWarning(b); w != "" {
		l.Warnings = append(l.Warnings, w)
	}
	to.bandwidth = append(to.bandwidth, fmt.Sprintf("%s:%d", b.Type, b.Value))
	return ""
}

func (l *addedLines) addAttribute(value string) string {
	key, _, _ := strings.Cut(value, ":")
	if key = strings.ToLower(strings.TrimSpace(key)); !isToken(key) {
		return "no attribute name"
	}
	if class := attributeClass(key); class != copied {
		return "a=" + key + " is negotiated, it cannot be added"
	}
	l.attributes = append(l.attributes, value)
	return ""
}

// registered tells whether others know a b= type (RFC 8866 section 5.8, RFC
// 3890, RFC 3556).
func registered(typ string) bool {
	switch typ {
	case "AS", "CT", "TIAS", "RS", "RR":
		return true
	default:
		return strings.HasPrefix(typ, "X-")
	}
}

// minSenderBandwidth is the RTCP bandwidth in bit/s below which a sender
// report of 100 bytes comes more rarely than each 5 s, the interval of RFC
// 3550 section 6.2.
const minSenderBandwidth = 160

func bandwidthWarning(b BandwidthLine) string {
	if b.Type != "RS" || b.Value >= minSenderBandwidth {
		return ""
	}
	return fmt.Sprintf("b=RS:%d is in bit/s (RFC 3556): a phone that obeys sends its sender reports too rarely for lip sync", b.Value)
}

// isText tells whether s can stand in a line.
func isText(s string) bool {
	for i := range len(s) {
		if s[i] < 0x20 || s[i] == 0x7f {
			return false
		}
	}
	return true
}

// How an attribute of a template or of sdpParams is treated.
type class uint8

const (
	copied   class = iota // written into our SDPs as it is
	ours                  // we write it, from what was negotiated
	unusable              // belongs to a feature that we do not have
)

// attributeClass classifies the name of an attribute, in lower case.
func attributeClass(key string) class {
	switch key {
	case "rtpmap", "fmtp", "ptime", "sendrecv", "sendonly", "recvonly", "inactive", "rtcp", "mid":
		return ours
	case "crypto", "rtcp-mux", "rtcp-rsize", "rtcp-fb", "rtcp-mux-only", "rtcp-xr",
		"candidate", "remote-candidates", "end-of-candidates", "ice-ufrag", "ice-pwd", "ice-options", "ice-lite",
		"ice-mismatch", "ice2", "fingerprint", "setup", "connection", "tls-id", "identity", "key-mgmt", "zrtp-hash",
		"extmap", "extmap-allow-mixed", "ssrc", "ssrc-group", "msid", "msid-semantic", "group", "bundle-only",
		"rid", "simulcast", "imageattr", "depend", "sctp-port", "sctpmap", "max-message-size",
		"csup", "creq", "tcap", "acap", "pcfg", "acfg", "confid", "userid", "floorid", "floorctrl":
		return unusable
	default:
		return copied
	}
}
