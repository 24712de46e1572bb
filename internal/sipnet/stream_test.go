package sipnet

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"math/big"
	"net"
	"net/netip"
	"os"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/emiago/sipgo/sip"
)

func TestKeepAlive(t *testing.T) {
	e := start(t, &Endpoint{OnRequest: answer(200)})
	c := rawTCP(t, e)
	c.send(t, "\r\n\r\n")
	pong := make([]byte, 2)
	c.SetReadDeadline(time.Now().Add(patience))
	if _, err := io.ReadFull(c, pong); err != nil || string(pong) != "\r\n" {
		t.Errorf("got %q, %v", pong, err)
	}
	c.send(t, "\r\n"+probe("tcp", "1")) // a lone one gets none
	if res := c.read(t); !strings.HasPrefix(res, "SIP/2.0 200 ") {
		t.Errorf("got %q", res)
	}
}

// A message that does not end in time is answered and given up; with it a
// connection that never carried one.
func TestIncompleteMessage(t *testing.T) {
	e := start(t, &Endpoint{OnRequest: answer(200), Limits: Limits{MessageTime: 100 * time.Millisecond}})
	whole := probe("tcp", "1")
	partial := strings.Replace(probe("tcp", "2"), "Content-Length: 0", "Content-Length: 9999", 1) + "v=0\r\n"

	c := rawTCP(t, e)
	c.send(t, whole)
	c.read(t)
	c.send(t, partial)
	if res := c.read(t); !strings.HasPrefix(res, "SIP/2.0 400 ") || !strings.Contains(res, "in time") {
		t.Errorf("got %s", res)
	}
	c.SetReadDeadline(time.Now().Add(300 * time.Millisecond)) // it stays open
	if b, err := c.r.Peek(1); !errors.Is(err, os.ErrDeadlineExceeded) {
		t.Errorf("got %q, %v", b, err)
	}
	c.send(t, "a=sendrecv\r\n"+probe("tcp", "3"))
	if res := c.read(t); !strings.HasPrefix(res, "SIP/2.0 200 ") {
		t.Errorf("then %s", res)
	}
	for range maxAbandoned {
		c.send(t, partial)
		c.read(t)
	}
	c.closed(t)

	c = rawTCP(t, e)
	c.send(t, "INVITE sip:slow")
	c.closed(t)
}

func TestIdleConnections(t *testing.T) {
	e := start(t, &Endpoint{OnRequest: answer(200),
		Limits: Limits{FirstByte: 50 * time.Millisecond, Idle: time.Second}})
	begun := time.Now()
	if rawTCP(t, e).closed(t); time.Since(begun) > 700*time.Millisecond {
		t.Errorf("without a byte closed after %v", time.Since(begun))
	}
	c := rawTCP(t, e)
	c.send(t, probe("tcp", "1"))
	c.read(t)
	begun = time.Now()
	if c.closed(t); time.Since(begun) < 800*time.Millisecond {
		t.Errorf("closed after %v", time.Since(begun))
	}
	poll(t, func() bool { return e.Stats().Connections == 0 })
}

// What is glued into one segment, or cut anywhere, reaches the user in order.
func TestOrderOnAConnection(t *testing.T) {
	const rounds = 300
	got := make(chan string, 4*rounds)
	e := start(t, &Endpoint{Limits: Limits{PendingPerCID: rounds}, OnRequest: func(req *sip.Request, tx *ServerTx) {
		got <- fmt.Sprint(req.CSeq().SeqNo)
	}})
	c := rawTCP(t, e)
	var all, want strings.Builder
	for i := range rounds {
		method := []string{"ACK", "INFO", "BYE"}[i%3]
		text := strings.NewReplacer("OPTIONS", method, "CSeq: 1 ", fmt.Sprintf("CSeq: %d ", i+1),
			"Call-ID: "+fmt.Sprint(i), "Call-ID: one").Replace(probe("tcp", fmt.Sprint(i)))
		all.WriteString(text)
		fmt.Fprintf(&want, "%d ", i+1)
	}
	// In pieces of ever other sizes.
	go func() {
		rest := all.String()
		for size := 1; rest != ""; size = (size*7 + 3) % 1500 {
			n := min(len(rest), size+1)
			io.WriteString(c, rest[:n])
			rest = rest[n:]
		}
	}()
	var order strings.Builder
	for range rounds {
		order.WriteString(get(t, got, "request") + " ")
	}
	if order.String() != want.String() {
		t.Errorf("got %s", order.String())
	}
}

