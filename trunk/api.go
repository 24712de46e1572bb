// Package trunk is the SIP side of trunkcast: it registers with PBXs, takes
// and places calls, and keeps their dialogs.
//
//	PBX <--UDP, TCP, TLS--> endpoint (one for each local port; listeners see every message here)
//	                           |
//	                        Server: admission, dispatch to dialogs, registration
//	                           |
//	                        Call --> Handler (one goroutine a call)
//	                           '---> Negotiator (its session descriptions)
//
// A [Server] serves the calls of its trunks as an http.Server serves
// requests. Nothing here knows media: a [Negotiator] makes and takes the SDP
// bodies.
package trunk

import (
	"context"
	"log/slog"
	"net/netip"
	"time"

	"github.com/emiago/sipgo/sip"

	"github.com/trunkcast/trunkcast/listener"
)

// A Handler serves calls, as an http.Handler serves requests. ServeCall runs
// in a goroutine of its own; when it returns, the call ends (one that was
// never answered with 480). ctx ends with the call.
type Handler interface {
	ServeCall(ctx context.Context, c *Call)
}

// A ConfigChecker is a [Handler] that knows what of the configuration it cannot
// serve. CheckConfigs is called before the server listens, which does not start
// when it returns an error. It must not use the server.
type ConfigChecker interface {
	CheckConfigs(trunks []Config) error
}

// HandlerFunc is a function that is a [Handler].
type HandlerFunc func(ctx context.Context, c *Call)

// ServeCall calls f.
func (f HandlerFunc) ServeCall(ctx context.Context, c *Call) { f(ctx, c) }

// A Negotiator makes and takes the session descriptions of one call (RFC
// 3264). The trunk calls its methods one at a time. Offers and answers are
// SDP bodies.
//
// An error of Answer, Offer or Accept refuses the exchange: an INVITE or
// re-INVITE is answered 488 (or what a method SIPStatus() int of the error
// returns) with the error's text in a Warning header (RFC 3261 section 20.43,
// code 399, or what a method SIPWarning() int of the error returns), and the
// session stays as it was.
type Negotiator interface {
	// Offer makes an offer of our own. Accept or Rollback follows.
	Offer(ctx context.Context) ([]byte, error)
	// Answer takes an offer and makes the answer, which is in force at once
	// unless Rollback follows.
	Answer(ctx context.Context, offer []byte) ([]byte, error)
	// Accept takes the answer to the last Offer.
	Accept(ctx context.Context, answer []byte) error
	// Rollback returns to the session as it was before the last Offer or
	// Answer (RFC 3261 section 14.1).
	Rollback()
}

// A FullOfferer is a [Negotiator] that can offer all it has in the middle of
// a call: the right offer for a re-INVITE that comes without one (RFC 3261
// section 14.2). Without it Offer is used.
type FullOfferer interface {
	OfferFull(ctx context.Context) ([]byte, error)
}

// Server serves the calls of its trunks. Set the fields, then call
// ListenAndServe.
type Server struct {
	Trunks   []Config
	Handler  Handler                     // nil refuses every call with 480
	Listener listener.SipMessageListener // sees every message; nil: none
	Limits   Limits
	// OnRegistration is told changes of a trunk's registration. It must not
	// block. Nil: they are logged only.
	OnRegistration func(t *Trunk, r Registration)
	// OnRefused is told each call that this package itself refused (a
	// stranger's is not: those are counted only). It must not block.
	OnRefused func(r Refusal)
	Logger    *slog.Logger // nil discards

	serverState
}

// Limits bounds what a server spends. Zero fields have the default given.
type Limits struct {
	MaxCalls    int // calls at once, all trunks together; more are refused with 503; default 10000
	CallsPerSec int // new calls a second, all trunks together; more are refused with 503; default 1000
}

// Refusal tells of a call that was refused before a Handler saw it.
type Refusal struct {
	Trunk  string // empty if none was found
	CallID string
	Remote netip.AddrPort
	Code   int    // SIP status sent
	Rule   string // which rule refused it, as in the Warning header sent
}

// RegistrationState is where a registration stands.
type RegistrationState int

// The states.
const (
	Unregistered RegistrationState = iota // not configured, not yet tried, or removed
	Registering                           // the first attempt is under way
	Registered
	RegistrationFailed // refused or not answered; tried again at Registration.Next
)

// Registration is the state of a trunk's registration.
type Registration struct {
	State   RegistrationState
	Since   time.Time // of State
	Expires time.Time // when the binding ends, if Registered
	Next    time.Time // when the next REGISTER is due
	Code    int       // of the last response, 0 if there was none
	Err     error     // why it failed
}

// DialOptions tells how to place a call. The zero value calls nobody: To or
// Number is needed.
type DialOptions struct {
	// Number is called at the trunk's ProxyIP and RemotePort.
	Number string
	// To is the URI to call in place of one made from Number; it is the
	// Request-URI, and the request goes to the PBX all the same unless Direct.
	To string
	// Direct sends the request to the host of To.
	Direct bool
	// From is the user part of the From header; default Login, else
	// VisibleName. DisplayName defaults to VisibleName.
	From, DisplayName string
	// CallID of the dialog; default a random one.
	CallID string
	// AuthUser and Password replace those of the trunk.
	AuthUser string
	Password Secret
	// Headers are added to the INVITE.
	Headers []sip.Header
	// RingTime is the longest to wait for an answer, after which the call is
	// cancelled; default 3 minutes.
	RingTime time.Duration
	// Redirects is how many places that 3xx responses name are tried, wherever
	// they are; default 0: a redirection is a refusal.
	Redirects int
	// OnProgress is told provisional responses (180, 183) from the goroutine
	// that dials.
	OnProgress func(res *sip.Response)
}
