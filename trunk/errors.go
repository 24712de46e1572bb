package trunk

import (
	"errors"
	"fmt"
	"net/netip"
)

// Errors of this package. Those of Negotiators and of the network are wrapped.
var (
	// ErrServerClosed is returned by ListenAndServe after Shutdown or Close, and
	// by what needs a running server before Start and after them.
	ErrServerClosed = errors.New("trunk: server closed")
	// ErrCallState is returned by a method that does not fit the state of the
	// call: Answer after Answer, Renegotiate before it.
	ErrCallState = errors.New("trunk: not possible in this state of the call")
	// ErrTooManyCalls is returned by Dial beyond Config.MaxCalls or
	// Limits.MaxCalls.
	ErrTooManyCalls = errors.New("trunk: too many calls")
	// ErrNoACK ends a call whose 2xx was not acknowledged within 32 s (RFC 3261
	// section 13.3.1.4).
	ErrNoACK = errors.New("trunk: no ACK to the answer")
	// ErrNoPRACK ends a call whose provisional response, which had to arrive for
	// sure, was not acknowledged within 32 s (RFC 3262 section 3).
	ErrNoPRACK = errors.New("trunk: no PRACK to the provisional response")
	// ErrNoOffer is returned by EarlyMedia for an INVITE without an offer from a
	// caller that knows no reliable provisional responses.
	ErrNoOffer = errors.New("trunk: no offer to answer before the call is")
	// ErrNoAnswerSDP ends a call whose far side sent no answer to our offer.
	ErrNoAnswerSDP = errors.New("trunk: no session description where one is due")
	// ErrSessionExpired ends a call whose session timer ran out (RFC 4028
	// section 10).
	ErrSessionExpired = errors.New("trunk: session timer expired")
	// ErrPanic ends a call whose Handler or Negotiator panicked.
	ErrPanic = errors.New("trunk: handler panicked")
	// ErrWrongPassword is in a LoginError: the registrar has seen the password
	// and refuses it, or the user (401, 403).
	ErrWrongPassword = errors.New("wrong password")
	// ErrNoPassword is in a LoginError: a password is wanted, and none is
	// configured.
	ErrNoPassword = errors.New("no password set")
	// ErrRingTime is returned by Dial when nobody answers within
	// DialOptions.RingTime.
	ErrRingTime = errors.New("trunk: not answered in time")
)

// ListenError says which trunk could not listen on which address.
type ListenError struct {
	Trunk     string
	Transport string // "udp", "tcp" or "tls"
	Addr      netip.AddrPort
	Err       error
}

func (e *ListenError) Error() string {
	return fmt.Sprintf("trunk %s: listen on %s %s: %v", e.Trunk, e.Transport, e.Addr, e.Err)
}

// Unwrap returns the error of the network.
func (e *ListenError) Unwrap() error { return e.Err }

// ConfigError names the trunk and what is wrong with its configuration.
type ConfigError struct {
	Trunk string
	Err   error
}

func (e *ConfigError) Error() string { return fmt.Sprintf("trunk %s: %v", e.Trunk, e.Err) }

// Unwrap returns what is wrong.
func (e *ConfigError) Unwrap() error { return e.Err }

// StatusError is a final response other than 2xx to a request of ours.
type StatusError struct {
	Code    int
	Reason  string
	Warning string // text of the Warning header, if there was one
	// Contacts are the SIP URIs that a 3xx names.
	Contacts []string
}

func (e *StatusError) Error() string {
	if e.Warning != "" {
		return fmt.Sprintf("trunk: %d %s (%s)", e.Code, e.Reason, e.Warning)
	}
	return fmt.Sprintf("trunk: %d %s", e.Code, e.Reason)
}

// LoginError tells why a registrar refuses a login.
type LoginError struct {
	Login  string
	Server string // address of the registrar
	Cause  error  // ErrWrongPassword, ErrNoPassword, an *AlgorithmError or another
	Status *StatusError
}

func (e *LoginError) Error() string {
	text := fmt.Sprintf("login %s at %s refused: %v", e.Login, e.Server, e.Cause)
	if e.Status != nil && e.Status.Warning != "" {
		text += " (" + e.Status.Warning + ")"
	}
	return text
}

// Unwrap returns the cause and the response.
func (e *LoginError) Unwrap() []error {
	if e.Status == nil {
		return []error{e.Cause}
	}
	return []error{e.Cause, e.Status}
}

// AlgorithmError names an algorithm of digest that is not known here.
type AlgorithmError struct{ Algorithm string }

func (e *AlgorithmError) Error() string { return fmt.Sprintf("algorithm %q unknown", e.Algorithm) }

var (
	errAskedAgain  = errors.New("asked for the password again and again")
	errNoChallenge = errors.New("no digest challenge that can be answered")
)

// EndError tells who ended a call and why.
type EndError struct {
	ByPeer bool   // BYE, CANCEL or a refusal of the far side
	Code   int    // SIP status of a refusal, 487 after a CANCEL; 0 after a BYE
	Reason string // text of the Reason header, or of ours
	Err    error  // a cause of our own, nil if there is none
}

func (e *EndError) Error() string {
	who, how := "ended by us", ""
	if e.ByPeer {
		who = "ended by the far side"
	}
	if e.Code != 0 {
		how = fmt.Sprintf(" with %d", e.Code)
	}
	switch {
	case e.Reason != "":
		how += ": " + e.Reason
	case e.Err != nil:
		how += ": " + e.Err.Error()
	}
	return "call " + who + how
}

// Unwrap returns the cause.
func (e *EndError) Unwrap() error { return e.Err }
