package sipnet

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"strings"

	"github.com/emiago/sipgo/sip"
)

// DNS is what a [Resolver] asks; *net.Resolver is one.
type DNS interface {
	LookupSRV(ctx context.Context, service, proto, name string) (string, []*net.SRV, error)
	LookupNetIP(ctx context.Context, network, host string) ([]netip.Addr, error)
}

// A Resolver finds the addresses of a SIP host (RFC 3263 section 4.2). The
// zero value asks the system.
type Resolver struct {
	DNS DNS // default net.DefaultResolver
}

// maxAddresses bounds what one lookup returns.
const maxAddresses = 16

// Lookup returns the addresses of host in the order to try them, at least one
// or an error. host may be an IP address, with or without brackets. With port
// 0 the SRV records for transport ("udp", "tcp" or "tls") are asked first, and
// without any the port is the default one. It waits no longer than ctx.
func (r *Resolver) Lookup(ctx context.Context, host string, port uint16, transport string) ([]netip.AddrPort, error) {
	transport = strings.ToLower(transport)
	if transport == "" {
		transport = "udp"
	}
	bare := strings.TrimSuffix(strings.TrimPrefix(host, "["), "]")
	if addr, err := netip.ParseAddr(bare); err == nil {
		return []netip.AddrPort{netip.AddrPortFrom(addr.Unmap(), portOr(port, transport))}, nil
	}
	if host == "" {
		return nil, errors.New("sip: resolve: no host")
	}
	dns := r.DNS
	if dns == nil {
		dns = net.DefaultResolver
	}
	if port == 0 {
		list, err := lookupSRV(ctx, dns, host, transport)
		if err != nil || len(list) > 0 {
			return list, err
		}
	}
	list, err := lookupHost(ctx, dns, host, portOr(port, transport), nil)
	if err != nil {
		return nil, fmt.Errorf("sip: resolve %s: %w", host, err)
	}
	return list, nil
}

func portOr(port uint16, transport string) uint16 {
	if port == 0 {
		return uint16(defaultPort(transport))
	}
	return port
}

// lookupSRV returns nothing where there are no records; a name whose service
// is declared not to exist (RFC 2782, target ".") is an error.
func lookupSRV(ctx context.Context, dns DNS, host, transport string) ([]netip.AddrPort, error) {
	service, proto := "sip", transport
	if transport == "tls" {
		service, proto = "sips", "tcp"
	}
	_, records, err := dns.LookupSRV(ctx, service, proto, host)
	if err != nil {
		// Broken or filtered answers to SRV are common; the host has its say.
		return nil, ctx.Err()
	}
	var list []netip.AddrPort
	var failed error
	for _, srv := range records {
		if srv.Target == "." {
			return nil, fmt.Errorf("sip: resolve %s: no service over %s", host, transport)
		}
		found, err := lookupHost(ctx, dns, strings.TrimSuffix(srv.Target, "."), portOr(srv.Port, transport), list)
		if err != nil {
			failed = err
			continue
		}
		list = found
	}
	if len(list) == 0 && failed != nil {
		return nil, fmt.Errorf("sip: resolve %s: %w", host, failed)
	}
	return list, nil
}

// lookupHost adds the addresses of host to list, each once.
func lookupHost(ctx context.Context, dns DNS, host string, port uint16, list []netip.AddrPort) ([]netip.AddrPort, error) {
	addrs, err := dns.LookupNetIP(ctx, "ip", host)
	if err != nil {
		return nil, err
	}
	seen := map[netip.AddrPort]bool{}
	for _, a := range list {
		seen[a] = true
	}
	for _, a := range addrs {
		at := netip.AddrPortFrom(a.Unmap(), port)
		if !seen[at] && len(list) < maxAddresses {
			seen[at] = true
			list = append(list, at)
		}
	}
	if len(list) == 0 {
		return nil, errors.New("no address")
	}
	return list, nil
}

// RouteURIs returns the URIs of the values of all Route, Record-Route or
// Contact headers of msg, whichever name says, from top to bottom. Values with
// header parameters, which sipgo's header types cannot hold, are among them.
func RouteURIs(msg sip.Message, name string) ([]sip.Uri, error) {
	var list []sip.Uri
	for _, h := range msg.GetHeaders(name) {
		err := eachValue(h.Value(), func(v string) error {
			a, err := parseNameAddr(v)
			list = append(list, a.uri)
			return err
		})
		if err != nil {
			return nil, fmt.Errorf("sip: %s: %w", name, err)
		}
	}
	return list, nil
}
