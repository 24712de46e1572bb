package rtmp

import (
	"net"
	"syscall"
	"time"
)

// A publisher's connection is written by whoever appends to it, as long as the
// kernel takes everything at once: waking the writeLoop costs more than the
// write. It takes over when the kernel does not.

// direct is what writing without waiting needs. Its fields are under the mutex
// of the conn.
type direct struct {
	raw   syscall.RawConn
	write func(fd uintptr) bool // made once: a closure for each write would allocate
	buf   []byte
	n     int         // of buf, written
	late  *time.Timer // wakes the writeLoop for what nobody wrote
	waits bool        // late is set for what is appended now
}

// space sets the shortest time between two writes: what is appended meanwhile
// goes out together, by the first append after that time or, where none comes,
// twice that time after the last write. A write costs several times what the
// bytes of a frame do. It is called once, before anything can wait.
func (c *conn) space(d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.spacing = d
	tcp, ok := c.nc.(*net.TCPConn)
	if !ok || !canTryWrite {
		return
	}
	raw, err := tcp.SyscallConn()
	if err != nil || tcp.SetWriteDeadline(time.Time{}) != nil {
		return
	}
	c.direct = &direct{raw: raw, late: time.AfterFunc(time.Hour, c.signal)}
	c.direct.late.Stop()
	c.direct.write = func(fd uintptr) bool {
		c.direct.n = tryWrite(fd, c.direct.buf)
		return true // never wait
	}
}

// writeDirect writes what was appended, if the last write was so long ago. It
// tells whether there is work for the writeLoop. The mutex is held.
func (c *conn) writeDirect(spacing time.Duration) (left bool) {
	d := c.direct
	if d == nil || c.finish || c.closing || c.idle != nil || c.err != nil {
		return true
	}
	if !c.writing.IsZero() || len(c.out.buf) == 0 {
		return false // the writeLoop looks again by itself
	}
	now := time.Now()
	if since := now.Sub(c.written); since < spacing && since >= sameMoment {
		if !d.waits {
			d.waits = true
			d.late.Reset(2*c.spacing - since)
		}
		return false
	}
	d.buf, d.n = c.out.buf, 0
	if err := d.raw.Write(d.write); err != nil {
		d.n = 0 // the writeLoop will meet the error, too
	}
	d.buf = nil
	c.sent += uint64(d.n)
	c.answers = max(c.answers-d.n, 0)
	rest := copy(c.out.buf, c.out.buf[d.n:])
	c.out.buf = c.out.buf[:rest]
	d.waits = false
	if rest > 0 {
		return true
	}
	if c.written = now; cap(c.out.buf) > spareLimit {
		c.out.buf = nil
	}
	return false
}

// undoDeadline takes back what the writeLoop set: passed, it would fail every
// direct write.
func (c *conn) undoDeadline() {
	c.mu.Lock()
	direct := c.direct != nil
	c.mu.Unlock()
	if direct {
		_ = c.nc.SetWriteDeadline(time.Time{}) // fails on a closed one only
	}
}
