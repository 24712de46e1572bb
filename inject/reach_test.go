package inject

import (
	"context"
	"errors"
	"net"
	"net/netip"
	"testing"
)

func TestPublicAddr(t *testing.T) {
	for text, want := range map[string]bool{
		"8.8.8.8": true, "2606:4700::1111": true, "::ffff:8.8.8.8": true,
		"127.0.0.1": false, "::1": false, "10.1.2.3": false, "172.16.0.1": false, "192.168.1.1": false, "169.254.169.254": false,
		"100.64.1.1": false, "0.0.0.0": false, "0.1.2.3": false, "255.255.255.255": false, "224.0.0.1": false, "198.18.0.1": false,
		"fe80::1": false, "fe80::1%eth0": false, "fd00::1": false, "ff02::1": false, "::": false, "::ffff:10.0.0.1": false, "::ffff:127.0.0.1": false,
		"64:ff9b::7f00:1": false, "2002:7f00:1::": false, "::127.0.0.1": false, "2001:db8::1": false, "fec0::1": false,
	} {
		if got := publicAddr(netip.MustParseAddr(text)); got != want {
			t.Errorf("%s: %v", text, got)
		}
	}
}

func TestReach(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	_, port, err := net.SplitHostPort(l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]struct {
		reach Reach
		host  string
		ok    bool
	}{
		"anywhere":            {Reach{Anywhere: true}, "127.0.0.1", true},
		"public only":         {Reach{}, "127.0.0.1", false},
		"a name for loopback": {Reach{}, "localhost", false},
		"listed address":      {Reach{Hosts: []string{"127.0.0.1"}}, "127.0.0.1", true},
		"listed name":         {Reach{Hosts: []string{"LOCALHOST"}}, "localhost", true},
		"another is listed":   {Reach{Hosts: []string{"localhost"}}, "127.0.0.1", false},
	} {
		t.Run(name, func(t *testing.T) {
			conn, err := c.reach.DialContext(context.Background(), "tcp", net.JoinHostPort(c.host, port))
			if conn != nil {
				conn.Close()
			}
			if (err == nil) != c.ok || !c.ok && !errors.Is(err, ErrForbidden) {
				t.Errorf("%v", err)
			}
		})
	}
}
