package aac

// stereoMask tells which bands of a channel pair are coded as middle and side
// (M/S, 4.6.8.1).
type stereoMask struct {
	used  [maxBands]bool
	count int
}

// chooseStereo turns the bands of a pair into M = (L+R)/2 and S = (L-R)/2
// where that takes fewer bits for the noise that the ear allows. What is
// decoded as L and R holds the noise of both M and S, so that both get half of
// the smaller allowance.
func (e *encoder) chooseStereo() {
	e.stereo.count = 0
	if len(e.channels) != 2 {
		return
	}
	l := &e.layout
	left, right := &e.channels[0], &e.channels[1]
	for b := range l.bands {
		e.stereo.used[b] = false
		lo, hi := l.offset[b], l.offset[b+1]
		if e.middleIsCheaper(&left.bands[b], &right.bands[b], left.lines[lo:hi], right.lines[lo:hi]) {
			e.stereo.used[b] = true
			e.stereo.count++
		}
	}
}

// middleIsCheaper compares a band as L and R with the same as M and S, and
// turns it into the latter if they are cheaper.
func (e *encoder) middleIsCheaper(left, right *encoderBand, l, r []float32) bool {
	if left.inaudible && right.inaudible {
		return false
	}
	cross := float32(0)
	r = r[:len(l)]
	for i := range l {
		cross += l[i] * r[i]
	}
	sum := left.energy + right.energy
	// The energy of L+R is twice that of the orthonormal middle.
	middle, side := (sum+2*cross)/4, (sum-2*cross)/4
	level := e.rate.level
	allowed := min(left.target, right.target)
	width := float32(len(l))
	apart := lineBits(left.energy, min(left.target, left.most)+level, width) + lineBits(right.energy, min(right.target, right.most)+level, width)
	together := lineBits(middle, allowed+level-1, width) + lineBits(side, allowed+level-1, width)
	if together >= apart || together == 0 {
		return false
	}
	for i := range l {
		l[i], r[i] = (l[i]+r[i])/2, (l[i]-r[i])/2
	}
	left.become(middle, allowed, width)
	right.become(side, allowed, width)
	return true
}

// become makes the band one of a middle or side with the energy given.
func (band *encoderBand) become(energy, allowed, width float32) {
	logEnergy := log2(max(energy, 0)/width+1e-3) + log2(width)
	band.energy, band.target, band.most = max(energy, 0), allowed-1, logEnergy+noiseLimit
	band.inaudible, band.noise = false, -1
}

// lineBits estimates the bits of a band with the energy given and the noise
// (log2) allowed, in units of half a bit a line.
func lineBits(energy, noise, width float32) float32 {
	return width * max(0, log2(max(energy, 0)+1e-3)-noise)
}
