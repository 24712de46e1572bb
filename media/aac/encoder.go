package aac

import (
	"fmt"
	"math"
	"sync"
)

// An encoder makes AAC-LC frames:
//
//	pcm -> history -> windows, MDCT -> what the ear allows -> TNS -> M/S
//	    -> scalefactors <-> quantizer, books  (noise level by the rate control)
//	    -> raw_data_block
//
// One pass of the quantizer is enough for most frames, as the rate control
// moves the noise level slowly and corrects it by what was spent.
type encoder struct {
	config Config
	// ahead is the number of samples looked ahead: lookAhead or 0.
	ahead int
	bands *bandTable
	ear   *earModel
	// The lines below the cut-off and the bands that hold them, for long and
	// for short windows.
	longLines, shortLines, longBands, shortBands int
	// noise allows noise substitution.
	noise  bool
	slopes *slopes

	layout   layout
	attack   int // window with an attack in the current frame, or -1
	channels []encoderChannel
	rate     rateControl
	*workspace
}

// An encoderChannel is what an encoder holds of each channel.
type encoderChannel struct {
	transient transient
	// history ends with the newest samples; the current block begins with it.
	history [2*frameSize + lookAhead]float32
	peaks   [3]uint32 // bits of the largest sample of what came into it
	*workChannel
}

// A workspace is what an encoder needs while it encodes a frame. The encoders of
// a program share some, so that what they write lies in the processor's caches
// whichever call's turn it is.
type workspace struct {
	long, short *mdct
	windows     [frameSize]float32 // lines of short windows, not yet in groups
	shaper      noiseShaper
	stereo      stereoMask
	writer      bitWriter
	work        [2]workChannel
}

// A workChannel is the part of a workspace for one channel.
type workChannel struct {
	lines   [frameSize]float32 // in coding order
	power34 [frameSize]float32 // |lines|^(3/4)
	quant   [frameSize]int16
	bands   [maxBands]encoderBand
	from    [maxBands][books]uint8 // book of the band before, for each book
	path    scalePath
}

var workspaces = sync.Pool{New: func() any {
	return &workspace{long: newMDCT(frameSize), short: newMDCT(shortSize)}
}}

// borrow gives the encoder a workspace; handBack takes it away.
func (e *encoder) borrow() {
	e.workspace = workspaces.Get().(*workspace)
	for i := range e.channels {
		e.channels[i].workChannel = &e.work[i]
	}
}

func (e *encoder) handBack() {
	workspaces.Put(e.workspace)
	e.workspace = nil
	for i := range e.channels {
		e.channels[i].workChannel = nil
	}
}

// An encoderBand is one scalefactor band of one group of windows.
type encoderBand struct {
	energy    float32 // sum of squared lines
	spread    float32 // energy a line, with that of the neighbours that mask it
	target    float32 // log2 of the noise at level 0
	most      float32 // log2 of the most noise at any level
	inaudible bool
	noise     int // energy for noise substitution, 2 log2; -1: not allowed

	roots      float32 // log2 of the sum of sqrt|line|
	peak       float32 // largest |line|^(3/4), 0 to leave the band out
	leastScale int     // below it, lines would be too large

	scale int // scalefactor, -1 for a band of zeros
	book  uint8
	bits  [books]int32
}

// encode appends the frame of the samples to dst.
func (e *encoder) encode(dst []byte, pcm []float32) ([]byte, error) {
	if len(pcm) != frameSize*len(e.channels) {
		return dst, fmt.Errorf("aac: encode: %d samples: want %d for %d channel(s)",
			len(pcm), frameSize*len(e.channels), len(e.channels))
	}
	e.borrow()
	dst = e.encodeFrame(dst, pcm)
	e.handBack()
	return dst, nil
}

// encodeFrame does the work of encode.
func (e *encoder) encodeFrame(dst []byte, pcm []float32) []byte {
	next := e.load(pcm)
	sequence, attack := nextSequence(e.layout.sequence, e.attack, next)
	e.attack = next
	if sequence == eightShort {
		e.layout.setShort(e.bands.short, e.shortBands, attack)
	} else {
		e.layout.setLong(sequence, e.bands.long, e.longBands)
	}
	if e.quiet() {
		e.leaveOut()
	} else {
		e.analyse()
	}
	for i := range e.channels {
		e.channels[i].prepare(&e.layout)
	}
	e.spend()
	return e.write(dst)
}

