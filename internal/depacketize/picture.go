package depacketize

import "errors"

const (
	// MaxPicture bounds the bytes of one picture.
	MaxPicture = 4 << 20
	// maxUnits bounds its NAL units: level 6.2 of H.264 and H.265 allows 600
	// slices.
	maxUnits = 2048
)

// What may be wrong with a payload.
var (
	ErrTruncated = errors.New("depacketize: payload ends early")
	ErrFragment  = errors.New("depacketize: fragment without its beginning")
	ErrTooLarge  = errors.New("depacketize: picture too large")
	ErrType      = errors.New("depacketize: packet type not known")
)

// Picture collects the NAL units of one access unit. The zero value is empty.
type Picture struct {
	buf  []byte
	ends []int // of the units in buf
	open bool  // behind the last end there is part of a unit
}

// Reset empties the picture and keeps its memory.
func (p *Picture) Reset() { p.buf, p.ends, p.open = p.buf[:0], p.ends[:0], false }

// Len is the number of complete NAL units.
func (p *Picture) Len() int { return len(p.ends) }

// Open tells that the last NAL unit is not complete.
func (p *Picture) Open() bool { return p.open }

// Unit returns NAL unit i, valid until Reset.
func (p *Picture) Unit(i int) []byte {
	start := 0
	if i > 0 {
		start = p.ends[i-1]
	}
	return p.buf[start:p.ends[i]:p.ends[i]]
}

// Abandon forgets the part of a NAL unit whose rest is lost.
func (p *Picture) Abandon() {
	if !p.open {
		return
	}
	p.open = false
	end := 0
	if n := len(p.ends); n > 0 {
		end = p.ends[n-1]
	}
	p.buf = p.buf[:end]
}

// add appends a whole NAL unit. Start codes that some put in front are no
// part of it.
func (p *Picture) add(nal []byte) error {
	nal = trimStartCode(nal)
	if len(nal) == 0 {
		return nil
	}
	if err := p.begin(nil, nal); err != nil {
		return err
	}
	p.end()
	return nil
}

// begin starts a NAL unit of a header and the first part of the rest.
func (p *Picture) begin(header, part []byte) error {
	p.Abandon()
	if len(p.buf)+len(header)+len(part) > MaxPicture || len(p.ends) >= maxUnits {
		return ErrTooLarge
	}
	p.buf = append(append(p.buf, header...), part...)
	p.open = true
	return nil
}

// more appends to the unit that is open.
func (p *Picture) more(part []byte) error {
	if !p.open {
		return ErrFragment
	}
	if len(p.buf)+len(part) > MaxPicture {
		p.Abandon()
		return ErrTooLarge
	}
	p.buf = append(p.buf, part...)
	return nil
}

func (p *Picture) end() {
	p.ends = append(p.ends, len(p.buf))
	p.open = false
}

func trimStartCode(b []byte) []byte {
	if len(b) >= 4 && b[0] == 0 && b[1] == 0 {
		switch {
		case b[2] == 1:
			return b[3:]
		case b[2] == 0 && b[3] == 1:
			return b[4:]
		}
	}
	return b
}

// units adds NAL units that each follow their length in 16 bits and skip bytes
// of no use here.
func (p *Picture) units(b []byte, skip int) error {
	for len(b) > 0 {
		if len(b) < 2 {
			return ErrTruncated
		}
		n := int(b[0])<<8 | int(b[1])
		b = b[2:]
		if n == 0 && skip == 0 {
			continue
		}
		if len(b) < skip+n {
			return ErrTruncated
		}
		if err := p.add(b[skip : skip+n]); err != nil {
			return err
		}
		b = b[skip+n:]
	}
	return nil
}
