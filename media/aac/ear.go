package aac

import (
	"math"
	"sync"
)

// What the encoder takes from hearing. The values were found with a meter of
// the noise-to-mask ratio, on speech and music; see docs/performance-aac.md.
const (
	// maskExponent makes the noise follow the spectrum: noise = level *
	// spectrum^maskExponent. At 1 the signal-to-noise ratio would be the same
	// in all bands, at 0 the noise would be white.
	maskExponent = .55
	// A band's spectrum spreads to the bands above and below it with these
	// slopes, in dB a Bark.
	spreadUp, spreadDown = 15, 30
	// tilt is how many bits (of 6 dB in power) more noise there may be at
	// tiltFrequency than at 0 Hz.
	tilt, tiltFrequency = 1, 16000
	// noiseLimit is the most noise, in log2 of the band's own energy.
	noiseLimit = 1
	// fullScaleLevel is the loudness of a full-scale sine in dB SPL; it ties
	// the threshold in quiet to the samples.
	fullScaleLevel = 92
	// Bands that begin above it in Hz may be replaced by noise (4.6.13).
	noiseFrequency = 4500
	// sampleScale turns samples of -1 to 1 to those of 16 bits that the
	// standard's decoder makes.
	sampleScale = 32768
)

// earBand is what the model knows of one band of the bandTable.
type earBand struct {
	up, down float32 // share of the energy that masks from the band below, and to it
	tilt     float32 // log2
	quiet    float32 // energy that is inaudible
	noisy    bool    // may be replaced by noise
}

// An earModel holds the bands of long and of short windows at one rate.
type earModel struct {
	long, short []earBand
}

func (m *earModel) of(seq windowSequence) []earBand {
	if seq == eightShort {
		return m.short
	}
	return m.long
}

var earModels [len(samplingRates)]struct {
	once  sync.Once
	model *earModel
}

// earModelOf returns the model for a samplingFrequencyIndex.
func earModelOf(index int) *earModel {
	m := &earModels[index]
	m.once.Do(func() {
		rate, bands := samplingRates[index], &bandTables[index]
		m.model = &earModel{long: earBands(bands.long, rate), short: earBands(bands.short, rate)}
		for b := range m.model.short {
			m.model.short[b].noisy = false // noise has no shape in time there
		}
	})
	return m.model
}

func earBands(bands []int, rate int) []earBand {
	lines := bands[len(bands)-1]
	hz := func(line float64) float64 { return line * float64(rate) / 2 / float64(lines) }
	centre := func(b int) float64 { return hz(float64(bands[b]+bands[b+1]) / 2) }
	// A full-scale sine has about this amplitude in the line nearest to it.
	fullScale := float64(lines) * sampleScale
	ear := make([]earBand, len(bands)-1)
	for b := range ear {
		e := &ear[b]
		if b > 0 {
			distance := bark(centre(b)) - bark(centre(b-1))
			e.up = float32(math.Pow(10, -spreadUp/10.*distance))
			e.down = float32(math.Pow(10, -spreadDown/10.*distance))
		}
		low := hz(float64(bands[b]))
		e.tilt = float32(tilt * min(1, low/tiltFrequency))
		e.quiet = float32(fullScale * fullScale * math.Pow(10, (quietLevel(centre(b))-fullScaleLevel)/10))
		e.noisy = low > noiseFrequency
	}
	return ear
}

// bark is the critical band rate of a frequency in Hz, after Zwicker.
func bark(hz float64) float64 {
	return 13*math.Atan(.00076*hz) + 3.5*math.Atan(hz/7500*hz/7500)
}

// quietLevel is the threshold in quiet in dB SPL, after Terhardt, but 10 dB
// lower and never above -7, as nobody knows how loud it is played.
func quietLevel(hz float64) float64 {
	f := max(.02, hz/1000)
	level := 3.64*math.Pow(f, -.8) - 6.5*math.Exp(-.6*(f-3.3)*(f-3.3)) + 1e-3*f*f*f*f
	return min(level, 3) - 10
}

// log2 is the logarithm of a positive normal number, within 0.006.
func log2(x float32) float32 {
	bits := math.Float32bits(x)
	exponent := float32(int32(bits>>23) - 127)
	m := math.Float32frombits(bits&0x7fffff | 0x3f800000)
	return exponent + ((.15640264*m-1.0408082)*m+3.0297794)*m - 2.1452546
}
