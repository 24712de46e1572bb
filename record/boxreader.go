package record

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
)

// boxHead is the header of a box in a file.
type boxHead struct {
	kind   string
	at     int64 // of the header
	header int64 // bytes of the header
	size   int64 // bytes with the header
}

func (h *boxHead) body() int64 { return h.at + h.header }
func (h *boxHead) end() int64  { return h.at + h.size }

// errCut tells that a file ends within a box.
var errCut = errors.New("cut short")

// readHead reads the header of the box at an offset of a file of that size.
// io.EOF is the orderly end, errCut one within a box.
func readHead(r io.ReaderAt, at, size int64) (*boxHead, error) {
	if at == size {
		return nil, io.EOF
	}
	var b [16]byte
	n := min(size-at, int64(len(b)))
	if n < 8 {
		return nil, errCut
	}
	if _, err := r.ReadAt(b[:n], at); err != nil {
		return nil, err
	}
	h := &boxHead{kind: string(b[4:8]), at: at, header: 8, size: int64(binary.BigEndian.Uint32(b[:]))}
	if h.size == 1 {
		if n < 16 {
			return nil, errCut
		}
		h.header, h.size = 16, int64(binary.BigEndian.Uint64(b[8:]))
	}
	if h.size < h.header {
		return nil, fmt.Errorf("%w: box %q of %d bytes", ErrDamaged, h.kind, h.size)
	}
	if h.size > size-at {
		return nil, errCut
	}
	return h, nil
}

// readBody reads the content of a box, at most limit bytes.
func readBody(r io.ReaderAt, h *boxHead, limit int64) ([]byte, error) {
	n := h.size - h.header
	if n > limit {
		return nil, fmt.Errorf("%w: box %q of %d bytes", ErrDamaged, h.kind, h.size)
	}
	b := make([]byte, n)
	_, err := r.ReadAt(b, h.body())
	return b, err
}

// reading reads a box in memory. What is not there reads as 0 and sets short.
type reading struct {
	b     []byte
	short bool
}

func (r *reading) take(n int) []byte {
	if n < 0 || n > len(r.b) {
		r.short, r.b = true, nil
		return nil
	}
	b := r.b[:n:n]
	r.b = r.b[n:]
	return b
}

func (r *reading) skip(n int) { r.take(n) }

func (r *reading) u32() uint32 {
	if b := r.take(4); b != nil {
		return binary.BigEndian.Uint32(b)
	}
	return 0
}

func (r *reading) u64() uint64 { return uint64(r.u32())<<32 | uint64(r.u32()) }

// version reads the version of a full box and skips its flags.
func (r *reading) full() (version byte, flags uint32) {
	v := r.u32()
	return byte(v >> 24), v & 0xffffff
}

// child takes the next box.
func (r *reading) child() (kind string, body []byte, ok bool) {
	if len(r.b) < 8 {
		return "", nil, false
	}
	size := int(r.u32())
	kind = string(r.take(4))
	body = r.take(size - 8)
	return kind, body, !r.short
}

// find returns the body of the first child of that kind, following the path.
func find(b []byte, path ...string) []byte {
	for _, want := range path {
		r := reading{b: b}
		for {
			kind, body, ok := r.child()
			if !ok {
				return nil
			}
			if kind == want {
				b = body
				break
			}
		}
	}
	return b
}
