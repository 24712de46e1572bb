package aac

import (
	"math"
	"math/rand/v2"
	"testing"
)

// TestMDCT compares with the formula of 4.6.11.3.1.
func TestMDCT(t *testing.T) {
	r := rand.New(rand.NewPCG(3, 4))
	for _, n := range []int{shortSize, frameSize} {
		samples, lines := make([]float32, 2*n), make([]float32, n)
		for i := range samples {
			samples[i] = r.Float32() - .5
		}
		flat := make([]float32, n)
		for i := range flat {
			flat[i] = 1
		}
		newMDCT(n).forward(samples, flat, flat, lines)
		signal, noise := 0.0, 0.0
		for k, got := range lines {
			want := 0.0
			for i, x := range samples {
				want += 2 * float64(x) * math.Cos(math.Pi/float64(n)*(float64(i)+.5+float64(n)/2)*(float64(k)+.5))
			}
			signal += want * want
			noise += (want - float64(got)) * (want - float64(got))
		}
		if db := 10 * math.Log10(signal/noise); db < 120 {
			t.Errorf("%d lines: %.1f dB, want 120", n, db)
		}
	}
}

// TestWindowsReconstruct lets the encoder's windows and the decoder's, in
// every order that is allowed, cancel each other's aliases.
func TestWindowsReconstruct(t *testing.T) {
	sequences := []windowSequence{onlyLong, onlyLong, longStart, eightShort, eightShort, longStop, onlyLong, longStart, longStop, onlyLong}
	e := newEncoder(1)
	k := Codec{LowDelay: true}
	e.reset(k, Config{SampleRate: 48000, Channels: 1}, encoderOptions(256000, 0))
	e.cutOff(24000)
	e.borrow()
	defer e.handBack()
	d := newDecoder(1)
	d.reset(Config{SampleRate: 48000, Channels: 1})
	pcm := render("noise", 48000, 1, len(sequences))
	var got []float32
	for i, seq := range sequences {
		e.load(pcm[i*frameSize : (i+1)*frameSize])
		c := &d.channels[0]
		if seq == eightShort {
			e.layout.setShort(e.bands.short, e.shortBands, 3)
			e.transform(&e.channels[0])
			copy(c.lines[:], e.windows[:])
		} else {
			e.layout.setLong(seq, e.bands.long, e.longBands)
			e.transform(&e.channels[0])
			copy(c.lines[:], e.channels[0].lines[:])
		}
		if !d.synthesize(c, c.lines[:], seq, sineShape) {
			t.Fatal("out of range")
		}
		got = append(got, c.out[:]...)
	}
	// The last frame waits for the overlap of one more.
	if db := signalToNoise(pcm, got, frameSize); db < 110 {
		t.Errorf("reconstructed within %.1f dB, want 110", db)
	}
}

// TestSlopes sees that both shapes satisfy Princen and Bradley.
func TestSlopes(t *testing.T) {
	s := windowSlopes()
	for _, slope := range [][]float32{s.long[0], s.long[1], s.short[0], s.short[1]} {
		n := len(slope)
		for i := range n / 2 {
			a, b := float64(slope[i]), float64(slope[n-1-i])
			if power := a*a + b*b; math.Abs(power-1) > 1e-6 {
				t.Errorf("slope of %d at %d: power %v", n, i, power)
			}
		}
		if slope[0] > .01 || slope[n-1] < .999 {
			t.Errorf("slope of %d goes from %v to %v", n, slope[0], slope[n-1])
		}
	}
}
