package g722

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
	d         [6]int // quantized differences, newest first
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
	change := saturate(b.a1 << 2)
	if agree(part, b.p1) {
		change = -change
	}
	change = min(change, 32767) >> 7
	if agree(part, b.p2) {
		change += 128
	} else {
		change -= 128
	}
	b.a2 = max(-12288, min(12288, change+b.a2*32512>>15))

	// UPPOL1
	change = -192
	if agree(part, b.p1) {
		change = 192
	}
	most := saturate(15360 - b.a2)
	b.a1 = max(-most, min(most, saturate(change+b.a1*32640>>15)))

	// UPZERO
	for i, old := range b.d {
		b.b[i] = b.b[i] * 32640 >> 15
		switch {
		case difference == 0:
		case agree(old, difference):
			b.b[i] += 128
		default:
			b.b[i] -= 128
		}
		b.b[i] = saturate(b.b[i])
	}

	b.p1, b.p2 = part, b.p1
	copy(b.d[1:], b.d[:])
	b.d[0] = difference

	// FILTEP, FILTEZ, PREDIC
	poles := b.a1*saturate(2*sample)>>15 + b.a2*saturate(2*b.last)>>15
	b.last = sample
	b.zeros = 0
	for i, d := range b.d {
		b.zeros += b.b[i] * saturate(2*d) >> 15
	}
	b.zeros = saturate(b.zeros)
	b.predicted = saturate(saturate(poles) + b.zeros)
}

// agree tells whether two numbers have the same sign, that of 0 being plus.
func agree(a, b int) bool { return a^b >= 0 }
