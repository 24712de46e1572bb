package aac

import "math"

// An fft is a complex Fourier transform of a power of two: Stockham's
// self-sorting form in passes of radix 4, with one of radix 2 at the end where
// the size is no power of 4. Real and imaginary parts lie in slices of their
// own, which the compiler indexes without bounds checks.
type fft struct {
	size int
	// twiddles holds, for each pass and each step p in it, the factors w^p,
	// w^2p and w^3p as real and imaginary parts.
	twiddles [][]float32
	// The input goes into re and im; the passes alternate between these and
	// the other two.
	re, im, otherRe, otherIm []float32
}

func newFFT(size int) *fft {
	f := &fft{
		size: size,
		re:   make([]float32, size), im: make([]float32, size),
		otherRe: make([]float32, size), otherIm: make([]float32, size),
	}
	for length := size; length >= 4; length /= 4 {
		t := make([]float32, 0, 6*length/4)
		for p := range length / 4 {
			for j := 1; j <= 3; j++ {
				s, c := math.Sincos(-2 * math.Pi * float64(j*p) / float64(length))
				t = append(t, float32(c), float32(s))
			}
		}
		f.twiddles = append(f.twiddles, t)
	}
	return f
}

// run transforms re and im, which it overwrites, and returns the result,
// which the next run overwrites.
func (f *fft) run() (re, im []float32) {
	re, im, otherRe, otherIm, rest := f.passes(1)
	if rest == 2 {
		radix2Pass(re, im, otherRe, otherIm)
		return otherRe, otherIm
	}
	return re, im
}

// passes does the passes of radix 4 of more than end values. It returns the
// values, as much room besides, and the length of what is left.
func (f *fft) passes(end int) (xr, xi, yr, yi []float32, length int) {
	xr, xi, yr, yi = f.re, f.im, f.otherRe, f.otherIm
	length, stride := f.size, 1
	for _, twiddles := range f.twiddles {
		if length <= end {
			break
		}
		switch stride {
		case 1:
			firstPass(xr, xi, yr, yi, twiddles)
		case 4:
			secondPass(xr, xi, yr, yi, twiddles)
		default:
			radix4Pass(xr, xi, yr, yi, twiddles, stride)
		}
		xr, xi, yr, yi = yr, yi, xr, xi
		length, stride = length/4, stride*4
	}
	return xr, xi, yr, yi, length
}

// firstPass is radix4Pass for a stride of 1.
func firstPass(xr, xi, yr, yi, twiddles []float32) {
	m := len(xr) / 4
	ar, br, cr, dr := xr[:m], xr[m:2*m], xr[2*m:3*m], xr[3*m:4*m]
	ai, bi, ci, di := xi[:m], xi[m:2*m], xi[2*m:3*m], xi[3*m:4*m]
	for p := range m {
		w := twiddles[6*p : 6*p+6 : 6*p+6]
		sumACr, sumACi, difACr, difACi := ar[p]+cr[p], ai[p]+ci[p], ar[p]-cr[p], ai[p]-ci[p]
		sumBDr, sumBDi := br[p]+dr[p], bi[p]+di[p]
		rotBDr, rotBDi := bi[p]-di[p], dr[p]-br[p] // -j (b - d)
		or := yr[4*p : 4*p+4 : 4*p+4]
		oi := yi[4*p : 4*p+4 : 4*p+4]
		or[0], oi[0] = sumACr+sumBDr, sumACi+sumBDi
		ur, ui := difACr+rotBDr, difACi+rotBDi
		or[1], oi[1] = ur*w[0]-ui*w[1], ur*w[1]+ui*w[0]
		ur, ui = sumACr-sumBDr, sumACi-sumBDi
		or[2], oi[2] = ur*w[2]-ui*w[3], ur*w[3]+ui*w[2]
		ur, ui = difACr-rotBDr, difACi-rotBDi
		or[3], oi[3] = ur*w[4]-ui*w[5], ur*w[5]+ui*w[4]
	}
}

