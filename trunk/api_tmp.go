package trunk

// Declarations without a body yet: to be replaced by the real ones, in files
// named after what they do.

import (
	"context"
	"errors"
	"net/netip"
	"time"

	"github.com/emiago/sipgo/sip"
)

type serverState struct{}
type trunkState struct{}

// ListenAndServe opens the local ports of all trunks and serves until ctx ends
// (abrupt, as Close) or Shutdown or Close is called; it returns
// [ErrServerClosed] then. A port that is taken gives a *ListenError naming
// trunk, transport and address.
func (s *Server) ListenAndServe(ctx context.Context) error { return errors.ErrUnsupported }

// Start opens the local ports of all trunks and returns: registration and
// calls go on until Shutdown, Close, or the end of ctx.
func (s *Server) Start(ctx context.Context) error { return errors.ErrUnsupported }

// Shutdown takes no more calls (OPTIONS and INVITE are answered 503), removes
// the registrations, hangs up what runs (BYE), waits for the Handlers and
// closes everything, at the latest when ctx ends.
func (s *Server) Shutdown(ctx context.Context) error { return nil }

// Close ends everything at once.
func (s *Server) Close() error { return nil }

// Trunk returns the trunk of that name, nil if there is none or before Start.
func (s *Server) Trunk(name string) *Trunk { return nil }

// Calls returns the calls that run now.
func (s *Server) Calls() []*Call { return nil }

// ErrServerClosed is returned by ListenAndServe after Shutdown or Close.
var ErrServerClosed = errors.New("trunk: server closed")

// Name is the trunk's name.
func (t *Trunk) Name() string { return "" }

// Config is the trunk's configuration with the defaults filled in.
func (t *Trunk) Config() Config { return Config{} }

// Registration is the state of the registration now.
func (t *Trunk) Registration() Registration { return Registration{} }

// Addr is the local address of UDP and TCP, with the port chosen by the kernel
// where LocalPort is 0.
func (t *Trunk) Addr() netip.AddrPort { return netip.AddrPort{} }

// Dial places a call and returns when it is answered: n.Offer made the offer,
// n.Accept took the answer, the ACK is out. The caller must Hangup in the end.
// A refusal is a *StatusError. When ctx ends first the call is cancelled.
func (t *Trunk) Dial(ctx context.Context, n Negotiator, o DialOptions) (*Call, error) {
	return nil, errors.ErrUnsupported
}

// StatusError is a final response other than 2xx to a request of ours.
type StatusError struct {
	Code    int
	Reason  string
	Warning string // text of the Warning header, if there was one
}

func (e *StatusError) Error() string { return e.Reason }

// Call is one call, incoming or outgoing. All methods may be called from any
// goroutine.
type Call struct{}

// ID is the Call-ID.
func (c *Call) ID() string { return "" }

// Trunk is the trunk the call came by.
func (c *Call) Trunk() *Trunk { return nil }

// Incoming tells that the far side called.
func (c *Call) Incoming() bool { return false }

// Request is the INVITE that began the call, as the listeners left it. It must
// not be changed.
func (c *Call) Request() *sip.Request { return nil }

// Number is the number that was called: the user part of the URI that
// Config.NumberFrom chooses, percent escapes decoded, without parameters.
func (c *Call) Number() string { return "" }

// Caller is the user part of the From header (P-Asserted-Identity is not
// looked at), CallerName its display name.
func (c *Call) Caller() string { return "" }

// CallerName is the display name in the From header.
func (c *Call) CallerName() string { return "" }

// Remote is where the signalling comes from.
func (c *Call) Remote() netip.AddrPort { return netip.AddrPort{} }

// MediaAddr is the address to tell the far side in SDP: Config.MediaAddress or
// PublicAddress, or the local address of the route to it.
func (c *Call) MediaAddr() netip.Addr { return netip.Addr{} }

// Started is when the INVITE came or was sent, Answered when the 2xx was sent
// or came; zero before.
func (c *Call) Started() time.Time { return time.Time{} }

// Answered is when the 2xx was sent or came; zero before.
func (c *Call) Answered() time.Time { return time.Time{} }

// Ring sends a provisional response (180, 181, 182, 183 without a body). It is
// repeated each minute (RFC 3261 section 13.3.1.1).
func (c *Call) Ring(code int, reason string) error { return nil }

// Answer answers an incoming call: with n.Answer if the INVITE has an offer,
// else with n.Offer in the 200 and n.Accept of what comes in the ACK; without
// a usable answer there the call ends with BYE. It returns when the ACK has
// come; the 2xx is repeated until then. After an error of n the call was
// refused and has ended. n is used for every later exchange of the dialog.
func (c *Call) Answer(ctx context.Context, n Negotiator) error { return nil }

// Renegotiate sends a re-INVITE with n.Offer, waits out a glare (491, RFC 3261
// section 14.1) and returns when it is settled. A refusal is a *StatusError and
// leaves the session as it was.
func (c *Call) Renegotiate(ctx context.Context) error { return nil }

// Do sends a request within the dialog, such as INFO, and returns the final
// response. Request-URI, Via, Route, From, To, Call-ID, CSeq and Contact are
// filled in. A digest challenge is answered.
func (c *Call) Do(ctx context.Context, req *sip.Request) (*sip.Response, error) { return nil, nil }

// OnInfo sets what is told each INFO of the far side; it was answered 200
// already. It must not block.
func (c *Call) OnInfo(f func(req *sip.Request)) {}

// Reject refuses an incoming call that was not answered yet, with code (300 to
// 699), reason and, if rule is not empty, a Warning header that names it.
func (c *Call) Reject(code int, reason, rule string) error { return nil }

// Hangup ends the call: BYE, CANCEL or, for an incoming call not answered yet,
// 480. why goes into the Reason header (RFC 3326) if not empty. It returns when
// the far side has confirmed, at the latest when ctx ends; nil if the call has
// ended already.
func (c *Call) Hangup(ctx context.Context, why string) error { return nil }

// Done is closed when the call has ended (its Handler may still run).
func (c *Call) Done() <-chan struct{} { return nil }

// Err tells why the call ended: an *EndError. Nil while it runs.
func (c *Call) Err() error { return nil }

// EndError tells who ended a call and why.
type EndError struct {
	ByPeer bool   // BYE, CANCEL or a refusal of the far side
	Code   int    // SIP status of a refusal, 487 after a CANCEL; 0 after a BYE
	Reason string // text of the Reason header, or of ours
	Err    error  // a cause of our own, nil if there is none
}

func (e *EndError) Error() string { return e.Reason }

// Unwrap returns the cause.
func (e *EndError) Unwrap() error { return e.Err }
