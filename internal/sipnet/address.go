package sipnet

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"strings"

	"github.com/emiago/sipgo/sip"
)

// Addr is the address of the UDP socket and TCP listener; not valid before
// Start.
func (e *Endpoint) Addr() netip.AddrPort { return e.addr }

// TLSAddr is the address of the TLS listener, not valid without one.
func (e *Endpoint) TLSAddr() netip.AddrPort { return e.tlsAddr }

// LocalAddr is the address a peer at to sees: that of the socket, or with an
// unspecified listening address the one the kernel routes through, with the
// port on which we can be reached over to's transport.
func (e *Endpoint) LocalAddr(to Target) (netip.AddrPort, error) {
	transport, remote := transportOf(to), to.Addr
	local := e.addr
	if transport == "tls" && e.tlsAddr.IsValid() {
		local = e.tlsAddr
	}
	if to.Flow != nil {
		remote = to.Flow.remote
		if f := to.Flow; f.Alive() && f.local.IsValid() && !f.local.Addr().IsUnspecified() {
			return netip.AddrPortFrom(f.local.Addr(), local.Port()), nil
		}
	}
	if !local.Addr().IsUnspecified() {
		return local, nil
	}
	if !remote.IsValid() {
		return netip.AddrPort{}, errors.New("sipnet: target without an address")
	}
	// Connecting a datagram socket sends nothing; it asks for the route.
	c, err := net.DialUDP("udp", nil, net.UDPAddrFromAddrPort(remote))
	if err != nil {
		return netip.AddrPort{}, fmt.Errorf("sipnet: route to %s: %w", remote, err)
	}
	defer c.Close()
	return netip.AddrPortFrom(addrOf(c.LocalAddr()).Addr(), local.Port()), nil
}

// Tag is the To tag of every response of ours to req, made from a key drawn
// at Start and the Call-ID, the From tag and the branch: the same for each
// retransmission, and not to be guessed.
func (e *Endpoint) Tag(req *sip.Request) string {
	var callID, from, branch string
	if h := req.CallID(); h != nil {
		callID = h.Value()
	}
	if h := req.From(); h != nil {
		from, _ = h.Params.Get("tag")
	}
	if h := req.Via(); h != nil {
		branch, _ = h.Params.Get("branch")
	}
	return e.tagOf(callID, from, branch)
}

func (e *Endpoint) tagOf(parts ...string) string {
	mac := hmac.New(sha256.New, e.key)
	mac.Write([]byte(strings.Join(parts, "\x00")))
	return hex.EncodeToString(mac.Sum(nil)[:10])
}
