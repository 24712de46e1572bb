package sipnet

import (
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"net/netip"
	"time"

	"github.com/emiago/sipgo/sip"

	"github.com/trunkcast/trunkcast/listener"
)

// Verdict is what [Endpoint.Admit] says of an address.
type Verdict int

// Verdicts on an address.
const (
	Accept Verdict = iota // let it in
	Refuse                // UDP: one stateless 403 to a request; TCP and TLS: close the connection
	Silent                // UDP: no answer; TCP and TLS: close the connection
)

// Errors of this package. Those of the network are wrapped.
var (
	// ErrClosed is returned after Close, and ends open transactions.
	ErrClosed = errors.New("sipnet: endpoint closed")
	// ErrCancelled is returned by Respond when the caller's CANCEL came first:
	// it was answered 200, and the INVITE 487.
	ErrCancelled = errors.New("sipnet: request cancelled by the caller")
	// ErrAnswered is returned by Respond after a final response.
	ErrAnswered = errors.New("sipnet: request already answered")
	// ErrTimeout ends a client transaction without a final response (RFC 3261
	// timers B and F, and 64*T1 after a CANCEL).
	ErrTimeout = errors.New("sipnet: no response in time")
	// ErrTransport ends a client transaction whose request could not be sent,
	// or whose connection was lost.
	ErrTransport = errors.New("sipnet: transport failed")
	// ErrTerminated ends a client transaction by its Terminate.
	ErrTerminated = errors.New("sipnet: transaction terminated")
	// ErrTooLarge is returned for a message above 65,507 bytes over UDP.
	ErrTooLarge = errors.New("sipnet: message too large for a datagram")
	// ErrDropped is returned when the Listener dropped the first transmission
	// of a request made with Request or a message given to Send.
	ErrDropped = errors.New("sipnet: message dropped by the listener")
)

// ListenError says which address and transport could not be listened on.
type ListenError struct {
	Transport string // "udp", "tcp" or "tls"
	Addr      netip.AddrPort
	Err       error
}

func (e *ListenError) Error() string {
	return fmt.Sprintf("sip: listen on %s %s: %v", e.Transport, e.Addr, e.Err)
}

// Unwrap returns the error of the network.
func (e *ListenError) Unwrap() error { return e.Err }

// Limits bounds what one endpoint spends on its peers. Zero fields have the
// default given.
type Limits struct {
	HeaderBytes   int           // start line and headers of one message; default 64 KiB
	BodyBytes     int           // body of one message on TCP and TLS; default 256 KiB
	Connections   int           // accepted connections at once; default 4096
	PerAddress    int           // accepted connections at once of one IP address; default 2048, as a PBX may open one a call
	Transactions  int           // server transactions at once; more requests get 503; default 20000
	MessageTime   time.Duration // from the first byte of a message on a connection to its last; default 10s
	Idle          time.Duration // a connection without any byte received for so long is closed; default 4h, as calls last
	FirstByte     time.Duration // an accepted connection without any byte at all is closed after so long; default 1m
	WriteTime     time.Duration // one write on a connection; default 5s
	ConnectTime   time.Duration // TCP connect and TLS handshake together; default 5s
	OrderWait     time.Duration // how long a message waits for the one before it with the same Call-ID; default 20ms
	RefusalsPerS  int           // stateless responses (403, 400, 503) a second; default 50
	PendingPerCID int           // messages of one Call-ID that wait their turn; more are dropped, requests with a 503; default 64
}

// An Endpoint is one local SIP address and port. Set the fields, call Start,
// then Close. The functions given must be safe for concurrent use.
type Endpoint struct {
	// Listen is the address of the UDP socket and of the TCP listener. With
	// port 0 the kernel chooses one number for both.
	Listen netip.AddrPort
	// Packets takes the place of the UDP socket, and nothing else is listened
	// on: for networks in memory, whose clock a test owns. Nil: a socket of the
	// system.
	Packets PacketConn
	// TLSListen is the address of the TLS listener; not valid: none.
	TLSListen netip.AddrPort
	// TLS configures the TLS listener; needed with TLSListen. A certificate
	// can be changed at run time through its GetCertificate.
	TLS *tls.Config
	// TLSClient configures our own TLS connections, for targets without a
	// configuration of their own; default: the system's authorities.
	TLSClient *tls.Config

	// Admit judges an address before anything of it is parsed; nil accepts
	// everyone. It is called for each datagram, for each new connection and for
	// each message on it. Connections of our own making are not asked about,
	// and over UDP whom we have sent a request may respond.
	Admit func(remote netip.AddrPort, transport string) Verdict
	// Listener sees every parsed message, both ways; nil: none. Refusals
	// before parsing are not shown to it.
	Listener listener.SipMessageListener
	// TrunkOf names the trunk of a message for [listener.Message.Trunk].
	TrunkOf func(m *listener.Message) string

	// OnRequest gets each new request, in a goroutine of its own; nil answers
	// 501. Retransmissions, CANCEL (481 if its INVITE is not known), the ACK to
	// our failures and merged requests (482, RFC 3261 section 8.2.2.2) are dealt
	// with before it. Requests
	// with one Call-ID are called one after the other: the next when the one
	// before has returned, or after Limits.OrderWait. tx is nil for an ACK
	// and only for it. Source and Transport of req are those of the packet.
	//
	// Nothing is left unanswered: when it returns without a final response
	// the transaction stays open for one; a panic is logged and answered 500.
	OnRequest func(req *sip.Request, tx *ServerTx)
	// OnResponse gets the responses that belong to no transaction, and the
	// repeated and forked 2xx to an INVITE after the first (RFC 6026 section
	// 7.2), in order with the requests of the same Call-ID; nil drops them.
	OnResponse func(res *sip.Response)

	Limits Limits
	Logger *slog.Logger // nil discards

	state
}

// Target says where a request or message goes.
type Target struct {
	Transport string         // "udp" (default), "tcp" or "tls"
	Addr      netip.AddrPort // where to, resolved
	// Others are tried in turn after Addr when no TCP or TLS connection can be
	// made: the further addresses of a name, see [Resolver]. Over UDP it is the
	// caller who goes on to the next one, after [ErrTimeout] or a 503 (RFC 3263
	// section 4.3).
	Others []netip.AddrPort
	// Flow is used in place of a new connection as long as it lives: the one
	// the dialog's peer opened, for instance. Transport and Addr come into
	// play when it is gone. A UDP flow only names the address to send to.
	Flow *Flow
	// Host is the name in SNI and the one the certificate must carry; TLS
	// only. Empty: Addr's IP address.
	Host string
	// TLS configures the connection in place of Endpoint.TLSClient.
	TLS *tls.Config
	// SentBy is the host and port for the Via header that Request adds; a
	// port of 0 means that of the endpoint. Empty: the local address of the
	// route to Addr, see [Endpoint.LocalAddr].
	SentBy SentBy
	// TryTCP sends a request above 1300 bytes over TCP instead of UDP, and
	// over UDP when no connection can be made (RFC 3261 section 18.1.1).
	// Without it UDP is kept at any size, in IP fragments.
	TryTCP bool
}

// SentBy is the address a Via header names (RFC 3261 section 18.1.1).
type SentBy struct {
	Host string
	Port int
}
