// Package sipnet is the wire side of a SIP user agent: one [Endpoint] is one
// local address and port (UDP and TCP, and TLS on a port of its own) with its
// framing, parsing, listener hooks and transactions. It knows nothing of
// dialogs, calls or trunks; package trunk builds those on it.
//
//	datagram, TCP or TLS segment
//	  -> Admit            address only, before any parsing: accept, one stateless 403, or silence
//	  -> framing          Content-Length, keep-alives, bounds; what is malformed is answered 400
//	  -> parse            into sipgo's Request and Response, with received and rport filled in
//	  -> Listener         sees, rewrites, drops or refuses the message
//	  -> order            messages of one Call-ID enter one after the other
//	  -> transaction      retransmissions, CANCEL and the ACK to a failure end here
//	  -> OnRequest, ClientTx.Responses, OnResponse
//
//	ServerTx.Respond, Endpoint.Request, Endpoint.Send and retransmissions
//	  -> Listener         on a copy, once for each transmission
//	  -> Flow             the socket or connection the request came on, another one when it is gone
//
// Of sipgo it uses the message and header types and the URI parser. Its
// transport and transaction layers are not used: the tables here keep the
// order of arrival, send a response over the flow of its request, decide a
// race of CANCEL and answer under one lock, and forget a stranger at once.
// None of sipgo's process-wide settings is changed.
//
// An endpoint that listens on an unspecified address answers over UDP from
// the address a request was sent to, where the system allows it (Linux, BSD,
// macOS); elsewhere give [Endpoint.Listen] one address on a host with several.
package sipnet
