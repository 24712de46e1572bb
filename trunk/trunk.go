// Package trunk is the SIP side of trunkcast.
package trunk

import "context"

// A Handler serves calls, as an http.Handler serves requests. ServeCall runs
// in a goroutine of its own; when it returns, the call ends (one that was
// never answered with 480). ctx ends with the call.
type Handler interface {
	ServeCall(ctx context.Context, c *Call)
}

// A Negotiator makes and takes the session descriptions of one call (RFC
// 3264). The trunk calls its methods one at a time. Offers and answers are
// SDP bodies.
//
// An error of Answer, Offer or Accept refuses the exchange: an INVITE or
// re-INVITE is answered 488 with the error's text in a Warning header (RFC
// 3261 section 20.43, code 399, or what a method SIPWarning() int of the
// error returns), and the session stays as it was.
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

// Call is one call of a trunk.
type Call struct{}
