package rtmp

import (
	"bufio"
	"bytes"
	"encoding/binary"
	"errors"
	"net"
	"sync"
	"time"
)

const (
	// outChunk is the chunk size we send with: nearly every message is one
	// chunk.
	outChunk = 64 << 10
	// ackWindow is the window we announce and keep to until told otherwise.
	ackWindow = 2500000
	// spareLimit is the largest output buffer that is kept for the next use.
	spareLimit = 256 << 10
)

// User control events (RTMP 1.0, section 7.1.7).
const (
	eventStreamBegin  = 0
	eventStreamEOF    = 1
	eventPingRequest  = 6
	eventPingResponse = 7
)

var errWriteClosed = errors.New("rtmp: connection closed")

// conn is one RTMP connection after its handshake.
//
// Messages are appended whole to out under mu and written by one goroutine at a
// time, writeLoop or (see direct) whoever appends, so nobody who sends waits for
// the network and answers of the reader never stand inside another message. Who
// sends media looks at backlog first, and answers end the connection of a peer
// that reads none of them: that bounds out.
type conn struct {
	nc           net.Conn
	in           *chunkReader
	window       uint32
	acked        uint32
	parts        []message // of an aggregate
	writeTimeout time.Duration

	mu      sync.Mutex
	out     chunkWriter
	spare   []byte
	writing time.Time // when the write under way began, zero if none is
	under   int       // bytes of it that are not written yet
	answers int       // bytes of out that are no media
	written time.Time // when the last one ended
	spacing time.Duration
	direct  *direct // nil: only the writeLoop writes
	err     error   // of writing
	closing bool
	finish  bool          // hang up when out has been written
	idle    chan struct{} // closed when out has been written, if somebody waits
	sent    uint64

	wake chan struct{}
	stop sync.Once
	quit chan struct{}
	done chan struct{} // writeLoop has ended
}

// newConn returns a connection and starts its writeLoop. close ends it.
func newConn(nc net.Conn, r *bufio.Reader, limit int, writeTimeout time.Duration) *conn {
	c := &conn{
		nc: nc, in: newChunkReader(r, limit), window: ackWindow, writeTimeout: writeTimeout,
		wake: make(chan struct{}, 1), quit: make(chan struct{}), done: make(chan struct{}),
	}
	c.out.size = defaultChunk
	go c.writeLoop()
	return c
}

// writeLoop writes what was appended. A write that fails, or of which a portion
// does not end in time, ends the connection.
func (c *conn) writeLoop() {
	defer close(c.done)
	timer := time.NewTimer(0)
	defer timer.Stop()
	for {
		select {
		case <-c.wake:
		case <-c.quit:
			return
		}
		if d := c.gathering(); d > 0 {
			timer.Reset(d)
			select {
			case <-timer.C:
			case <-c.quit:
				return
			}
		}
		for {
			buf, ok := c.nextWrite()
			if !ok {
				break
			}
			err := c.write(buf)
			c.wrote(buf, err)
			if err != nil {
				_ = c.nc.Close()
				return
			}
			c.undoDeadline()
		}
	}
}

// writePortion is what a peer must take within writeTimeout, in bytes: one that
// is slow is not dead.
const writePortion = 32 << 10

// write writes buf, portion by portion.
func (c *conn) write(buf []byte) error {
	for len(buf) > 0 {
		if err := c.nc.SetWriteDeadline(time.Now().Add(c.writeTimeout)); err != nil {
			return err
		}
		n, err := c.nc.Write(buf[:min(len(buf), writePortion)])
		c.mu.Lock()
		c.sent += uint64(n)
		c.under -= n
		c.mu.Unlock()
		if err != nil {
			return err
		}
		buf = buf[n:]
	}
	return nil
}

// gathering is how long to wait for more before the next write.
func (c *conn) gathering() time.Duration {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.spacing == 0 || c.finish || c.closing || c.idle != nil {
		return 0
	}
	return c.spacing - time.Since(c.written)
}

// nextWrite takes the appended bytes.
func (c *conn) nextWrite() ([]byte, bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if len(c.out.buf) == 0 {
		c.wakeWaiter()
		if c.finish {
			c.hangUp()
		}
		return nil, false
	}
	buf := c.out.buf
	c.out.buf, c.spare = c.spare, nil
	c.writing, c.under, c.answers = time.Now(), len(buf), 0
	if c.direct != nil {
		c.direct.waits = false
	}
	return buf, true
}

