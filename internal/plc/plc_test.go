package plc

import (
	"fmt"
	"math"
	"math/rand/v2"
	"testing"

	"github.com/trunkcast/trunkcast/internal/plc/plctest"
)

// lose runs pcm through a Concealer in frames of 20 ms, of which those in
// [from, to) are lost.
func lose(c *Concealer, pcm []float32, rate, from, to int) []float32 {
	frame := rate / 50
	var out []float32
	for i := 0; (i+1)*frame <= len(pcm); i++ {
		if i >= from && i < to {
			out = c.Conceal(out, frame)
			continue
		}
		at := len(out)
		out = append(out, pcm[i*frame:(i+1)*frame]...)
		c.Good(out[at:])
	}
	return out
}

// TestConcealVoice loses one frame at 30 places of a voice: the level stays,
// the pitch goes on, and no seam is a click.
func TestConcealVoice(t *testing.T) {
	t.Parallel()
	for _, rate := range []int{8000, 16000} {
		voice := plctest.Voice(rate, 2)
		frame := rate / 50
		natural := plctest.Jump(voice)
		sum := 0.0
		for at := 10; at < 70; at += 2 {
			out := lose(New(rate), voice, rate, at, at+1)
			gap := out[at*frame : (at+1)*frame]
			lost := voice[at*frame : (at+1)*frame]
			if d := plctest.Level(gap) - plctest.Level(lost); math.Abs(d) > 6 {
				t.Errorf("%d Hz, frame %d: concealed is %.1f dB from what was lost", rate, at, d)
			}
			// Both seams and all between.
			if j := plctest.Jump(out[at*frame-1 : (at+2)*frame]); j > 1.3*natural {
				t.Errorf("%d Hz, frame %d: a step of %.3f, where the voice has %.3f at most", rate, at, j, natural)
			}
			sum += plctest.SNR(lost[:frame/2], gap[:frame/2])
		}
		// Silence would have 0 dB, a period that is not that of the pitch less.
		if mean := sum / 30; mean < 5 {
			t.Errorf("%d Hz: the first 10 ms have an SNR of %.1f dB in the mean", rate, mean)
		}
	}
}

func TestFade(t *testing.T) {
	t.Parallel()
	const rate = 8000
	c := New(rate)
	tone := plctest.Sine(rate, 0.2, 150, 0.5)
	c.Good(tone)
	out := c.Conceal(nil, rate/5)
	var levels []float64
	for at := 0; at < 800; at += 80 {
		levels = append(levels, plctest.Level(out[at:at+80]))
	}
	for i := 1; i < 6; i++ {
		if levels[i] > levels[i-1]+1.5 {
			t.Errorf("louder after %d ms: %.1f", 10*i, levels)
		}
	}
	if levels[0] < plctest.Level(tone)-2 || levels[3] < -25 {
		t.Errorf("it fades too early: %.1f", levels)
	}
	if j, want := plctest.Jump(out), plctest.Jump(tone); j > 1.2*want {
		t.Errorf("a step of %.3f, the tone has %.3f", j, want)
	}
	if c.now.length != 3*c.pitch {
		t.Errorf("repeats %d samples, want three periods of %d", c.now.length, c.pitch)
	}
	for i, s := range out[rate*silent/1000:] {
		if s != 0 {
			t.Fatalf("sample %d after the fading is %g", i, s)
		}
	}
	// And back: what follows fades in.
	next := plctest.Sine(rate, 0.02, 150, 0.5)
	for i := range next {
		next[i] += 0.4 // far from 0 at the seam
	}
	c.Good(next)
	if j := plctest.Jump(append([]float32{0}, next...)); j > 0.1 {
		t.Errorf("a step of %.2f after silence", j)
	}
}

// TestSteady loses frames of a tone whose period fits no loop exactly.
func TestSteady(t *testing.T) {
	t.Parallel()
	for _, rate := range []int{8000, 16000, 48000} {
		for _, hz := range []float64{70, 97.3, 144.4, 210, 400, 1003} {
			pcm := plctest.Sine(rate, 0.4, hz, 0.5)
			frame := rate / 50
			out := lose(New(rate), pcm, rate, 10, 11)
			want := plctest.Jump(pcm)
			if j := plctest.Jump(out[10*frame-1 : 12*frame]); j > 1.5*want+0.005 {
				t.Errorf("%d Hz, tone of %g: a step of %.4f, the tone has %.4f", rate, hz, j, want)
			}
			if d := plctest.Level(out[10*frame:11*frame]) - plctest.Level(pcm); d > 1.5 || d < -3 {
				t.Errorf("%d Hz, tone of %g: %.1f dB in the gap", rate, hz, d)
			}
		}
	}
}

