package sipnet

import "net/netip"

// Flow is the way a message came or went: a connection, or for UDP the
// address of a peer. It stays valid as a value when the connection is gone.
type Flow struct {
	transport     string
	local, remote netip.AddrPort
	stream        *stream // nil for UDP
}

// Transport is "udp", "tcp" or "tls".
func (f *Flow) Transport() string { return f.transport }

// Local is the local address of the connection, or for UDP the one the peer
// sends to; its IP address is unspecified where the endpoint listens so and
// nothing has come from the peer yet, or the system does not tell.
func (f *Flow) Local() netip.AddrPort { return f.local }

// Remote is the address of the peer.
func (f *Flow) Remote() netip.AddrPort { return f.remote }

// Alive reports whether a message can still be sent over it; always for UDP.
func (f *Flow) Alive() bool { return f.stream == nil || !f.stream.closed() }
