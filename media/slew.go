package media

import "math"

const (
	// slewRate is the lowest rate in Hz at which a slewer may work: speech is
	// then far enough below half the rate for a polynomial through four
	// samples. Between two of them 8 kHz is 0.1 dB lower, at 48 kHz.
	slewRate = 32000
	// slewPPM is how fast it corrects.
	slewPPM = 1000
	// slewDelay is by how many samples the output is behind.
	slewDelay = 2
)

// slewer lets interleaved audio run a little faster or slower while it is told
// to, and copies it otherwise, which costs next to nothing.
type slewer struct {
	channels int
	step     float64       // input samples for each output sample
	stopping bool          // copies again at the next whole sample
	frac     float64       // where between past[1] and past[2] the output is
	past     [4][2]float32 // the last input samples
}

// set makes the output longer (1), shorter (-1) or as it is (0). That begins at
// once, but ends with a whole sample, so that nothing jumps.
func (s *slewer) set(direction int) {
	if direction == 0 {
		s.stopping = true
		return
	}
	s.stopping = false
	s.step = 1 / (1 + float64(direction)*slewPPM*1e-6)
}

// reset forgets what went in.
func (s *slewer) reset() { *s = slewer{channels: s.channels, step: 1} }

// append appends src as it is to become to dst.
func (s *slewer) append(dst, src []float32) []float32 {
	for len(src) >= s.channels {
		if s.step == 1 && s.frac == 0 && len(src) >= 4*s.channels {
			return s.copy(dst, src)
		}
		s.push(src)
		src = src[s.channels:]
		for s.frac < 1 {
			dst = s.sample(dst)
			s.frac += s.step
			s.settle()
		}
		s.frac--
	}
	return dst
}

// settle ends slewing where the output falls on a sample of the input.
func (s *slewer) settle() {
	near := math.Round(s.frac)
	if s.stopping && math.Abs(s.frac-near) < 1.5e-6*slewPPM {
		s.frac, s.step, s.stopping = near, 1, false
	}
}

func (s *slewer) push(src []float32) {
	copy(s.past[:], s.past[1:])
	copy(s.past[3][:], src[:s.channels])
}

// copy appends the two samples that wait and all but the last two of src, at
// least four.
func (s *slewer) copy(dst, src []float32) []float32 {
	for _, x := range s.past[2:] {
		dst = append(dst, x[:s.channels]...)
	}
	dst = append(dst, src[:len(src)-2*s.channels]...)
	for src = src[len(src)-4*s.channels:]; len(src) > 0; src = src[s.channels:] {
		s.push(src)
	}
	return dst
}

// sample appends the value at frac of the cubic through past (Lagrange).
func (s *slewer) sample(dst []float32) []float32 {
	x := float32(s.frac)
	a := -x * (x - 1) * (x - 2) / 6
	b := (x + 1) * (x - 1) * (x - 2) / 2
	c := -(x + 1) * x * (x - 2) / 2
	d := (x + 1) * x * (x - 1) / 6
	for i := range s.channels {
		dst = append(dst, a*s.past[0][i]+b*s.past[1][i]+c*s.past[2][i]+d*s.past[3][i])
	}
	return dst
}
