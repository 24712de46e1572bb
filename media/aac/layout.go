package aac

// A layout tells how the spectrum of a frame is divided and in which order its
// lines are coded (4.5.2.3.4 and 4.5.2.3.5): group by group, in a group band
// by band, in a band window by window. The channels of a frame share it.
type layout struct {
	sequence windowSequence
	groups   int    // of short windows; 1 for a long window
	windows  [8]int // in each group
	perGroup int    // bands in each group (max_sfb)
	bands    int    // in all groups
	// offset holds the first line of each band in coding order, and the
	// number of lines at the end.
	offset [maxBands + 1]int
}

// setLong makes a layout of one long window with the first n bands.
func (l *layout) setLong(seq windowSequence, bands []int, n int) {
	l.sequence, l.groups, l.windows[0] = seq, 1, 1
	l.perGroup, l.bands = n, n
	copy(l.offset[:], bands[:n+1])
}

// setShort makes a layout of short windows with the first n bands, in groups
// for an attack in the window given: what comes before it, the two windows
// that hold it, what comes after.
func (l *layout) setShort(bands []int, n, attack int) {
	l.sequence = eightShort
	switch {
	case attack == 0:
		l.groups, l.windows = 2, [8]int{2, 6}
	case attack >= 6:
		l.groups, l.windows = 2, [8]int{attack, 8 - attack}
	default:
		l.groups, l.windows = 3, [8]int{attack, 2, 6 - attack}
	}
	l.perGroup, l.bands = n, n*l.groups
	base := 0
	for g, windows := range l.windows[:l.groups] {
		for b := range n {
			l.offset[g*n+b] = base + bands[b]*windows
		}
		base += bands[n] * windows
	}
	l.offset[l.bands] = base
}

// width is the number of lines in a band.
func (l *layout) width(b int) int { return l.offset[b+1] - l.offset[b] }

// sectionBits is the size of a section's length field, and of the escape in it
// (4.4.2.7, section_data).
func (l *layout) sectionBits() uint {
	if l.sequence == eightShort {
		return 3
	}
	return 5
}

// interleave puts the lines of eight short windows, one window after the
// other, into coding order.
func (l *layout) interleave(dst, windows []float32, bands []int) {
	w := 0
	for g, n := range l.windows[:l.groups] {
		for k := range n {
			lines := windows[w*shortSize : (w+1)*shortSize]
			for b := range l.perGroup {
				lo, hi := bands[b], bands[b+1]
				copy(dst[l.offset[g*l.perGroup+b]+k*(hi-lo):], lines[lo:hi])
			}
			w++
		}
	}
}
