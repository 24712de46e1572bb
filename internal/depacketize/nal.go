package depacketize

// Kind is what a NAL unit is for.
type Kind uint8

// The kinds.
const (
	Other     Kind = iota
	Slice          // part of a picture
	Key            // part of a picture with which decoding can start
	SEI            // supplemental enhancement information
	VPS            // H.265 only
	SPS            //
	PPS            //
	Delimiter      // access unit delimiter, filler: nothing that is needed
)

// H264Kind follows table 7-1 of ITU-T H.264.
func H264Kind(nal []byte) Kind {
	if len(nal) < 2 {
		return Delimiter // end of sequence or stream, or nothing
	}
	switch nal[0] & 0x1f {
	case 1, 2, 3, 4:
		return Slice
	case 5:
		return Key
	case 6:
		return SEI
	case 7:
		return SPS
	case 8:
		return PPS
	case 9, 12:
		return Delimiter
	default:
		return Other
	}
}

// H265Kind follows table 7-1 of ITU-T H.265.
func H265Kind(nal []byte) Kind {
	if len(nal) < 3 {
		return Delimiter
	}
	switch t := nal[0] >> 1 & 0x3f; {
	case t >= 16 && t <= 23:
		return Key
	case t < 32:
		return Slice
	case t == 32:
		return VPS
	case t == 33:
		return SPS
	case t == 34:
		return PPS
	case t == 35 || t == 38:
		return Delimiter
	case t == 39:
		return SEI
	default:
		return Other
	}
}

// SliceHeader is the beginning of a slice's header.
type SliceHeader struct {
	First bool // of its picture
	PPS   uint32
}

// H264Slice reads a slice (ITU-T H.264 section 7.3.3). Data partitions B and C
// name no parameter set and begin no picture.
func H264Slice(nal []byte) (h SliceHeader, ok bool) {
	if t := nal[0] & 0x1f; t == 3 || t == 4 {
		return h, false
	}
	r := bitReader{b: nal[1:]}
	h.First = r.ue() == 0 // first_mb_in_slice
	r.ue()                // slice_type
	h.PPS = r.ue()
	return h, !r.failed
}

// H265Slice reads a slice segment (ITU-T H.265 section 7.3.6.1).
func H265Slice(nal []byte) (h SliceHeader, ok bool) {
	r := bitReader{b: nal[2:]}
	h.First = r.bits(1) == 1
	if H265Kind(nal) == Key {
		r.bits(1) // no_output_of_prior_pics_flag
	}
	h.PPS = r.ue()
	return h, !r.failed
}

// H264SPSID is seq_parameter_set_id of an SPS.
func H264SPSID(nal []byte) (id uint32, ok bool) {
	r := bitReader{b: nal[1:]}
	r.bits(24) // profile_idc, constraints, level_idc
	id = r.ue()
	return id, !r.failed && id < 32
}

// H264PPSIDs are the numbers of a PPS and of the SPS that it belongs to.
func H264PPSIDs(nal []byte) (id, sps uint32, ok bool) { return ppsIDs(nal[1:], 256) }

// H265PPSIDs are the numbers of a PPS and of the SPS that it belongs to.
func H265PPSIDs(nal []byte) (id, sps uint32, ok bool) { return ppsIDs(nal[2:], 64) }

func ppsIDs(b []byte, limit uint32) (id, sps uint32, ok bool) {
	r := bitReader{b: b}
	id, sps = r.ue(), r.ue()
	return id, sps, !r.failed && id < limit && sps < 32
}

// RecoveryPoint tells whether an SEI NAL unit, whose header has that many
// bytes, holds a recovery point message (ITU-T H.264 section D.1.8, H.265
// section D.2.8).
func RecoveryPoint(nal []byte, header int) bool {
	b := nal[min(header, len(nal)):]
	for len(b) > 2 { // more than the trailing bits
		var kind, size int
		var ok bool
		if kind, b, ok = seiNumber(b); !ok {
			return false
		}
		if size, b, ok = seiNumber(b); !ok || size > len(b) {
			return false
		}
		if kind == 6 {
			return true
		}
		b = b[size:]
	}
	return false
}

// seiNumber reads a number that is written in bytes of 255 and a last one.
func seiNumber(b []byte) (n int, rest []byte, ok bool) {
	for i, v := range b {
		n += int(v)
		if v != 0xff {
			return n, b[i+1:], true
		}
	}
	return 0, nil, false
}

// bitReader reads the bits of a NAL unit, passing over emulation prevention
// bytes (ITU-T H.264 section 7.4.1).
type bitReader struct {
	b      []byte
	pos    int // in bits
	zeros  int // zero bytes in a row before the one at pos
	failed bool
}

func (r *bitReader) bit() uint32 {
	i := r.pos >> 3
	if r.pos&7 == 0 && i < len(r.b) {
		if r.zeros >= 2 && r.b[i] == 3 {
			i++
			r.pos += 8
			r.zeros = 0
		}
	}
	if i >= len(r.b) {
		r.failed = true
		return 0
	}
	v := uint32(r.b[i]>>(7-r.pos&7)) & 1
	if r.pos++; r.pos&7 == 0 {
		if r.b[i] == 0 {
			r.zeros++
		} else {
			r.zeros = 0
		}
	}
	return v
}

func (r *bitReader) bits(n int) (v uint32) {
	for range n {
		v = v<<1 | r.bit()
	}
	return v
}

// ue is an unsigned Exp-Golomb code (ITU-T H.264 section 9.1).
func (r *bitReader) ue() uint32 {
	n := 0
	for r.bit() == 0 {
		if n++; n > 31 || r.failed {
			r.failed = true
			return 0
		}
	}
	return uint32(uint64(1)<<n - 1 + uint64(r.bits(n)))
}
