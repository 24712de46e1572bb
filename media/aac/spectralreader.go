package aac

// readLines reads spectral_data (4.6.3.3) into c.quant, in which each window
// has its place and bands without lines keep what they had. The caller looks
// at overrun.
func (c *decoderChannel) readLines(r *bitReader, bands []int, books *codeBook) {
	info := &c.info
	window := 0
	for g, windows := range info.windows[:info.groups] {
		for b := range info.perGroup {
			book := info.book[g*info.perGroup+b]
			if book == bookZero || book > bookEscape {
				continue
			}
			table := books.spectral[book]
			for w := window; w < window+windows; w++ {
				readBand(r, c.quant[w*shortSize+bands[b]:w*shortSize+bands[b+1]], book, table)
			}
		}
		window += windows
	}
}

func readBand(r *bitReader, q []int16, book uint8, table *codeTable) {
	switch {
	case book <= 2:
		readSignedQuads(r, q, table)
	case book <= 4:
		readQuads(r, q, table)
	case book <= 6:
		readSignedPairs(r, q, table)
	case book < bookEscape:
		readPairs(r, q, table)
	default:
		readEscapedPairs(r, q, table)
	}
}

func readSignedQuads(r *bitReader, q []int16, table *codeTable) {
	for ; len(q) >= 4; q = q[4:] {
		v := int32(table.read(r))
		q[0], q[1], q[2], q[3] = int16(v<<28>>28), int16(v<<24>>28), int16(v<<20>>28), int16(v<<16>>28)
	}
}

func readQuads(r *bitReader, q []int16, table *codeTable) {
	for ; len(q) >= 4; q = q[4:] {
		v := table.read(r)
		signs := r.peek()
		n := uint(0)
		for i := range q[:4] {
			x := int16(v >> (4 * i) & 15)
			q[i] = negateIf(x, signs<<n)
			n += nonZero(x)
		}
		r.pos += int(n)
	}
}

// negateIf returns x, or -x if the first bit of signs is set. Like nonZero, it
// has no branch, as none could be foretold.
func negateIf(x int16, signs uint32) int16 {
	s := int16(int32(signs) >> 31)
	return (x ^ s) - s
}

// nonZero is 0 for 0, else 1.
func nonZero(x int16) uint { return uint(uint16(x|-x) >> 15) }

func readSignedPairs(r *bitReader, q []int16, table *codeTable) {
	for ; len(q) >= 2; q = q[2:] {
		v := table.read(r)
		q[0], q[1] = int16(int8(v)), int16(int8(v>>8))
	}
}

func readPairs(r *bitReader, q []int16, table *codeTable) {
	for ; len(q) >= 2; q = q[2:] {
		q[0], q[1] = readSignedPair(r, table)
	}
}

// readSignedPair reads two values and their signs.
func readSignedPair(r *bitReader, table *codeTable) (int16, int16) {
	v := table.read(r)
	a, b := int16(v&0xff), int16(v>>8)
	signs, n := r.peek(), nonZero(a)
	r.pos += int(n + nonZero(b))
	return negateIf(a, signs), negateIf(b, signs<<n)
}

func readEscapedPairs(r *bitReader, q []int16, table *codeTable) {
	for ; len(q) >= 2; q = q[2:] {
		a, b := readSignedPair(r, table)
		if a == 16 || a == -16 {
			a = readEscape(r, a)
		}
		if b == 16 || b == -16 {
			b = readEscape(r, b)
		}
		q[0], q[1] = a, b
	}
}

// readEscape reads the value of a line of 16 or more: n ones, a zero, and the
// n+4 bits below the first one. What is above 8191 is not allowed, and cut
// off.
func readEscape(r *bitReader, sign int16) int16 {
	n := 4
	for n < 13 && r.readBool() {
		n++
	}
	v := int16(min(1<<n|r.read(n), maxLine))
	if sign < 0 {
		return -v
	}
	return v
}
