package aac

import "slices"

// The scalefactor of a band is the one whose quantization noise is what the
// ear allows: the noise of the power-law quantizer of 4.6.1 is
//
//	log2 noise = 3/8 (scale - 100) + log2 sum sqrt|x| + log2(4/27)
//
// so that no search is needed. From there, each may move by reach steps to
// make the differences between them, which are what is coded, cheaper. The
// best path is Viterbi's.
const (
	reach = 3
	paths = 2*reach + 1
	// deviationCost is what a step away from the ideal costs, squared, in bits
	// a line.
	deviationCost = .0244
	logNoise      = -2.7549 // log2(4/27)
)

// scalePath is the memory of chooseScales: for each coded band, where the best
// path to each of its scalefactors comes from.
type scalePath struct {
	band [maxBands]int
	from [maxBands][paths]int8
}

// chooseScales sets the scalefactors for a noise level (log2), -1 for the
// bands that would be all zeros.
func (c *encoderChannel) chooseScales(l *layout, level float32) {
	var cost, next [paths]pathCost
	coded, before := 0, 0
	for b := range l.bands {
		band := &c.bands[b]
		ideal := band.idealScale(level)
		middle := max(0, min(255, int(ideal+.5)))
		middle = max(middle, band.leastScale)
		if band.peak*stepSize[middle]+rounding < 1 {
			band.scale = -1
			continue
		}
		band.scale = middle
		weight := costUnit * deviationCost * float32(l.width(b))
		c.path.band[coded] = b
		for i := range next {
			deviation := float32(middle+i-reach) - ideal
			next[i] = pathCost(weight*deviation*deviation)*pathUnit + pathCost(i)
			if coded > 0 {
				best := cheapestStep(&cost, middle+i-before)
				next[i] += best &^ (pathUnit - 1)
				c.path.from[coded][i] = int8(best % pathUnit)
			}
		}
		cost, before = next, middle
		coded++
	}
	c.tracePath(coded, &cost)
}

// A pathCost is the cost of a path in parts of a bit, times pathUnit, plus its
// number: the least of some tells both without a branch that nobody foresees.
type pathCost int64

const (
	costUnit = 64 // parts of a bit
	pathUnit = 8  // more than there are paths
)

// cheapestStep finds the best way to a scalefactor that is offset above the
// lowest path of the band before.
func cheapestStep(cost *[paths]pathCost, offset int) pathCost {
	// Offsets beyond the largest step lead to no code: they cost too much to
	// be chosen, and quantize moves what is left of them.
	at := max(0, min(len(scaleCost)-paths, offset+stepRoom))
	steps := (*[paths]pathCost)(scaleCost[at:])
	best := cost[0] + steps[paths-1]
	for j := 1; j < paths; j++ {
		best = min(best, cost[j]+steps[paths-1-j])
	}
	return best
}

// scaleCost is what the code for a difference of scalefactors costs, that for
// stepRoom+paths-1 being 0, with room on both sides for differences that have
// no code.
var scaleCost = makeScaleCost()

// stepRoom is how far below 0 the differences of a whole set of paths go.
const stepRoom = maxStep + paths

func makeScaleCost() (t [2*stepRoom + 2*paths]pathCost) {
	for i := range t {
		t[i] = unusable * costUnit * pathUnit
		if step := i - stepRoom - paths + 1; step >= -maxStep && step <= maxStep {
			t[i] = pathCost(scaleBits(step)) * costUnit * pathUnit
		}
	}
	return t
}

// tracePath follows the best path back and moves the scalefactors onto it.
func (c *encoderChannel) tracePath(coded int, cost *[paths]pathCost) {
	at := int(slices.Min(cost[:]) % pathUnit)
	for n := coded - 1; n >= 0; n-- {
		band := &c.bands[c.path.band[n]]
		band.scale = max(band.leastScale, min(255, band.scale+at-reach))
		at = int(c.path.from[n][at])
	}
}

// idealScale is the scalefactor, with a fraction, that makes the noise at a
// level.
func (band *encoderBand) idealScale(level float32) float32 {
	noise := min(band.target+level, band.most)
	return 100 + 8./3*(noise-logNoise-band.roots)
}
