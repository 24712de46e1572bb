package depacketize

// H265 reads payloads of RFC 7798.
type H265 struct {
	// DONL tells that decoding order numbers are in the packets, because
	// sprop-max-don-diff is above 0. They are passed over: NAL units are taken
	// in the order of transmission, which is decoding order for senders that
	// do not interleave.
	DONL bool
}

const (
	h265AP   = 48
	h265FU   = 49
	h265PACI = 50
)

// Push adds a payload to p. After an error p holds what was readable.
func (d H265) Push(p *Picture, b []byte) error {
	if len(b) == 0 {
		return nil // padding
	}
	if len(b) < 2 {
		return ErrTruncated
	}
	switch t := b[0] >> 1 & 0x3f; {
	case t == h265AP:
		return d.pushAP(p, b[2:])
	case t == h265FU:
		return d.pushFU(p, b)
	case t == h265PACI:
		return d.pushPACI(p, b)
	case t > h265PACI:
		return ErrType
	case d.DONL:
		return d.pushSingle(p, b)
	default:
		return p.add(b)
	}
}

// pushSingle takes a NAL unit with DONL behind its header (RFC 7798 section
// 4.4.1).
func (d H265) pushSingle(p *Picture, b []byte) error {
	if len(b) < 4 {
		return ErrTruncated
	}
	if err := p.begin(b[:2], b[4:]); err != nil {
		return err
	}
	p.end()
	return nil
}

// pushAP takes an aggregation packet (RFC 7798 section 4.4.2): with DONL the
// first unit has 16 bits in front of its length, the others have 8.
func (d H265) pushAP(p *Picture, b []byte) error {
	if !d.DONL {
		return p.units(b, 0)
	}
	for don := 2; len(b) > 0; don = 1 {
		if len(b) < don+2 {
			return ErrTruncated
		}
		b = b[don:]
		n := int(b[0])<<8 | int(b[1])
		if b = b[2:]; len(b) < n {
			return ErrTruncated
		}
		if err := p.add(b[:n]); err != nil {
			return err
		}
		b = b[n:]
	}
	return nil
}

// pushFU takes a fragment (RFC 7798 section 4.4.3):
//
//	| F type=49 layer TID | S E type | [DONL, 16 bits, in the first] | data
func (d H265) pushFU(p *Picture, b []byte) error {
	if len(b) < 3 {
		return ErrTruncated
	}
	fu, data := b[2], b[3:]
	start := fu&fuStart != 0
	if start && d.DONL {
		if len(data) < 2 {
			return ErrTruncated
		}
		data = data[2:]
	}
	var err error
	if start {
		header := [2]byte{b[0]&0x81 | fu&0x3f<<1, b[1]}
		err = p.begin(header[:], data)
	} else {
		err = p.more(data)
	}
	if err == nil && fu&fuEnd != 0 {
		p.end()
	}
	return err
}

// pushPACI unwraps a payload content information packet (RFC 7798 section
// 4.4.4): the payload behind its extension has the type named in it.
//
//	| F type=50 layer TID | A cType(6) PHSsize(5) F0..2 Y | PHES | payload
func (d H265) pushPACI(p *Picture, b []byte) error {
	if len(b) < 4 {
		return ErrTruncated
	}
	size := int(b[2]&1)<<4 | int(b[3]>>4)
	inner := b[2] >> 1 & 0x3f
	if len(b) < 4+size || inner == h265PACI {
		return ErrTruncated
	}
	header := [2]byte{b[2]&0x80 | inner<<1 | b[0]&1, b[1]}
	rest := b[4+size:]
	switch {
	case inner == h265AP:
		return d.pushAP(p, rest)
	case inner == h265FU:
		if len(rest) < 1 {
			return ErrTruncated
		}
		// The two bytes in front of the fragment header are free to use:
		// the packet is not needed any more.
		b[2+size], b[3+size] = header[0], header[1]
		return d.pushFU(p, b[2+size:])
	case inner > h265PACI:
		return ErrType
	}
	if d.DONL {
		if len(rest) < 2 {
			return ErrTruncated
		}
		rest = rest[2:]
	}
	if err := p.begin(header[:], rest); err != nil {
		return err
	}
	p.end()
	return nil
}
