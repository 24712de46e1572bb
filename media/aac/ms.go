package aac

// stereoMask tells which bands of a channel pair are coded as middle and side
// (M/S, 4.6.8.1).
type stereoMask struct {
	used  [maxBands]bool
	count int
}

// chooseStereo turns the bands of a pair into M = (L+R)/2 and S = (L-R)/2
// where that takes fewer bits for the noise that the ear allows.
func (e *encoder) chooseStereo() {
	e.stereo.count = 0
	if len(e.channels) != 2 {
		return
	}
	left, right := &e.channels[0], &e.channels[1]
	for b := range e.layout.bands {
		lo, hi := e.layout.offset[b], e.layout.offset[b+1]
		pair := bandPair{&left.bands[b], &right.bands[b], left.lines[lo:hi], right.lines[lo:hi]}
		e.stereo.used[b] = pair.chooseMiddleSide(e.rate.level)
		if e.stereo.used[b] {
			e.stereo.count++
		}
	}
}

// A bandPair is a band of both channels, with its lines.
type bandPair struct {
	left, right *encoderBand
	l, r        []float32
}

// chooseMiddleSide turns the pair into middle and side, if they take fewer
// bits at the noise level of the frame, and tells whether it did. What is
// decoded as L and R then holds the noise of both M and S, so that each gets
// half of the smaller allowance.
func (p *bandPair) chooseMiddleSide(level float32) bool {
	if p.left.inaudible && p.right.inaudible {
		return false
	}
	width := float32(len(p.l))
	both, product := p.left.energy+p.right.energy, p.product()
	middle, side := max(0, both+2*product)/4, max(0, both-2*product)/4
	allowed := min(p.left.target, p.right.target) - 1
	apart := lineBits(p.left.energy, min(p.left.target+level, p.left.most), width) +
		lineBits(p.right.energy, min(p.right.target+level, p.right.most), width)
	together := lineBits(middle, allowed+level, width) + lineBits(side, allowed+level, width)
	if together >= apart || together == 0 {
		return false
	}
	for i, l := range p.l {
		r := p.r[i]
		p.l[i], p.r[i] = (l+r)/2, (l-r)/2
	}
	p.left.become(middle, allowed, width)
	p.right.become(side, allowed, width)
	return true
}

// product is the inner product of the channels' lines.
func (p *bandPair) product() float32 {
	sum := float32(0)
	r := p.r[:len(p.l)]
	for i, l := range p.l {
		sum += l * r[i]
	}
	return sum
}

// become makes the band one of a middle or side. It may not be replaced by
// noise, as the decoder would not undo M/S then (4.6.13.3).
func (band *encoderBand) become(energy, target, width float32) {
	band.energy, band.target = energy, target
	band.most = log2(energy/width+1e-3) + log2(width) + noiseLimit
	band.inaudible, band.noise = false, -1
}

// lineBits estimates what a band of an energy takes for a noise (log2), in
// half bits.
func lineBits(energy, noise, width float32) float32 {
	return width * max(0, log2(energy+1e-3)-noise)
}
