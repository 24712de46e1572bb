package rtpio

import (
	"net/netip"
	"sync"
	"time"
)

// Ports is a range of UDP ports for RTP (even) and RTCP (the odd one above).
// It is shared by the sessions of a trunk and safe for concurrent use. The
// zero value works.
type Ports struct {
	// First and Last bound the range, both included. Default 20000 to 29999,
	// which is below the ports that systems give to clients.
	First, Last int
	// Addr is the local address to bind. Default: all, IPv4 and IPv6.
	Addr netip.Addr
	// Quarantine is how long a pair rests after use, so that a new call does
	// not hear late packets of the old one. Default 10 s; negative: not at all.
	Quarantine time.Duration
	// ReadBuffer is the size of a socket's receive buffer in bytes. Default
	// 256 KiB, as far as the system allows.
	ReadBuffer int

	mu    sync.Mutex
	pairs []pair // indexed by (port-First)/2
}

type pair struct {
	used bool
	free time.Time // end of the quarantine
}
