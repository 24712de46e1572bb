package rtpio

import (
	"errors"
	"net"
	"net/netip"
	"testing"
	"time"
)

func newTestPoller(t testing.TB, network, local string) (*poller, netip.AddrPort) {
	t.Helper()
	addr, err := net.ResolveUDPAddr(network, local)
	if err != nil {
		t.Fatal(err)
	}
	conn, err := net.ListenUDP(network, addr)
	if err != nil {
		t.Skipf("no %s here: %v", network, err) // systems without IPv6
	}
	at := netip.MustParseAddrPort(conn.LocalAddr().String())
	p, err := newPoller(conn)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = p.Close() })
	if _, err := conn.WriteToUDPAddrPort(nil, at); !errors.Is(err, net.ErrClosed) {
		t.Errorf("the net.UDPConn still works: %v", err)
	}
	return p, at
}

// TestPollerSends sends from sockets of each family.
func TestPollerSends(t *testing.T) {
	for _, c := range []struct{ network, local, remote string }{
		{"udp4", "127.0.0.1:0", "127.0.0.1:0"},
		{"udp4", "127.0.0.1:0", "[::ffff:127.0.0.1]:0"},
		{"udp", "[::]:0", "127.0.0.1:0"},
		{"udp", "[::]:0", "[::1]:0"},
		{"udp6", "[::1]:0", "[::1]:0"},
	} {
		t.Run(c.network+" "+c.local+" to "+c.remote, func(t *testing.T) {
			p, at := newTestPoller(t, c.network, c.local)
			remote := netip.MustParseAddrPort(c.remote)
			peer, err := net.ListenUDP("udp", net.UDPAddrFromAddrPort(netip.AddrPortFrom(remote.Addr().Unmap(), 0)))
			if err != nil {
				t.Skipf("no %s here: %v", remote.Addr(), err)
			}
			defer peer.Close()
			to := netip.AddrPortFrom(remote.Addr(), netip.MustParseAddrPort(peer.LocalAddr().String()).Port())
			if n, err := p.WriteToUDPAddrPort([]byte("hello"), to); n != 5 || err != nil {
				t.Fatalf("wrote %d, %v", n, err)
			}
			_ = peer.SetReadDeadline(time.Now().Add(10 * time.Second))
			b := make([]byte, 10)
			n, from, err := peer.ReadFromUDPAddrPort(b)
			if err != nil || string(b[:n]) != "hello" || from.Port() != at.Port() {
				t.Errorf("got %q from %v, %v", b[:n], from, err)
			}
			allocs := testing.AllocsPerRun(100, func() { _, _ = p.WriteToUDPAddrPort(b, to) })
			if allocs != 0 && !raceDetector {
				t.Errorf("%v allocations a packet", allocs)
			}
		})
	}
}

func TestPollerRefuses(t *testing.T) {
	p, _ := newTestPoller(t, "udp4", "127.0.0.1:0")
	if _, err := p.WriteToUDPAddrPort([]byte("x"), netip.MustParseAddrPort("[::1]:9")); err == nil {
		t.Error("IPv6 from an IPv4 socket")
	}
	if _, err := p.WriteToUDPAddrPort(make([]byte, 70000), netip.MustParseAddrPort("127.0.0.1:9")); err == nil {
		t.Error("a datagram of 70 KB")
	}
	if err := p.Close(); err != nil {
		t.Error(err)
	}
	if _, err := p.WriteToUDPAddrPort([]byte("x"), netip.MustParseAddrPort("127.0.0.1:9")); !errors.Is(err, net.ErrClosed) {
		t.Errorf("closed: %v", err)
	}
	r := &reader{poller: p}
	r.poll() // gives nothing, and returns
}

func TestZones(t *testing.T) {
	list, err := net.Interfaces()
	if err != nil || len(list) == 0 {
		t.Fatalf("no interfaces: %v", err)
	}
	for range 2 { // looked up, and remembered
		for _, i := range list {
			if got, err := zoneIndex(i.Name); err != nil || int(got) != i.Index || zoneOf(got) != i.Name {
				t.Errorf("%s: %d %q, %v", i.Name, got, zoneOf(got), err)
			}
		}
	}
	if _, err := zoneIndex("no such interface"); err == nil {
		t.Error("an unknown zone has an index")
	}
	if zone := zoneOf(1 << 30); zone != "" {
		t.Errorf("an unknown index is %s", zone)
	}
}
