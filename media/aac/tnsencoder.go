package aac

import "math"

// Settings of temporal noise shaping in the encoder.
const (
	// tnsOrder is the order of the filter, and tnsResolution the bits of each
	// coefficient.
	tnsOrder, tnsResolution = 8, 4
	tnsLags                 = tnsOrder + 1 // of the autocorrelation
	// tnsFrequency is where the filter begins, in Hz: below it, the ear is not
	// quick enough to need it.
	tnsFrequency = 1500
	// tnsLeastGain is the prediction gain (log2) from which it is used.
	tnsLeastGain = .6
	// tnsUnevenness is how uneven in time the block must be: tones give a
	// gain, too, but have no envelope.
	tnsUnevenness = 3
	// tnsRestraint is the share of the gain (log2) by which the noise is
	// lowered, as the decoder's filter raises it again.
	tnsRestraint = 1
)

// A noiseShaper finds the filter for temporal noise shaping (4.6.9): linear
// prediction along the frequency gives the envelope along the time, and noise
// that passes the filter of the prediction follows that envelope. It is used
// in long windows. A pair shares one filter, so that M/S can be chosen after
// it.
type noiseShaper struct {
	active       bool
	gain         float32 // log2
	first        int     // band
	lo, hi       int     // lines
	order        int
	codes        [tnsOrder]int
	coefficients [maxTNSOrder]float32
	flat         [frameSize + tnsLags]float32 // lines, levelled, and zeros
}

// shapeNoise decides on noise shaping and filters the lines.
func (e *encoder) shapeNoise() {
	s := &e.shaper
	s.active = false
	if e.layout.sequence == eightShort || !s.region(&e.layout, e.bands, e.config.SampleRate) {
		return
	}
	uneven := false
	for i := range e.channels {
		uneven = uneven || e.channels[i].transient.unevenness(e.ahead) > tnsUnevenness
	}
	if !uneven {
		return
	}
	var correlation [tnsLags]float64
	for i := range e.channels {
		s.flatten(&e.channels[i], &e.layout)
		autocorrelate(&correlation, s.flat[s.lo:s.hi+tnsLags], s.hi-s.lo)
	}
	if !s.predict(&correlation) {
		return
	}
	s.active = true
	for i := range e.channels {
		c := &e.channels[i]
		s.filter(c.lines[s.lo:s.hi])
		c.lowerNoise(s, &e.layout)
	}
}

// region sets the bands and lines that the filter covers. It returns false if
// these are too few.
func (s *noiseShaper) region(l *layout, bands *bandTable, rate int) bool {
	last := min(bands.tnsLong, l.perGroup)
	s.first = 0
	for s.first < last && bands.long[s.first]*rate < tnsFrequency*2*frameSize {
		s.first++
	}
	s.lo, s.hi = bands.long[s.first], bands.long[last]
	return s.hi-s.lo > 8*tnsOrder
}

// flatten levels the bands, so that a strong one does not make up the
// prediction alone.
func (s *noiseShaper) flatten(c *encoderChannel, l *layout) {
	for b := s.first; l.offset[b] < s.hi; b++ {
		lo, hi := l.offset[b], min(l.offset[b+1], s.hi)
		band := &c.bands[b]
		gain := float32(0)
		if !band.inaudible {
			gain = float32(1 / math.Sqrt(float64(band.energy/float32(hi-lo)+1)))
		}
		flat, lines := s.flat[lo:hi], c.lines[lo:hi]
		for i, v := range lines {
			flat[i] = v * gain
		}
	}
	clear(s.flat[s.hi:])
}

// autocorrelate adds the autocorrelation of the first n values of x to r. The
// others, as many as there are lags, must be zero. It does three lags at a
// time, as the processor adds to three sums in the time of one.
func autocorrelate(r *[tnsLags]float64, x []float32, n int) {
	a := x[:n]
	for lag := 0; lag < tnsLags; lag += 3 {
		b, c, d := x[lag:][:n], x[lag+1:][:n], x[lag+2:][:n]
		var sum0, sum1, sum2 float32
		for i, v := range a {
			sum0 += v * b[i]
			sum1 += v * c[i]
			sum2 += v * d[i]
		}
		r[lag] += float64(sum0)
		r[lag+1] += float64(sum1)
		r[lag+2] += float64(sum2)
	}
}

// predict finds the filter by Levinson's recursion, rounds it to what can be
// coded, and returns whether its gain is worth it.
func (s *noiseShaper) predict(r *[tnsLags]float64) bool {
	if r[0] <= 0 {
		return false
	}
	rest := r[0] * 1.0001
	var a, next [tnsOrder]float64
	var reflections [maxTNSOrder]float32
	s.order = 0
	for m := range tnsOrder {
		k := -r[m+1]
		for i := range m {
			k -= a[i] * r[m-i]
		}
		k /= rest
		code := tnsCode(k)
		if code != 0 {
			s.order = m + 1
		}
		s.codes[m] = code
		reflections[m] = tnsReflection(code, tnsResolution)
		for i := range m {
			next[i] = a[i] + k*a[m-1-i]
		}
		next[m] = k
		a = next
		if rest *= 1 - k*k; rest <= 0 {
			return false // rounding errors of a perfect prediction
		}
	}
	s.gain = log2(float32(r[0] / rest))
	s.coefficients = directForm(&reflections, s.order)
	return s.order > 0 && s.gain > tnsLeastGain
}

// tnsCode quantizes a reflection coefficient.
func tnsCode(k float64) int {
	const half = 1 << (tnsResolution - 1)
	scale := half - .5
	if k < 0 {
		scale = half + .5
	}
	code := math.Round(math.Asin(max(-1, min(1, k))) * scale * 2 / math.Pi)
	return int(max(-half, min(half-1, code)))
}

// filter replaces lines by the error of their prediction from those below.
func (s *noiseShaper) filter(lines []float32) {
	for n := len(lines) - 1; n >= 0; n-- {
		v := lines[n]
		for i, a := range s.coefficients[:min(s.order, n)] {
			v += a * lines[n-1-i]
		}
		lines[n] = v
	}
}

// lowerNoise adapts the bands of the filter to what it left.
func (c *encoderChannel) lowerNoise(s *noiseShaper, l *layout) {
	for b := s.first; b < l.bands && l.offset[b] < s.hi; b++ {
		band := &c.bands[b]
		width := float32(l.width(b))
		band.energy = energy(c.lines[l.offset[b]:l.offset[b+1]])
		logEnergy := log2(band.energy/width+1e-3) + log2(width)
		band.most = logEnergy + noiseLimit
		band.target -= tnsRestraint * s.gain
		if band.noise >= 0 {
			band.noise = max(0, int(2*logEnergy+.5))
		}
	}
}

// bits returns the size of tns_data besides tns_data_present.
func (s *noiseShaper) bits() int32 {
	if !s.active {
		return 0
	}
	return int32(2 + 1 + 6 + 5 + 1 + 1 + tnsResolution*s.order)
}

// write writes tns_data_present and tns_data (4.4.2.7).
func (s *noiseShaper) write(w *bitWriter, bands *bandTable) {
	w.putBool(s.active)
	if !s.active {
		return
	}
	w.put(1, 2) // a filter
	w.put(tnsResolution-3, 1)
	w.put(uint32(len(bands.long)-1-s.first), 6)
	w.put(uint32(s.order), 5)
	w.put(0, 1) // upwards
	w.put(0, 1) // coef_compress
	for _, code := range s.codes[:s.order] {
		w.put(uint32(code)&(1<<tnsResolution-1), tnsResolution)
	}
}