// hangUp ends our direction and gives the peer a second to end its own.
func (c *conn) hangUp() {
	c.finish, c.closing = false, true
	if half, ok := c.nc.(interface{ CloseWrite() error }); ok {
		_ = half.CloseWrite()
	}
	_ = c.nc.SetReadDeadline(time.Now().Add(time.Second))
}

// closeWhenWritten ends the connection, for the reader too, once all that was
// appended has been written.
func (c *conn) closeWhenWritten() {
	c.mu.Lock()
	c.finish = true
	c.end()
}

func (c *conn) wrote(buf []byte, err error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.writing, c.written, c.under = time.Time{}, time.Now(), 0
	if cap(buf) <= spareLimit {
		c.spare = buf[:0]
	}
	if err != nil && c.err == nil {
		c.err = err
		c.wakeWaiter()
	}
}

func (c *conn) wakeWaiter() {
	if c.idle != nil {
		close(c.idle)
		c.idle = nil
	}
}

// begin locks the output for one or more messages; end unlocks it and has
// them written. Between them out is the caller's.
func (c *conn) begin() error {
	c.mu.Lock()
	err := c.err
	if err == nil && c.closing {
		err = errWriteClosed
	}
	if err != nil {
		c.mu.Unlock()
	}
	return err
}

func (c *conn) end() { c.endAfter(c.spacing) }

// endAfter is end with a spacing of its own.
func (c *conn) endAfter(spacing time.Duration) {
	left := c.writeDirect(spacing)
	c.mu.Unlock()
	if left {
		c.signal()
	}
}

// signal wakes the writeLoop.
func (c *conn) signal() {
	select {
	case c.wake <- struct{}{}:
	default:
	}
}

// maxAnswers bounds the bytes that wait of what is not media: a peer that asks
// and does not read the answers is no peer.
const maxAnswers = 1 << 20

// send appends one message that is not media.
func (c *conn) send(csid, kind byte, stream, time uint32, payload []byte) error {
	if err := c.begin(); err != nil {
		return err
	}
	defer c.end()
	if c.answers > maxAnswers {
		return protocolError("the peer does not read what it asked for")
	}
	before := len(c.out.buf)
	c.out.message(csid, kind, stream, time, payload)
	c.answers += len(c.out.buf) - before
	return nil
}

// command appends a command message.
func (c *conn) command(stream uint32, vals ...any) error {
	return c.send(csidCommand, kindCommand, stream, 0, encodeAMF(vals...))
}

// control appends a protocol control message of 32-bit values.
func (c *conn) control(kind byte, vals ...uint32) error {
	var b []byte
	for _, v := range vals {
		b = binary.BigEndian.AppendUint32(b, v)
	}
	return c.send(csidControl, kind, 0, 0, b)
}

// event appends a user control message.
func (c *conn) event(event uint16, data uint32) error {
	b := binary.BigEndian.AppendUint16(nil, event)
	return c.send(csidControl, kindUserControl, 0, 0, binary.BigEndian.AppendUint32(b, data))
}

// setChunk announces outChunk and keeps to it from then on.
func (c *conn) setChunk() error {
	if err := c.begin(); err != nil {
		return err
	}
	c.out.message(csidControl, kindSetChunkSize, 0, 0, binary.BigEndian.AppendUint32(nil, outChunk))
	c.out.size = outChunk
	c.end()
	return nil
}

// backlog returns the bytes that wait to be written, those of the write under
// way among them, and for how long that has lasted. The caller holds the lock of
// begin.
func (c *conn) backlog() (int, time.Duration) {
	if c.writing.IsZero() {
		return len(c.out.buf), 0
	}
	return c.under + len(c.out.buf), time.Since(c.writing)
}

// bytesSent returns the bytes written so far.
func (c *conn) bytesSent() uint64 {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.sent
}

// flush waits until all that was appended has been written, at most limit.
func (c *conn) flush(limit time.Duration) {
	c.mu.Lock()
	if c.err != nil || len(c.out.buf) == 0 && c.writing.IsZero() {
		c.mu.Unlock()
		return
	}
	if c.idle == nil {
		c.idle = make(chan struct{})
	}
	idle := c.idle
	c.mu.Unlock()
	c.signal()
	t := time.NewTimer(limit)
	defer t.Stop()
	select {
	case <-idle:
	case <-t.C:
	case <-c.done:
	}
}

