package sipnet

import (
	"bufio"
	"io"
	"net"
	"strings"
	"testing"
	"time"
)

// tcpPeer speaks bytes over a connection and reads messages.
type tcpPeer struct {
	net.Conn
	r *bufio.Reader
}

func rawTCP(t testing.TB, e *Endpoint) *tcpPeer {
	t.Helper()
	c, err := net.Dial("tcp", e.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	return newPeer(c)
}

func newPeer(c net.Conn) *tcpPeer { return &tcpPeer{c, bufio.NewReader(c)} }

func (p *tcpPeer) send(t testing.TB, text string) {
	t.Helper()
	p.SetWriteDeadline(time.Now().Add(patience))
	if _, err := io.WriteString(p, text); err != nil {
		t.Fatal(err)
	}
}

// read returns one message, as text.
func (p *tcpPeer) read(t testing.TB) string {
	t.Helper()
	p.SetReadDeadline(time.Now().Add(patience))
	var b strings.Builder
	for {
		line, err := p.r.ReadString('\n')
		if err != nil {
			t.Fatalf("after %q: %v", b.String(), err)
		}
		b.WriteString(line)
		if line == "\r\n" {
			break
		}
	}
	n, err := contentLength(b.String())
	if err != nil || n < 0 {
		t.Fatalf("Content-Length: %v in %q", err, b.String())
	}
	body := make([]byte, n)
	if _, err := io.ReadFull(p.r, body); err != nil {
		t.Fatal(err)
	}
	return b.String() + string(body)
}

// closed waits for the peer to end the connection.
func (p *tcpPeer) closed(t testing.TB) {
	t.Helper()
	p.SetReadDeadline(time.Now().Add(patience))
	if rest, err := io.ReadAll(p.r); err != nil && !strings.Contains(err.Error(), "reset") || len(rest) > 0 {
		t.Fatalf("not closed: %q, %v", rest, err)
	}
}
