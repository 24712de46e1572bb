//go:build linux

package peertest

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"encoding/pem"
	"math/big"
	"net"
	"strconv"
	"testing"
	"time"
)

// Stunnel is a TLS server before one without.
type Stunnel struct {
	Addr    string // 127.0.0.1:PORT
	CA      string // PEM file of the authority of its certificate
	Process *Process
}

// StartStunnel starts a stunnel that relays to an address. Its certificate, for
// 127.0.0.1, is its own authority.
func StartStunnel(t testing.TB, to string) *Stunnel {
	t.Helper()
	folder, port := t.TempDir(), Port(t)
	cert, key := selfSigned(t)
	s := &Stunnel{Addr: Loopback(port), CA: write(t, folder, "ca.pem", cert)}
	config := write(t, folder, "stunnel.conf", expand(
		"foreground = yes\npid =\n[tls]\naccept = 127.0.0.1:${PORT}\nconnect = ${TO}\ncert = ${CERT}\n",
		"PORT", strconv.Itoa(port), "TO", to, "CERT", write(t, folder, "cert.pem", cert+key)))
	s.Process = Start(t, "stunnel4", config)
	waitListening(t, s.Process, s.Addr)
	return s
}

// selfSigned makes a certificate for 127.0.0.1 and its key, both PEM.
func selfSigned(t testing.TB) (cert, key string) {
	t.Helper()
	private, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	c := &x509.Certificate{
		SerialNumber: big.NewInt(time.Now().UnixNano()), NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
		IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)}, IsCA: true, BasicConstraintsValid: true,
	}
	der, err := x509.CreateCertificate(rand.Reader, c, c, &private.PublicKey, private)
	if err != nil {
		t.Fatal(err)
	}
	keyDER, err := x509.MarshalPKCS8PrivateKey(private)
	if err != nil {
		t.Fatal(err)
	}
	return string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})),
		string(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: keyDER}))
}