// analyse computes the lines as they are coded and what the ear allows in them.
func (e *encoder) analyse() {
	for i := range e.channels {
		c := &e.channels[i]
		e.transform(c)
		c.analyse(&e.layout, e.ear.of(e.layout.sequence))
		if !e.noise {
			c.forbidNoise(&e.layout)
		}
	}
	e.shapeNoise()
	e.chooseStereo()
}

// quietPeak is a sample so small that no band can be heard if all are, in any
// windows: the squares of the lines of a block of n samples on each side add up
// to 8 n^2 times its square at most.
const quietPeak = 1. / 64

// quiet tells whether all samples are too small for any band to be heard, as
// those of a muted caller are.
func (e *encoder) quiet() bool {
	for i := range e.channels {
		for _, peak := range e.channels[i].peaks {
			if peak > math.Float32bits(quietPeak) {
				return false
			}
		}
	}
	return true
}

// leaveOut does what analyse would do for such samples.
func (e *encoder) leaveOut() {
	e.shaper.active, e.stereo.count = false, 0
	for i := range e.channels {
		c := &e.channels[i]
		for b := range e.layout.bands {
			c.bands[b].inaudible, c.bands[b].noise = true, -1
		}
	}
}

// load appends the samples to the history of each channel and returns the
// first short window of the next frame with an attack in it, or -1.
func (e *encoder) load(pcm []float32) int {
	attack := -1
	for i := range e.channels {
		c := &e.channels[i]
		history := c.history[:2*frameSize+e.ahead]
		copy(history, history[frameSize:])
		fresh := history[frameSize+e.ahead:]
		peak := deinterleave(fresh, pcm[i:], len(e.channels))
		c.peaks = [3]uint32{c.peaks[1], c.peaks[2], peak}
		c.transient.load(fresh)
		if a := c.transient.attack(e.ahead); a >= 0 && (attack < 0 || a < attack) {
			attack = a
		}
	}
	return attack
}

// deinterleave scales every step-th sample, and returns the largest result by
// its bits, which order as the numbers do.
func deinterleave(dst, pcm []float32, step int) (peak uint32) {
	const most = 0x40800000 // 4, as the bits of a float
	at := 0
	for i := range dst {
		v := pcm[at]
		at += step
		if math.Float32bits(v)&^(1<<31) >= most {
			v = clean(v)
		}
		v *= sampleScale
		dst[i] = v
		peak = max(peak, math.Float32bits(v)&^(1<<31))
	}
	return peak
}

// clean makes a sample that is out of range harmless.
func clean(v float32) float32 {
	if v != v || v-v != 0 { // not a number, infinite
		return 0
	}
	return max(-4, min(4, v))
}

// forbidNoise keeps the bands from being replaced by noise.
func (c *encoderChannel) forbidNoise(l *layout) {
	for b := range l.bands {
		c.bands[b].noise = -1
	}
}

// transform computes the lines of a channel below the cut-off.
func (e *encoder) transform(c *encoderChannel) {
	samples := c.history[:2*frameSize]
	if e.layout.sequence == eightShort {
		e.transformShort(c, samples)
		return
	}
	rise, fall := e.slopes.long[sineShape], e.slopes.long[sineShape]
	switch e.layout.sequence { // 4.6.11.3.3
	case longStop:
		rise = e.slopes.edge[sineShape]
	case longStart:
		fall = e.slopes.edge[sineShape]
	}
	e.long.forward(samples, rise, fall, c.lines[:])
	clear(c.lines[e.longLines:])
}

// transformShort computes eight short windows.
func (e *encoder) transformShort(c *encoderChannel, samples []float32) {
	slope := e.slopes.short[sineShape]
	for w := range shortWindows {
		lines := e.windows[w*shortSize : (w+1)*shortSize]
		e.short.forward(samples[slopeStart+w*shortSize:][:2*shortSize], slope, slope, lines)
		clear(lines[e.shortLines:])
	}
	e.layout.interleave(c.lines[:], e.windows[:], e.bands.short)
}
