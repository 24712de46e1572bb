package aac

// A bitWriter writes bits, most significant first, into a buffer that grows.
type bitWriter struct {
	buf  []byte
	acc  uint64 // its low held bits are not in buf yet
	held uint   // always below 32
}

func (w *bitWriter) reset(buf []byte) { *w = bitWriter{buf: buf} }

// put writes the low n bits of v, n at most 32. The bits above must be zero.
func (w *bitWriter) put(v uint32, n uint) {
	w.acc = w.acc<<n | uint64(v)
	w.held += n
	if w.held >= 32 {
		w.held -= 32
		x := uint32(w.acc >> w.held)
		w.buf = append(w.buf, byte(x>>24), byte(x>>16), byte(x>>8), byte(x))
	}
}

func (w *bitWriter) putBool(v bool) {
	if v {
		w.put(1, 1)
	} else {
		w.put(0, 1)
	}
}

func (w *bitWriter) putCode(c codeword) { w.put(c.bits(), c.length()) }

// finish fills the last byte with zeros and returns the buffer.
func (w *bitWriter) finish() []byte {
	if rest := w.held % 8; rest != 0 {
		w.put(0, 8-rest)
	}
	for w.held > 0 {
		w.held -= 8
		w.buf = append(w.buf, byte(w.acc>>w.held))
	}
	return w.buf
}
