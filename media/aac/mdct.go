package aac

import "math"

// An mdct is the transform of ISO 14496-3, 4.6.11.3.1, of 2n samples to n
// lines, by way of a DCT-IV and a complex transform of n/2 points:
//
//	X[k] = 2 sum x[i] cos(pi/n (i + 1/2 + n/2) (k + 1/2))
//
// It holds scratch memory and so belongs to one goroutine.
type mdct struct {
	lines          int
	fft            *fft
	rotateR        []float32 // half the twiddles before and half after the fft
	rotateI        []float32
	folded, values []float32
}

func newMDCT(lines int) *mdct {
	m := &mdct{
		lines: lines, fft: newFFT(lines / 2),
		rotateR: make([]float32, lines/2), rotateI: make([]float32, lines/2),
		folded: make([]float32, lines), values: make([]float32, lines),
	}
	for k := range lines / 2 {
		s, c := math.Sincos(-math.Pi * (float64(k) + .125) / float64(lines))
		// Used twice, so that sqrt 2 makes the factor 2.
		m.rotateR[k], m.rotateI[k] = float32(math.Sqrt2*c), float32(math.Sqrt2*s)
	}
	return m
}

// forward transforms 2n windowed samples to n lines.
func (m *mdct) forward(samples, lines []float32) {
	n, h := m.lines, m.lines/2
	// The four quarters (a, b, c, d) fold to (-c reversed - d, a - b reversed).
	a, b, c, d := samples[:h], samples[h:n][:h], samples[n : n+h][:h], samples[n+h : 2*n][:h]
	lo, hi := m.folded[:h], m.folded[h:n][:h]
	for i := range h {
		r := h - 1 - i
		lo[i] = -c[r] - d[i]
		hi[i] = a[i] - b[r]
	}
	m.dct4(m.folded, lines)
}

// inverse transforms n lines to 2n samples, which still want their window. It
// gives scale * 4n times the samples that make these lines.
func (m *mdct) inverse(lines, samples []float32, scale float32) {
	n, h := m.lines, m.lines/2
	m.dct4(lines, m.values)
	lo, hi := m.values[:h], m.values[h:n][:h]
	a, b, c, d := samples[:h], samples[h:n][:h], samples[n : n+h][:h], samples[n+h : 2*n][:h]
	for i := range h {
		r := h - 1 - i
		v := hi[i] * scale
		a[i], b[r] = v, -v
		v = -lo[i] * scale
		c[r], d[i] = v, v
	}
}

// dct4 computes 2 sum in[i] cos(pi/n (i + 1/2) (k + 1/2)).
func (m *mdct) dct4(in, out []float32) {
	n, h := m.lines, m.lines/2
	in, out = in[:n], out[:n]
	re, im := m.fft.re[:h], m.fft.im[:h]
	cos, sin := m.rotateR[:h], m.rotateI[:h]
	for i := range h {
		a, b := in[2*i], in[n-1-2*i]
		re[i] = a*cos[i] - b*sin[i]
		im[i] = a*sin[i] + b*cos[i]
	}
	yr, yi := m.fft.run()
	yr, yi = yr[:h], yi[:h]
	for k := range h {
		out[2*k] = yr[k]*cos[k] - yi[k]*sin[k]
		out[n-1-2*k] = -(yr[k]*sin[k] + yi[k]*cos[k])
	}
}