// secondPass is radix4Pass for a stride of 4.
func secondPass(xr, xi, yr, yi, twiddles []float32) {
	quarter := len(xr) / 4
	ar, br, cr, dr := xr[:quarter], xr[quarter:][:quarter], xr[2*quarter:][:quarter], xr[3*quarter:][:quarter]
	ai, bi, ci, di := xi[:quarter], xi[quarter:][:quarter], xi[2*quarter:][:quarter], xi[3*quarter:][:quarter]
	for p := range quarter / 4 {
		w := (*[6]float32)(twiddles[6*p:])
		or, oi := (*[16]float32)(yr[16*p:]), (*[16]float32)(yi[16*p:])
		for q := range 4 {
			i := 4*p + q
			sumACr, sumACi, difACr, difACi := ar[i]+cr[i], ai[i]+ci[i], ar[i]-cr[i], ai[i]-ci[i]
			sumBDr, sumBDi := br[i]+dr[i], bi[i]+di[i]
			rotBDr, rotBDi := bi[i]-di[i], dr[i]-br[i] // -j (b - d)
			or[q], oi[q] = sumACr+sumBDr, sumACi+sumBDi
			ur, ui := difACr+rotBDr, difACi+rotBDi
			or[q+4], oi[q+4] = ur*w[0]-ui*w[1], ur*w[1]+ui*w[0]
			ur, ui = sumACr-sumBDr, sumACi-sumBDi
			or[q+8], oi[q+8] = ur*w[2]-ui*w[3], ur*w[3]+ui*w[2]
			ur, ui = difACr-rotBDr, difACi-rotBDi
			or[q+12], oi[q+12] = ur*w[4]-ui*w[5], ur*w[5]+ui*w[4]
		}
	}
}

// radix4Pass does a pass with a stride of at least 16. The odd slicing tells
// the compiler that all have the length stride.
func radix4Pass(xr, xi, yr, yi, twiddles []float32, stride int) {
	quarter := len(xr) / 4
	s := stride
	for p := range quarter / stride {
		w := twiddles[6*p : 6*p+6 : 6*p+6]
		w1r, w1i, w2r, w2i, w3r, w3i := w[0], w[1], w[2], w[3], w[4], w[5]
		in, out := s*p, 4*s*p
		ar, br, cr, dr := xr[in : in+s][:s], xr[in+quarter : in+quarter+s][:s], xr[in+2*quarter : in+2*quarter+s][:s], xr[in+3*quarter : in+3*quarter+s][:s]
		ai, bi, ci, di := xi[in : in+s][:s], xi[in+quarter : in+quarter+s][:s], xi[in+2*quarter : in+2*quarter+s][:s], xi[in+3*quarter : in+3*quarter+s][:s]
		y0r, y1r, y2r, y3r := yr[out : out+s][:s], yr[out+s : out+2*s][:s], yr[out+2*s : out+3*s][:s], yr[out+3*s : out+4*s][:s]
		y0i, y1i, y2i, y3i := yi[out : out+s][:s], yi[out+s : out+2*s][:s], yi[out+2*s : out+3*s][:s], yi[out+3*s : out+4*s][:s]
		for q := range s {
			sumACr, sumACi, difACr, difACi := ar[q]+cr[q], ai[q]+ci[q], ar[q]-cr[q], ai[q]-ci[q]
			sumBDr, sumBDi := br[q]+dr[q], bi[q]+di[q]
			rotBDr, rotBDi := bi[q]-di[q], dr[q]-br[q] // -j (b - d)
			y0r[q], y0i[q] = sumACr+sumBDr, sumACi+sumBDi
			ur, ui := difACr+rotBDr, difACi+rotBDi
			y1r[q], y1i[q] = ur*w1r-ui*w1i, ur*w1i+ui*w1r
			ur, ui = sumACr-sumBDr, sumACi-sumBDi
			y2r[q], y2i[q] = ur*w2r-ui*w2i, ur*w2i+ui*w2r
			ur, ui = difACr-rotBDr, difACi-rotBDi
			y3r[q], y3i[q] = ur*w3r-ui*w3i, ur*w3i+ui*w3r
		}
	}
}

func radix2Pass(xr, xi, yr, yi []float32) {
	h := len(xr) / 2
	for q := range h {
		ar, ai, br, bi := xr[q], xi[q], xr[q+h], xi[q+h]
		yr[q], yi[q], yr[q+h], yi[q+h] = ar+br, ai+bi, ar-br, ai-bi
	}
}
