package aac

import (
	"math"
	"math/bits"
)

// An mdct is the transform of ISO 14496-3, 4.6.11.3.1, of 2n samples to n
// lines, by way of a DCT-IV and a complex transform of n/2 points:
//
//	X[k] = 2 sum x[i] cos(pi/n (i + 1/2 + n/2) (k + 1/2))
//
// It holds scratch memory and so belongs to one goroutine.
type mdct struct {
	lines   int
	fft     *fft
	rotateR []float32 // half the twiddles before and half after the fft
	rotateI []float32
	values  []float32
	eight   bool // the transform ends with a pass of radix 8
}

func newMDCT(lines int) *mdct {
	m := &mdct{
		lines: lines, fft: newFFT(lines / 2),
		rotateR: make([]float32, lines/2), rotateI: make([]float32, lines/2),
		values: make([]float32, lines),
		eight:  bits.TrailingZeros(uint(lines/2))%2 == 1,
	}
	for k := range lines / 2 {
		s, c := math.Sincos(-math.Pi * (float64(k) + .125) / float64(lines))
		// Used twice, so that sqrt 2 makes the factor 2.
		m.rotateR[k], m.rotateI[k] = float32(math.Sqrt2*c), float32(math.Sqrt2*s)
	}
	return m
}

// forward transforms 2n samples to n lines, under a window that rises by one
// slope and falls by another. (Slopes rise; this one is taken backwards.)
//
// The quarters (a, b, c, d) of the windowed samples fold to the halves
// (-c reversed - d, a - b reversed), of which the i-th value from the front and
// from the back, two at a time, go into the transform.
func (m *mdct) forward(samples, rise, fall, lines []float32) {
	n, h := m.lines, m.lines/2
	a, b, c, d := samples[:h], samples[h:n][:h], samples[n : n+h][:h], samples[n+h : 2*n][:h]
	riseA, riseB, fallD, fallC := rise[:h], rise[h:n][:h], fall[:h], fall[h:n][:h]
	re, im := m.fft.re[:h], m.fft.im[:h]
	cos, sin := m.rotateR[:h], m.rotateI[:h]
	for i := range h / 2 {
		p, q, k := h-1-2*i, 2*i, h/2+i
		u := -c[p]*fallC[q] - d[q]*fallD[p]
		v := a[p]*riseA[p] - b[q]*riseB[q]
		re[i], im[i] = u*cos[i]-v*sin[i], u*sin[i]+v*cos[i]
		u = a[q]*riseA[q] - b[p]*riseB[p]
		v = -c[q]*fallC[p] - d[p]*fallD[q]
		re[k], im[k] = u*cos[k]-v*sin[k], u*sin[k]+v*cos[k]
	}
	m.finish(lines)
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
	m.finish(out)
}

// finish makes the lines of what was put into the transform.
func (m *mdct) finish(out []float32) {
	n, h := m.lines, m.lines/2
	out = out[:n]
	cos, sin := m.rotateR[:h], m.rotateI[:h]
	if m.eight {
		re, im, _, _, _ := m.fft.passes(8)
		lastPass(re, im, cos, sin, out)
		return
	}
	re, im := m.fft.run()
	re, im = re[:h], im[:h]
	for k := range h {
		out[2*k] = re[k]*cos[k] - im[k]*sin[k]
		out[n-1-2*k] = -(re[k]*sin[k] + im[k]*cos[k])
	}
}

// lastPass does a pass of radix 8, which is the last one and so without
// twiddles, and the rotation after it.
func lastPass(xr, xi, cos, sin, out []float32) {
	const root = math.Sqrt2 / 2
	s := len(xr) / 8
	var yr, yi [8]float32
	for q := range s {
		// The even inputs are a transform of 4, the odd ones another.
		a0r, a0i, a1r, a1i := xr[q], xi[q], xr[q+2*s], xi[q+2*s]
		a2r, a2i, a3r, a3i := xr[q+4*s], xi[q+4*s], xr[q+6*s], xi[q+6*s]
		sumR, sumI, difR, difI := a0r+a2r, a0i+a2i, a0r-a2r, a0i-a2i
		sumS, sumJ, rotR, rotI := a1r+a3r, a1i+a3i, a1i-a3i, a3r-a1r
		e0r, e0i, e2r, e2i := sumR+sumS, sumI+sumJ, sumR-sumS, sumI-sumJ
		e1r, e1i, e3r, e3i := difR+rotR, difI+rotI, difR-rotR, difI-rotI

		a0r, a0i, a1r, a1i = xr[q+s], xi[q+s], xr[q+3*s], xi[q+3*s]
		a2r, a2i, a3r, a3i = xr[q+5*s], xi[q+5*s], xr[q+7*s], xi[q+7*s]
		sumR, sumI, difR, difI = a0r+a2r, a0i+a2i, a0r-a2r, a0i-a2i
		sumS, sumJ, rotR, rotI = a1r+a3r, a1i+a3i, a1i-a3i, a3r-a1r
		o0r, o0i, o2r, o2i := sumR+sumS, sumI+sumJ, sumI-sumJ, sumS-sumR
		ur, ui := difR+rotR, difI+rotI
		o1r, o1i := (ur+ui)*root, (ui-ur)*root
		ur, ui = difR-rotR, difI-rotI
		o3r, o3i := (ui-ur)*root, -(ur+ui)*root

		yr[0], yi[0], yr[4], yi[4] = e0r+o0r, e0i+o0i, e0r-o0r, e0i-o0i
		yr[1], yi[1], yr[5], yi[5] = e1r+o1r, e1i+o1i, e1r-o1r, e1i-o1i
		yr[2], yi[2], yr[6], yi[6] = e2r+o2r, e2i+o2i, e2r-o2r, e2i-o2i
		yr[3], yi[3], yr[7], yi[7] = e3r+o3r, e3i+o3i, e3r-o3r, e3i-o3i
		for j := range yr {
			k := q + j*s
			out[2*k] = yr[j]*cos[k] - yi[j]*sin[k]
			out[len(out)-1-2*k] = -(yr[j]*sin[k] + yi[j]*cos[k])
		}
	}
}
