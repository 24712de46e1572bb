package aac

// Element identifiers of a raw_data_block (4.4.2.1, id_syn_ele).
const (
	elementSCE = iota // one channel
	elementCPE        // a pair
	elementCCE        // coupling
	elementLFE        // low frequencies
	elementDSE        // data
	elementPCE        // programme configuration
	elementFIL        // fill
	elementEND
)

// headerBits returns the bits of the frame besides sections, scalefactors and
// lines.
func (e *encoder) headerBits() int32 {
	const element, end = 3 + 4, 3
	const channel = 8 + 1 + 1 + 1 // global gain; no pulse, TNS and gain control
	bits := element + end + int32(len(e.channels))*(channel+e.shaper.bits())
	if e.layout.sequence == eightShort {
		bits += 1 + 2 + 1 + 4 + 7
	} else {
		bits += 1 + 2 + 1 + 6 + 1
	}
	if len(e.channels) == 2 {
		bits += 1 + 2 // common_window, ms_mask_present
		if e.stereo.partial(&e.layout) {
			bits += int32(e.layout.bands)
		}
	}
	return bits
}

// partial tells whether some bands are M/S and some are not.
func (s *stereoMask) partial(l *layout) bool { return s.count > 0 && s.count < l.bands }

// write appends the raw_data_block to dst (4.4.2.1).
func (e *encoder) write(dst []byte) []byte {
	w := &e.writer
	w.reset(dst)
	if len(e.channels) == 1 {
		w.put(elementSCE, 3)
		w.put(0, 4) // element_instance_tag
		c := &e.channels[0]
		gain := c.globalGain(&e.layout)
		w.put(uint32(gain), 8)
		e.writeInfo(w)
		c.write(w, e, gain)
	} else {
		w.put(elementCPE, 3)
		w.put(0, 4)
		w.put(1, 1) // common_window
		e.writeInfo(w)
		e.stereo.write(w, &e.layout)
		for i := range e.channels {
			c := &e.channels[i]
			gain := c.globalGain(&e.layout)
			w.put(uint32(gain), 8)
			c.write(w, e, gain)
		}
	}
	w.put(elementEND, 3)
	before := len(dst)
	dst = w.finish()
	w.buf = nil // it is the caller's
	e.rate.end(8 * (len(dst) - before))
	return dst
}

// writeInfo writes ics_info (4.4.2.7).
func (e *encoder) writeInfo(w *bitWriter) {
	l := &e.layout
	w.put(0, 1) // reserved
	w.put(uint32(l.sequence), 2)
	w.put(uint32(sineShape), 1)
	if l.sequence != eightShort {
		w.put(uint32(l.perGroup), 6)
		w.put(0, 1) // predictor_data_present
		return
	}
	w.put(uint32(l.perGroup), 4)
	grouping := uint32(0) // a bit for each window but the first: same group
	for _, n := range l.windows[:l.groups] {
		grouping = grouping<<n | 1<<(n-1) - 1
	}
	w.put(grouping, 7)
}

// write writes the mask of a pair.
func (s *stereoMask) write(w *bitWriter, l *layout) {
	switch {
	case s.count == 0:
		w.put(0, 2)
	case s.partial(l):
		w.put(1, 2)
		for _, used := range s.used[:l.bands] {
			w.putBool(used)
		}
	default:
		w.put(2, 2)
	}
}

// globalGain is the first scalefactor.
func (c *encoderChannel) globalGain(l *layout) int {
	for b := range l.bands {
		if c.bands[b].scale >= 0 {
			return c.bands[b].scale
		}
	}
	return 100
}

// write writes what follows ics_info in an individual_channel_stream (4.4.2.7).
func (c *encoderChannel) write(w *bitWriter, e *encoder, gain int) {
	l := &e.layout
	c.writeSections(w, l)
	c.writeScales(w, l, gain)
	w.put(0, 1) // pulse_data_present
	e.shaper.write(w, e.bands)
	w.put(0, 1) // gain_control_data_present
	for b := range l.bands {
		writeLines(w, int(c.bands[b].book), c.quant[l.offset[b]:l.offset[b+1]])
	}
}

func (c *encoderChannel) writeSections(w *bitWriter, l *layout) {
	field := l.sectionBits()
	escape := 1<<field - 1
	for b := 0; b < l.bands; {
		end := c.sectionEnd(l, b)
		book := uint32(c.bands[b].book)
		if book == noiseBook {
			book++ // 12 is reserved
		}
		w.put(book, 4)
		n := end - b
		for ; n >= escape; n -= escape {
			w.put(uint32(escape), field)
		}
		w.put(uint32(n), field)
		b = end
	}
}

// noiseOffset is subtracted from the first noise energy, with the global gain
// (4.6.13.3).
const noiseOffset = 90

// writeScales writes scale_factor_data (4.4.2.7, 4.6.2.3).
func (c *encoderChannel) writeScales(w *bitWriter, l *layout, gain int) {
	scale, noise := gain, -1
	for b := range l.bands {
		band := &c.bands[b]
		switch {
		case band.book == 0:
		case band.book == noiseBook && noise < 0:
			w.put(uint32(band.noise-gain+noiseOffset+256), 9)
			noise = band.noise
		case band.book == noiseBook:
			w.putCode(scaleBook[band.noise-noise+maxStep])
			noise = band.noise
		case band.scale < 0: // zeros within a section
			w.putCode(scaleBook[maxStep])
		default:
			w.putCode(scaleBook[band.scale-scale+maxStep])
			scale = band.scale
		}
	}
}
