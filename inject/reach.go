package inject

import (
	"context"
	"fmt"
	"net"
	"net/netip"
	"slices"
	"strings"
	"syscall"
	"time"
)

// Reach tells where URLs may lead, so that who may name a URL cannot look
// into the network behind the gateway by it. The zero value lets them lead to
// public addresses. Addresses are judged when a connection is made to them: a
// name may stand for any.
type Reach struct {
	// Anywhere lets URLs lead to every address.
	Anywhere bool
	// Hosts are names and addresses that may be reached whatever they are.
	Hosts []string
}

const dialTimeout = 10 * time.Second

// DialContext connects like that of a net.Dialer, or gives an error that wraps
// ErrForbidden.
func (r *Reach) DialContext(ctx context.Context, network, addr string) (net.Conn, error) {
	d := net.Dialer{Timeout: dialTimeout}
	host, _, err := net.SplitHostPort(addr)
	if err != nil {
		return nil, err
	}
	if !r.Anywhere && !r.listed(host) {
		d.Control = func(_, address string, _ syscall.RawConn) error { return checkPublic(address) }
	}
	return d.DialContext(ctx, network, addr)
}

func (r *Reach) listed(host string) bool {
	return slices.ContainsFunc(r.Hosts, func(h string) bool { return strings.EqualFold(h, host) })
}

func checkPublic(address string) error {
	a, err := netip.ParseAddrPort(address)
	if err != nil || !publicAddr(a.Addr()) {
		return fmt.Errorf("%w: %s is not public", ErrForbidden, address)
	}
	return nil
}

// special are ranges that are no public hosts (IANA special-purpose address
// registries), beside those that netip knows; some of them carry IPv4
// addresses that might be private.
var special = []netip.Prefix{
	netip.MustParsePrefix("0.0.0.0/8"), netip.MustParsePrefix("100.64.0.0/10"), netip.MustParsePrefix("192.0.0.0/24"),
	netip.MustParsePrefix("192.0.2.0/24"), netip.MustParsePrefix("198.18.0.0/15"), netip.MustParsePrefix("198.51.100.0/24"),
	netip.MustParsePrefix("203.0.113.0/24"), netip.MustParsePrefix("240.0.0.0/4"),
	netip.MustParsePrefix("::/96"), netip.MustParsePrefix("64:ff9b::/96"), netip.MustParsePrefix("64:ff9b:1::/48"),
	netip.MustParsePrefix("100::/64"), netip.MustParsePrefix("2001::/23"), netip.MustParsePrefix("2001:db8::/32"),
	netip.MustParsePrefix("2002::/16"), netip.MustParsePrefix("fec0::/10"),
}

func publicAddr(a netip.Addr) bool {
	a = a.Unmap().WithZone("")
	if !a.IsGlobalUnicast() || a.IsPrivate() {
		return false
	}
	return !slices.ContainsFunc(special, func(p netip.Prefix) bool { return p.Contains(a) })
}
