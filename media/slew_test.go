package media

import (
	"fmt"
	"math"
	"math/rand/v2"
	"testing"
)

// TestSlewer sends a tone through in pieces of all sizes, faster, slower and as
// it is, and looks that nothing jumps and how long it gets.
func TestSlewer(t *testing.T) {
	for _, channels := range []int{1, 2} {
		t.Run(fmt.Sprint(channels), func(t *testing.T) {
			s := slewer{channels: channels}
			s.reset()
			rng := rand.New(rand.NewPCG(1, 2))
			var out []float32
			in := 0
			run := func(n int) (more int) {
				before, end := len(out)/channels-in, in+n
				for in < end {
					k := min(1+rng.IntN(700), end-in)
					var src []float32
					for range k {
						v := float32(0.5 * math.Sin(2*math.Pi*1000*float64(in)/48000))
						for c := range channels {
							src = append(src, v*float32(1-2*c)) // the right one is upside down
						}
						in++
					}
					out = s.append(out, src)
				}
				return len(out)/channels - in - before
			}
			for i, c := range []struct{ direction, n, least, most int }{
				{0, 5000, 0, 0}, {1, 48400, 47, 49}, {0, 48000, 0, 2}, {-1, 96400, -98, -95}, {0, 48000, -2, 0}, {0, 48000, 0, 0},
			} {
				s.set(c.direction)
				if more := run(c.n); more < c.least || more > c.most {
					t.Errorf("stage %d: %d samples more, want %d to %d", i, more, c.least, c.most)
				}
			}
			if s.step != 1 || s.frac != 0 {
				t.Errorf("still slewing: step %g, at %g", s.step, s.frac)
			}
			// A tone keeps x[n-1]+x[n+1] = 2*cos(w)*x[n], whatever its phase,
			// as long as w does; 1000 ppm and their ends change that little.
			w := 2 * math.Cos(2*math.Pi*1000/48000)
			for i := 10; i < len(out)/channels-1; i++ {
				at := func(k int) float64 { return float64(out[k*channels]) }
				if d := math.Abs(at(i-1) + at(i+1) - w*at(i)); d > 2e-4 {
					t.Fatalf("a step of %g at sample %d", d, i)
				}
				if channels == 2 && out[2*i] != -out[2*i+1] {
					t.Fatalf("channels differ at sample %d", i)
				}
			}
		})
	}
}

func TestSlewerCopies(t *testing.T) {
	s := slewer{channels: 1}
	s.reset()
	src := make([]float32, 100)
	for i := range src {
		src[i] = float32(i + 1)
	}
	var out []float32
	for _, n := range []int{1, 2, 3, 4, 5, 85} {
		out = s.append(out, src[:n])
		src = src[n:]
	}
	for i, v := range out {
		if want := max(float32(i-slewDelay+1), 0); v != want {
			t.Fatalf("sample %d is %g, want %g", i, v, want)
		}
	}
	if len(out) != 100 {
		t.Errorf("%d samples", len(out))
	}
}
