package aac

import "math"

// loudest bounds the samples that are taken for sound: 60 dB above full scale,
// more than coarse quantization makes of anything that an encoder takes. They
// are compared by their bits, sign aside, which order floats as well and put
// infinities and NaN at the end.
var loudest = math.Float32bits(1000)

// synthesize turns lines into the samples c.out (4.6.11.3). It returns false,
// and forgets the overlap, if they are out of any range.
func (d *decoder) synthesize(c *decoderChannel, lines []float32, seq windowSequence, shape windowShape) bool {
	if seq == eightShort {
		d.blockOfShort(c, lines, shape)
	} else {
		d.blockOfLong(c, lines, seq, shape)
	}
	c.shape = shape
	peak := uint32(0)
	first, overlap, out := d.block[:frameSize], c.overlap[:frameSize], c.out[:frameSize]
	for i, v := range first {
		v += overlap[i]
		out[i] = v
		if size := math.Float32bits(v) &^ (1 << 31); size > peak {
			peak = size
		}
	}
	copy(overlap, d.block[frameSize:])
	if peak < loudest {
		return true
	}
	clear(overlap)
	return false
}

// blockOfLong computes the windowed samples of a long window.
func (d *decoder) blockOfLong(c *decoderChannel, lines []float32, seq windowSequence, shape windowShape) {
	d.long.inverse(lines, d.block[:], 1./(2*frameSize*sampleScale))
	rise, fall := d.block[:frameSize], d.block[frameSize:]
	if seq == longStop {
		windowRise(rise, rise, d.slopes.short[c.shape])
	} else {
		windowRise(rise, rise, d.slopes.long[c.shape])
	}
	if seq == longStart {
		windowFall(fall, fall, d.slopes.short[shape])
	} else {
		windowFall(fall, fall, d.slopes.long[shape])
	}
}

// blockOfShort computes the sum of eight short windows.
func (d *decoder) blockOfShort(c *decoderChannel, lines []float32, shape windowShape) {
	clear(d.block[:])
	var samples [2 * shortSize]float32
	rising, falling := d.slopes.short[c.shape], d.slopes.short[shape]
	for w := range shortWindows {
		d.short.inverse(lines[w*shortSize:(w+1)*shortSize], samples[:], 1./(2*shortSize*sampleScale))
		windowRise(samples[:shortSize], samples[:shortSize], rising)
		windowFall(samples[shortSize:], samples[shortSize:], falling)
		sum := d.block[slopeStart+w*shortSize:][:2*shortSize]
		for i, v := range samples {
			sum[i] += v
		}
		rising = d.slopes.short[shape]
	}
}

// windowRise lets a half of a block rise by a slope in its middle: zero before
// it, unchanged after it.
func windowRise(dst, src, slope []float32) {
	flat := (len(dst) - len(slope)) / 2
	clear(dst[:flat])
	d, s := dst[flat:flat+len(slope)], src[flat:flat+len(slope)]
	for i, w := range slope {
		d[i] = s[i] * w
	}
	copy(dst[flat+len(slope):], src[flat+len(slope):])
}

// windowFall is the mirror image of windowRise.
func windowFall(dst, src, slope []float32) {
	flat := (len(dst) - len(slope)) / 2
	copy(dst[:flat], src)
	d, s := dst[flat:flat+len(slope)], src[flat:flat+len(slope)]
	for i := range d {
		d[i] = s[i] * slope[len(slope)-1-i]
	}
	clear(dst[flat+len(slope):])
}
