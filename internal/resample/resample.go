// Package resample changes the sampling rate of audio, for one stream at a
// time, as the samples come in.
//
//	src --> history (planar) --> polyphase FIR --> dst
//
// The filter is a low-pass of linear phase in front of half the lower of the
// two rates: flat (within 0.05 dB) to 0.408 of that rate, below -75 dB from one
// half of it on, so that neither an alias nor an image is louder than that. It
// spans 40 periods of the lower rate, which makes the delay 20 of them (2.5 ms
// at 8 kHz, 0.4 ms at 48 kHz).
//
// A [Resampler] made by [NewVariable] can besides run up to 1000 ppm fast or
// slow, to follow a clock that is not ours.
package resample

import (
	"fmt"
	"math"
	"slices"
)

const (
	// MinRate and MaxRate bound the sampling rates in Hz.
	MinRate = 4000
	MaxRate = 96000
	// MaxDrift is the largest deviation that SetDrift takes, in ppm.
	MaxDrift = 1000

	// block is the number of input samples per channel that are filtered at
	// a time. It bounds the history buffer.
	block = 512
	// finePhases is the least number of filters per input sample in the
	// table of a variable resampler. Between two of them the coefficients
	// are interpolated, which errs by less than -95 dB.
	finePhases = 256
)

// A Resampler converts interleaved float32 samples of one or two channels. It
// belongs to one goroutine.
type Resampler struct {
	from, to, channels int
	variable           bool

	// The next output sample is made of the filter number phase (of phases)
	// and the taps inputs that end at history[base+taps-1]. step is how far
	// phase moves for each output.
	phases, phase, step int
	taps                int
	bank                []float32 // filter p is bank[p*taps:(p+1)*taps]
	delay               int

	// With drift, a fraction of a phase goes with it.
	frac, drift float64

	history [2][]float32 // the last taps-1 samples and those not used yet
	base    int          // of the window in history
}

// New returns a resampler for a rate from to a rate to, in Hz, and 1 or 2
// channels. Rates are 4000 to 96000 Hz; ratios that need more than 1000
// filters (such as 44100 to 44101) are refused.
func New(from, to, channels int) (*Resampler, error) {
	return build(from, to, channels, false)
}

// NewVariable is like [New], and the result takes [Resampler.SetDrift]. It
// needs a larger table, filters even when the rates are equal, and takes twice
// the time while the drift is not zero.
func NewVariable(from, to, channels int) (*Resampler, error) {
	return build(from, to, channels, true)
}

func build(from, to, channels int, variable bool) (*Resampler, error) {
	if from < MinRate || from > MaxRate || to < MinRate || to > MaxRate {
		return nil, fmt.Errorf("resample: %d Hz to %d Hz: rates are %d to %d Hz", from, to, MinRate, MaxRate)
	}
	if channels != 1 && channels != 2 {
		return nil, fmt.Errorf("resample: %d channels: only 1 or 2", channels)
	}
	g := gcd(from, to)
	up, down := to/g, from/g
	if up > 1000 || down > 1000 {
		return nil, fmt.Errorf("resample: %d Hz to %d Hz: the ratio %d/%d is too fine", from, to, up, down)
	}
	r := &Resampler{from: from, to: to, channels: channels, variable: variable}
	if from == to && !variable {
		return r, nil
	}
	fine := 1
	if variable {
		fine = (finePhases + up - 1) / up
	}
	r.design(up, down, fine)
	for c := range channels {
		r.history[c] = make([]float32, r.taps-1, r.taps-1+block)
	}
	return r, nil
}

func gcd(a, b int) int {
	for b != 0 {
		a, b = b, a%b
	}
	return a
}

// From returns the input rate in Hz.
func (r *Resampler) From() int { return r.from }

// To returns the output rate in Hz.
func (r *Resampler) To() int { return r.to }

// Channels returns 1 or 2.
func (r *Resampler) Channels() int { return r.channels }

// Delay returns by how many samples of the output rate the output is behind:
// output sample n+Delay shows the moment of n at the input. It is 0 when
// nothing is filtered.
func (r *Resampler) Delay() int { return r.delay }

// SetDrift makes the resampler give ppm millionths more samples than the ratio
// of the rates says (fewer if negative), from the next sample on. The output
// stays continuous. ppm is clamped to MaxDrift either way. It panics on a
// resampler that is not variable.
func (r *Resampler) SetDrift(ppm float64) {
	if !r.variable {
		panic("resample: SetDrift on a resampler that New made, not NewVariable")
	}
	if math.IsNaN(ppm) {
		ppm = 0
	}
	ppm = max(-MaxDrift, min(MaxDrift, ppm))
	r.drift = float64(r.step) * (1/(1+ppm*1e-6) - 1)
}