// A dialog's next request goes over the connection its peer opened, also when
// no such port is listened on.
func TestFlowIsReused(t *testing.T) {
	flows := make(chan *Flow, 1)
	e := start(t, &Endpoint{OnRequest: func(_ *sip.Request, tx *ServerTx) {
		answer(200)(nil, tx)
		flows <- tx.Flow()
	}})
	c := rawTCP(t, e)
	c.send(t, probe("tcp", "1"))
	c.read(t)
	flow := get(t, flows, "flow")
	if flow.Remote() != addrOf(c.LocalAddr()) || flow.Local() != e.Addr() || !flow.Alive() {
		t.Errorf("flow %v %v %v", flow.Remote(), flow.Local(), flow.Alive())
	}
	to := Target{Flow: flow, Transport: "tcp", Addr: netip.MustParseAddrPort("127.0.0.1:1")}
	tx, err := e.Request(context.Background(), newRequest(sip.BYE, "a"), to)
	if err != nil {
		t.Fatal(err)
	}
	bye := c.read(t)
	if !strings.HasPrefix(bye, "BYE ") || !strings.HasPrefix(line(bye, "Via: "), "SIP/2.0/TCP "+e.Addr().String()) {
		t.Errorf("got %s", bye)
	}
	c.send(t, reply(t, bye, 200))
	if res := get(t, tx.Responses(), "response"); res.StatusCode != 200 {
		t.Errorf("got %v", res)
	}

	// When it is gone, what waits on it ends, and a new one is made.
	tx, err = e.Request(context.Background(), newRequest(sip.INFO, "b"), to)
	if err != nil {
		t.Fatal(err)
	}
	c.read(t)
	c.Close()
	ended(t, tx.Done(), "transaction on a lost connection")
	if !errors.Is(tx.Err(), ErrTransport) {
		t.Errorf("got %v", tx.Err())
	}
	if flow.Alive() {
		t.Error("flow alive")
	}
	if _, err := e.Request(context.Background(), newRequest(sip.INFO, "c"), to); !errors.Is(err, ErrTransport) {
		t.Errorf("nobody listens: %v", err)
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	to.Addr = addrOf(l.Addr())
	if _, err := e.Request(context.Background(), newRequest(sip.INFO, "d"), to); err != nil {
		t.Fatal(err)
	}
	fresh, err := l.Accept()
	if err != nil {
		t.Fatal(err)
	}
	defer fresh.Close()
	if text := newPeer(fresh).read(t); !strings.HasPrefix(text, "INFO ") {
		t.Errorf("got %s", text)
	}
}

// A response whose connection is gone goes over a new one to the address in
// the Via header (RFC 3261 section 18.2.2).
func TestResponseOverANewConnection(t *testing.T) {
	release := make(chan struct{})
	e := start(t, &Endpoint{OnRequest: func(_ *sip.Request, tx *ServerTx) {
		<-release
		if err := tx.Respond(tx.NewResponse(200, "", nil)); err != nil {
			t.Error(err)
		}
	}})
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	c := rawTCP(t, e)
	c.send(t, strings.Replace(probe("tcp", "1"), "127.0.0.1:5060", l.Addr().String(), 1))
	poll(t, func() bool { return e.Stats().Received == 1 })
	c.Close()
	poll(t, func() bool { return e.Stats().Connections == 0 })
	close(release)
	back, err := l.Accept()
	if err != nil {
		t.Fatal(err)
	}
	defer back.Close()
	if res := newPeer(back).read(t); !strings.HasPrefix(res, "SIP/2.0 200 ") {
		t.Errorf("got %s", res)
	}
}

// A client that lost its connection sends again over a new one, and gets the
// answer there.
func TestRetransmissionOverANewConnection(t *testing.T) {
	e := start(t, &Endpoint{OnRequest: func(_ *sip.Request, tx *ServerTx) { tx.Respond(tx.NewResponse(486, "", nil)) }})
	invite := strings.NewReplacer("OPTIONS", "INVITE", "127.0.0.1:5060", "127.0.0.1:1").Replace(probe("tcp", "1"))
	for range 2 {
		c := rawTCP(t, e)
		c.send(t, invite)
		if res := c.read(t); !strings.HasPrefix(res, "SIP/2.0 486 ") {
			t.Errorf("got %s", res)
		}
		c.Close()
		poll(t, func() bool { return e.Stats().Connections == 0 })
	}
}

// Requests at the same time share one connection.
func TestOneConnectionForMany(t *testing.T) {
	server := start(t, &Endpoint{OnRequest: answer(200)})
	client := start(t, &Endpoint{})
	var wg sync.WaitGroup
	for i := range 50 {
		wg.Go(func() {
			tx, err := client.Request(context.Background(), newRequest(sip.OPTIONS, fmt.Sprint(i)),
				Target{Transport: "tcp", Addr: server.Addr()})
			if err != nil {
				t.Error(err)
				return
			}
			get(t, tx.Responses(), "response")
		})
	}
	wg.Wait()
	if s := server.Stats(); s.Connections != 1 {
		t.Errorf("%d connections", s.Connections)
	}
}

func TestConnectFails(t *testing.T) {
	client := start(t, &Endpoint{Limits: Limits{ConnectTime: 200 * time.Millisecond}})
	server := start(t, &Endpoint{OnRequest: answer(200)})
	nobody := netip.MustParseAddrPort("127.0.0.1:1")
	if _, err := client.Request(context.Background(), newRequest(sip.OPTIONS, "a"),
		Target{Transport: "tcp", Addr: nobody}); !errors.Is(err, ErrTransport) {
		t.Errorf("got %v", err)
	}
	// The next address of the name is tried.
	tx, err := client.Request(context.Background(), newRequest(sip.OPTIONS, "a"),
		Target{Transport: "tcp", Addr: nobody, Others: []netip.AddrPort{nobody, server.Addr()}})
	if err != nil {
		t.Fatal(err)
	}
	get(t, tx.Responses(), "response")

	// Somebody who accepts and says nothing ends a TLS connect in time.
	mute, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer mute.Close()
	begun := time.Now()
	_, err = client.Request(context.Background(), newRequest(sip.OPTIONS, "a"), Target{Transport: "tls", Addr: addrOf(mute.Addr())})
	if !errors.Is(err, ErrTransport) || time.Since(begun) > patience/2 {
		t.Errorf("after %v: %v", time.Since(begun), err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	if _, err = client.Request(ctx, newRequest(sip.OPTIONS, "a"), Target{Transport: "tls", Addr: addrOf(mute.Addr())}); !errors.Is(err, context.Canceled) {
		t.Errorf("got %v", err)
	}
	for _, to := range []Target{{}, {Transport: "sctp", Addr: nobody}, {Addr: netip.AddrPortFrom(nobody.Addr(), 0)}} {
		if _, err = client.Request(context.Background(), newRequest(sip.OPTIONS, "a"), to); !errors.Is(err, ErrTransport) {
			t.Errorf("%+v: %v", to, err)
		}
	}
}

// A server that ends each connection at once makes requests fail, and no loop.
func TestPeerClosesAtOnce(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			c.Close()
		}
	}()
	client := start(t, &Endpoint{})
	for i := range 200 {
		tx, err := client.Request(context.Background(), newRequest(sip.OPTIONS, fmt.Sprint(i)),
			Target{Transport: "tcp", Addr: addrOf(l.Addr())})
		if err == nil {
			ended(t, tx.Done(), "transaction")
			err = tx.Err()
		}
		if !errors.Is(err, ErrTransport) {
			t.Fatal(err)
		}
	}
	poll(t, func() bool { s := client.Stats(); return s.Connections == 0 && s.ClientTransactions == 0 })
}

// A peer that reads nothing costs its own connection, within WriteTime.
func TestSlowReader(t *testing.T) {
	body := make([]byte, 200<<10)
	e := start(t, &Endpoint{Limits: Limits{WriteTime: 3 * time.Second}, OnRequest: func(_ *sip.Request, tx *ServerTx) {
		if tx.Flow().Transport() == "udp" {
			answer(200)(nil, tx)
			return
		}
		tx.Respond(tx.NewResponse(200, "", body))
	}})
	slow, quick := rawTCP(t, e), rawUDP(t, e)
	slow.Conn.(*net.TCPConn).SetReadBuffer(4 << 10)
	go func() {
		for i := range 60 {
			if _, err := io.WriteString(slow, probe("tcp", fmt.Sprint("s", i))); err != nil {
				return
			}
		}
	}()
	for i := 0; e.Stats().Connections > 0 || i == 0; i++ {
		begun := time.Now()
		quick.Write([]byte(probe("udp", fmt.Sprint("q", i))))
		if readUDP(t, quick); time.Since(begun) > 2*time.Second {
			t.Errorf("the others waited %v", time.Since(begun))
		}
		time.Sleep(5 * time.Millisecond) // their pace
	}
	poll(t, func() bool { return e.Stats().Connections == 0 })
}

// authority signs certificates for a test.
type authority struct {
	cert *x509.Certificate
	key  *ecdsa.PrivateKey
	pool *x509.CertPool
}

func newAuthority(t *testing.T) *authority {
	t.Helper()
	a := &authority{pool: x509.NewCertPool()}
	a.cert, a.key = a.sign(t, &x509.Certificate{IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign})
	a.pool.AddCert(a.cert)
	return a
}

func (a *authority) sign(t *testing.T, template *x509.Certificate) (*x509.Certificate, *ecdsa.PrivateKey) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template.SerialNumber = big.NewInt(time.Now().UnixNano())
	template.NotBefore, template.NotAfter = time.Now().Add(-time.Hour), time.Now().Add(time.Hour)
	parent, signer := a.cert, a.key
	if parent == nil {
		parent, signer = template, key
	}
	der, err := x509.CreateCertificate(rand.Reader, template, parent, key.Public(), signer)
	if err != nil {
		t.Fatal(err)
	}
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	return cert, key
}

