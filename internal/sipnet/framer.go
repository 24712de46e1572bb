package sipnet

import "bytes"

// A framer cuts the bytes of a connection into messages (RFC 3261 sections
// 7.5 and 18.3). After something that is no message it goes on with the next
// line that looks like a start line, so that one bad message does not end a
// connection that carries other calls. It holds no more than one message and
// what was read with it.
type framer struct {
	maxHead, maxBody int

	buf     []byte
	off     int   // consumed bytes of buf
	scanned int   // bytes after off known to hold no end of headers
	head    int   // length of the complete head after off, 0 before
	body    int   // body length, when head is known
	skip    int64 // bytes of a refused body still to pass over
	lost    bool  // looking for the next start line
	midLine bool  // lost, and the next byte does not begin a line
	garbage int   // bytes passed over since the last message
	blank   int   // empty lines since the last message
	pings   int   // double CRLF keep-alives seen (RFC 5626 section 4.4.1)
	good    bool  // at least one message was whole
}

// unit is one message, or the head of one that is refused with err.
type unit struct {
	head, body []byte
	err        error
}

// maxGarbage is how much a connection may send that is no SIP before it is
// closed, maxGarbageLine the longest line of it that is kept for a look.
const (
	maxGarbage     = 1 << 20
	maxGarbageLine = 8 << 10
)

// space returns room to read into; fill tells how much of it was used.
func (f *framer) space() []byte {
	if f.off > 0 {
		n := copy(f.buf, f.buf[f.off:])
		f.buf, f.off = f.buf[:n], 0
	}
	const room = 4 << 10
	if len(f.buf) == 0 && cap(f.buf) > 64<<10 {
		f.buf = nil // give the memory of a large message back
	}
	if cap(f.buf)-len(f.buf) < room {
		grown := make([]byte, len(f.buf), 2*cap(f.buf)+2*room)
		copy(grown, f.buf)
		f.buf = grown
	}
	return f.buf[len(f.buf):cap(f.buf)]
}

func (f *framer) fill(n int) { f.buf = f.buf[:len(f.buf)+n] }

// busy reports whether a message has begun and not ended.
func (f *framer) busy() bool {
	return len(f.buf) > f.off || f.skip > 0 || f.lost && f.midLine
}

// next cuts off one message; ok is false when more bytes are needed. Its
// slices hold until the next call of space.
func (f *framer) next() (u unit, ok bool) {
	for {
		rest := f.buf[f.off:]
		switch {
		case f.skip > 0:
			n := min(int64(len(rest)), f.skip)
			f.off, f.skip = f.off+int(n), f.skip-n
			if f.skip > 0 {
				return unit{}, false
			}
		case f.lost:
			if !f.resync(rest) {
				return unit{}, false
			}
		case f.head > 0:
			if len(rest) < f.head+f.body {
				return unit{}, false
			}
			u := unit{head: rest[:f.head], body: rest[f.head : f.head+f.body]}
			f.take(f.head + f.body)
			f.good, f.garbage = true, 0
			return u, true
		default:
			u, done := f.begin(rest)
			if u.err != nil {
				return u, true
			}
			if done {
				return unit{}, false
			}
		}
	}
}

func (f *framer) take(n int) { f.off, f.scanned, f.head, f.body, f.blank = f.off+n, 0, 0, 0, 0 }

// begin looks for the head of the next message.
func (f *framer) begin(rest []byte) (u unit, needMore bool) {
	if n := skipBlank(rest); n > 0 {
		f.off += n
		f.blank += n / 2
		f.pings, f.blank = f.pings+f.blank/2, f.blank%2
		f.scanned = 0
		rest = rest[n:]
	}
	if len(rest) == 0 || len(rest) == 1 && rest[0] == '\r' {
		return unit{}, true
	}
	if f.scanned == 0 {
		i := bytes.IndexByte(rest, '\n')
		if i >= 0 && !looksLikeSIP(bytes.TrimSuffix(rest[:i], []byte("\r"))) {
			f.lost = true
			return unit{}, false
		}
	}
	end := headEnd(rest, f.scanned)
	if end < 0 && len(rest) <= f.maxHead {
		if bytes.IndexByte(rest, '\n') >= 0 {
			f.scanned = len(rest)
		}
		return unit{}, true
	}
	if end < 0 || end > f.maxHead {
		return f.refuse(rest, max(0, min(end, len(rest))), &malformed{513, "Message Too Large"}), false
	}
	length, err := contentLength(string(rest[:end]))
	switch {
	case err != nil:
		return f.refuse(rest, end, err), false
	case length < 0:
		return f.refuse(rest, end, bad("no Content-Length")), false
	case length > int64(f.maxBody):
		u := unit{head: rest[:end], err: &malformed{413, "Request Entity Too Large"}}
		f.take(end)
		f.skip = length
		return u, false
	}
	f.head, f.body = end, int(length)
	return unit{}, false
}

// refuse drops the first n bytes, or the first line when the head has no end,
// and looks for the next start line from there.
func (f *framer) refuse(rest []byte, n int, err error) unit {
	u := unit{head: rest, err: err}
	if n > 0 {
		u.head = rest[:n]
	} else if i := bytes.IndexByte(rest, '\n'); i >= 0 {
		n = i + 1
	} else {
		n, f.midLine = len(rest), true
	}
	f.take(n)
	f.garbage += n
	f.lost = true
	return u
}

// resync passes over lines until one looks like a start line.
func (f *framer) resync(rest []byte) (found bool) {
	for {
		i := bytes.IndexByte(rest, '\n')
		if i < 0 {
			break
		}
		if !f.midLine && looksLikeSIP(bytes.TrimSuffix(rest[:i], []byte("\r"))) {
			f.lost = false
			return true
		}
		f.midLine = false
		f.drop(i + 1)
		rest = rest[i+1:]
	}
	if len(rest) > maxGarbageLine {
		f.drop(len(rest))
		f.midLine = true
	}
	return false
}

func (f *framer) drop(n int) {
	f.take(n)
	f.garbage += n
}

// hopeless reports whether the connection is not worth keeping.
func (f *framer) hopeless() bool { return f.garbage > maxGarbage }

// abandon gives up on the message that has begun, for lack of time. The unit
// has a head only if there is one to answer.
func (f *framer) abandon() unit {
	rest := f.buf[f.off:]
	err := bad("message not complete in time")
	u := unit{err: err}
	if !f.lost && f.skip == 0 && len(rest) > 0 {
		u = f.refuse(rest, f.head, err)
	}
	f.skip, f.lost = 0, true
	return u
}
