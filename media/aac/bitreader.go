package aac

import "encoding/binary"

// A bitReader reads bits, most significant first. Past the end it reads zeros
// and goes on counting, so that a parser may look at overrun once for a whole
// group of fields; every loop around it is bounded by other means.
type bitReader struct {
	data []byte
	pos  int // in bits
}

// overrun tells whether more bits were read than there are.
func (r *bitReader) overrun() bool { return r.pos > 8*len(r.data) }

// peek returns the next 32 bits.
func (r *bitReader) peek() uint32 {
	at := r.pos >> 3
	if at+8 <= len(r.data) {
		return uint32(binary.BigEndian.Uint64(r.data[at:]) << (r.pos & 7) >> 32)
	}
	var tail [8]byte
	if at < len(r.data) {
		copy(tail[:], r.data[at:])
	}
	return uint32(binary.BigEndian.Uint64(tail[:]) << (r.pos & 7) >> 32)
}

// read returns the next n bits, n at most 24.
func (r *bitReader) read(n int) int {
	v := r.peek() >> (32 - uint(n))
	r.pos += n
	return int(v)
}

func (r *bitReader) readBool() bool { return r.read(1) != 0 }

func (r *bitReader) skip(n int) { r.pos += n }

// align skips to the next whole byte.
func (r *bitReader) align() { r.pos = (r.pos + 7) &^ 7 }
