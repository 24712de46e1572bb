package aac

import "math"

// chooseBooks chooses the book of each band so that the sections and the lines
// take the fewest bits together, and returns these. It is dynamic programming
// over the bands: a section is a run of bands with one book (4.4.2.7), and
// costs 4 bits and its length.
func (c *encoderChannel) chooseBooks(l *layout) int32 {
	if l.bands == 0 {
		return 0
	}
	section := (4 + int32(l.sectionBits())) * bookUnit
	// cost is what the best way that ends in a book takes, times bookUnit, plus
	// the book: the least of some tells both without a branch that nobody
	// foresees.
	var cost [books]int32
	best := int32(0)
	left := 0 // bands of the group
	for b := range l.bands {
		bits, from := &c.bands[b].bits, &c.from[b]
		fresh := best + section
		if left == 0 { // a section ends with its group
			left = l.perGroup
			for k := range cost {
				cost[k] = fresh
			}
		}
		left--
		best = math.MaxInt32
		for k := range cost {
			way := min(cost[k], fresh)
			from[k] = uint8(way % bookUnit)
			cost[k] = way&^(bookUnit-1) + bits[k]*bookUnit + int32(k)
			best = min(best, cost[k])
		}
	}
	book := uint8(best % bookUnit)
	for b := l.bands - 1; b >= 0; b-- {
		c.bands[b].book = book
		book = c.from[b][book]
	}
	return best/bookUnit + c.escapedSections(l)
}

// leaveOut codes no band at all, and returns the bits of that.
func (c *encoderChannel) leaveOut(l *layout) int32 {
	for b := range l.bands {
		c.bands[b].book = 0
	}
	return int32(l.groups)*(4+int32(l.sectionBits())) + c.escapedSections(l)
}

// bookUnit is more than there are books.
const bookUnit = 16

// sectionEnd returns the band after the section that begins at band b.
func (c *encoderChannel) sectionEnd(l *layout, b int) int {
	end := b + 1
	for end%l.perGroup != 0 && c.bands[end].book == c.bands[b].book {
		end++
	}
	return end
}

// escapedSections returns the bits that long sections need besides: a length
// that fills its field goes on in another.
func (c *encoderChannel) escapedSections(l *layout) int32 {
	field := l.sectionBits()
	escape := 1<<field - 1
	bits := int32(0)
	for b := 0; b < l.bands; {
		end := c.sectionEnd(l, b)
		bits += int32((end - b) / escape * int(field))
		b = end
	}
	return bits
}
