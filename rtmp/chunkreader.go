package rtmp

import (
	"bufio"
	"encoding/binary"
	"io"
)

// maxChunkStreams bounds the chunk streams a peer may open. Programs in the
// field use fewer than ten.
const maxChunkStreams = 64

// message is one RTMP message. Its payload belongs to whoever got it.
type message struct {
	kind    byte
	stream  uint32
	time    uint32 // ms
	payload []byte
}

// chunkStream is the state of one incoming chunk stream.
type chunkStream struct {
	message
	delta    uint32
	extended bool
	ext      uint32 // value of the last extended timestamp
	length   int    // of the message under way
	open     bool   // a message is under way
	started  bool   // a header of type 0 was seen
}

// chunkReader puts messages together from chunks. What it holds is bounded by
// the bytes that arrived, never by the lengths that they claim: a message
// grows as it comes, and all unfinished messages together stay below limit.
type chunkReader struct {
	r       *bufio.Reader
	size    int // payload bytes in a chunk, set by the peer
	limit   int // bytes of one message, and of all unfinished ones
	held    int // bytes of unfinished messages
	total   uint32
	streams map[uint32]*chunkStream
	scratch [16]byte
}

func newChunkReader(r *bufio.Reader, limit int) *chunkReader {
	return &chunkReader{r: r, size: defaultChunk, limit: limit, streams: map[uint32]*chunkStream{}}
}

// read returns the next whole message. The first error is final.
func (c *chunkReader) read() (message, error) {
	for {
		cs, err := c.chunk()
		if err != nil {
			return message{}, err
		}
		if len(cs.payload) == cs.length {
			m := cs.message
			c.held -= len(m.payload)
			cs.payload, cs.open = nil, false
			return m, nil
		}
	}
}

// full reads n bytes of a header.
func (c *chunkReader) full(n int) ([]byte, error) {
	b := c.scratch[:n]
	_, err := io.ReadFull(c.r, b)
	c.total += uint32(n)
	return b, err
}

// chunk reads one chunk and returns its stream.
func (c *chunkReader) chunk() (*chunkStream, error) {
	form, cs, err := c.basicHeader()
	if err != nil {
		return nil, err
	}
	if form != 3 && cs.open {
		return nil, protocolError("a message begins inside another on chunk stream")
	}
	if form != 0 && !cs.started {
		return nil, protocolError("chunk of type %d on a new chunk stream", form)
	}
	if err := c.messageHeader(form, cs); err != nil {
		return nil, err
	}
	if !cs.open {
		if cs.length > c.limit {
			return nil, protocolError("message of %d bytes, at most %d are taken", cs.length, c.limit)
		}
		cs.open = true
		if form != 0 {
			cs.time += cs.delta
		}
	}
	n := min(cs.length-len(cs.payload), c.size)
	if c.held+n > c.limit {
		return nil, protocolError("unfinished messages of more than %d bytes", c.limit)
	}
	if err := c.fill(cs, n); err != nil {
		return nil, err
	}
	return cs, nil
}

// fill reads n more bytes of payload.
func (c *chunkReader) fill(cs *chunkStream, n int) error {
	const step = 64 << 10
	for n > 0 {
		have := len(cs.payload)
		if have == cap(cs.payload) {
			// Not more at a time than arrived before: a claimed length costs nothing.
			grown := make([]byte, have, min(cs.length, max(2*have, step)))
			copy(grown, cs.payload)
			cs.payload = grown
		}
		m := min(n, cap(cs.payload)-have)
		cs.payload = cs.payload[:have+m]
		if _, err := io.ReadFull(c.r, cs.payload[have:]); err != nil {
			if err == io.EOF {
				err = io.ErrUnexpectedEOF
			}
			return err
		}
		c.total += uint32(m)
		c.held += m
		n -= m
	}
	return nil
}

// basicHeader reads the chunk basic header (RTMP 1.0, section 5.3.1.1).
func (c *chunkReader) basicHeader() (form byte, cs *chunkStream, err error) {
	b, err := c.full(1)
	if err != nil {
		return 0, nil, err
	}
	form = b[0] >> 6
	id := uint32(b[0] & 0x3f)
	switch id {
	case 0:
		if b, err = c.full(1); err != nil {
			return 0, nil, err
		}
		id = 64 + uint32(b[0])
	case 1:
		if b, err = c.full(2); err != nil {
			return 0, nil, err
		}
		id = 64 + uint32(b[0]) + uint32(b[1])<<8
	}
	cs = c.streams[id]
	if cs == nil {
		if len(c.streams) == maxChunkStreams {
			return 0, nil, protocolError("more than %d chunk streams", maxChunkStreams)
		}
		cs = &chunkStream{}
		c.streams[id] = cs
	}
	return form, cs, nil
}

// messageHeader reads the chunk message header of the given type (RTMP 1.0,
// section 5.3.1.2) and the extended timestamp.
func (c *chunkReader) messageHeader(form byte, cs *chunkStream) error {
	if form == 3 {
		return c.repeatedTime(cs)
	}
	b, err := c.full([3]int{11, 7, 3}[form])
	if err != nil {
		return err
	}
	t := uint32(b[0])<<16 | uint32(b[1])<<8 | uint32(b[2])
	if form < 2 {
		cs.length = int(b[3])<<16 | int(b[4])<<8 | int(b[5])
		cs.kind = b[6]
	}
	if form == 0 {
		cs.stream = binary.LittleEndian.Uint32(b[7:])
	}
	if cs.extended = t == maxTime24; cs.extended {
		if b, err = c.full(4); err != nil {
			return err
		}
		t = binary.BigEndian.Uint32(b)
		cs.ext = t
	}
	// After type 0, a chunk of type 3 that begins a message repeats its
	// timestamp as delta (RTMP 1.0, section 5.3.1.2.4); ffmpeg relies on it.
	cs.delta = t
	if form == 0 {
		cs.time, cs.started = t, true
	}
	return nil
}

// repeatedTime skips the extended timestamp of a chunk of type 3. Not every
// sender writes it, so it is recognised by its value.
func (c *chunkReader) repeatedTime(cs *chunkStream) error {
	if !cs.extended {
		return nil
	}
	b, err := c.r.Peek(4)
	if err != nil || binary.BigEndian.Uint32(b) != cs.ext {
		return nil // a real error comes again with the payload
	}
	_, err = c.full(4)
	return err
}

// abort discards the unfinished message of a chunk stream (RTMP 1.0, section
// 5.4.2).
func (c *chunkReader) abort(id uint32) {
	if cs := c.streams[id]; cs != nil {
		c.held -= len(cs.payload)
		cs.payload, cs.open = nil, false
	}
}
