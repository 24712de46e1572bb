package sipnet

import "sync/atomic"

// Stats counts what an endpoint has seen since Start, and what it holds now.
type Stats struct {
	Received  uint64 // messages that parsed
	Sent      uint64 // messages written, retransmissions among them
	Repeated  uint64 // retransmitted requests and responses that were absorbed
	Malformed uint64 // messages answered 400 and the like, or dropped for that
	Refused   uint64 // datagrams and connections that Admit turned away
	Ignored   uint64 // datagrams that are no SIP
	Overload  uint64 // requests and connections beyond a limit

	ServerTransactions int
	ClientTransactions int
	Connections        int
}

type counters struct {
	received, sent, repeated, malformed, refused, ignored, overload atomic.Uint64
}

// Stats returns the counters. It may be called at any time after Start.
func (e *Endpoint) Stats() Stats {
	s := Stats{
		Received: e.count.received.Load(), Sent: e.count.sent.Load(), Repeated: e.count.repeated.Load(),
		Malformed: e.count.malformed.Load(), Refused: e.count.refused.Load(),
		Ignored: e.count.ignored.Load(), Overload: e.count.overload.Load(),
	}
	s.ServerTransactions, s.ClientTransactions = e.table.sizes()
	s.Connections = e.pool.size()
	return s
}
