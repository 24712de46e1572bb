// Package listener lets a Go program see, rewrite, drop and refuse every SIP
// message that passes a trunk, in both directions.
//
//	packet -> parse -> ProcessMessage(Incoming) -> transactions -> calls
//	calls -> transactions -> ProcessMessage(Outgoing) -> packet
//
// Give trunk.Server a [SipMessageListener], or several in a [Chain]. Ready
// made are [AddPort], which completes the Request-URI of an INVITE, and [Log].
package listener

import (
	"context"
	"errors"
	"fmt"
	"net/netip"

	"github.com/emiago/sipgo/sip"
)

// Direction tells where a message goes.
type Direction int

// Directions of a message, seen from this program.
const (
	Incoming Direction = iota
	Outgoing
)

func (d Direction) String() string {
	if d == Incoming {
		return "incoming"
	}
	return "outgoing"
}

// Message is one SIP message on its way. Exactly one of Request and Response
// is not nil; both may be changed in place. Addresses are those of the packet
// or connection, not of any header.
type Message struct {
	Direction Direction
	Trunk     string // name of the trunk, empty if no trunk was found
	Transport string // "udp", "tcp" or "tls"
	Local     netip.AddrPort
	Remote    netip.AddrPort
	Request   *sip.Request
	Response  *sip.Response
}

// SipMessageListener sees every message. Incoming messages come after framing
// and parsing and before the transaction layer, one after the other as they
// arrived on their socket (TCP and TLS: on their connection); outgoing ones just before they are written, once
// for each transmission, so that a change must be idempotent. It must not
// keep m or what hangs on it.
//
// A nil error lets the message pass, with the changes made to it. [Drop] and
// errors made by [Refuse] stop it; any other error is logged and the message
// passes with the changes made. A panic is contained and logged with its
// stack, and the message passes as it was before the call; so does one from
// which Via, From, To, Call-ID or CSeq was removed. An outgoing
// message with a line break in a header is sent as it was before all listeners.
//
// ctx ends when the server stops. ProcessMessage must be safe for concurrent
// use: only the incoming messages of one socket or connection come one at a
// time, and while one is looked at nothing else is read from there. Those of
// others, and all outgoing ones, come beside them. What is refused before
// it is parsed, as strangers are and malformed messages, is not shown.
type SipMessageListener interface {
	ProcessMessage(ctx context.Context, m *Message) error
}

// Func is a function that is a [SipMessageListener].
type Func func(ctx context.Context, m *Message) error

// ProcessMessage calls f.
func (f Func) ProcessMessage(ctx context.Context, m *Message) error { return f(ctx, m) }

// Drop makes a message vanish as if the network had lost it.
var Drop = errors.New("listener: drop message")

// RefuseError answers an incoming request with a status: see [Refuse].
type RefuseError struct {
	Code   int // 300 to 699
	Reason string
}

func (e *RefuseError) Error() string {
	return fmt.Sprintf("listener: refuse with %d %s", e.Code, e.Reason)
}

// Refuse returns the error that answers an incoming request with code (300 to
// 699, else 500 is sent) and reason. On an ACK, a response or an outgoing message it acts as
// [Drop].
func Refuse(code int, reason string) error { return &RefuseError{Code: code, Reason: reason} }

// Chain is a list of listeners that is itself one: each sees the message as
// the one before it left it, and the first error ends the row. Where a server
// calls it, a panic of one takes back what that one has changed, and the row
// goes on.
type Chain []SipMessageListener

// ProcessMessage calls the listeners in turn.
func (c Chain) ProcessMessage(ctx context.Context, m *Message) error {
	for _, l := range c {
		if err := l.ProcessMessage(ctx, m); err != nil {
			return err
		}
	}
	return nil
}
