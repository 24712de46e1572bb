package g722

import "math/bits"

// A band is the adaptive predictor and quantizer of one band, the same in
// encoder and decoder. Names in capitals are blocks and signals of ITU-T G.722
// section 6.2.
type band struct {
	step int // of the quantizer (DETL, DETH)
	log  int // its logarithm (NBL, NBH)

	predicted int    // next sample (SL, SH)
	zeros     int    // the part of it that comes from the zeros (SZL, SZH)
	a1, a2    int    // coefficients of the poles
	b         [6]int // and of the zeros
	last      int    // reconstructed sample (RLT1, RHT1)
	p1, p2    int    // reconstructed from the zeros only, newest first
	d         [6]int // quantized differences, doubled, newest first
}

// Steps at the start.
const (
	lowStep  = 32
	highStep = 8
)

func newBands() (low, high band) {
	return band{step: lowStep}, band{step: highStep}
}

// decodeLow returns the sample for a code of 6 bits.
func (b *band) decodeLow(code int) int {
	sample := limit15(b.predicted + b.step*lowLevels[code]>>15)
	b.adaptLow(code)
	return sample
}

// decodeHigh returns the sample for a code of 2 bits.
func (b *band) decodeHigh(code int) int {
	sample := limit15(b.predicted + b.step*highLevels[code]>>15)
	b.adaptHigh(code)
	return sample
}

// encodeLow returns the code of 6 bits for a sample (QUANTL).
func (b *band) encodeLow(sample int) int {
	difference := saturate(sample - b.predicted)
	size := difference
	if difference < 0 {
		size = ^difference
	}
	i := 0
	for i < len(decisions) && size >= decisions[i]*b.step>>12 {
		i++
	}
	code := lowCode(i, difference < 0)
	b.adaptLow(code)
	return code
}

// encodeHigh returns the code of 2 bits for a sample (QUANTH).
func (b *band) encodeHigh(sample int) int {
	difference := saturate(sample - b.predicted)
	code, size := 3, difference
	if difference < 0 {
		code, size = 1, ^difference
	}
	if size >= 564*b.step>>12 {
		code--
	}
	b.adaptHigh(code)
	return code
}

// adaptLow adapts to a code that was sent (INVQAL, LOGSCL, SCALEL).
func (b *band) adaptLow(code int) {
	upper := code >> 2 // a sign and a size that counts down
	i, difference := 15-upper, 0
	if upper < 8 {
		i = (8 - upper) & 7
		difference = b.step * -coarse[i] >> 15
	} else {
		difference = b.step * coarse[i] >> 15
	}
	b.scale(lowAdapt[i], 18432, 8)
	b.predict(difference)
}

// adaptHigh does so in the high band (INVQAH, LOGSCH, SCALEH).
func (b *band) adaptHigh(code int) {
	difference := b.step * highLevels[code] >> 15
	b.scale(highAdapt[code], 22528, 10)
	b.predict(difference)
}

// scale changes the logarithm of the step, and the step with it.
func (b *band) scale(change, most, whole int) {
	b.log = max(0, min(most, b.log*127>>7+change))
	step := powers[b.log>>6&31]
	if shift := whole - b.log>>11; shift < 0 {
		step <<= -shift
	} else {
		step >>= shift
	}
	b.step = step << 2
}

// predict adapts the predictor to the quantized difference and predicts the
// next sample.
func (b *band) predict(difference int) {
	sample := saturate(b.predicted + difference) // RECONS
	part := saturate(b.zeros + difference)       // PARREC

	// UPPOL2
	differ := sign(part ^ b.p1)
	change := negate(saturate(b.a1<<2), ^differ)
	change = min(change, 32767)>>7 + negate(128, sign(part^b.p2))
	b.a2 = max(-12288, min(12288, change+b.a2*32512>>15))

	// UPPOL1
	change = negate(192, differ)
	most := saturate(15360 - b.a2)
	b.a1 = max(-most, min(most, saturate(change+b.a1*32640>>15)))

	b.p1, b.p2 = part, b.p1
	poles := b.a1*saturate(2*sample)>>15 + b.a2*saturate(2*b.last)>>15
	b.last = sample
	b.zeros = b.adaptZeros(difference)
	b.predicted = saturate(saturate(poles) + b.zeros)
}

// adaptZeros adapts the zeros, takes in the difference, and returns what the
// zeros predict (UPZERO, FILTEZ).
func (b *band) adaptZeros(difference int) int {
	change := 128
	if difference == 0 {
		change = 0
	}
	sum, newer := 0, saturate(2*difference)
	for i, old := range b.d {
		weight := saturate(b.b[i]*32640>>15 + negate(change, sign(old^difference)))
		sum += weight * newer >> 15
		b.b[i], b.d[i], newer = weight, newer, old
	}
	return saturate(sum)
}

// sign is -1 for a negative number, else 0. Signs here are like noise: to
// calculate with them is faster than to branch.
func sign(v int) int { return v >> (bits.UintSize - 1) }

// negate returns v for a sign of 0, -v for one of -1.
func negate(v, sign int) int { return (v ^ sign) - sign }
