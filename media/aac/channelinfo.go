package aac

// Books of bands that hold no lines (4.6.3.3, sect_cb).
const (
	bookZero         = 0
	bookEscape       = 11
	bookReserved     = 12
	bookNoise        = 13
	bookOutOfPhase   = 14 // intensity stereo
	bookInPhase      = 15
	maxScale         = 255
	maxIntensity     = 255 // beyond what any encoder means
	firstNoiseBits   = 9
	firstNoiseOffset = 256
)

// channelInfo is the side information of a channel: ics_info, sections,
// scalefactors, pulses and TNS (4.4.2.7).
type channelInfo struct {
	sequence windowSequence
	shape    windowShape
	groups   int
	windows  [8]int // in each group
	perGroup int    // max_sfb

	book  [maxBands]uint8
	scale [maxBands]int16 // or noise energy, or intensity position
	// seed of a band of noise, for the other channel to repeat it
	seed [maxBands]uint32

	pulses pulseInfo
	tns    tnsInfo
}

// read reads ics_info.
func (c *channelInfo) read(r *bitReader, bands *bandTable) error {
	r.skip(1) // reserved
	c.sequence, c.shape = windowSequence(r.read(2)), windowShape(r.read(1))
	c.groups, c.windows = 1, [8]int{1}
	if c.sequence == eightShort {
		c.perGroup = r.read(4)
		for grouping, w := r.read(7), 6; w >= 0; w-- {
			if grouping>>w&1 == 0 {
				c.groups++
			}
			c.windows[c.groups-1]++
		}
	} else {
		c.perGroup = r.read(6)
		if r.readBool() {
			return &UnsupportedError{"prediction (AAC Main, LTP)"}
		}
	}
	if n := len(bands.of(c.sequence)) - 1; c.perGroup > n {
		return damaged("%d bands of %d", c.perGroup, n)
	}
	return nil
}

// readChannel reads an individual_channel_stream (4.4.2.7) into quantized
// lines; common tells that its ics_info was read already.
func (d *decoder) readChannel(r *bitReader, c *decoderChannel, common bool) error {
	info := &c.info
	gain := r.read(8)
	if !common {
		if err := info.read(r, d.bands); err != nil {
			return err
		}
	}
	if err := info.readSections(r); err != nil {
		return err
	}
	if err := info.readScales(r, gain, d.books); err != nil {
		return err
	}
	if err := info.pulses.read(r, info, d.bands); err != nil {
		return err
	}
	if err := info.tns.read(r, info); err != nil {
		return err
	}
	if r.readBool() {
		return &UnsupportedError{"gain control (AAC SSR)"}
	}
	if r.overrun() {
		return damaged("%d bytes are too short", len(r.data))
	}
	c.readLines(r, d.bands.of(info.sequence), d.books)
	if r.overrun() {
		return damaged("%d bytes are too short", len(r.data))
	}
	c.addPulses(d.bands)
	return nil
}

// readSections reads section_data.
func (c *channelInfo) readSections(r *bitReader) error {
	field := 5
	if c.sequence == eightShort {
		field = 3
	}
	escape := 1<<field - 1
	for g := range c.groups {
		books := c.book[g*c.perGroup : (g+1)*c.perGroup]
		for len(books) > 0 {
			book := r.read(4)
			length, part := 0, escape
			for part == escape && length <= len(books) {
				part = r.read(field)
				length += part
			}
			switch {
			case book == bookReserved:
				return damaged("reserved book")
			case length == 0 || length > len(books):
				return damaged("section of %d bands of %d", length, len(books))
			}
			for b := range length {
				books[b] = uint8(book)
			}
			books = books[length:]
		}
	}
	return nil
}

// readScales reads scale_factor_data (4.6.2.3.2): three kinds of values, each
// as the difference to the last of its kind.
func (c *channelInfo) readScales(r *bitReader, gain int, books *codeBook) error {
	scale, noise, position := gain, gain-noiseOffset, 0
	firstNoise := true
	for b, book := range c.book[:c.groups*c.perGroup] {
		switch book {
		case bookZero:
			c.scale[b] = 0
		case bookInPhase, bookOutOfPhase:
			position += int(books.scale.read(r)) - maxStep
			if position < -maxIntensity || position > maxIntensity {
				return damaged("intensity position %d", position)
			}
			c.scale[b] = int16(position)
		case bookNoise:
			if firstNoise {
				noise += r.read(firstNoiseBits) - firstNoiseOffset
				firstNoise = false
			} else {
				noise += int(books.scale.read(r)) - maxStep
			}
			if noise < -maxScale || noise > maxScale {
				return damaged("noise energy %d", noise)
			}
			c.scale[b] = int16(noise)
		default:
			scale += int(books.scale.read(r)) - maxStep
			if scale < 0 || scale > maxScale {
				return damaged("scalefactor %d", scale)
			}
			c.scale[b] = int16(scale)
		}
	}
	return nil
}

func (c *channelInfo) usesIntensity() bool {
	for _, book := range c.book[:c.groups*c.perGroup] {
		if book >= bookOutOfPhase {
			return true
		}
	}
	return false
}

// pulseInfo is pulse_data (4.4.2.7, 4.6.3.3): up to four lines to be raised
// after decoding.
type pulseInfo struct {
	count  int
	line   [4]int
	amount [4]int16
}

func (p *pulseInfo) read(r *bitReader, c *channelInfo, bands *bandTable) error {
	p.count = 0
	if !r.readBool() {
		return nil
	}
	if c.sequence == eightShort {
		return damaged("pulses in short windows")
	}
	p.count = r.read(2) + 1
	first := r.read(6)
	if first >= len(bands.long) {
		return damaged("pulse in band %d", first)
	}
	line := bands.long[first]
	for i := range p.count {
		line += r.read(5)
		p.line[i], p.amount[i] = line, int16(r.read(4))
		if line >= frameSize {
			return damaged("pulse at line %d", line)
		}
	}
	return nil
}

// addPulses raises lines away from zero, in bands that hold lines.
func (c *decoderChannel) addPulses(bands *bandTable) {
	p := &c.info.pulses
	for i, line := range p.line[:p.count] {
		band := 0
		for bands.long[band+1] <= line {
			band++
		}
		if band >= c.info.perGroup {
			continue
		}
		if book := c.info.book[band]; book == bookZero || book > bookEscape {
			continue
		}
		q := &c.quant[line]
		if *q > 0 {
			*q = min(*q+p.amount[i], maxLine)
		} else {
			*q = max(*q-p.amount[i], -maxLine)
		}
	}
}
