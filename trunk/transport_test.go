package trunk

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"fmt"
	"math/big"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/emiago/sipgo/sip"

	"github.com/trunkcast/trunkcast/trunk/trunktest"
)

// Who is in LocalNets sees the local address, everyone else the public one, in
// Via, Contact and SDP.
func TestAddresses(t *testing.T) {
	loopback := []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8")}
	for _, tt := range []struct {
		name       string
		cfg        Config
		sip, media string
	}{
		{"local", Config{}, "127.0.0.1", "127.0.0.1"},
		{"public", Config{PublicAddress: "203.0.113.5"}, "203.0.113.5", "203.0.113.5"},
		{"media apart", Config{PublicAddress: "203.0.113.5", MediaAddress: "203.0.113.6"}, "203.0.113.5", "203.0.113.6"},
		{"media only", Config{MediaAddress: "203.0.113.6"}, "127.0.0.1", "203.0.113.6"},
		{"local nets", Config{PublicAddress: "203.0.113.5", LocalNets: loopback}, "127.0.0.1", "127.0.0.1"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			p := trunktest.NewPeer(t, "udp")
			s := serverFor(t, p, tt.cfg)
			done := dialled(context.Background(), s, &trunktest.Negotiator{}, DialOptions{Number: "1"})
			req := p.Request("INVITE")
			at := fmt.Sprintf("%s:%d", tt.sip, addrOfServer(s).Port())
			if !strings.Contains(req.Header("Via"), " "+at+";") || !strings.Contains(req.Header("Contact"), "@"+at+">") {
				t.Errorf("Via %q, Contact %q, want %s", req.Header("Via"), req.Header("Contact"), at)
			}
			if c := s.Calls()[0]; c.MediaAddr().String() != tt.media {
				t.Errorf("media at %s", c.MediaAddr())
			}
			p.Response(req, 486, "x", "", "")
			<-done
		})
	}
}

func TestBehindNAT(t *testing.T) {
	for _, tt := range []struct {
		named, seen string
		want        bool
	}{
		{"192.168.1.2", "203.0.113.5", true},
		{"0.0.0.0", "203.0.113.5", true},
		{"127.0.0.1", "203.0.113.5", true},
		{"fd00::1", "2001:db8::1", true},
		{"192.168.1.2", "192.168.1.2", false},
		{"192.168.1.2", "10.0.0.1", false}, // a proxy in the same site
		{"198.51.100.1", "203.0.113.5", false},
		{"203.0.113.5", "192.168.1.2", false},
	} {
		if got := behindNAT(netip.MustParseAddr(tt.named), netip.MustParseAddr(tt.seen)); got != tt.want {
			t.Errorf("%s seen as %s: %v", tt.named, tt.seen, got)
		}
	}
}

// A Contact with an address that cannot be reached, or none at all by name: our
// requests go where those of the peer come from.
func TestContactUnreachable(t *testing.T) {
	for _, contact := range []string{"<sip:x@0.0.0.0:9>", "<sip:x@no.such.host.invalid>"} {
		t.Run(contact, func(t *testing.T) {
			calls := make(chan *Call, 1)
			s := &Server{Handler: answering(&trunktest.Negotiator{}, calls)}
			s.resolver.DNS = &fakeDNS{}
			serve(t, s)
			p := trunktest.NewPeer(t, "udp")
			leg := p.NewLeg(addrOfServer(s), "1")
			leg.Request("INVITE", "Contact: "+contact+"\r\n", trunktest.Offer)
			leg.Expect("INVITE", 200)
			leg.ACK("")
			go get(t, calls, "call").Hangup(context.Background(), "")
			bye := leg.Await("BYE")
			if "<"+bye.URI()+">" != contact {
				t.Errorf("%s", bye.Line)
			}
			p.Response(bye, 200, "", "", "")
		})
	}
}

// Large requests go by TCP where that is wanted.
func TestLargeRequests(t *testing.T) {
	got := make(chan string, 1)
	b := serve(t, &Server{Handler: HandlerFunc(func(_ context.Context, c *Call) { got <- c.Request().Transport() })})
	for policy, want := range map[string]string{"": "UDP", "tcp": "TCP"} {
		a := serve(t, &Server{Trunks: []Config{{RemotePort: int(addrOfServer(b).Port()), LargeRequests: policy}}})
		o := DialOptions{Number: "1", Headers: []sip.Header{sip.NewHeader("X-Large", strings.Repeat("x", 4000))}}
		if _, err := a.list[0].Dial(context.Background(), &trunktest.Negotiator{}, o); err == nil {
			t.Error("answered")
		}
		if transport := get(t, got, "call"); transport != want {
			t.Errorf("%q goes over %s", policy, transport)
		}
	}
}

// A call over TLS, between two servers of this package.
func TestTLS(t *testing.T) {
	cert, key := certificate(t)
	calls := make(chan *Call, 1)
	b := serveOnFreePort(t, func(port int) *Server {
		return &Server{
			Trunks:  []Config{{TLSCert: cert, TLSKey: key, TLSPort: port}},
			Handler: answering(&syncNegotiator{}, calls),
		}
	})
	tlsPort := b.list[0].Config().TLSPort
	a := serve(t, &Server{Trunks: []Config{{RemotePort: tlsPort, Transport: "tls", TLSCA: cert}}})
	c, err := a.list[0].Dial(context.Background(), &trunktest.Negotiator{}, DialOptions{Number: "1"})
	if err != nil {
		t.Fatal(err)
	}
	in := get(t, calls, "call")
	if got := in.Request().Transport(); got != "TLS" {
		t.Errorf("transport %s", got)
	}
	if err := in.Renegotiate(context.Background()); err != nil {
		t.Error(err)
	}
	if err := in.Hangup(context.Background(), ""); err != nil {
		t.Error(err)
	}
	endOf(t, c)
	if n := a.sockets[0].ep.Stats().Connections; n != 1 {
		t.Errorf("%d connections", n)
	}
	// Whom we do not trust is not called.
	d := serve(t, &Server{Trunks: []Config{{RemotePort: tlsPort, Transport: "tls"}}})
	if _, err := d.list[0].Dial(context.Background(), &trunktest.Negotiator{}, DialOptions{Number: "1"}); err == nil {
		t.Error("a certificate of nobody was taken")
	}
}

// certificate writes a certificate for 127.0.0.1 and names that is its own authority.
func certificate(t *testing.T, names ...string) (certFile, keyFile string) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "test"},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
		DNSNames: names, IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)}, IsCA: true, BasicConstraintsValid: true,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	if err != nil {
		t.Fatal(err)
	}
	pkcs8, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	certFile, keyFile = filepath.Join(dir, "cert.pem"), filepath.Join(dir, "key.pem")
	write := func(name, typ string, b []byte) {
		if err := os.WriteFile(name, pem.EncodeToMemory(&pem.Block{Type: typ, Bytes: b}), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	write(certFile, "CERTIFICATE", der)
	write(keyFile, "PRIVATE KEY", pkcs8)
	return certFile, keyFile
}
