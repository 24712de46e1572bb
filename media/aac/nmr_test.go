//go:build peers && bench

package aac

import "math"

// An ear measures the noise-to-mask ratio after the FFT ear model of ITU-R
// BS.1387, simplified: no model of the outer ear's resonance beyond its
// transfer function, no loudness, no delay of excitation. Lower is better; from
// about 0 dB on, noise is heard.
type ear struct {
	size   int // of a block
	fft    *fft
	window []float32
	outer  []float64 // transfer of outer and middle ear, by line, in power
	scale  float64   // of power, so that a full-scale sine is 92 dB SPL
	bands  []ear1387Band
}

// An ear1387Band is a quarter of a Bark.
type ear1387Band struct {
	lo, hi     float64 // lines
	internal   float64 // noise of the ear itself
	offset     float64 // by which the mask is below the signal
	decay      float64 // of forward masking, for a block
	upper      float64 // part of the slope upwards that does not depend on the level, dB a Bark
	normalized float64 // what spreading gives for a flat spectrum
}

const (
	bandWidth  = .25 // Bark
	lowerSlope = 27  // dB a Bark
	// Excitations add as powers of this.
	additivity = .4
)

func newEar(rate, size int) *ear {
	e := &ear{size: size, fft: newFFT(size), window: make([]float32, size), outer: make([]float64, size/2)}
	for i := range e.window {
		e.window[i] = float32(.5 - .5*math.Cos(2*math.Pi*(float64(i)+.5)/float64(size)))
	}
	line := float64(rate) / float64(size)
	for k := 1; k < len(e.outer); k++ {
		f := float64(k) * line / 1000
		db := -.6*3.64*math.Pow(f, -.8) + 6.5*math.Exp(-.6*(f-3.3)*(f-3.3)) - 1e-3*math.Pow(f, 3.6)
		e.outer[k] = math.Pow(10, db/10)
	}
	e.scale = math.Pow(10, 9.2) / math.Pow(float64(size)/4, 2)
	toBark := func(hz float64) float64 { return 7 * math.Asinh(hz/650) }
	toHz := func(bark float64) float64 { return 650 * math.Sinh(bark/7) }
	first, last := toBark(80), toBark(math.Min(18000, float64(rate)*.48))
	for z := first; z < last; z += bandWidth {
		centre := toHz(z + bandWidth/2)
		above := z - first
		e.bands = append(e.bands, ear1387Band{
			lo: toHz(z) / line, hi: toHz(math.Min(z+bandWidth, last)) / line,
			internal: math.Pow(10, .4*.364*math.Pow(centre/1000, -.8)),
			offset:   math.Pow(10, math.Max(3, .25*above)/10),
			decay:    math.Exp(-float64(size) / 2 / float64(rate) / (.008 + 100/centre*.022)),
			upper:    24 + 230/centre,
		})
	}
	flat := make([]float64, len(e.bands))
	for i := range flat {
		flat[i] = 1
		e.bands[i].normalized = 1
	}
	for i, v := range e.spread(flat) {
		e.bands[i].normalized = v
	}
	return e
}

// A nmrResult is the mean ratio in dB and the share of blocks with a band
// above 1.5 dB.
type nmrResult struct{ ratio, disturbed float64 }

// noiseToMask compares a test signal with a reference.
func (e *ear) noiseToMask(reference, test []float32) nmrResult {
	sum, blocks, disturbed := 0.0, 0.0, 0.0
	forward := make([]float64, len(e.bands))
	for ; len(reference) >= e.size && len(test) >= e.size; reference, test = reference[e.size/2:], test[e.size/2:] {
		a, b := e.spectrum(reference[:e.size]), e.spectrum(test[:e.size])
		noise := make([]float64, len(a))
		for k := range a {
			d := math.Sqrt(a[k]) - math.Sqrt(b[k])
			noise[k] = d * d
		}
		excitation := e.group(a)
		for i := range excitation {
			excitation[i] += e.bands[i].internal
		}
		mask := e.spread(excitation)
		for i := range mask {
			band := &e.bands[i]
			forward[i] = band.decay*forward[i] + (1-band.decay)*mask[i]
			mask[i] = math.Max(mask[i], forward[i]) / band.offset
		}
		if power(reference[:e.size]) < 2.3e-6 { // 50 of 32768
			continue
		}
		worst := 0.0
		for i, n := range e.group(noise) {
			sum += n / mask[i] / float64(len(mask))
			worst = math.Max(worst, n/mask[i])
		}
		if worst > math.Pow(10, .15) {
			disturbed++
		}
		blocks++
	}
	return nmrResult{10 * math.Log10(sum/blocks), disturbed / blocks}
}

// spectrum returns the powers of a block's lines as they reach the inner ear.
func (e *ear) spectrum(block []float32) []float64 {
	for i, v := range block {
		e.fft.re[i], e.fft.im[i] = v*e.window[i], 0
	}
	re, im := e.fft.run()
	powers := make([]float64, e.size/2)
	for k := range powers {
		powers[k] = (float64(re[k])*float64(re[k]) + float64(im[k])*float64(im[k])) * e.scale * e.outer[k]
	}
	return powers
}

// group sums lines into bands, each line a rectangle around its frequency.
func (e *ear) group(powers []float64) []float64 {
	sums := make([]float64, len(e.bands))
	for i, band := range e.bands {
		for k := int(band.lo); k <= int(band.hi)+1 && k < len(powers); k++ {
			if overlap := math.Min(float64(k)+.5, band.hi) - math.Max(float64(k)-.5, band.lo); overlap > 0 {
				sums[i] += powers[k] * overlap
			}
		}
		sums[i] = math.Max(sums[i], 1e-12)
	}
	return sums
}

// spread lets each band excite the others.
func (e *ear) spread(bands []float64) []float64 {
	sums := make([]float64, len(bands))
	down := math.Pow(10, -lowerSlope*bandWidth/10*additivity)
	for i, v := range bands {
		slope := e.bands[i].upper - .2*10*math.Log10(v)
		up := math.Pow(10, -slope*bandWidth/10*additivity)
		own := math.Pow(v, additivity)
		for k, x := i, own; k < len(bands); k++ {
			sums[k] += x
			x *= up
		}
		for k, x := i-1, own*down; k >= 0; k-- {
			sums[k] += x
			x *= down
		}
	}
	for i := range sums {
		sums[i] = math.Pow(sums[i], 1/additivity) / e.bands[i].normalized
	}
	return sums
}
