package resample

import "math"

const (
	// span is the length of the filter in periods of the lower rate.
	span = 64
	// attenuation of the stop band in dB.
	attenuation = 96
)

// design computes the filters for a ratio up/down, with fine times as many
// phases as the ratio needs.
//
// The prototype is a sinc under a Kaiser window (Kaiser and Schafer, 1980) at
// up*fine times the input rate. It is symmetric about a centre that is a whole
// number of output samples, so that the delay is whole as well.
func (r *Resampler) design(up, down, fine int) {
	unit := down * fine // prototype samples per output sample
	phases := up * fine // and per input sample
	slow := max(up, down) * fine
	r.delay = (span*slow/2 + unit - 1) / unit
	centre := r.delay * unit
	r.phases, r.step = phases, unit
	r.taps = (2*centre+phases)/phases + 1

	// Frequencies in cycles per sample of the prototype. Kaiser's formula
	// gives the width of the transition, whose end is half the lower rate.
	width := (attenuation - 7.95) / (2.285 * 2 * math.Pi * float64(2*centre))
	cutoff := 0.5/float64(slow) - width/2
	beta := 0.1102 * (attenuation - 8.7)
	norm := 1 / besselI0(beta)
	prototype := make([]float64, centre+1) // one half, from the centre on
	for i := range prototype {
		x := float64(i) / float64(centre)
		window := besselI0(beta*math.Sqrt(1-x*x)) * norm
		prototype[i] = window * sinc(2*cutoff*float64(i))
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
			if i > centre {
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

func sinc(x float64) float64 {
	if x == 0 {
		return 1
	}
	return math.Sin(math.Pi*x) / (math.Pi * x)
}

// besselI0 is the modified Bessel function of the first kind and order zero.
func besselI0(x float64) float64 {
	sum, term := 1.0, 1.0
	for k := 1.0; term > sum*1e-12; k++ {
		term *= x / (2 * k) * x / (2 * k)
		sum += term
	}
	return sum
}
