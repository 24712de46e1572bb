package aac

import (
	"math"
	"sync"
)

// requantTables hold the power law of 4.6.1 and the gains of 4.6.2.
type requantTables struct {
	power43 [maxLine + 1]float32
	gain    [maxScale + 1]float32 // 2^((scale-100)/4)
}

var sharedRequantTables = sync.OnceValue(func() *requantTables {
	t := &requantTables{}
	for i := range t.power43 {
		t.power43[i] = float32(math.Pow(float64(i), 4./3))
	}
	for i := range t.gain {
		t.gain[i] = float32(math.Exp2(float64(i-100) / 4))
	}
	return t
})

// requantize makes the lines of a channel from its quantized lines, and noise
// where the stream says so. Bands of noise that are marked in the stereo mask
// repeat the noise of the other channel (4.6.13.3).
func (d *decoder) requantize(c, other *decoderChannel) {
	info := &c.info
	bands := d.bands.of(info.sequence)
	clear(c.lines[:])
	window := 0
	for g, windows := range info.windows[:info.groups] {
		for b := range info.perGroup {
			i := g*info.perGroup + b
			book := info.book[i]
			if book == bookZero || book >= bookOutOfPhase {
				continue
			}
			if book == bookNoise {
				info.seed[i] = d.random
				if other != nil && other.info.book[i] == bookNoise && d.stereo.mask == maskBands && d.stereo.used[i] {
					d.random = other.info.seed[i]
				}
			}
			for w := window; w < window+windows; w++ {
				lo, hi := w*shortSize+bands[b], w*shortSize+bands[b+1]
				if book == bookNoise {
					d.random = noise(c.lines[lo:hi], d.random, int(info.scale[i]))
					continue
				}
				d.tables.scale(c.lines[lo:hi], c.quant[lo:hi], info.scale[i])
			}
		}
		window += windows
	}
}

// scale computes sign(q) |q|^(4/3) * gain.
func (t *requantTables) scale(lines []float32, quant []int16, scale int16) {
	gain := t.gain[scale&maxScale]
	quant = quant[:len(lines)]
	for i, q := range quant {
		v := t.power43[magnitude(q)&maxLine] * gain
		sign := uint32(uint16(q)) >> 15 << 31
		lines[i] = math.Float32frombits(math.Float32bits(v) | sign)
	}
}

// noise fills lines with noise of the energy 2^(scale/2) and returns the next
// state of the generator.
func noise(lines []float32, random uint32, scale int) uint32 {
	energy := float32(0)
	for i := range lines {
		random = random*1664525 + 1013904223
		v := float32(int32(random))
		lines[i] = v
		energy += v * v
	}
	gain := float32(math.Exp2(float64(scale)/4) / math.Sqrt(float64(energy)))
	for i := range lines {
		lines[i] *= gain
	}
	return random
}
