package resample

import (
	"math"
	"testing"
)

// TestDrift: so many more samples, of the tone at so much less of a frequency.
func TestDrift(t *testing.T) {
	t.Parallel()
	for _, p := range [][2]int{{48000, 48000}, {8000, 48000}, {44100, 48000}} {
		for _, ppm := range []float64{-1000, -137, 0, 3, 1000} {
			r, err := NewVariable(p[0], p[1], 1)
			if err != nil {
				t.Fatal(err)
			}
			r.SetDrift(ppm)
			const seconds = 1
			hz := 0.11 * float64(min(p[0], p[1]))
			out := r.Append(nil, sine(seconds*p[0], hz, float64(p[0])))
			want := seconds * float64(p[1]) * (1 + ppm*1e-6)
			if d := float64(len(out)) - want; math.Abs(d) > 2 {
				t.Errorf("%d to %d Hz, %g ppm: %d samples, want %.1f", p[0], p[1], ppm, len(out), want)
			}
			tone, rest := level(settled(r, out), hz/(1+ppm*1e-6), float64(p[1]))
			if math.Abs(tone) > 0.05 || rest > -75 {
				t.Errorf("%d to %d Hz, %g ppm: the tone comes at %.3f dB, the rest at %.1f dB", p[0], p[1], ppm, tone, rest)
			}
		}
	}
}

// TestDriftClamped: nonsense is limited to MaxDrift.
func TestDriftClamped(t *testing.T) {
	t.Parallel()
	for _, x := range [][2]float64{{1e9, MaxDrift}, {-1e9, -MaxDrift}, {math.Inf(1), MaxDrift}, {math.NaN(), 0}} {
		counts := [2]int{}
		for i, ppm := range x {
			r, err := NewVariable(48000, 48000, 1)
			if err != nil {
				t.Fatal(err)
			}
			r.SetDrift(ppm)
			counts[i] = len(r.Append(nil, make([]float32, 48000)))
		}
		if counts[0] != counts[1] {
			t.Errorf("%g ppm gives %d samples, %g ppm %d", x[0], counts[0], x[1], counts[1])
		}
	}
}

// TestDriftChanges: changing the drift all the time leaves no step in a tone.
func TestDriftChanges(t *testing.T) {
	t.Parallel()
	const hz, rate = 300, 48000
	r, err := NewVariable(rate, rate, 1)
	if err != nil {
		t.Fatal(err)
	}
	in := sine(rate/2, hz, rate)
	var out []float32
	for i := 0; i < len(in); i += 96 {
		r.SetDrift(900 * math.Sin(float64(i)))
		out = append(out, r.Append(nil, in[i:i+96])...)
	}
	// The third difference of the tone is at most step^3; a change of its
	// speed adds twice that change, rounding some 1e-5. A jump of one filter
	// of the table would be 5e-4.
	const step = 2 * math.Pi * hz / rate
	most := step*step*step + 2*step*1800e-6 + 2e-5
	for i := 4*r.Delay() + 3; i < len(out); i++ {
		d := float64(out[i] - 3*out[i-1] + 3*out[i-2] - out[i-3])
		if math.Abs(d) > most {
			t.Fatalf("sample %d: third difference %.6f, the tone has %.6f", i, d, most)
		}
	}
}
