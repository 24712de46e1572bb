package trunk

import (
	"context"
	"fmt"
	"net/netip"
	"slices"
	"strings"

	"github.com/emiago/sipgo/sip"

	"github.com/trunkcast/trunkcast/internal/sipnet"
)

// isLocal reports whether a peer sees the local address, not the public one.
func (t *Trunk) isLocal(a netip.Addr) bool {
	return slices.ContainsFunc(t.cfg.LocalNets, func(p netip.Prefix) bool { return p.Contains(a) })
}

// sentBy is the address in the Via of our requests to a peer.
func (t *Trunk) sentBy(remote netip.Addr) sipnet.SentBy {
	if t.cfg.PublicAddress == "" || t.isLocal(remote) {
		return sipnet.SentBy{}
	}
	return sipnet.SentBy{Host: t.cfg.PublicAddress}
}

// contact is the Contact of our messages to a peer, who is reached as to says.
func (t *Trunk) contact(to sipnet.Target, secure bool) (sip.ContactHeader, error) {
	local, err := t.sock.ep.LocalAddr(to)
	if err != nil {
		return sip.ContactHeader{}, err
	}
	remote, transport := to.Addr, to.Transport
	if to.Flow != nil {
		remote, transport = to.Flow.Remote(), to.Flow.Transport()
	}
	host := local.Addr().WithZone("").String()
	if by := t.sentBy(remote.Addr()); by.Host != "" {
		host = by.Host
	}
	h := sip.ContactHeader{Address: sip.Uri{
		Scheme: "sip", User: escapeUser(t.user()), Host: uriHost(host), Port: int(local.Port()),
	}}
	if secure {
		h.Address.Scheme = "sips"
	}
	if transport == "tcp" || transport == "tls" && !secure {
		h.Address.UriParams.Add("transport", transport)
	}
	if t.cfg.VisibleName != "" {
		h.DisplayName = escapeName(t.cfg.VisibleName)
	}
	return h, nil
}

// mediaAddr is the address for SDP towards a peer.
func (t *Trunk) mediaAddr(remote netip.AddrPort, f *sipnet.Flow) netip.Addr {
	if a := t.media.Load(); a != nil && !t.isLocal(remote.Addr()) {
		return *a
	}
	local, err := t.sock.ep.LocalAddr(sipnet.Target{Addr: remote, Flow: f})
	if err != nil {
		return netip.Addr{}
	}
	return local.Addr().WithZone("")
}

// target says how to reach a host over a transport.
func (t *Trunk) target(ctx context.Context, host string, port int, transport string) (sipnet.Target, error) {
	list, err := t.srv.resolver.Lookup(ctx, host, uint16(port), transport)
	if err != nil {
		return sipnet.Target{}, err
	}
	return t.targetOf(list, host, transport), nil
}

func (t *Trunk) targetOf(list []netip.AddrPort, host, transport string) sipnet.Target {
	to := sipnet.Target{
		Transport: transport, Addr: list[0], Others: list[1:], TLS: t.clientTLS,
		SentBy: t.sentBy(list[0].Addr()), TryTCP: t.cfg.LargeRequests == "tcp",
	}
	if !isIP(host) {
		to.Host = host
	}
	return to
}

// toProxy says how to reach the PBX.
func (t *Trunk) toProxy(ctx context.Context) (sipnet.Target, error) {
	list := t.proxies()
	if len(list) == 0 {
		return t.target(ctx, t.cfg.ProxyIP, t.cfg.RemotePort, t.cfg.Transport)
	}
	return t.targetOf(list, t.cfg.ProxyIP, t.cfg.Transport), nil
}

// toURI says how to reach the host of a URI (RFC 3263 section 4), over the
// given transport if it names none.
func (t *Trunk) toURI(ctx context.Context, uri sip.Uri, transport string) (sipnet.Target, error) {
	if v, _ := uri.UriParams.Get("transport"); v != "" {
		transport = strings.ToLower(v)
	}
	if uri.Scheme == "sips" {
		transport = "tls"
	}
	if !slices.Contains([]string{"udp", "tcp", "tls"}, transport) {
		return sipnet.Target{}, fmt.Errorf("trunk: unknown transport %q", transport)
	}
	return t.target(ctx, uri.Host, uri.Port, transport)
}
