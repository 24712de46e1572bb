package aac

import "math"

// analyse sets what the ear allows in each band of the channel: the target
// noise (log2, to which the rate control adds its level), the most noise, and
// the energy of noise that may stand for the band.
func (c *encoderChannel) analyse(l *layout, ear []earBand) {
	for g := range l.groups {
		first := g * l.perGroup
		bands := c.bands[first : first+l.perGroup]
		for b := range bands {
			lo, hi := l.offset[first+b], l.offset[first+b+1]
			bands[b].energy = energy(c.lines[lo:hi])
			bands[b].spread = bands[b].energy / float32(hi-lo)
		}
		spreadMask(bands, ear)
		for b := range bands {
			bands[b].allow(float32(l.width(first+b)), &ear[b])
		}
	}
}

// energy is the sum of the squares. It adds up in two sums, as the processor
// would wait for each addition to a single one.
func energy(lines []float32) float32 {
	var even, odd float32
	for ; len(lines) >= 2; lines = lines[2:] {
		even += lines[0] * lines[0]
		odd += lines[1] * lines[1]
	}
	if len(lines) > 0 {
		even += lines[0] * lines[0]
	}
	return even + odd
}

// spreadMask lets each band mask the ones around it.
func spreadMask(bands []encoderBand, ear []earBand) {
	spread := float32(0)
	for b := range bands {
		spread *= ear[b].up
		if own := bands[b].spread; own > spread {
			spread = own
		}
		bands[b].spread = spread
	}
	for b := len(bands) - 2; b >= 0; b-- {
		spread *= ear[b+1].down
		if own := bands[b].spread; own > spread {
			spread = own
		}
		bands[b].spread = spread
	}
}

// allow sets the limits of a band of the given width in lines. Energies are of
// squared lines, and 1 keeps the logarithms finite.
func (band *encoderBand) allow(width float32, ear *earBand) {
	logWidth := log2(width)
	logEnergy := log2(band.energy/width+1e-3) + logWidth
	band.target = maskExponent*log2(band.spread+1) + ear.tilt + logWidth
	band.most = logEnergy + noiseLimit
	band.inaudible = band.energy < ear.quiet
	band.noise = -1
	if ear.noisy && !band.inaudible {
		band.noise = max(0, int(2*logEnergy+.5)) // 4.6.13: energy = 2^(noise/2)
	}
}

// prepare computes what quantization needs of the lines as they are coded,
// that is after M/S.
func (c *encoderChannel) prepare(l *layout) {
	for b := range l.bands {
		band := &c.bands[b]
		if band.inaudible {
			band.peak = 0 // chooseScales asks for no more
			continue
		}
		lo, hi := l.offset[b], l.offset[b+1]
		roots, peak := raise(c.power34[lo:hi], c.lines[lo:hi])
		band.peak, band.roots = peak, log2(roots+1e-9)
		// The quantized peak must stay below maxLine; the margin is for log2
		// and for the rounding.
		least := 100 + 16./3*(log2(peak+1e-9)-12.96)
		band.leastScale = max(0, int(least+1.5))
	}
}

// raise sets power34 to |line|^(3/4) and returns the sum of |line|^(1/2) and
// the largest power. Two loops are the faster ones: in each, a square root
// takes the register of its argument, and need not wait for the one before.
func raise(power34, lines []float32) (roots, peak float32) {
	power34 = power34[:len(lines)]
	top := uint32(0)
	for i, v := range lines {
		magnitude := math.Float32bits(v) &^ (1 << 31)
		top = max(top, magnitude)
		root := float32(math.Sqrt(float64(math.Float32frombits(magnitude))))
		roots += root
		power34[i] = root
	}
	for i, root := range power34 {
		v := math.Float32frombits(math.Float32bits(lines[i]) &^ (1 << 31))
		power34[i] = float32(math.Sqrt(float64(v * root)))
	}
	v := math.Float32frombits(top)
	return roots, float32(math.Sqrt(float64(v * float32(math.Sqrt(float64(v))))))
}