// Reset forgets the samples that went in, as before the first Append. A drift
// stays set.
func (r *Resampler) Reset() {
	for c := range r.channels {
		if r.taps > 0 {
			r.history[c] = r.history[c][:r.taps-1]
			clear(r.history[c])
		}
	}
	r.base, r.phase, r.frac = 0, 0, 0
}

// Append resamples src and appends the result to dst. Without drift, n samples
// at the input since the start have given n*to/from at the output, rounded up.
// The length of src must be a multiple of the channels; what is over is
// ignored. It allocates only if dst is too small.
func (r *Resampler) Append(dst, src []float32) []float32 {
	src = src[:len(src)-len(src)%r.channels]
	if r.taps == 0 {
		return append(dst, src...)
	}
	// The product does not fit into the int of a machine of 32 bits.
	most := int64(len(src)/r.channels) * int64(r.to) / int64(r.from) * (1e6 + MaxDrift) / 1e6
	need := (int(most) + 2) * r.channels
	dst = slices.Grow(dst, need)
	for len(src) > 0 {
		n := min(len(src), block*r.channels)
		r.push(src[:n])
		src = src[n:]
		dst = r.drain(dst)
		r.shift()
	}
	return dst
}

// push puts a block of samples behind the history.
func (r *Resampler) push(src []float32) {
	if r.channels == 1 {
		r.history[0] = append(r.history[0], src...)
		return
	}
	left, right := r.history[0], r.history[1]
	for i := 0; i+1 < len(src); i += 2 {
		left = append(left, src[i])
		right = append(right, src[i+1])
	}
	r.history[0], r.history[1] = left, right
}

// drain makes all samples for which the history is long enough.
func (r *Resampler) drain(dst []float32) []float32 {
	for r.base+r.taps <= len(r.history[0]) {
		for c := range r.channels {
			dst = append(dst, r.sample(r.history[c][r.base:r.base+r.taps]))
		}
		r.phase += r.step
		if r.drift != 0 {
			r.frac += r.drift
			whole := math.Floor(r.frac)
			r.phase += int(whole)
			r.frac -= whole
		}
		for r.phase >= r.phases {
			r.phase -= r.phases
			r.base++
		}
	}
	return dst
}

// sample filters the window x.
func (r *Resampler) sample(x []float32) float32 {
	if r.frac == 0 {
		return dot(x, r.bank[r.phase*r.taps:])
	}
	// The table has one filter more than there are phases.
	y, next := dots(x, r.bank[r.phase*r.taps:], r.bank[(r.phase+1)*r.taps:])
	return y + float32(r.frac)*(next-y)
}

// shift drops what no further window needs. A window can begin behind the end
// of the history when the output rate is much lower; base then stays positive.
func (r *Resampler) shift() {
	drop := min(r.base, len(r.history[0]))
	for c := range r.channels {
		n := copy(r.history[c], r.history[c][drop:])
		r.history[c] = r.history[c][:n]
	}
	r.base -= drop
}

// dot returns the scalar product of x and the first len(x) of h, in four sums
// that do not wait for each other.
func dot(x, h []float32) float32 {
	h = h[:len(x)]
	var a, b, c, d float32
	for len(x) >= 8 && len(h) >= 8 {
		a += x[0] * h[0]
		b += x[1] * h[1]
		c += x[2] * h[2]
		d += x[3] * h[3]
		a += x[4] * h[4]
		b += x[5] * h[5]
		c += x[6] * h[6]
		d += x[7] * h[7]
		x, h = x[8:], h[8:]
	}
	for i := range x {
		a += x[i] * h[i]
	}
	return (a + b) + (c + d)
}

// dots returns the products of x with both of two filters.
func dots(x, g, h []float32) (float32, float32) {
	g, h = g[:len(x)], h[:len(x)]
	var a, b, c, d float32 // a and b of g
	for len(x) >= 4 && len(g) >= 4 && len(h) >= 4 {
		p, q, r, s := x[0], x[1], x[2], x[3]
		a += p * g[0]
		c += p * h[0]
		b += q * g[1]
		d += q * h[1]
		a += r * g[2]
		c += r * h[2]
		b += s * g[3]
		d += s * h[3]
		x, g, h = x[4:], g[4:], h[4:]
	}
	for i, p := range x {
		a += p * g[i]
		c += p * h[i]
	}
	return a + b, c + d
}
