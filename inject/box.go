package inject

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"time"
)

// Boxes of ISO 14496-12, section 4.2: a size of 32 bits that counts the whole
// box, a type of four characters, and the body. A size of 1 stands for 64 bits
// after the type, 0 for all that is left.
const (
	boxHeader     = 8
	wideBoxHeader = 16
)

// boxAt is a box of the file itself.
type boxAt struct {
	kind string
	// start is where it begins, body where its body does, and end where it
	// ends, which may be after the end of a file that was cut short.
	start, body, end int64
}

// readBox reads the header of the box at off.
func readBox(r io.ReaderAt, off, size int64) (boxAt, error) {
	var b [wideBoxHeader]byte
	n, err := r.ReadAt(b[:min(int64(len(b)), size-off)], off)
	if n < boxHeader {
		if err == nil || errors.Is(err, io.EOF) {
			err = io.ErrUnexpectedEOF
		}
		return boxAt{}, fmt.Errorf("inject: box header at %d: %w", off, err)
	}
	at := boxAt{kind: string(b[4:8]), start: off, body: off + boxHeader}
	length := int64(binary.BigEndian.Uint32(b[:]))
	switch {
	case length == 0:
		length = size - off
	case length == 1 && n == wideBoxHeader:
		length, at.body = int64(binary.BigEndian.Uint64(b[8:])), off+wideBoxHeader
	}
	if length < at.body-off || length > 1<<62 {
		return boxAt{}, boundsError("box of %d bytes at %d", length, off)
	}
	at.end = off + length
	return at, nil
}

// readBody reads the body of a box that has at most limit bytes.
func readBody(r io.ReaderAt, b boxAt, size, limit int64) ([]byte, error) {
	n := b.end - b.body
	if b.end > size || n > limit {
		return nil, boundsError("%q box of %d bytes", b.kind, n)
	}
	body := make([]byte, n)
	if err := readFull(r, body, b.body); err != nil {
		return nil, fmt.Errorf("inject: %q box: %w", b.kind, err)
	}
	return body, nil
}

// readFull fills p from r at off.
func readFull(r io.ReaderAt, p []byte, off int64) error {
	n, err := r.ReadAt(p, off)
	if n == len(p) {
		return nil
	}
	if err == nil || errors.Is(err, io.EOF) {
		err = io.ErrUnexpectedEOF
	}
	return err
}

// nextBox cuts the first box off the body of another. A last piece that is no
// box is left: some writers end a box with zeros.
func nextBox(b []byte) (kind string, body, rest []byte) {
	if len(b) < boxHeader {
		return "", nil, nil
	}
	length, head := uint64(binary.BigEndian.Uint32(b)), uint64(boxHeader)
	switch {
	case length == 0:
		length = uint64(len(b))
	case length == 1 && len(b) >= wideBoxHeader:
		length, head = binary.BigEndian.Uint64(b[8:]), wideBoxHeader
	}
	if length < head || length > uint64(len(b)) {
		return "", nil, nil
	}
	return string(b[4:8]), b[head:length], b[length:]
}

// child finds the first box of each kind of the path inside the one before, nil if
// there is none.
func child(b []byte, path ...string) []byte {
	for _, want := range path {
		var found []byte
		for len(b) > 0 && found == nil {
			kind, body, rest := nextBox(b)
			if kind == want {
				found = body
			}
			b = rest
		}
		if found == nil {
			return nil
		}
		b = found
	}
	return b
}

// table returns the entries of a box that has a version, flags, a count and
// entries of width bytes; skip is what stands before the count.
func table(b []byte, skip, width int) ([]byte, error) {
	if b == nil {
		return nil, nil
	}
	if len(b) < 8+skip {
		return nil, boundsError("sample table of %d bytes", len(b))
	}
	count := int64(binary.BigEndian.Uint32(b[4+skip:]))
	b = b[8+skip:]
	if count*int64(width) > int64(len(b)) {
		return nil, boundsError("sample table of %d entries in %d bytes", count, len(b))
	}
	return b[:count*int64(width)], nil
}

// maxDuration is the longest file.
const maxDuration = 1000 * time.Hour

// duration converts ticks of a clock of scale Hz, the whole seconds first so
// that nothing overflows.
func duration(ticks int64, scale uint32) time.Duration {
	s := int64(scale)
	return time.Duration(ticks/s)*time.Second + time.Duration(ticks%s*int64(time.Second)/s)
}

// ticksOf converts the other way, to the nearest tick: duration is cut off.
func ticksOf(d time.Duration, scale uint32) int64 {
	s := int64(scale)
	rest := int64(d%time.Second)*s + int64(time.Second)/2
	if rest < 0 {
		rest -= int64(time.Second) - 1 // division goes towards 0
	}
	return int64(d/time.Second)*s + rest/int64(time.Second)
}
