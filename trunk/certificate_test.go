package trunk

import (
	"crypto/tls"
	"log/slog"
	"net/netip"
	"os"
	"strings"
	"sync"
	"testing"
	"time"
)

// A certificate that is renewed is what the next peer gets, without a restart;
// half of one, or garbage, leaves the last one in force.
func TestCertificateRenewed(t *testing.T) {
	cert, key := certificate(t, "old.example")
	newCert, newKey := certificate(t, "new.example")
	var log lockedBuilder
	s := serveOnFreePort(t, func(port int) *Server {
		s := &Server{Trunks: []Config{{TLSCert: cert, TLSKey: key, TLSPort: port}}, Logger: slog.New(slog.NewTextHandler(&log, nil))}
		s.clock.certs = time.Nanosecond
		return s
	})
	at := netip.AddrPortFrom(netip.MustParseAddr("127.0.0.1"), uint16(s.list[0].Config().TLSPort)).String()
	name := func() string {
		t.Helper()
		c, err := tls.Dial("tcp4", at, &tls.Config{InsecureSkipVerify: true})
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		return c.ConnectionState().PeerCertificates[0].DNSNames[0]
	}
	replace := func(file, with string) {
		t.Helper()
		b := []byte("garbage")
		if with != "" {
			var err error
			if b, err = os.ReadFile(with); err != nil {
				t.Fatal(err)
			}
		}
		// As renewal programs do it; the old and the new one may be of one size
		// and of one tick of the clock.
		if err := os.WriteFile(file+".new", b, 0o600); err != nil {
			t.Fatal(err)
		}
		later := time.Now().Add(time.Second)
		if err := os.Chtimes(file+".new", later, later); err != nil {
			t.Fatal(err)
		}
		if err := os.Rename(file+".new", file); err != nil {
			t.Fatal(err)
		}
	}
	if got := name(); got != "old.example" {
		t.Fatalf("at first %s", got)
	}
	replace(cert, newCert)
	if got := name(); got != "old.example" {
		t.Errorf("with half of a new one: %s", got)
	}
	if !strings.Contains(log.String(), "certificate not read again") {
		t.Errorf("nothing in the log: %s", log.String())
	}
	replace(key, newKey)
	if got := name(); got != "new.example" {
		t.Errorf("renewed: %s", got)
	}
	replace(cert, "")
	if got := name(); got != "new.example" {
		t.Errorf("with garbage: %s", got)
	}
	if err := os.Remove(cert); err != nil {
		t.Fatal(err)
	}
	if got := name(); got != "new.example" {
		t.Errorf("without a file: %s", got)
	}
}

type lockedBuilder struct {
	mu sync.Mutex
	b  strings.Builder
}

func (l *lockedBuilder) Write(b []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(b)
}

func (l *lockedBuilder) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}
