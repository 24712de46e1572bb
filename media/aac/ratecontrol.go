package aac

import "math"

// RateControl tells how a bit rate is kept.
type RateControl int

const (
	// ConstantRate keeps the bit reservoir of the standard, 6144 bits a
	// channel: no second takes noticeably more than the rate. It is the
	// default, as it suits live streams.
	ConstantRate RateControl = iota
	// AverageRate holds the rate over some seconds only: pauses save bits
	// that speech may spend later.
	AverageRate
)

// maxFrameBits is the size of the decoder's input buffer for each channel, and
// so the most bits of a frame (4.5.3.1).
const maxFrameBits = 6144

// Settings of the controllers, in levels (log2 of noise power).
const (
	// constantPull is what a full or empty reservoir does at once,
	// constantDrift what it does to the level for good with every frame.
	constantPull, constantDrift, constantDriftMost = 2.9, .096, .05
	// averagePull and averageDrift are the same, for a second of bits.
	averagePull, averageDrift, averageDriftMost = 6.4, .064, .03
	// Debts and savings are forgotten beyond these, in seconds of bits.
	averageSavings, averageDebt = .5, 1.5
	// startLevel is for a 64 kbit/s channel; the first sound sets it right.
	startLevel = 2
	// mostLevel bounds the level both ways: beyond it, there is nothing.
	mostLevel = 40
)

// A rateControl chooses the level of the noise from the bits that were spent.
type rateControl struct {
	mode     RateControl
	perFrame float64 // bits
	second   float64 // bits in a second
	most     float64 // bits of any frame
	bucket   float64 // size of the reservoir in bits

	account float64 // bits spent above the rate; savings are negative
	slow    float64 // the level without the pull of the account
	level   float32 // of the current frame
	started bool    // slow was set by a frame with sound in it
}

func newRateControl(mode RateControl, bitRate, sampleRate, channels int) rateControl {
	r := rateControl{mode: mode, second: float64(bitRate), slow: startLevel}
	r.perFrame = float64(bitRate) * frameSize / float64(sampleRate)
	r.most = float64(maxFrameBits * channels)
	// A reservoir smaller than this would starve single frames.
	r.bucket = max(r.most-r.perFrame, r.perFrame/4)
	r.setLevel()
	return r
}

// setLevel sets the level of the next frame.
func (r *rateControl) setLevel() {
	if r.mode == AverageRate {
		r.level = float32(r.slow + averagePull*r.account/r.second)
		return
	}
	r.level = float32(r.slow + constantPull*r.fullness())
}

// fullness is 0 where the reservoir is half full, 1/2 where nothing is left in
// it, -1/2 where it is full.
func (r *rateControl) fullness() float64 { return r.account/r.bucket + .5 }

// limit is the most bits that the frame may take.
func (r *rateControl) limit() int32 {
	if r.mode == AverageRate {
		return int32(min(r.most, 4*r.perFrame+500))
	}
	return int32(min(r.most, r.perFrame-r.account))
}

// end counts the bits of a frame.
func (r *rateControl) end(bits int) {
	if float64(bits) > r.perFrame/3 { // pauses teach nothing
		r.drift()
	}
	r.account += float64(bits) - r.perFrame
	if r.mode == AverageRate {
		r.account = min(max(r.account, -averageSavings*r.second), averageDebt*r.second)
	} else {
		r.account = max(r.account, -r.bucket)
	}
	r.setLevel()
}

// drift moves the level for good towards a balanced account.
func (r *rateControl) drift() {
	if r.mode == AverageRate {
		r.slow += clamp(averageDrift*r.account/r.second, averageDriftMost)
	} else {
		r.slow += clamp(constantDrift*r.fullness(), constantDriftMost)
	}
	r.slow = clamp(r.slow, mostLevel)
}

func clamp(v, limit float64) float64 { return math.Max(-limit, math.Min(limit, v)) }

// spend quantizes the frame at the level of the rate control, coarser if it
// would be too large.
func (e *encoder) spend() {
	bits := e.quantizeAt(e.rate.level)
	if !e.rate.started && float64(bits) > e.rate.perFrame/2 {
		bits = e.findLevel()
	}
	limit := e.rate.limit()
	for bits > limit && e.coarser(stepsFor(bits, limit)) {
		bits = e.quantize()
	}
}

// stepsFor returns how many steps coarser a frame should be quantized that is
// too large. A step saves a tenth of the bits or more; one too many is heard.
func stepsFor(bits, limit int32) int {
	return int(max(1, min(12, 6*(bits-limit)/max(limit, 1))))
}

// findLevel sets the level by bisection: once, at the first frame with sound.
func (e *encoder) findLevel() int32 {
	lo, hi := -20., 20.
	for range 9 { // to a step of 0.08
		middle := (lo + hi) / 2
		if float64(e.quantizeAt(float32(middle))) > 1.2*e.rate.perFrame {
			lo = middle
		} else {
			hi = middle
		}
	}
	e.rate.slow, e.rate.level, e.rate.started = hi, float32(hi), true
	return e.quantizeAt(e.rate.level)
}

// quantizeAt quantizes the frame at a noise level and returns its bits.
func (e *encoder) quantizeAt(level float32) int32 {
	for i := range e.channels {
		e.channels[i].chooseScales(&e.layout, level)
	}
	return e.quantize()
}

// quantize quantizes the frame with its scalefactors and returns its bits.
func (e *encoder) quantize() int32 {
	bits := e.headerBits()
	for i := range e.channels {
		bits += e.channels[i].quantize(&e.layout)
	}
	return bits
}

// coarser raises the scalefactors. It returns false if nothing is left to
// raise.
func (e *encoder) coarser(step int) bool {
	raised := false
	for i := range e.channels {
		for b := range e.layout.bands {
			band := &e.channels[i].bands[b]
			if band.scale >= 0 && band.scale < 255 {
				band.scale = min(255, band.scale+step)
				raised = true
			}
		}
	}
	return raised
}
