package g711

import "math/bits"

// Linear samples are 16 bits wide here, of which A-law uses the upper 13 and
// µ-law the upper 14 (ITU-T G.711, tables 1 and 2).

// Filled once and only read.
var (
	alawLevels = levels(decodeALaw)
	ulawLevels = levels(decodeULaw)
)

func levels(decode func(byte) int) (all [256]float32) {
	for i := range all {
		all[i] = float32(decode(byte(i))) / 32768
	}
	return all
}

// linear returns the nearest 16 bit sample. NaN is silence.
func linear(s float32) int {
	switch s *= 32768; {
	case s >= 32767:
		return 32767
	case s <= -32768:
		return -32768
	case s >= 0:
		return int(s + 0.5)
	case s < 0:
		return -int(0.5 - s)
	default:
		return 0
	}
}

// alawMask inverts the even bits of every A-law octet (G.711, note 2 of
// table 1a).
const alawMask = 0x55

// decodeALaw returns the middle of the interval that b stands for. An octet is
// a sign, three bits for the segment and four for the place in it; the two
// lowest segments have the same step.
func decodeALaw(b byte) int {
	b ^= alawMask
	segment, place := int(b>>4&7), int(b&0xf)
	level := place<<4 + 8
	if segment > 0 {
		level = (level + 0x100) << (segment - 1)
	}
	if b&0x80 == 0 {
		return -level
	}
	return level
}

func encodeALaw(s int) byte {
	sign := byte(0x80)
	if s < 0 {
		// One below the magnitude: intervals begin at the same levels on both
		// sides of zero.
		s, sign = ^s, 0
	}
	s >>= 4
	segment := max(0, bits.Len(uint(s))-4) // 0 to 31 are the first two
	if segment > 1 {
		s >>= segment - 1
	}
	return (sign | byte(segment)<<4 | byte(s)&0xf) ^ alawMask
}

const (
	// ulawBias moves the segments of µ-law to powers of two.
	ulawBias = 33 << 2
	// ulawMax is the end of its last segment, below 32767.
	ulawMax = 0x7fff - ulawBias
)

// decodeULaw returns the middle of the interval that b stands for. All bits of
// the octet are inverted (G.711, note 2 of table 2a).
func decodeULaw(b byte) int {
	b = ^b
	segment, place := int(b>>4&7), int(b&0xf)
	level := (place<<3+0x84)<<segment - ulawBias
	if b&0x80 != 0 {
		return -level
	}
	return level
}

func encodeULaw(s int) byte {
	sign := byte(0)
	if s < 0 {
		s, sign = ^s, 0x80
	}
	s = min(s, ulawMax) + ulawBias
	segment := bits.Len(uint(s)) - 8
	return ^(sign | byte(segment)<<4 | byte(s>>(segment+3))&0xf)
}
