package aac

// chooseBooks chooses the book of each band so that the sections and the lines
// take the fewest bits together, and returns these. It is dynamic programming
// over the bands: a section is a run of bands with one book (4.4.2.7), and
// costs 4 bits and its length.
func (c *encoderChannel) chooseBooks(l *layout) int32 {
	if l.bands == 0 {
		return 0
	}
	section := 4 + int32(l.sectionBits())
	var cost [books]int32 // of the best way that ends in this book
	for b := range l.bands {
		bits, from := &c.bands[b].bits, &c.from[b]
		best := cheapest(&cost)
		fresh := cost[best] + section
		if b%l.perGroup == 0 { // a section ends with its group
			for k := range cost {
				from[k] = best
				cost[k] = min(fresh+bits[k], unusable)
			}
			continue
		}
		for k := range cost {
			if cost[k] <= fresh {
				from[k] = uint8(k)
				cost[k] = min(cost[k]+bits[k], unusable)
			} else {
				from[k] = best
				cost[k] = min(fresh+bits[k], unusable)
			}
		}
	}
	book := cheapest(&cost)
	total := cost[book]
	for b := l.bands - 1; b >= 0; b-- {
		c.bands[b].book = book
		book = c.from[b][book]
	}
	return total + c.escapedSections(l)
}

func cheapest(cost *[books]int32) uint8 {
	best := 0
	for k := 1; k < books; k++ {
		if cost[k] < cost[best] {
			best = k
		}
	}
	return uint8(best)
}

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
