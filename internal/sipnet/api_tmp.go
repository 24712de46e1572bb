package sipnet

import (
	"context"
	"errors"
	"net/netip"

	"github.com/emiago/sipgo/sip"
)

type state struct{}

// Start opens the sockets and serves them until Close, or until ctx ends.
// A port that is taken gives a [*ListenError]. It may be called once.
func (e *Endpoint) Start(ctx context.Context) error { return errors.ErrUnsupported }

// Close ends all: sockets and connections are closed, open transactions end
// with [ErrClosed], and it returns when every goroutine of the endpoint has
// ended, so that it must not be called from OnRequest, OnResponse or the
// Listener. It is idempotent.
func (e *Endpoint) Close() error { return errors.ErrUnsupported }

// Done is closed when Close begins, for whatever reason; Err then tells it.
func (e *Endpoint) Done() <-chan struct{} { return nil }

// Err is nil before Done, [ErrClosed] after Close, the context's error or
// that of a socket that failed.
func (e *Endpoint) Err() error { return nil }

// Addr is the address of the UDP socket and TCP listener.
func (e *Endpoint) Addr() netip.AddrPort { return netip.AddrPort{} }

// TLSAddr is the address of the TLS listener, not valid without one.
func (e *Endpoint) TLSAddr() netip.AddrPort { return netip.AddrPort{} }

// LocalAddr is the address a peer at to sees: that of the socket, or with an
// unspecified listening address the one the kernel routes through, with the
// port on which we can be reached over to's transport.
func (e *Endpoint) LocalAddr(to Target) (netip.AddrPort, error) {
	return netip.AddrPort{}, errors.ErrUnsupported
}

// Request sends req as a client transaction (RFC 3261 section 17.1). A
// request without a Via gets one, with a new branch and rport; one with a Via
// keeps it, its transport set to the one used. Missing Max-Forwards and
// Content-Length are added. req is changed so, then copied: it may be used
// after. ctx bounds the connecting only; the transaction ends by response,
// time-out, Terminate or Close. ACK is refused: see Send.
func (e *Endpoint) Request(ctx context.Context, req *sip.Request, to Target) (*ClientTx, error) {
	return nil, errors.ErrUnsupported
}

// Send sends msg, a request, once and outside of any transaction: the ACK to
// a 2xx. A missing Via is added as by Request.
func (e *Endpoint) Send(ctx context.Context, msg *sip.Request, to Target) error {
	return errors.ErrUnsupported
}

// Tag is the To tag of every response of ours to req, made from a key drawn
// at Start and the Call-ID, the From tag and the branch: the same for each
// retransmission, and not to be guessed.
func (e *Endpoint) Tag(req *sip.Request) string { return "" }

// Flow is the way a message came: a connection, or for UDP the address of a
// peer. It stays valid as a value when the connection is gone.
type Flow struct{}

// Transport is "udp", "tcp" or "tls".
func (f *Flow) Transport() string { return "" }

// Local is the local address of the socket or connection.
func (f *Flow) Local() netip.AddrPort { return netip.AddrPort{} }

// Remote is the address of the peer.
func (f *Flow) Remote() netip.AddrPort { return netip.AddrPort{} }

// Alive reports whether a message can still be sent over it; always for UDP.
func (f *Flow) Alive() bool { return false }

// ServerTx is the server transaction of a request (RFC 3261 section 17.2, RFC
// 6026). All methods may be called from any goroutine.
//
// 100 Trying is sent by itself 200 ms after an INVITE without a response.
// Final responses other than 2xx to an INVITE are retransmitted until the
// ACK; repeating a 2xx is the user's: see Resend.
type ServerTx struct{}

// Request is the request as it came. It must not be changed after OnRequest
// has returned.
func (tx *ServerTx) Request() *sip.Request { return nil }

// Flow is the way the request came.
func (tx *ServerTx) Flow() *Flow { return nil }

// Tag is the To tag of our responses: that of the request if it has one, else
// [Endpoint.Tag].
func (tx *ServerTx) Tag() string { return "" }

// NewResponse makes a response with the headers RFC 3261 section 8.2.6 asks
// for and, where a dialog may come of it, Record-Route.
func (tx *ServerTx) NewResponse(code int, reason string, body []byte) *sip.Response { return nil }

// Respond sends res and moves the transaction on. A To header without a tag
// gets Tag (except in a 100). After a CANCEL it returns [ErrCancelled], after
// a final response [ErrAnswered], else the error of the network: the
// transaction then goes on, and a retransmission of the request or Resend
// sends res again.
func (tx *ServerTx) Respond(res *sip.Response) error { return nil }

// Resend sends the last response once more: the 2xx to an INVITE until its
// ACK comes (RFC 6026 section 7.1), a provisional each minute. It works after
// the transaction has ended, too.
func (tx *ServerTx) Resend() error { return nil }

// Cancelled is closed when a CANCEL came before a final response. The
// endpoint has answered both by then.
func (tx *ServerTx) Cancelled() <-chan struct{} { return nil }

// Cancel is the CANCEL that closed Cancelled, else nil.
func (tx *ServerTx) Cancel() *sip.Request { return nil }

// Done is closed when the transaction has ended.
func (tx *ServerTx) Done() <-chan struct{} { return nil }

// ClientTx is the client transaction of a request (RFC 3261 section 17.1, RFC
// 6026). All methods may be called from any goroutine. The ACK to a failure
// is sent by itself.
type ClientTx struct{}

// Request is the request as it was sent, with its Via. It must not be
// changed.
func (tx *ClientTx) Request() *sip.Request { return nil }

// Flow is the way the request went.
func (tx *ClientTx) Flow() *Flow { return nil }

// Responses gives the provisional responses and the final one, in order; it
// is closed after the final one, or when the transaction ends without: Err
// then tells why. Provisional responses that are not fetched are dropped
// beyond the newest 16, the final one never.
func (tx *ClientTx) Responses() <-chan *sip.Response { return nil }

// Cancel cancels an INVITE (RFC 3261 section 9.1): the CANCEL, with headers
// added to it, goes out once a provisional response has come, over the flow
// of the INVITE. The INVITE still ends by a final response (487 mostly), or by
// [ErrTimeout] 64*T1 later. It does nothing after a final response, or the
// second time.
func (tx *ClientTx) Cancel(headers ...sip.Header) {}

// Terminate ends the transaction at once; nothing more is sent.
func (tx *ClientTx) Terminate() {}

// Done is closed when the transaction takes no more responses.
func (tx *ClientTx) Done() <-chan struct{} { return nil }

// Err is nil before the end and after a final response; else [ErrTimeout],
// [ErrTransport] or [ErrClosed], wrapped.
func (tx *ClientTx) Err() error { return nil }
