// Package plctest makes and measures sound for the tests of codecs.
package plctest

import (
	"math"
	"math/rand/v2"
)

// Voice returns sound that is like speech: harmonics of a gliding pitch of 95
// to 145 Hz under two formants, four syllables a second, a breath of noise.
// Its level is about -18 dB and its band ends below 3400 Hz.
func Voice(rate int, seconds float64) []float32 {
	random := rand.New(rand.NewPCG(7, 11))
	pcm := make([]float32, int(seconds*float64(rate)))
	phase, noise := 0.0, 0.0
	for i := range pcm {
		t := float64(i) / float64(rate)
		pitch := 120 + 25*math.Sin(2*math.Pi*0.7*t)
		phase += 2 * math.Pi * pitch / float64(rate)
		sum := 0.0
		for h := 1.0; h*pitch < 3400; h++ {
			hz := h * pitch
			weight := 1/(1+math.Pow((hz-600)/300, 2)) + 0.3/(1+math.Pow((hz-1800)/400, 2)) + 0.01
			sum += weight * math.Sin(h*phase+h*h)
		}
		noise += 0.3 * (random.NormFloat64() - noise)
		syllable := 0.15 + 0.85*math.Pow(math.Sin(math.Pi*4*t), 2)
		pcm[i] = float32(0.09 * syllable * (sum + 0.03*noise))
	}
	return pcm
}

// Sine returns a sine of a frequency in Hz.
func Sine(rate int, seconds, hz, amplitude float64) []float32 {
	pcm := make([]float32, int(seconds*float64(rate)))
	for i := range pcm {
		pcm[i] = float32(amplitude * math.Sin(2*math.Pi*hz*float64(i)/float64(rate)))
	}
	return pcm
}

// Level is the RMS of the samples in dB of full scale.
func Level(pcm []float32) float64 {
	sum := 0.0
	for _, s := range pcm {
		sum += float64(s) * float64(s)
	}
	return 10 * math.Log10(sum/float64(max(1, len(pcm)))+1e-20)
}

// SNR is the level of want over that of its difference to got, in dB, as far
// as both go.
func SNR(want, got []float32) float64 {
	n := min(len(want), len(got))
	differences := make([]float32, n)
	for i := range differences {
		differences[i] = got[i] - want[i]
	}
	return Level(want[:n]) - Level(differences)
}

// Lag is by how many samples, at most most, got is behind want: where their
// beginnings are most alike.
func Lag(want, got []float32, most int) int {
	best, found := math.Inf(-1), 0
	for lag := range most + 1 {
		sum := 0.0
		for i := range min(len(want), len(got)-most, 12000) {
			sum += float64(want[i]) * float64(got[i+lag])
		}
		if sum > best {
			best, found = sum, lag
		}
	}
	return found
}

// Jump is the largest step between neighbouring samples.
func Jump(pcm []float32) float64 {
	most := 0.0
	for i := 1; i < len(pcm); i++ {
		most = max(most, math.Abs(float64(pcm[i]-pcm[i-1])))
	}
	return most
}

// Mono returns the channel c of stereo samples.
func Mono(pcm []float32, c int) []float32 {
	mono := make([]float32, 0, len(pcm)/2)
	for i := c; i < len(pcm); i += 2 {
		mono = append(mono, pcm[i])
	}
	return mono
}

// Stereo interleaves two channels.
func Stereo(left, right []float32) []float32 {
	pcm := make([]float32, 0, 2*len(left))
	for i := range left {
		pcm = append(pcm, left[i], right[i])
	}
	return pcm
}
