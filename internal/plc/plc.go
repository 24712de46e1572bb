// Package plc conceals lost audio of codecs that cannot do it themselves, in
// the manner of ITU-T G.711 Appendix I: the last pitch periods are repeated
// and fade away, and what comes after the gap is blended in.
//
//	decoded --> Good ----> what was heard --> pitch --> Conceal
//	             ^ blends the first samples after a gap
//
// Unlike the Appendix it adds no delay: it does not change the last samples
// before the gap but leads the first concealed ones away from them.
package plc

import "math"

const (
	highestPitch = 200 // Hz
	lowestPitch  = 66  // Hz

	// In milliseconds.
	window  = 20 // that must look alike one pitch period apart
	full    = 10 // at full level, on one period
	more    = 20 // on two periods until then, on three from then on
	silent  = 60 // after which nothing is left
	fadeMin = 4  // of blending after a gap, and as much more for each 10 ms of it
	fadeMax = 10
)

// A Concealer follows one channel of audio. It belongs to one goroutine.
type Concealer struct {
	ms        int // samples in a millisecond
	low, high int // shortest and longest pitch period

	heard    []float32 // the last samples, newest last
	repeated []float32 // the same, as they were when the gap began

	gap   bool
	made  int     // samples made since the gap began
	pitch int     // period
	now   loop    // what is read
	old   loop    // what it is blended with
	blend int     // samples of that which are left
	step  float32 // from where the loop would have the last sample heard, to it

	fade, faded int // samples of the blending after the gap, and those done
}

// loop is a place in the last length samples of what is repeated.
type loop struct{ length, at int }

// New returns a Concealer for a sampling rate in Hz, a multiple of 1000 from
// 8000 to 48000. It panics on others: rates are constants of codecs.
func New(rate int) *Concealer {
	if rate < 8000 || rate > 48000 || rate%1000 != 0 {
		panic("plc: sampling rate")
	}
	c := &Concealer{ms: rate / 1000, low: rate / highestPitch, high: rate / lowestPitch}
	// Three periods, and the quarter before them that their end is blended
	// with.
	keep := 3*c.high + c.high/4
	c.heard = make([]float32, keep)
	c.repeated = make([]float32, keep)
	return c
}

// Reset forgets all that was heard.
func (c *Concealer) Reset() {
	clear(c.heard)
	c.gap, c.fade, c.faded = false, 0, 0
}

// Good takes the decoded samples that follow. After a gap it blends the first
// ones, in place, with the concealment going on.
func (c *Concealer) Good(pcm []float32) {
	if c.gap {
		c.gap = false
		beyond := max(0, c.made/c.ms-full)
		c.fade = min(c.pitch/4+(fadeMin+fadeMin*beyond/10)*c.ms, fadeMax*c.ms)
		c.faded = 0
	}
	for i := 0; i < len(pcm) && c.faded < c.fade; i++ {
		c.faded++
		w := float32(c.faded) / float32(c.fade+1)
		pcm[i] = w*pcm[i] + (1-w)*c.next()
	}
	c.remember(pcm)
}

// Conceal appends n samples in place of lost ones.
func (c *Concealer) Conceal(dst []float32, n int) []float32 {
	if n <= 0 {
		return dst
	}
	if !c.gap {
		c.begin()
	}
	from := len(dst)
	for range n {
		dst = append(dst, c.next())
	}
	c.remember(dst[from:])
	return dst
}

// begin starts a gap.
func (c *Concealer) begin() {
	copy(c.repeated, c.heard)
	c.gap, c.made, c.blend = true, 0, 0
	c.pitch = c.period()
	c.now = loop{length: c.pitch}
	last := len(c.repeated) - 1
	c.step = c.repeated[last] - c.repeated[last-c.pitch]
}

// next makes one sample.
func (c *Concealer) next() float32 {
	if c.made >= silent*c.ms {
		return 0
	}
	switch c.made {
	case full * c.ms:
		c.grow(2)
	case more * c.ms:
		c.grow(3)
	}
	y := c.read(&c.now)
	quarter := c.pitch / 4
	if c.blend > 0 {
		w := float32(c.blend) / float32(quarter+1)
		y = (1-w)*y + w*c.read(&c.old)
		c.blend--
	}
	if c.made < quarter {
		y += c.step * float32(quarter-c.made) / float32(quarter)
	}
	if past := c.made - full*c.ms; past > 0 {
		y *= 1 - float32(past)/float32((silent-full)*c.ms)
	}
	c.made++
	return y
}

// grow repeats more periods from now on, at the same phase: one period over
// and over sounds like a buzzer.
func (c *Concealer) grow(periods int) {
	c.old = c.now
	c.now = loop{length: periods * c.pitch, at: c.old.at % c.pitch}
	c.blend = c.pitch / 4
}

// read returns a sample and moves on. The last quarter of a period goes over
// into what stood before the loop, so that its end meets its start.
func (c *Concealer) read(l *loop) float32 {
	quarter := c.pitch / 4
	i := len(c.repeated) - l.length + l.at
	y := c.repeated[i]
	if k := l.at - (l.length - quarter); k >= 0 {
		w := float32(k+1) / float32(quarter+1)
		y = (1-w)*y + w*c.repeated[i-l.length]
	}
	if l.at++; l.at == l.length {
		l.at = 0
	}
	return y
}

// remember puts samples behind those heard.
func (c *Concealer) remember(pcm []float32) {
	if over := len(pcm) - len(c.heard); over > 0 {
		pcm = pcm[over:]
	}
	keep := copy(c.heard, c.heard[len(pcm):])
	copy(c.heard[keep:], pcm)
}

// period finds the pitch period of what is repeated: the lag at which the end
// looks most like what came before. It looks at every fourth kHz only, then
// closer around the best.
func (c *Concealer) period() int {
	coarse := max(1, c.ms/4)
	best := c.search(c.low, c.high, coarse)
	return c.search(max(c.low, best-coarse+1), min(c.high, best+coarse-1), 1)
}

// search returns the lag from low to high, a step apart, with the highest
// normalised correlation over a window, of which it takes each step-th sample.
// Without any likeness it is the longest.
func (c *Concealer) search(low, high, step int) int {
	end := c.repeated[len(c.repeated)-window*c.ms:]
	best, found := math.Inf(-1), high
	for lag := low; lag <= high; lag += step {
		before := c.repeated[len(c.repeated)-window*c.ms-lag:]
		var product, energy float32
		for i := 0; i < len(end); i += step {
			product += end[i] * before[i]
			energy += before[i] * before[i]
		}
		if energy < 1e-9 {
			continue
		}
		if score := float64(product) / math.Sqrt(float64(energy)); score > best {
			best, found = score, lag
		}
	}
	return found
}
