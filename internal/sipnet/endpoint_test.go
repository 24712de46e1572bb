package sipnet

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/emiago/sipgo/sip"
	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// patience bounds every wait of the tests.
const patience = 10 * time.Second

var loopback = netip.MustParseAddrPort("127.0.0.1:0")

// start runs e on loopback until the test ends.
func start(t testing.TB, e *Endpoint) *Endpoint {
	t.Helper()
	if !e.Listen.IsValid() {
		e.Listen = loopback
	}
	if err := e.Start(context.Background()); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { e.Close() })
	return e
}

// newRequest makes a request as package trunk does, without Via.
func newRequest(method sip.RequestMethod, callID string) *sip.Request {
	req := sip.NewRequest(method, sip.Uri{Scheme: "sip", User: "bob", Host: "example.com"})
	from := &sip.FromHeader{Address: sip.Uri{Scheme: "sip", User: "alice", Host: "example.com"}}
	from.Params.Add("tag", "from-"+callID)
	req.AppendHeader(from)
	req.AppendHeader(&sip.ToHeader{Address: sip.Uri{Scheme: "sip", User: "bob", Host: "example.com"}})
	id := sip.CallIDHeader(callID)
	req.AppendHeader(&id)
	req.AppendHeader(&sip.CSeqHeader{SeqNo: 1, MethodName: method})
	return req
}

// get waits for a value of c.
func get[T any](t testing.TB, c <-chan T, what string) T {
	t.Helper()
	select {
	case v, ok := <-c:
		if !ok {
			t.Fatalf("%s: channel closed", what)
		}
		return v
	case <-time.After(patience):
		t.Fatalf("%s: nothing came", what)
	}
	panic("unreachable")
}

// ended waits for c to be closed.
func ended(t testing.TB, c <-chan struct{}, what string) {
	t.Helper()
	select {
	case <-c:
	case <-time.After(patience):
		t.Fatalf("%s: no end", what)
	}
}

// answer is a user that answers everything with code.
func answer(code int) func(*sip.Request, *ServerTx) {
	return func(_ *sip.Request, tx *ServerTx) {
		if tx != nil {
			tx.Respond(tx.NewResponse(code, "", nil))
		}
	}
}

func TestRequestAndResponse(t *testing.T) {
	for _, transport := range []string{"udp", "tcp"} {
		for _, method := range []sip.RequestMethod{sip.OPTIONS, sip.INVITE} {
			for _, code := range []int{200, 486} {
				t.Run(fmt.Sprint(transport, " ", method, " ", code), func(t *testing.T) {
					got := make(chan *sip.Request, 4)
					server := start(t, &Endpoint{OnRequest: func(req *sip.Request, tx *ServerTx) {
						got <- req
						answer(code)(req, tx)
					}})
					client := start(t, &Endpoint{})
					to := Target{Transport: transport, Addr: server.Addr()}
					tx, err := client.Request(context.Background(), newRequest(method, "a"), to)
					if err != nil {
						t.Fatal(err)
					}
					res := get(t, tx.Responses(), "response")
					if res.StatusCode != code {
						t.Fatalf("status %d", res.StatusCode)
					}
					if tag, _ := res.To().Params.Get("tag"); tag == "" {
						t.Error("no To tag")
					}
					if _, more := <-tx.Responses(); more || tx.Err() != nil {
						t.Errorf("more responses, or error %v", tx.Err())
					}
					if transport == "tcp" && (method != sip.INVITE || code != 200) {
						select { // timers D and K are zero
						case <-tx.Done():
						case <-time.After(2 * time.Second):
							t.Error("the transaction lingers")
						}
					}
					req := get(t, got, "request")
					if want := strings.ToUpper(transport); req.Transport() != want {
						t.Errorf("transport %s", req.Transport())
					}
					via := req.Via()
					if via.Host != "127.0.0.1" || via.Port != int(client.Addr().Port()) {
						t.Errorf("Via sent-by %s:%d, listening on %s", via.Host, via.Port, client.Addr())
					}
					if rport, _ := via.Params.Get("rport"); !strings.HasSuffix(req.Source(), ":"+rport) {
						t.Errorf("rport %q, source %s", rport, req.Source())
					}
				})
			}
		}
	}
}

// rawUDP is a peer that speaks bytes.
func rawUDP(t testing.TB, e *Endpoint) *net.UDPConn {
	t.Helper()
	c, err := net.DialUDP("udp", nil, net.UDPAddrFromAddrPort(e.Addr()))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	return c
}

// askUDP sends a request again each T1 until its response comes (RFC 3261
// section 17.1.2.2): a retransmission that meets the response on its way out
// is answered by that one alone.
func askUDP(t testing.TB, c *net.UDPConn, request string) string {
	t.Helper()
	buf := make([]byte, 65536)
	for end := time.Now().Add(patience); time.Now().Before(end); {
		c.Write([]byte(request))
		c.SetReadDeadline(time.Now().Add(t1))
		n, err := c.Read(buf)
		if err == nil {
			return string(buf[:n])
		}
		if !errors.Is(err, os.ErrDeadlineExceeded) {
			t.Fatal(err)
		}
	}
	t.Fatalf("no response within %v", patience)
	return ""
}

func readUDP(t testing.TB, c *net.UDPConn) string {
	t.Helper()
	buf := make([]byte, 65536)
	c.SetReadDeadline(time.Now().Add(patience))
	n, err := c.Read(buf)
	if err != nil {
		t.Fatal(err)
	}
	return string(buf[:n])
}
