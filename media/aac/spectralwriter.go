package aac

// writeLines writes the quantized lines of a band with a book (4.6.3.3).
func writeLines(w *bitWriter, book int, q []int16) {
	switch book {
	case 1:
		writeSignedQuads(w, q, &book1)
	case 2:
		writeSignedQuads(w, q, &book2)
	case 3:
		writeQuads(w, q, &book3)
	case 4:
		writeQuads(w, q, &book4)
	case 5:
		writeSignedPairs(w, q, &book5)
	case 6:
		writeSignedPairs(w, q, &book6)
	case 7:
		writePairs(w, q, book7[:], 8)
	case 8:
		writePairs(w, q, book8[:], 8)
	case 9:
		writePairs(w, q, book9[:], 13)
	case 10:
		writePairs(w, q, book10[:], 13)
	case 11:
		writeEscapedPairs(w, q)
	}
}

func writeSignedQuads(w *bitWriter, q []int16, book *[81]codeword) {
	for ; len(q) >= 4; q = q[4:] {
		w.putCode(book[int(q[0])*27+int(q[1])*9+int(q[2])*3+int(q[3])+40])
	}
}

func writeQuads(w *bitWriter, q []int16, book *[81]codeword) {
	for ; len(q) >= 4; q = q[4:] {
		c := book[magnitude(q[0])*27+magnitude(q[1])*9+magnitude(q[2])*3+magnitude(q[3])]
		v, n := c.bits(), c.length()
		for _, x := range q[:4] {
			v, n = appendSign(v, n, x)
		}
		w.put(v, n)
	}
}

func writeSignedPairs(w *bitWriter, q []int16, book *[81]codeword) {
	for ; len(q) >= 2; q = q[2:] {
		w.putCode(book[int(q[0])*9+int(q[1])+40])
	}
}

// writePairs writes pairs with a book of the values below base.
func writePairs(w *bitWriter, q []int16, book []codeword, base int) {
	for ; len(q) >= 2; q = q[2:] {
		c := book[magnitude(q[0])*base+magnitude(q[1])]
		v, n := appendSign(c.bits(), c.length(), q[0])
		v, n = appendSign(v, n, q[1])
		w.put(v, n)
	}
}

func writeEscapedPairs(w *bitWriter, q []int16) {
	for ; len(q) >= 2; q = q[2:] {
		a, b := magnitude(q[0]), magnitude(q[1])
		c := book11[min(a, 16)*17+min(b, 16)]
		v, n := appendSign(c.bits(), c.length(), q[0])
		v, n = appendSign(v, n, q[1])
		w.put(v, n)
		writeEscape(w, a)
		writeEscape(w, b)
	}
}

// writeEscape writes a value of 16 or more: ones, a zero, and all bits but the
// first, which are four more than the ones.
func writeEscape(w *bitWriter, v int) {
	if v < 16 {
		return
	}
	n := uint(floorLog2(v))
	w.put(1<<(n-3)-2, n-3)
	w.put(uint32(v)&(1<<n-1), n)
}

// appendSign appends the sign bit of a value that is not zero to n bits v.
func appendSign(v uint32, n uint, x int16) (uint32, uint) {
	more := nonZero(x)
	return v<<more | uint32(uint16(x))>>15, n + more
}
