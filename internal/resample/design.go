package resample

import "math"

// span is the length of the filter in periods of the lower rate.
const span = 40

// series is the impulse response of the low-pass as a series of cosines over
// its length: the one of this length whose largest error is the least, within
// 0.0027 (0.023 dB) up to 0.408 of the lower rate and, weighing 20 times as
// much, within 0.00013 (-77.6 dB) from one half of it on (Lawson's iteration).
// A Kaiser window of this length would have the same error in both, and reach
// 60 dB.
var series = [...]float64{
	1.002632, 0.997382, 1.002528, 0.997605, 1.002240, 0.997996, 1.001745,
	0.998566, 1.001110, 0.999208, 1.000470, 0.999822, 0.999937, 1.000211,
	0.999902, 0.999440, 1.002613, 0.889061, 0.432377, 0.065748, 0.000132,
	-0.000035, 0.000126, -0.000130, 0.000124, -0.000122, 0.000132,
}

// response is the impulse response at x, 0 being its middle and 1 its end. It
// sums the series by Clenshaw's recurrence.
func response(x float64) float64 {
	twice := 2 * math.Cos(math.Pi*x)
	var a, b float64
	for k := len(series) - 1; k > 0; k-- {
		a, b = 2*series[k]+twice*a-b, a
	}
	return series[0] + twice/2*a - b
}

// design computes the filters for a ratio up/down, with fine times as many
// phases as the ratio needs.
//
// The prototype is symmetric about a centre that is a whole number of output
// samples, so that the delay is whole as well. It is zero at both ends.
func (r *Resampler) design(up, down, fine int) {
	unit := down * fine // prototype samples per output sample
	phases := up * fine // and per input sample
	slow := max(up, down) * fine
	r.delay = (span*slow/2 + unit - 1) / unit
	centre := r.delay * unit
	r.phases, r.step = phases, unit
	r.taps = (2*centre-1)/phases + 1

	prototype := make([]float64, centre) // one half, from the centre on
	for i := range prototype {
		if x := float64(2*i) / float64(span*slow); x < 1 {
			prototype[i] = response(x)
		}
	}

	// Filter p weighs the input that is k samples old with the prototype at
	// p + k*phases; the newest input comes last in memory. Filter number
	// phases is filter 0 a sample later: the other end of an interpolation.
	r.bank = make([]float32, (phases+1)*r.taps)
	for p := range phases + 1 {
		filter := r.bank[p*r.taps : (p+1)*r.taps]
		at := func(k int) float64 {
			i := p + k*phases - centre
			if i < 0 {
				i = -i
			}
			if i >= centre {
				return 0
			}
			return prototype[i]
		}
		sum := 0.0
		for k := range r.taps {
			sum += at(k)
		}
		for k := range r.taps {
			filter[r.taps-1-k] = float32(at(k) / sum)
		}
	}
}