func (a *authority) server(t *testing.T, names ...string) tls.Certificate {
	t.Helper()
	template := &x509.Certificate{DNSNames: names, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth}}
	for _, name := range names {
		if ip := net.ParseIP(name); ip != nil {
			template.IPAddresses = append(template.IPAddresses, ip)
		}
	}
	cert, key := a.sign(t, template)
	return tls.Certificate{Certificate: [][]byte{cert.Raw}, PrivateKey: key}
}

func TestTLS(t *testing.T) {
	ca := newAuthority(t)
	var current atomic.Pointer[tls.Certificate]
	cert := ca.server(t, "pbx.example", "127.0.0.1")
	current.Store(&cert)
	names := make(chan string, 10)
	server := start(t, &Endpoint{
		TLSListen: loopback,
		TLS: &tls.Config{GetCertificate: func(hello *tls.ClientHelloInfo) (*tls.Certificate, error) {
			names <- hello.ServerName
			return current.Load(), nil
		}},
		OnRequest: answer(200),
	})
	if server.TLSAddr() == server.Addr() || !server.TLSAddr().IsValid() {
		t.Fatalf("listening on %s and %s", server.Addr(), server.TLSAddr())
	}
	request := func(client *Endpoint, host string, cfg *tls.Config) error {
		tx, err := client.Request(context.Background(), newRequest(sip.OPTIONS, "to-"+host),
			Target{Transport: "tls", Addr: server.TLSAddr(), Host: host, TLS: cfg})
		if err != nil {
			return err
		}
		res := get(t, tx.Responses(), "response")
		if tx.Flow().Transport() != "tls" || res.Via().Transport != "TLS" {
			t.Errorf("over %s: %v", tx.Flow().Transport(), res.Via())
		}
		return nil
	}
	client := start(t, &Endpoint{TLSClient: &tls.Config{RootCAs: ca.pool}})
	if err := request(client, "pbx.example", nil); err != nil {
		t.Error(err)
	}
	if name := get(t, names, "SNI"); name != "pbx.example" {
		t.Errorf("SNI %q", name)
	}
	if err := request(client, "", nil); err != nil { // by IP address
		t.Error(err)
	}
	var invalid x509.HostnameError
	if err := request(client, "other.example", nil); !errors.As(err, &invalid) || !errors.Is(err, ErrTransport) {
		t.Errorf("wrong name: %v", err)
	}
	var unknown x509.UnknownAuthorityError
	if err := request(client, "pbx.example", &tls.Config{}); !errors.As(err, &unknown) {
		t.Errorf("unknown authority: %v", err)
	}

	// A new certificate holds for new connections.
	cert2 := ca.server(t, "renewed.example")
	current.Store(&cert2)
	if err := request(client, "renewed.example", nil); err != nil {
		t.Error(err)
	}

	// What is no TLS ends its own connection.
	plain, err := net.Dial("tcp", server.TLSAddr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer plain.Close()
	io.WriteString(plain, probe("tls", "1"))
	plain.SetReadDeadline(time.Now().Add(patience))
	if _, err := io.Copy(io.Discard, plain); errors.Is(err, context.DeadlineExceeded) {
		t.Error("still open")
	}
}

func TestIPv6(t *testing.T) {
	e := &Endpoint{Listen: netip.MustParseAddrPort("[::1]:0"), OnRequest: answer(200)}
	if err := e.Start(context.Background()); err != nil {
		t.Skipf("no IPv6: %v", err)
	}
	defer e.Close()
	client := start(t, &Endpoint{Listen: netip.MustParseAddrPort("[::]:0")})
	for _, transport := range []string{"udp", "tcp"} {
		tx, err := client.Request(context.Background(), newRequest(sip.OPTIONS, "a"), Target{Transport: transport, Addr: e.Addr()})
		if err != nil {
			t.Fatal(err)
		}
		res := get(t, tx.Responses(), "response")
		if want := fmt.Sprintf(" [::1]:%d;", client.Addr().Port()); !strings.Contains(res.String(), want) {
			t.Errorf("no %q in %s", want, res)
		}
	}
	// A socket for both families reaches IPv4, and says so.
	four := start(t, &Endpoint{OnRequest: answer(200)})
	tx, err := client.Request(context.Background(), newRequest(sip.OPTIONS, "b"), Target{Addr: four.Addr()})
	if err != nil {
		t.Fatal(err)
	}
	if res := get(t, tx.Responses(), "response"); res.Via().Host != "127.0.0.1" {
		t.Errorf("Via %v", res.Via())
	}
}
