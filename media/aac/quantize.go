package aac

import (
	"math"
	"math/bits"
)

const (
	// books counts the spectral books with book 0, which codes nothing, and
	// noiseBook.
	books = 13
	// noiseBook marks bands of noise in the encoder. The code is one more.
	noiseBook = 12
	// unusable is the cost of a book that cannot code a band.
	unusable = 1 << 24
	// rounding is added before the fraction is cut off: less than a half, as
	// small values are more frequent.
	rounding = .4054
	// maxLine is the largest quantized value (4.6.1).
	maxLine = 8191
	// maxStep is the largest difference of two scalefactors (4.A.1).
	maxStep = 60
)

// The tables below give the bits that values need, signs and all, for two or
// four books at once: 16 bits of the element for each. Their sizes are powers
// of two, so that a mask instead of a check keeps an index inside.
var (
	quadBits   = makeQuadBits()   // books 1 to 4, four digits of -2 to 2
	signedBits = makeSignedBits() // books 5 and 6, two digits of -4 to 4
	pairBits   = makePairBits()   // books 7 to 10, two digits of 0 to 16
	escapeBits = makeEscapeBits() // book 11 alone, two digits of 0 to 16
	zeroBits   = makeZeroBits()   // bits of four zero lines, by book
	// stepSize is 2^(-3/16 (scale-100)): what |x|^(3/4) is multiplied with.
	stepSize = makeStepSize()
)

func makeQuadBits() (t [1024]uint64) {
	for i := range 625 {
		v := [4]int{i/125 - 2, i/25%5 - 2, i/5%5 - 2, i%5 - 2}
		signed, absolute, signs, largest := 0, 0, uint64(0), 0
		for _, x := range v {
			a := max(x, -x)
			signed, absolute, largest = 3*signed+x+1, 3*absolute+a, max(largest, a)
			if x != 0 {
				signs++
			}
		}
		if largest <= 1 {
			t[i] = uint64(book1[signed].length()) | uint64(book2[signed].length())<<16
		}
		t[i] |= (uint64(book3[absolute].length())+signs)<<32 | (uint64(book4[absolute].length())+signs)<<48
	}
	return t
}

func makeSignedBits() (t [128]uint32) {
	for i := range 81 {
		t[i] = uint32(book5[i].length()) | uint32(book6[i].length())<<16
	}
	return t
}

func makePairBits() (t [512]uint64) {
	for i := range 17 * 17 {
		a, b := i/17, i%17
		signs := uint64(min(a, 1) + min(b, 1))
		if a < 8 && b < 8 {
			t[i] = uint64(book7[8*a+b].length()) + signs | (uint64(book8[8*a+b].length())+signs)<<16
		}
		if a < 13 && b < 13 {
			t[i] |= (uint64(book9[13*a+b].length())+signs)<<32 | (uint64(book10[13*a+b].length())+signs)<<48
		}
	}
	return t
}

func makeEscapeBits() (t [512]uint16) {
	for i := range 17 * 17 {
		t[i] = uint16(int(book11[i].length()) + min(i/17, 1) + min(i%17, 1))
	}
	return t
}

func makeZeroBits() (t [books]int32) {
	for k, c := range [...]codeword{1: book1[40], 2: book2[40], 3: book3[0], 4: book4[0]} {
		t[k] = int32(c.length())
	}
	for k, c := range [...]codeword{5: book5[40], 6: book6[40], 7: book7[0], 8: book8[0], 9: book9[0], 10: book10[0], 11: book11[0]} {
		if k >= 5 {
			t[k] = 2 * int32(c.length())
		}
	}
	return t
}

func makeStepSize() (t [256]float32) {
	for i := range t {
		t[i] = float32(math.Exp2(-3. / 16 * float64(i-100)))
	}
	return t
}

// scaleBits is the size of the code for a difference of scalefactors.
func scaleBits(step int) int32 { return int32(scaleBook[step+maxStep].length()) }

// quantize quantizes the channel with the scalefactors of its bands, chooses
// the books, and returns the bits of sections, scalefactors and lines.
// Scalefactors that are too far apart are moved.
func (c *encoderChannel) quantize(l *layout) int32 {
	bits := int32(0)
	scale, noise := -1, -1 // of the band before
	silent := true
	for b := range l.bands {
		band := &c.bands[b]
		largest := 0
		if band.scale >= 0 {
			if scale >= 0 {
				band.scale = max(scale-maxStep, min(scale+maxStep, band.scale))
			}
			largest = int(band.peak*stepSize[band.scale] + rounding)
		}
		if largest == 0 {
			band.scale = -1
			band.silence(c.quant[l.offset[b]:l.offset[b+1]], scale >= 0)
			if band.noise >= 0 {
				noise = band.substitute(noise)
				silent = false
			}
			continue
		}
		silent = false
		lo, hi := l.offset[b], l.offset[b+1]
		quantizeLines(c.quant[lo:hi], c.lines[lo:hi], c.power34[lo:hi], stepSize[band.scale])
		countBits(c.quant[lo:hi], min(largest, maxLine), &band.bits)
		if scale >= 0 {
			bits += scaleBits(band.scale - scale)
		} else {
			bits += scaleBits(0) // the global gain is the first scalefactor
		}
		scale = band.scale
	}
	if silent {
		return c.leaveOut(l)
	}
	return bits + c.chooseBooks(l)
}

