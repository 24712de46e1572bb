package aac

import "sync"

// firstBits is how many bits of a code the first table looks at: most codes
// are shorter.
const firstBits = 9

// A codeTable decodes one book in one or two steps. An entry holds the length
// of the code in its low 7 bits and the value above bit 8; with the bit longer
// set, it holds the place of a second table for the bits after the first nine.
type codeTable struct {
	first  [1 << firstBits]uint32
	second []uint32
	rest   uint // bits that second tables are indexed by
}

const longer = 0x80

// newCodeTable makes the table of a complete book; value gives what stands for
// the code at an index.
func newCodeTable(book []codeword, value func(index int) uint32) *codeTable {
	t := &codeTable{}
	for _, c := range book {
		t.rest = max(t.rest, c.length())
	}
	t.rest = max(t.rest, firstBits) - firstBits
	for i, c := range book {
		entry := uint32(c.length()) | value(i)<<8
		if c.length() <= firstBits {
			fill(t.first[:], c.bits(), firstBits-c.length(), entry)
			continue
		}
		below := c.length() - firstBits
		first := &t.first[c.bits()>>below]
		if *first == 0 {
			*first = longer | uint32(len(t.second))<<8
			t.second = append(t.second, make([]uint32, 1<<t.rest)...)
		}
		fill(t.second[*first>>8:], c.bits()&(1<<below-1), t.rest-below, entry)
	}
	return t
}

// fill sets all entries whose index begins with prefix, followed by free bits.
func fill(table []uint32, prefix uint32, free uint, entry uint32) {
	for i := range 1 << free {
		table[prefix<<free|uint32(i)] = entry
	}
}

// read reads a code and returns its value.
func (t *codeTable) read(r *bitReader) uint32 {
	next := r.peek()
	entry := t.first[next>>(32-firstBits)]
	if entry&longer != 0 {
		entry = t.second[entry>>8+next<<firstBits>>(32-t.rest)]
	}
	r.pos += int(entry & 0x7f)
	return entry >> 8
}

// A codeBook holds the tables of all books. The values of spectral codes are
// four lines of 4 bits each or two of 8 bits, first line lowest, negative ones
// in two's complement.
type codeBook struct {
	spectral [12]*codeTable
	scale    *codeTable // the difference plus 60
}

var codeBooks = sync.OnceValue(func() *codeBook {
	return &codeBook{
		spectral: [12]*codeTable{
			1: newCodeTable(book1[:], digits(4, 3, 1)), 2: newCodeTable(book2[:], digits(4, 3, 1)),
			3: newCodeTable(book3[:], digits(4, 3, 0)), 4: newCodeTable(book4[:], digits(4, 3, 0)),
			5: newCodeTable(book5[:], digits(2, 9, 4)), 6: newCodeTable(book6[:], digits(2, 9, 4)),
			7: newCodeTable(book7[:], digits(2, 8, 0)), 8: newCodeTable(book8[:], digits(2, 8, 0)),
			9: newCodeTable(book9[:], digits(2, 13, 0)), 10: newCodeTable(book10[:], digits(2, 13, 0)),
			11: newCodeTable(book11[:], digits(2, 17, 0)),
		},
		scale: newCodeTable(scaleBook[:], func(i int) uint32 { return uint32(i) }),
	}
})

// digits returns the function that takes an index apart into n digits to a
// base, less an offset (4.6.3.3), and packs them into 16 bits.
func digits(n, base, offset int) func(int) uint32 {
	bits := 16 / n
	return func(index int) uint32 {
		v := uint32(0)
		for range n {
			digit := uint32(index%base-offset) & (1<<bits - 1)
			v = v<<bits | digit
			index /= base
		}
		return v
	}
}
