package aac

import (
	"maps"
	"math"
	"math/rand/v2"
	"slices"
	"sync"
)

// A signal makes sample i of a channel at a rate in Hz.
type signal func(i, channel, rate int) float64

// signals are what the tests feed to encoders: each is a function of the time,
// so that any length, rate and number of channels can be had.
var signals = map[string]signal{
	"silence": func(int, int, int) float64 { return 0 },
	"tone":    func(i, c, rate int) float64 { return .5 * sine(1000+200*c, i, rate) },
	"dtmf": func(i, c, rate int) float64 {
		if i/(rate/10)%2 == 1 {
			return 0
		}
		return .3*sine(770, i, rate) + .3*sine(1336, i, rate)
	},
	"noise":  func(i, c, rate int) float64 { return .5 * white(i, c) },
	"speech": speechLike,
	"music":  musicLike,
	"clipped": func(i, c, rate int) float64 {
		return math.Max(-1, math.Min(1, 12*speechLike(i, c, rate)))
	},
	"clicks": func(i, c, rate int) float64 {
		t := i % (rate / 7)
		return .9*math.Exp(-float64(t)/60)*white(i, c) + .01*white(i, c+9)
	},
	"square":   func(i, c, rate int) float64 { return 1 - 2*float64(i/(50+7*c)%2) },
	"constant": func(int, int, int) float64 { return -1 },
}

func sine(hz, i, rate int) float64 {
	return math.Sin(2 * math.Pi * float64(hz) * float64(i) / float64(rate))
}

// white is noise between -1 and 1 that depends on its arguments only.
func white(i, channel int) float64 {
	x := uint64(i)*0x9e3779b97f4a7c15 + uint64(channel)*0xbf58476d1ce4e5b9
	x = (x ^ x>>30) * 0xbf58476d1ce4e5b9
	x = (x ^ x>>27) * 0x94d049bb133111eb
	return float64(int64(x^x>>31)) / (1 << 63)
}

// speechLike has a gliding pitch with formants, hiss and pauses.
func speechLike(i, channel, rate int) float64 {
	t := float64(i) / float64(rate)
	syllable := math.Mod(t, .31) / .31
	if math.Mod(t, 2) > 1.6 {
		return 1e-4 * white(i, channel)
	}
	envelope := math.Pow(math.Sin(math.Pi*syllable), 2)
	if int(t/.31)%3 == 2 {
		return .08 * envelope * (white(i, channel) - white(i-1, channel))
	}
	phase := 2 * math.Pi * (120*t - 6*math.Cos(2*math.Pi*t/1.3))
	v := harmonics(formants, phase)
	return .25*envelope*v*(1-.3*float64(channel)) + 5e-4*white(i, channel)
}

// formants are the amplitudes of speechLike's harmonics of 120 Hz.
var formants = func() (amplitudes [30]float64) {
	peak := func(hz, centre, width float64) float64 { return 1 / (1 + math.Pow((hz-centre)/width, 2)) }
	for k := range amplitudes {
		hz := 120 * float64(k+1)
		amplitudes[k] = peak(hz, 600, 150) + .5*peak(hz, 1700, 250) + .2*peak(hz, 2900, 300)
	}
	return amplitudes
}()

// harmonics sums sines of multiples of a phase, by the recurrence of
// Chebyshev.
func harmonics(amplitudes [30]float64, phase float64) float64 {
	sin, cos := math.Sincos(phase)
	sum, before := 0.0, 0.0
	for _, a := range amplitudes {
		sum += a * sin
		sin, before = 2*cos*sin-before, sin
	}
	return sum
}

// musicLike has chords of decaying harmonics, different on the two sides.
func musicLike(i, channel, rate int) float64 {
	t := float64(i) / float64(rate)
	v := 0.0
	for voice, base := range [...]float64{220, 277.2, 329.6, 440} {
		start := math.Mod(t+.125*float64(voice), .5)
		balance := 1 - .5*float64(voice+channel&1)/4
		decay, gain := math.Exp(-start), math.Exp(-3*start)
		var amplitudes [30]float64
		for k := range 8 {
			gain *= decay
			amplitudes[k] = balance / float64(k+1) * gain
		}
		v += harmonics(amplitudes, 2*math.Pi*base*t)
	}
	return .12 * v
}

// rendered keeps what render made: most tests use the same.
var rendered sync.Map

// render makes frames of 1024 samples of one of the signals.
func render(name string, rate, channels, frames int) []float32 {
	type key struct {
		name                   string
		rate, channels, frames int
	}
	k := key{name, rate, channels, frames}
	if pcm, ok := rendered.Load(k); ok {
		return slices.Clone(pcm.([]float32))
	}
	pcm := make([]float32, 0, frames*frameSize*channels)
	for i := range frames * frameSize {
		for c := range channels {
			pcm = append(pcm, float32(signals[name](i, c, rate)))
		}
	}
	rendered.Store(k, pcm)
	return slices.Clone(pcm)
}

// allSignals makes some frames of each signal, one after the other.
func allSignals(rate, channels, frames int) (pcm []float32) {
	for _, name := range slices.Sorted(maps.Keys(signals)) {
		pcm = append(pcm, render(name, rate, channels, frames)...)
	}
	return pcm
}

// hostile makes frames at random of what codecs do not like.
func hostile(r *rand.Rand, pcm []float32) {
	kind, size, pitch := r.IntN(9), math.Exp2(-15*r.Float64()), 3*r.Float64()
	for i := range pcm {
		switch kind {
		case 0:
			pcm[i] = 0
		case 1:
			pcm[i] = float32(2*r.Float64() - 1)
		case 2:
			pcm[i] = float32(size * r.NormFloat64())
		case 3:
			pcm[i] = float32(2*r.IntN(2) - 1)
		case 4:
			pcm[i] = float32(size * math.Sin(pitch*float64(i)))
		case 5:
			pcm[i] = -4
		case 6:
			pcm[i] = 0
			if i == 700 {
				pcm[i] = 1
			}
		case 7:
			pcm[i] = float32(1 - 2*(i/64&1))
		case 8:
			pcm[i] = float32(r.IntN(3)-1) / sampleScale
		}
	}
}

// signalToNoise compares two signals of which got is delay samples late, in
// dB.
func signalToNoise(want, got []float32, delay int) float64 {
	signal, noise := 1e-20, 1e-20
	for i := range want[:len(want)-delay] {
		if i+delay >= len(got) {
			break
		}
		w, d := float64(want[i]), float64(want[i]-got[i+delay])
		signal += w * w
		noise += d * d
	}
	return 10 * math.Log10(signal/noise)
}
