package aac

import "math"

const (
	// maxTNSOrder is the largest order of a filter in the LC profile; in short
	// windows it is 7, which their field holds anyway.
	maxTNSOrder   = 12
	maxTNSFilters = 3
)

// tnsInfo is tns_data (4.4.2.7): filters over the lines that shape the noise
// in time.
type tnsInfo struct {
	present bool
	windows [8]struct {
		count   int
		filters [maxTNSFilters]tnsFilter
	}
}

// A tnsFilter covers a number of bands, counted from the top.
type tnsFilter struct {
	bands     int
	order     int
	downwards bool
	// coefficients of the all-pole filter, without the leading 1
	coefficients [maxTNSOrder]float32
}

func (t *tnsInfo) read(r *bitReader, c *channelInfo) error {
	t.present = r.readBool()
	if !t.present {
		return nil
	}
	windows, countBits, lengthBits, orderBits := 1, 2, 6, 5
	if c.sequence == eightShort {
		windows, countBits, lengthBits, orderBits = 8, 1, 4, 3
	}
	for w := range windows {
		window := &t.windows[w]
		window.count = r.read(countBits)
		if window.count == 0 {
			continue
		}
		resolution := 3 + r.read(1)
		for f := range window.count {
			filter := &window.filters[f]
			filter.bands, filter.order = r.read(lengthBits), r.read(orderBits)
			if filter.order > maxTNSOrder {
				return damaged("TNS of order %d", filter.order)
			}
			if filter.order > 0 {
				filter.read(r, resolution)
			}
		}
	}
	return nil
}

// read reads the coefficients of a filter, sines of reflection coefficients at
// a resolution of 3 or 4 bits, and turns them into those of the direct form
// (4.6.9.3).
func (f *tnsFilter) read(r *bitReader, resolution int) {
	f.downwards = r.readBool()
	bits := resolution - r.read(1) // coef_compress
	var reflections [maxTNSOrder]float32
	for i := range f.order {
		v := r.read(bits)
		if v >= 1<<(bits-1) {
			v -= 1 << bits
		}
		reflections[i] = tnsReflection(v, resolution)
	}
	f.coefficients = directForm(&reflections, f.order)
}

// tnsReflection is the value of a quantized reflection coefficient.
func tnsReflection(v, resolution int) float32 {
	half := float64(int(1) << (resolution - 1))
	if v >= 0 {
		return float32(math.Sin(float64(v) * math.Pi / 2 / (half - .5)))
	}
	return float32(math.Sin(float64(v) * math.Pi / 2 / (half + .5)))
}

// directForm turns reflection coefficients into those of a direct form.
func directForm(reflections *[maxTNSOrder]float32, order int) [maxTNSOrder]float32 {
	var a, next [maxTNSOrder]float32
	for m := range order {
		k := reflections[m]
		for i := range m {
			next[i] = a[i] + k*a[m-1-i]
		}
		next[m] = k
		a = next
	}
	return a
}

// shapeNoise applies the filters of a frame (4.6.9.3).
func (c *decoderChannel) shapeNoise(t *bandTable) {
	info := &c.info
	if !info.tns.present {
		return
	}
	windows, bands := 1, t.of(info.sequence)
	if info.sequence == eightShort {
		windows = 8
	}
	reach := min(t.tns(info.sequence), info.perGroup)
	for w := range windows {
		lines := c.lines[w*shortSize:]
		top := len(bands) - 1
		window := &info.tns.windows[w]
		for f := range window.filters[:window.count] {
			filter := &window.filters[f]
			bottom := max(0, top-filter.bands)
			lo, hi := bands[min(bottom, reach)], bands[min(top, reach)]
			filter.run(lines[lo:hi])
			top = bottom
		}
	}
}

// run filters lines in place.
func (f *tnsFilter) run(lines []float32) {
	if f.order == 0 {
		return
	}
	at, step := 0, 1
	if f.downwards {
		at, step = len(lines)-1, -1
	}
	for n := range lines {
		v := lines[at]
		for i, a := range f.coefficients[:min(f.order, n)] {
			v -= a * lines[at-(i+1)*step]
		}
		lines[at] = v
		at += step
	}
}