// close ends the connection and its writeLoop, and waits for the latter. It
// may be called more than once and from any goroutine.
func (c *conn) close() {
	c.mu.Lock()
	c.closing = true
	if c.direct != nil {
		c.direct.late.Stop()
	}
	c.mu.Unlock()
	// First of all: a TLS connection would wait for the write under way.
	_ = c.nc.SetWriteDeadline(time.Unix(1, 0))
	_ = c.nc.Close()
	c.stop.Do(func() { close(c.quit) })
	<-c.done
}

// read returns the next message that concerns the layers above. Protocol
// control messages are dealt with on the way.
func (c *conn) read() (message, error) {
	for {
		m, err := c.nextMessage()
		if err != nil {
			return message{}, err
		}
		if err := c.acknowledge(); err != nil {
			return message{}, err
		}
		passOn, err := c.protocol(m)
		if err != nil {
			return message{}, err
		}
		if passOn {
			return m, nil
		}
	}
}

func (c *conn) nextMessage() (message, error) {
	for {
		if len(c.parts) > 0 {
			m := c.parts[0]
			c.parts = c.parts[1:]
			return m, nil
		}
		m, err := c.in.read()
		if err != nil || m.kind != kindAggregate {
			return m, err
		}
		if c.parts, err = splitAggregate(m); err != nil {
			return message{}, err
		}
	}
}

// acknowledge tells the peer what arrived, once for each half of its window
// (RTMP 1.0, section 5.4.3: before it is used up).
func (c *conn) acknowledge() error {
	if c.in.total-c.acked < c.window/2 {
		return nil
	}
	c.acked = c.in.total
	return c.control(kindAck, c.acked)
}

// protocol handles a protocol control message and tells whether m concerns
// the layers above.
func (c *conn) protocol(m message) (passOn bool, err error) {
	switch m.kind {
	case kindSetChunkSize, kindAbort, kindWindowAckSize, kindPeerBandwidth:
		if len(m.payload) < 4 {
			return false, protocolError("control message of %d bytes", len(m.payload))
		}
		c.parameter(m.kind, binary.BigEndian.Uint32(m.payload))
		if m.kind == kindSetChunkSize && c.in.size < 1 {
			return false, protocolError("chunk size of %d", c.in.size)
		}
	case kindAck:
	case kindUserControl:
		if len(m.payload) >= 6 && binary.BigEndian.Uint16(m.payload) == eventPingRequest {
			return false, c.event(eventPingResponse, binary.BigEndian.Uint32(m.payload[2:]))
		}
		return len(m.payload) >= 2, nil
	case kindAudio, kindVideo, kindData, kindDataAMF3, kindCommand, kindCommandAMF3:
		return true, nil
	}
	return false, nil
}

func (c *conn) parameter(kind byte, v uint32) {
	switch kind {
	case kindSetChunkSize:
		c.in.size = int(v & 0x7fffffff)
	case kindAbort:
		c.in.abort(v)
	case kindWindowAckSize:
		// A window of a few bytes would have us acknowledge every one.
		c.window = max(v, 4096)
	}
}

// splitAggregate takes an aggregate message (RTMP 1.0, section 7.1.6) apart:
// FLV tags one after another, whose times count from that of the first.
func splitAggregate(m message) ([]message, error) {
	const head, tail, maxParts = 11, 4, 4096
	var parts []message
	var first uint32
	for b := m.payload; len(b) > 0; {
		if len(b) < head {
			return nil, protocolError("aggregate message cut short")
		}
		n := int(b[1])<<16 | int(b[2])<<8 | int(b[3])
		t := uint32(b[7])<<24 | uint32(b[4])<<16 | uint32(b[5])<<8 | uint32(b[6])
		if len(b) < head+n {
			return nil, protocolError("aggregate message cut short")
		}
		if parts == nil {
			first = t
		}
		if len(parts) == maxParts {
			return nil, protocolError("aggregate message of more than %d parts", maxParts)
		}
		if kind := b[0]; kind == kindAudio || kind == kindVideo || kind == kindData {
			parts = append(parts, message{
				kind: kind, stream: m.stream, time: m.time + t - first,
				// Not a part of the message: who keeps one part would keep all.
				payload: bytes.Clone(b[head : head+n]),
			})
		}
		b = b[min(head+n+tail, len(b)):]
	}
	return parts, nil
}
