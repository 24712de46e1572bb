package depacketize

// H264 reads payloads of RFC 6184. Those of the interleaved mode, which is
// never agreed to, are taken as if they came in decoding order.
type H264 struct{}

const (
	stapA  = 24
	stapB  = 25
	mtap16 = 26
	mtap24 = 27
	fuA    = 28
	fuB    = 29

	fuStart = 0x80
	fuEnd   = 0x40
)

// Push adds a payload to p. After an error p holds what was readable.
func (H264) Push(p *Picture, b []byte) error {
	if len(b) == 0 {
		return nil // padding
	}
	switch t := b[0] & 0x1f; t {
	case stapA:
		return p.units(b[1:], 0)
	case stapB, mtap16, mtap24:
		if len(b) < 3 {
			return ErrTruncated
		}
		return p.units(b[3:], [...]int{0, 3, 4}[t-stapB])
	case fuA, fuB:
		return pushFU(p, b)
	case 0, 30, 31:
		if b[0] == 0 && len(trimStartCode(b)) < len(b) {
			return p.add(b)
		}
		return ErrType
	default:
		return p.add(b)
	}
}

// pushFU takes a fragment (RFC 6184 section 5.8):
//
//	| F NRI type=28 | S E R type | [DON, 16 bits, in FU-B] | data
func pushFU(p *Picture, b []byte) error {
	skip := 2
	if b[0]&0x1f == fuB {
		skip = 4
	}
	if len(b) < skip {
		return ErrTruncated
	}
	var err error
	if b[1]&fuStart != 0 {
		header := [1]byte{b[0]&0xe0 | b[1]&0x1f}
		err = p.begin(header[:], b[skip:])
	} else {
		err = p.more(b[skip:])
	}
	if err == nil && b[1]&fuEnd != 0 {
		p.end()
	}
	return err
}
