package aac

const (
	// lookAhead is how many samples past the frame an attack is looked for:
	// to the end of the slope of the next frame's last short window.
	lookAhead = 576
	// A frame's short windows begin slopeStart samples into it, one every 128
	// samples; the last slope ends at sub-block 8.
	slopeStart = 448
	// attackFloor is the least energy of an attack's sub-block.
	attackFloor = 128 * 2000
	// earlier is the number of sub-blocks before these that are kept: from the
	// middle of the current frame's first short slope on.
	earlier = 11
	// blockSubs is how many make a block, without the ends, where the window
	// lets little through; they begin with blockStart. Without look-ahead they
	// are the last but aheadSubs.
	blockSubs, blockStart, aheadSubs = 12, 2, 4
	// lateSubs is how many sub-blocks later the first one is that reaches into
	// the next frame's short windows, without look-ahead.
	lateSubs = 4
)

// A transient detector looks for attacks, which want short windows, as the
// noise of a long one would be heard before them. It compares the energies of
// the signal's differences in sub-blocks of 128 samples. These lie on the same
// grid as the short windows of the frame after the current one: index earlier+j
// is where window j begins and window j-1 ends.
type transient struct {
	energy [earlier + shortWindows + 1]float32
	last   float32 // sample
	rise   float32 // growth of energy that makes an attack
	fall   float32 // decrease that is treated as one
}

// newTransient chooses how much the energy must change, from one sub-block to
// the next. At low rates a frame lasts longer than the ear forgives, after the
// end of a sound as well; at high ones only sounds that are cut off matter.
func newTransient(rate int) transient {
	switch {
	case rate >= 44100:
		return transient{rise: 8, fall: 1000}
	case rate >= 32000:
		return transient{rise: 3, fall: 10}
	default:
		return transient{rise: 1.6, fall: 10}
	}
}

// load takes the newest 1024 samples, which end lookAhead after the current
// frame.
func (t *transient) load(samples []float32) {
	copy(t.energy[:], t.energy[shortWindows:])
	fresh := t.energy[len(t.energy)-shortWindows:]
	last := t.last
	for i := range fresh {
		// Two sums, as the processor would wait for each addition to one.
		even, odd := float32(1), float32(0)
		for s := samples[i*shortSize : (i+1)*shortSize]; len(s) >= 2; s = s[2:] {
			d, e := s[0]-last, s[1]-s[0]
			last = s[1]
			even += d * d
			odd += e * e
		}
		fresh[i] = even + odd
	}
	t.last = last
}

// attack returns the first short window of the next frame with an attack in
// it, or -1. Without look-ahead, half of these windows are still to come, and
// the sub-blocks are half of one off: an attack in the first half of the newest
// samples is in the current block and too late for short windows.
func (t *transient) attack(ahead int) int {
	first := earlier
	if ahead == 0 {
		first += lateSubs
	}
	for i := first; i < len(t.energy); i++ {
		if t.rises(i) || t.falls(i) {
			return max(0, min(i-first-1, shortWindows-1))
		}
	}
	return -1
}

func (t *transient) rises(i int) bool {
	now, before := t.energy[i], t.energy[i-4:i]
	mean := (before[0] + before[1] + before[2] + before[3]) / 4
	return now > attackFloor && now > t.rise*max(before[3], before[2], mean)
}

func (t *transient) falls(i int) bool {
	before := min(t.energy[i-1], t.energy[i-2])
	return before > attackFloor && t.energy[i]*t.fall < before
}

// unevenness is the largest energy of the current block's sub-blocks, to the
// mean of them.
func (t *transient) unevenness(ahead int) float32 {
	start := blockStart
	if ahead == 0 {
		start += aheadSubs
	}
	sum, most := float32(0), float32(0)
	for _, e := range t.energy[start : start+blockSubs] {
		sum += e
		most = max(most, e)
	}
	return most * blockSubs / sum
}

// nextSequence chooses the windows of a frame, of which short ones must be led
// in and out (4.6.11.3.3). attack and next are the short windows with an
// attack in this frame and in the one after it, -1 if none. It returns the
// window that the groups are made for, too.
func nextSequence(last windowSequence, attack, next int) (windowSequence, int) {
	switch {
	case attack >= 0:
		return eightShort, attack
	case last == longStart || last == eightShort:
		if next >= 0 {
			return eightShort, shortWindows - 1
		}
		return longStop, 0
	case next >= 0:
		return longStart, 0
	default:
		return onlyLong, 0
	}
}
