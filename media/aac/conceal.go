package aac

// fade is the gain of each concealed frame to the one before.
const fade = .7

// conceal appends samples in place of lost ones: the last good frame again,
// fading, and from the second on with random signs, as a repeated spectrum
// hums.
func (d *decoder) conceal(pcm []float32, samples int) []float32 {
	for ; samples > 0; samples -= frameSize {
		before := len(pcm)
		pcm = d.concealFrame(pcm)
		if samples < frameSize {
			pcm = pcm[:before+samples*len(d.channels)]
		}
	}
	return pcm
}

func (d *decoder) concealFrame(pcm []float32) []float32 {
	d.lost++
	start := d.random
	for i := range d.channels {
		c := &d.channels[i]
		random := start // the same for both sides, to keep the image
		for k := range c.good {
			random = random*1664525 + 1013904223
			v := c.good[k] * fade
			if d.lost > 1 && int32(random) < 0 {
				v = -v
			}
			c.good[k] = v
		}
		d.random = random
		seq := concealSequence(c.sequence)
		if !d.synthesize(c, c.good[:], seq, c.shape) {
			clear(c.out[:])
		}
		c.sequence = seq
	}
	return d.append(pcm)
}

// concealSequence is what may follow the windows of the last frame, of lines
// that are still in the same order.
func concealSequence(last windowSequence) windowSequence {
	switch last {
	case longStart:
		return longStop
	case eightShort:
		return eightShort
	default:
		return onlyLong
	}
}
