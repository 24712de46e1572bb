package trunk

import (
	"context"
	"crypto/tls"
	"errors"
	"net"
	"net/netip"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/trunkcast/trunkcast/trunk/trunktest"
)

// zone is a DNS whose records may change: SRV of one domain, each target at
// 127.0.0.1.
type zone struct {
	mu      sync.Mutex
	records []*net.SRV
	asked   []string
}

func (z *zone) set(peers ...*trunktest.Peer) {
	z.mu.Lock()
	defer z.mu.Unlock()
	z.records = nil
	for i, p := range peers {
		z.records = append(z.records, &net.SRV{Target: "pbx.example.", Port: p.Addr().Port(), Priority: uint16(i)})
	}
}

func (z *zone) LookupSRV(_ context.Context, service, proto, name string) (string, []*net.SRV, error) {
	z.mu.Lock()
	defer z.mu.Unlock()
	z.asked = append(z.asked, "_"+service+"._"+proto+"."+name)
	if len(z.records) == 0 {
		return "", nil, errors.New("no such record")
	}
	return name, slices.Clone(z.records), nil
}

func (z *zone) LookupNetIP(context.Context, string, string) ([]netip.Addr, error) {
	return []netip.Addr{netip.MustParseAddr("127.0.0.1")}, nil
}

// inZone is a server whose PBX is known by its name.
func inZone(t *testing.T, z *zone, cfg Config) *Server {
	cfg.ProxyIP = "example.com"
	s := &Server{Trunks: []Config{cfg}}
	s.resolver.DNS, s.clock.resolve = z, 10*time.Millisecond
	return serve(t, s)
}

// The PBX is found by SRV records for the transport, each place is tried, and a
// change is followed; a port in the configuration goes before them.
func TestPlacesOfPBX(t *testing.T) {
	for transport, record := range map[string]string{"udp": "_sip._udp.example.com", "tcp": "_sip._tcp.example.com"} {
		t.Run(transport, func(t *testing.T) {
			p, q, r := trunktest.NewPeer(t, transport), trunktest.NewPeer(t, transport), trunktest.NewPeer(t, transport)
			z := &zone{}
			z.set(p, q)
			s := inZone(t, z, Config{Transport: transport})
			call := func(answers ...*trunktest.Peer) {
				t.Helper()
				done := dialled(context.Background(), s, &trunktest.Negotiator{}, DialOptions{Number: "1"})
				for i, at := range answers {
					req := at.Request("INVITE")
					if req.URI() != "sip:1@example.com" {
						t.Errorf("Request-URI %s", req.URI())
					}
					code := 486
					if i < len(answers)-1 {
						code = 503
					}
					at.Response(req, code, "x", "", "")
				}
				var status *StatusError
				if err := get(t, done, "Dial"); !errors.As(err, &status) || status.Code != 486 {
					t.Errorf("%v", err)
				}
			}
			if transport == "udp" {
				call(p, q)
			} else {
				call(p)
				p.Close() // nobody listens there
				call(q)
			}
			z.set(r)
			eventually(t, "the change is seen", func() bool { return s.list[0].proxies()[0] == r.Addr() })
			call(r)
			if z.asked[0] != record {
				t.Errorf("asked for %s", z.asked[0])
			}
		})
	}
	t.Run("port given", func(t *testing.T) {
		p, z := trunktest.NewPeer(t, "udp"), &zone{}
		z.set(trunktest.NewPeer(t, "udp"))
		s := inZone(t, z, Config{RemotePort: int(p.Addr().Port())})
		if got := s.list[0].proxies(); len(got) != 1 || got[0] != p.Addr() || len(z.asked) != 0 {
			t.Errorf("%v, asked for %v", got, z.asked)
		}
	})
	t.Run("no records", func(t *testing.T) {
		s := inZone(t, &zone{}, Config{})
		if got := s.list[0].proxies(); len(got) != 1 || got[0].Port() != 5060 {
			t.Errorf("%v", got)
		}
	})
}

