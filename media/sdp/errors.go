package sdp

import (
	"errors"
	"fmt"
)

// Errors of [Parse], wrapped in a [*ParseError] where a line is to blame.
var (
	// ErrEmpty tells that there is no SDP where one is needed.
	ErrEmpty = errors.New("sdp: empty body")
	// ErrTooLarge tells that a body is over one of the limits of Parse.
	ErrTooLarge = errors.New("sdp: too large")
	// ErrNotSDP tells that a body has no line that makes it an SDP.
	ErrNotSDP = errors.New("sdp: not a session description")
	// ErrSyntax tells that a line cannot be understood.
	ErrSyntax = errors.New("sdp: syntax error")
)

// ParseError names the line of a body that Parse or ParseTemplate refuses.
type ParseError struct {
	Line int    // counted from 1; 0 for the body as a whole
	Text string // the line, cut to 80 bytes
	Err  error  // one of the sentinels above
	Why  string
}

func (e *ParseError) Error() string {
	if e.Line == 0 {
		return fmt.Sprintf("%v: %s", e.Err, e.Why)
	}
	return fmt.Sprintf("%v: line %d: %s: %q", e.Err, e.Line, e.Why, e.Text)
}

// Unwrap returns the sentinel.
func (e *ParseError) Unwrap() error { return e.Err }

// SIPStatus is the response to a request with such a body.
func (e *ParseError) SIPStatus() int { return 400 }

// SIPWarning is the code of a Warning header (RFC 3261 section 20.43): 399,
// miscellaneous.
func (e *ParseError) SIPWarning() int { return 399 }

// NotAcceptableError tells that no line of an offer, or of an answer to our
// offer, can be used.
type NotAcceptableError struct {
	// Reason is that of the line that came nearest to being accepted.
	Reason Reason
	// Offered says what was offered, for the text of a Warning and for logs:
	// "audio RTP/AVP (G729 iLBC), image udptl (t38)".
	Offered string
}

func (e *NotAcceptableError) Error() string {
	if e.Offered == "nothing" {
		return "sdp: not acceptable: no media lines in the session description"
	}
	return fmt.Sprintf("sdp: not acceptable: %s: offered %s", e.Reason, e.Offered)
}

// SIPStatus is 488, Not Acceptable Here.
func (e *NotAcceptableError) SIPStatus() int { return 488 }

// SIPWarning is the code of a Warning header (RFC 3261 section 20.43): 302
// incompatible transport protocol, 304 media type not available, 305
// incompatible media format.
func (e *NotAcceptableError) SIPWarning() int {
	switch e.Reason {
	case ReasonTransport, ReasonDTLS, ReasonPlain, ReasonSRTP, ReasonCrypto:
		return 302
	case ReasonFormat:
		return 305
	default:
		return 304
	}
}

// Reason tells why an m-line was not accepted.
type Reason uint8

// The reasons, the one that came nearest to being accepted last.
const (
	ReasonNone        Reason = iota
	ReasonDisabled           // port 0, by the one who wrote it
	ReasonMediaType          // neither audio nor video
	ReasonSwitchedOff        // a kind of media that this trunk does not want
	ReasonExtra              // a line of this kind was already accepted
	ReasonTransport          // not RTP over UDP
	ReasonDTLS               // SRTP with keys by DTLS
	ReasonSRTP               // SRTP, which this trunk does not allow
	ReasonPlain              // no SRTP, which this trunk requires
	ReasonCrypto             // SRTP without a usable a=crypto line
	ReasonFormat             // no codec in common
)

func (r Reason) String() string {
	switch r {
	case ReasonDisabled:
		return "disabled"
	case ReasonMediaType:
		return "media type not available"
	case ReasonSwitchedOff:
		return "media type switched off"
	case ReasonExtra:
		return "second line of its kind"
	case ReasonTransport:
		return "transport not supported"
	case ReasonDTLS:
		return "DTLS-SRTP not supported"
	case ReasonSRTP:
		return "SRTP not allowed"
	case ReasonPlain:
		return "SRTP required"
	case ReasonCrypto:
		return "no usable crypto suite"
	case ReasonFormat:
		return "incompatible media format"
	default:
		return "none"
	}
}