// TestSeams loses tones that are too slow for any loop, so that its ends do not
// meet and neither do the sides of the gap, for longer than it takes to go
// through one, two and three periods.
func TestSeams(t *testing.T) {
	t.Parallel()
	const rate = 8000
	for _, hz := range []float64{23, 31, 40, 47} {
		for from := 10; from < 20; from++ {
			for lost := 1; lost <= 4; lost++ {
				out := lose(New(rate), plctest.Sine(rate, 1, hz, 0.5), rate, from, from+lost)
				// A full scale apart at worst, in 30 samples at least.
				if j := plctest.Jump(out); j > 0.08 {
					t.Errorf("tone of %g Hz, %d frames lost from %d on: a step of %.3f", hz, lost, from, j)
				}
			}
		}
	}
}

// TestGoodUnchanged: what is not within 10 ms after a gap passes as it is.
func TestGoodUnchanged(t *testing.T) {
	t.Parallel()
	const rate, frame = 8000, 160
	voice := plctest.Voice(rate, 0.5)
	out := lose(New(rate), voice, rate, 5, 12)
	for i := range out {
		if lost := i >= 5*frame && i < 12*frame+80; !lost && out[i] != voice[i] {
			t.Fatalf("sample %d changed", i)
		}
	}
}

// TestPieces: the result does not depend on how samples are cut into calls.
func TestPieces(t *testing.T) {
	t.Parallel()
	const rate = 16000
	voice := plctest.Voice(rate, 1)
	random := rand.New(rand.NewPCG(1, 1))
	whole, pieces := New(rate), New(rate)
	cut := func(n int, f func(n int)) {
		for n > 0 {
			m := min(n, 1+random.IntN(200))
			f(m)
			n -= m
		}
	}
	var want, got []float32
	for at := 0; at+2000 <= len(voice); at += 2000 {
		n := len(want)
		want = append(want, voice[at:at+2000]...)
		whole.Good(want[n:])
		want = whole.Conceal(want, 700)

		from := at
		cut(2000, func(m int) {
			n := len(got)
			got = append(got, voice[from:from+m]...)
			pieces.Good(got[n:])
			from += m
		})
		cut(700, func(m int) { got = pieces.Conceal(got, m) })
	}
	for i := range want {
		if got[i] != want[i] {
			t.Fatalf("sample %d is %g in pieces, %g at once", i, got[i], want[i])
		}
	}
}

func TestBeforeAnything(t *testing.T) {
	t.Parallel()
	c := New(8000)
	if out := c.Conceal(nil, 0); len(out) != 0 {
		t.Errorf("%d samples for none", len(out))
	}
	if out := c.Conceal(nil, -5); len(out) != 0 {
		t.Errorf("%d samples for less than none", len(out))
	}
	for i, s := range c.Conceal(nil, 1000) {
		if s != 0 {
			t.Fatalf("sample %d is %g", i, s)
		}
	}
	c.Good(plctest.Voice(8000, 0.1))
	c.Reset()
	if l := plctest.Level(c.Conceal(nil, 1000)); l > -190 {
		t.Errorf("after Reset something is left: %.0f dB", l)
	}
}

func TestNew(t *testing.T) {
	t.Parallel()
	for _, rate := range []int{0, 7000, 44100, 96000} {
		func() {
			defer func() {
				if recover() == nil {
					t.Errorf("%d Hz: accepted", rate)
				}
			}()
			New(rate)
		}()
	}
}

// FuzzConceal: any sequence of good and lost samples gives bounded ones.
func FuzzConceal(f *testing.F) {
	f.Add([]byte{1, 200, 130, 7, 255, 0, 3})
	f.Fuzz(func(t *testing.T, script []byte) {
		if len(script) > 200 {
			return
		}
		c := New(8000)
		random := rand.New(rand.NewPCG(3, 3))
		for _, b := range script {
			n := int(b>>1) * 3
			if b&1 == 0 {
				pcm := make([]float32, n)
				for i := range pcm {
					pcm[i] = 2*random.Float32() - 1
				}
				c.Good(pcm)
				continue
			}
			out := c.Conceal(nil, n)
			if len(out) != n {
				t.Fatalf("%d samples, want %d", len(out), n)
			}
			for _, s := range out {
				// The step at the beginning may add twice full scale.
				if !(s >= -3 && s <= 3) {
					t.Fatalf("sample %g", s)
				}
			}
		}
	})
}

func TestAllocs(t *testing.T) {
	c := New(16000)
	voice := plctest.Voice(16000, 0.02)
	buf := make([]float32, 0, 320)
	if n := testing.AllocsPerRun(100, func() {
		c.Good(voice)
		buf = c.Conceal(buf[:0], 320)
	}); n != 0 {
		t.Errorf("%g allocations", n)
	}
}

func BenchmarkConceal(b *testing.B) {
	for _, rate := range []int{8000, 16000} {
		c := New(rate)
		pcm := plctest.Voice(rate, 0.02)
		buf := make([]float32, 0, len(pcm))
		b.Run(fmt.Sprintf("good/%d", rate), func(b *testing.B) {
			for b.Loop() {
				c.Good(pcm)
			}
		})
		b.Run(fmt.Sprintf("gap/%d", rate), func(b *testing.B) {
			for b.Loop() {
				c.Good(pcm)
				buf = c.Conceal(buf[:0], len(pcm))
			}
		})
	}
}