// silence makes a band of zeros. Another book than 0 may code it, to save a
// section, once there was a scalefactor that it can repeat.
func (band *encoderBand) silence(quant []int16, repeat bool) {
	clear(quant)
	band.bits[0], band.bits[noiseBook] = 0, unusable
	n := int32(len(quant) / 4)
	for k := 1; k < noiseBook; k++ {
		band.bits[k] = unusable
		if repeat {
			band.bits[k] = n*zeroBits[k] + scaleBits(0)
		}
	}
}

// substitute makes a band noise (4.6.13) and returns its energy; before is the
// energy of the last such band, -1 if it is the first one.
func (band *encoderBand) substitute(before int) int {
	for k := range band.bits {
		band.bits[k] = unusable
	}
	if before < 0 {
		band.bits[noiseBook] = 9
		return band.noise
	}
	band.noise = max(before-maxStep, min(before+maxStep, band.noise))
	band.bits[noiseBook] = scaleBits(band.noise - before)
	return band.noise
}

// quantizeLines computes |x|^(3/4) * step, rounded, with the sign of x.
func quantizeLines(quant []int16, lines, power34 []float32, step float32) {
	lines, power34 = lines[:len(quant)], power34[:len(quant)]
	for i := range quant {
		v := min(int32(power34[i]*step+rounding), maxLine)
		sign := int32(math.Float32bits(lines[i])) >> 31
		quant[i] = int16((v ^ sign) - sign)
	}
}

// countBits sets the bits that each book needs for the lines of a band, of
// which the largest is given.
func countBits(q []int16, largest int, bits *[books]int32) {
	for k := range bits {
		bits[k] = unusable
	}
	if largest <= 2 {
		sum := countQuads(q)
		if largest <= 1 {
			bits[1], bits[2] = int32(sum&0xffff), int32(sum>>16&0xffff)
		}
		bits[3], bits[4] = int32(sum>>32&0xffff), int32(sum>>48)
	}
	if largest <= 4 {
		signed, sum := countSmallPairs(q)
		bits[5], bits[6] = int32(signed&0xffff), int32(signed>>16)
		bits[7], bits[8] = int32(sum&0xffff), int32(sum>>16&0xffff)
		bits[9], bits[10] = int32(sum>>32&0xffff), int32(sum>>48)
		return
	}
	if largest <= 12 {
		sum := countPairs(q)
		if largest <= 7 {
			bits[7], bits[8] = int32(sum&0xffff), int32(sum>>16&0xffff)
		}
		bits[9], bits[10] = int32(sum>>32&0xffff), int32(sum>>48)
	}
	if largest > 7 {
		bits[11] = countEscapes(q)
	}
}

// countQuads sums quadBits.
func countQuads(q []int16) (sum uint64) {
	for ; len(q) >= 4; q = q[4:] {
		sum += quadBits[uint(int(q[0])*125+int(q[1])*25+int(q[2])*5+int(q[3])+312)%1024]
	}
	return sum
}

// countSmallPairs sums signedBits and pairBits.
func countSmallPairs(q []int16) (signed uint32, sum uint64) {
	for ; len(q) >= 2; q = q[2:] {
		a, b := int(q[0]), int(q[1])
		signed += signedBits[uint(a*9+b+40)%128]
		sum += pairBits[uint(magnitude(q[0])*17+magnitude(q[1]))%512]
	}
	return signed, sum
}

// countPairs sums pairBits.
func countPairs(q []int16) (sum uint64) {
	for ; len(q) >= 2; q = q[2:] {
		sum += pairBits[uint(magnitude(q[0])*17+magnitude(q[1]))%512]
	}
	return sum
}

// countEscapes returns the bits of book 11, in which values above 15 are
// followed by an escape (4.6.3.3).
func countEscapes(q []int16) int32 {
	sum := int32(0)
	for ; len(q) >= 2; q = q[2:] {
		a, b := magnitude(q[0]), magnitude(q[1])
		if a|b > 15 {
			sum += escapeLength(a) + escapeLength(b)
			a, b = min(a, 16), min(b, 16)
		}
		sum += int32(escapeBits[uint(a*17+b)%512])
	}
	return sum
}

// escapeLength is the size of the escape of a value, 0 below 16.
func escapeLength(v int) int32 {
	if v < 16 {
		return 0
	}
	return int32(2*floorLog2(v) - 3)
}

func magnitude(v int16) int {
	s := int(v >> 15)
	return (int(v) ^ s) - s
}

func floorLog2(v int) int { return bits.Len(uint(v)) - 1 }