// Who has moved away is followed by the registration at once.
func TestRegistrationFollows(t *testing.T) {
	p, q := trunktest.NewPeer(t, "udp"), trunktest.NewPeer(t, "udp")
	z, yes := &zone{}, true
	z.set(p)
	s := inZone(t, z, Config{Register: &yes, Login: "gw"})
	first := p.Request("REGISTER")
	p.Response(first, 200, "x", "Expires: 3600\r\n", "")
	eventually(t, "registered", func() bool { return s.list[0].Registration().State == Registered })
	z.set(q, p) // still there: nothing is due
	eventually(t, "the change is seen", func() bool { return len(s.list[0].proxies()) == 2 })
	z.set(q)
	second := q.Request("REGISTER")
	if second.Header("Call-ID") != first.Header("Call-ID") || second.Seq() != first.Seq()+1 {
		t.Errorf("CSeq %q after %q", second.Header("CSeq"), first.Header("CSeq"))
	}
	q.Response(second, 200, "x", "Expires: 3600\r\n", "")
	eventually(t, "registered there", func() bool { return s.list[0].keptAlive() == q.Addr() })
}

// An empty datagram keeps the way to the PBX open.
func TestKeepAlive(t *testing.T) {
	conn, err := net.ListenUDP("udp4", &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1)})
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	port := conn.LocalAddr().(*net.UDPAddr).Port
	s := serve(t, &Server{Trunks: []Config{{RemotePort: port, KeepAlive: 10 * time.Millisecond}}})
	for range 3 {
		b := make([]byte, 100)
		conn.SetReadDeadline(time.Now().Add(patience))
		n, from, err := conn.ReadFromUDPAddrPort(b)
		if err != nil || string(b[:n]) != "\r\n\r\n" || from != addrOfServer(s) {
			t.Fatalf("%q from %v, %v", b[:n], from, err)
		}
	}
	yes, no := true, false
	for _, tt := range []struct {
		cfg  Config
		want time.Duration
	}{
		{Config{}, 25 * time.Second},
		{Config{Register: &yes, KeepAlive: time.Minute}, time.Minute},
		{Config{Register: &no}, 0},
		{Config{Transport: "tcp"}, 0},
		{Config{KeepAlive: -1}, -1},
	} {
		if got := tt.cfg.withDefaults().KeepAlive; got != tt.want {
			t.Errorf("%+v: %v, want %v", tt.cfg, got, tt.want)
		}
	}
}

// Trunks that share a port have each its certificate, chosen by the name that
// is asked for.
func TestCertificateByName(t *testing.T) {
	var files [2][2]string
	for i, name := range []string{"a.example", "b.example"} {
		files[i][0], files[i][1] = certificate(t, name)
	}
	var shared int
	make := func(port, tlsPort, other int) *Server {
		return &Server{Trunks: []Config{
			{Name: "plain", LocalPort: port},
			{Name: "a", LocalPort: port, TLSCert: files[0][0], TLSKey: files[0][1], TLSPort: tlsPort},
			{Name: "b", LocalPort: port, TLSCert: files[1][0], TLSKey: files[1][1], TLSPort: other},
		}}
	}
	s := serveOnFreePort(t, func(port int) *Server {
		shared = port
		l, err := net.Listen("tcp4", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		defer l.Close()
		free := l.Addr().(*net.TCPAddr).Port
		return make(port, free, free)
	})
	at := netip.AddrPortFrom(netip.MustParseAddr("127.0.0.1"), uint16(s.list[1].Config().TLSPort))
	for name, want := range map[string]string{"a.example": "a.example", "b.example": "b.example", "c.example": "a.example", "": "a.example"} {
		c, err := tls.Dial("tcp4", at.String(), &tls.Config{ServerName: name, InsecureSkipVerify: true})
		if err != nil {
			t.Fatalf("%q: %v", name, err)
		}
		if got := c.ConnectionState().PeerCertificates[0].DNSNames[0]; got != want {
			t.Errorf("%q got the certificate of %s", name, got)
		}
		c.Close()
	}
	var config *ConfigError
	if err := prepared(make(shared, 5061, 5062)).Start(context.Background()); !errors.As(err, &config) || config.Trunk != "b" {
		t.Errorf("two TLS ports on one socket: %v", err)
	}
}

// A connection that has died is found out by the call that needs it, which then
// makes another.
func TestDialOverDeadConnection(t *testing.T) {
	p := trunktest.NewPeer(t, "tcp")
	s := serverFor(t, p, Config{Transport: "tcp"})
	for range 20 {
		done := dialled(context.Background(), s, &trunktest.Negotiator{}, DialOptions{Number: "1"})
		p.Response(p.Request("INVITE"), 486, "x", "", "")
		get(t, done, "Dial")
		p.CloseConns() // and the next call comes at once
	}
}
