package rtmp

import (
	"bufio"
	"crypto/rand"
	"io"
	"net"

	"github.com/notedit/rtmp/format/rtmp"
)

// handshakeBytes is the size of C1, C2, S1 and S2 (RTMP 1.0, section 5.2).
const handshakeBytes = 1536

// handshakeRW lets the library write its part of the handshake straight to
// the connection.
type handshakeRW struct {
	*bufio.Reader
	net.Conn
}

func (h handshakeRW) Read(p []byte) (int, error) { return h.Reader.Read(p) }
func (h handshakeRW) Flush() error               { return nil }

// clientHandshake does the client's handshake: the one with digests, which
// some servers insist on, and the plain one with the others.
func clientHandshake(nc net.Conn, r *bufio.Reader) error {
	return rtmp.NewConn(handshakeRW{r, nc}).Prepare(rtmp.StageHandshakeDone, 0)
}

// serverHandshake does the server's plain handshake.
func serverHandshake(nc net.Conn, r *bufio.Reader) error {
	var c [1 + handshakeBytes]byte
	if _, err := io.ReadFull(r, c[:]); err != nil {
		return err
	}
	if c[0] != 3 {
		return protocolError("version %d", c[0])
	}
	var s [1 + 2*handshakeBytes]byte
	s[0] = 3
	// S1: time and version zero, which says "no digests"; S2 repeats C1.
	if _, err := rand.Read(s[9 : 1+handshakeBytes]); err != nil {
		return err
	}
	copy(s[1+handshakeBytes:], c[1:])
	if _, err := nc.Write(s[:]); err != nil {
		return err
	}
	_, err := io.ReadFull(r, c[:handshakeBytes])
	return err
}
