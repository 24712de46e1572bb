package aac

import "math"

// Values of ms_mask_present (4.6.8.1.2).
const (
	maskNone = iota
	maskBands
	maskAll
	maskReserved
)

// stereoInfo tells which bands of a pair are M/S.
type stereoInfo struct {
	mask int
	used [maxBands]bool
}

// read reads the mask of a pair with common windows.
func (s *stereoInfo) read(r *bitReader, c *channelInfo) error {
	s.mask = r.read(2)
	used := s.used[:c.groups*c.perGroup]
	switch s.mask {
	case maskReserved:
		return damaged("reserved M/S mask")
	case maskBands:
		for b := range used {
			used[b] = r.readBool()
		}
	default:
		for b := range used {
			used[b] = s.mask == maskAll
		}
	}
	return nil
}

// joinStereo undoes M/S (4.6.8.1.3) and intensity stereo (4.6.8.2.3).
func (d *decoder) joinStereo(left, right *decoderChannel) {
	info := &right.info
	bands := d.bands.of(info.sequence)
	window := 0
	for g, windows := range info.windows[:info.groups] {
		for b := range info.perGroup {
			i := g*info.perGroup + b
			book := info.book[i]
			for w := window; w < window+windows; w++ {
				lo, hi := w*shortSize+bands[b], w*shortSize+bands[b+1]
				l, r := left.lines[lo:hi], right.lines[lo:hi]
				switch {
				case book >= bookOutOfPhase:
					intensity(r, l, d.stereo.direction(i, book), info.scale[i])
				case d.stereo.mask != maskNone && d.stereo.used[i] && book != bookNoise && left.info.book[i] != bookNoise:
					sumAndDifference(l, r)
				}
			}
		}
		window += windows
	}
}

// direction is the sign of an intensity band (4.6.8.2.3).
func (s *stereoInfo) direction(band int, book uint8) float64 {
	sign := 1.0
	if book == bookOutOfPhase {
		sign = -1
	}
	if s.mask == maskBands && s.used[band] {
		sign = -sign
	}
	return sign
}

func sumAndDifference(l, r []float32) {
	r = r[:len(l)]
	for i := range l {
		l[i], r[i] = l[i]+r[i], l[i]-r[i]
	}
}

// intensity makes a band of the right channel from that of the left one.
func intensity(r, l []float32, sign float64, position int16) {
	gain := float32(sign * math.Exp2(-float64(position)/4))
	for i := range r {
		r[i] = l[i] * gain
	}
}
