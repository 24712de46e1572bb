package resample

import (
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"testing"
)

// pairs are the rates of codecs that meet in a call.
var pairs = [][2]int{
	{8000, 48000}, {48000, 8000}, {16000, 48000}, {48000, 16000}, {8000, 16000}, {16000, 8000},
	{44100, 48000}, {48000, 44100}, {8000, 44100}, {44100, 8000}, {44100, 16000}, {32000, 48000},
	{22050, 48000}, {24000, 44100}, {96000, 48000}, {11025, 8000},
}

func sine(n int, hz, rate float64) []float32 {
	pcm := make([]float32, n)
	for i := range pcm {
		pcm[i] = float32(math.Sin(2 * math.Pi * hz * float64(i) / rate))
	}
	return pcm
}

// level fits a sine of hz to pcm and returns its amplitude and the RMS of the
// rest, both in dB of a sine of full scale.
func level(pcm []float32, hz, rate float64) (tone, rest float64) {
	var ss, cc, sc, xs, xc, xx float64
	for i, x := range pcm {
		s, c := math.Sincos(2 * math.Pi * hz * float64(i) / rate)
		ss += s * s
		cc += c * c
		sc += s * c
		xs += float64(x) * s
		xc += float64(x) * c
		xx += float64(x) * float64(x)
	}
	det := ss*cc - sc*sc
	a, b := (xs*cc-xc*sc)/det, (xc*ss-xs*sc)/det
	left := max(0, xx-a*xs-b*xc)
	return 20 * math.Log10(math.Hypot(a, b)), 10 * math.Log10(2*left/float64(len(pcm))+1e-30)
}

func mustNew(t testing.TB, from, to, channels int) *Resampler {
	t.Helper()
	r, err := New(from, to, channels)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// settled leaves out the filter's start.
func settled(r *Resampler, out []float32) []float32 { return out[4*r.Delay():] }

// TestPassBand: flat within 0.05 dB to 0.408 of the lower rate, and nothing but
// the tone comes out: no image, no alias.
func TestPassBand(t *testing.T) {
	t.Parallel()
	for _, p := range pairs {
		from, to := float64(p[0]), float64(p[1])
		low := min(from, to)
		for _, part := range []float64{0.003, 0.05, 0.11, 0.23, 0.34, 0.4, 0.408} {
			hz := part * low
			r := mustNew(t, p[0], p[1], 1)
			out := settled(r, r.Append(nil, sine(p[0]/10, hz, from)))
			tone, rest := level(out, hz, to)
			if math.Abs(tone) > 0.05 || rest > -75 {
				t.Errorf("%d to %d Hz: a tone of %.0f Hz comes at %.3f dB, the rest at %.1f dB", p[0], p[1], hz, tone, rest)
			}
		}
	}
}

// TestStopBand: what is above half the new rate is gone.
func TestStopBand(t *testing.T) {
	t.Parallel()
	for _, p := range pairs {
		from, to := float64(p[0]), float64(p[1])
		if to >= from {
			continue
		}
		for hz := to/2 + 1; hz < from/2; hz += from / 23 {
			r := mustNew(t, p[0], p[1], 1)
			out := settled(r, r.Append(nil, sine(p[0]/20, hz, from)))
			// Whatever frequency it is at.
			sum := 0.0
			for _, x := range out {
				sum += float64(x) * float64(x)
			}
			if db := 10 * math.Log10(2*sum/float64(len(out))+1e-30); db > -75 {
				t.Errorf("%d to %d Hz: a tone of %.0f Hz leaves %.1f dB", p[0], p[1], hz, db)
			}
		}
	}
}

// TestDelay compares the output with the tone itself, Delay later.
func TestDelay(t *testing.T) {
	t.Parallel()
	for _, p := range pairs {
		r := mustNew(t, p[0], p[1], 1)
		hz := 0.05 * float64(min(p[0], p[1]))
		out := r.Append(nil, sine(p[0]/10, hz, float64(p[0])))
		want := sine(len(out), hz, float64(p[1]))
		for i := 4 * r.Delay(); i < len(out); i++ {
			if d := math.Abs(float64(out[i] - want[i-r.Delay()])); d > 0.012 {
				t.Errorf("%d to %d Hz: sample %d is %.4f, %d earlier the tone was %.4f",
					p[0], p[1], i, out[i], r.Delay(), want[i-r.Delay()])
				break
			}
		}
		// 20 periods of the lower rate, rounded up to an output sample.
		if got, most := float64(r.Delay())/float64(p[1]), 20/float64(min(p[0], p[1]))+1/float64(p[1]); got > most+1e-9 {
			t.Errorf("%d to %d Hz: delay of %.6f s, more than %.6f s", p[0], p[1], got, most)
		}
	}
}

// TestLevelOfConstant: no ripple from one phase of the filter to the next.
func TestLevelOfConstant(t *testing.T) {
	t.Parallel()
	for _, p := range pairs {
		r := mustNew(t, p[0], p[1], 1)
		in := make([]float32, p[0]/8)
		for i := range in {
			in[i] = 0.5
		}
		for i, x := range settled(r, r.Append(nil, in)) {
			if math.Abs(float64(x)-0.5) > 2e-6 {
				t.Errorf("%d to %d Hz: sample %d of a constant 0.5 is %.8f", p[0], p[1], i, x)
				break
			}
		}
	}
}

// TestCount: n samples give n*to/from, rounded up, however they come.
func TestCount(t *testing.T) {
	t.Parallel()
	random := rand.New(rand.NewPCG(5, 5))
	for _, p := range pairs {
		for channels := 1; channels <= 2; channels++ {
			r := mustNew(t, p[0], p[1], channels)
			in, out := 0, 0
			for range 50 {
				n := random.IntN(300)
				in += n
				out += len(r.Append(nil, make([]float32, n*channels))) / channels
				if want := (in*p[1] + p[0] - 1) / p[0]; out != want {
					t.Fatalf("%d to %d Hz, %d channels: %d samples from %d, want %d", p[0], p[1], channels, out, in, want)
				}
			}
		}
	}
}

func TestSameRate(t *testing.T) {
	t.Parallel()
	r := mustNew(t, 48000, 48000, 2)
	in := sine(200, 1000, 48000)
	if out := r.Append([]float32{7}, in); !slices.Equal(out[1:], in) || r.Delay() != 0 {
		t.Errorf("the same rate changes samples, or delays them by %d", r.Delay())
	}
	r.Reset()
}

// TestStereo: each channel is what it would be alone.
func TestStereo(t *testing.T) {
	t.Parallel()
	left, right := sine(3000, 440, 16000), sine(3000, 3333, 16000)
	both := make([]float32, 0, 6000)
	for i := range left {
		both = append(both, left[i], right[i])
	}
	out := mustNew(t, 16000, 44100, 2).Append(nil, both)
	l := mustNew(t, 16000, 44100, 1).Append(nil, left)
	r := mustNew(t, 16000, 44100, 1).Append(nil, right)
	for i := range l {
		if out[2*i] != l[i] || out[2*i+1] != r[i] {
			t.Fatalf("sample %d is %g and %g, alone %g and %g", i, out[2*i], out[2*i+1], l[i], r[i])
		}
	}
	// Half a sample at the end is not kept for the next call.
	odd := mustNew(t, 16000, 44100, 2)
	got := odd.Append(nil, both[:2001])
	got = odd.Append(got, both[2000:])
	if !slices.Equal(got, out) {
		t.Error("half a sample moved what came after it")
	}
}

func TestReset(t *testing.T) {
	t.Parallel()
	r, err := NewVariable(8000, 48000, 1)
	if err != nil {
		t.Fatal(err)
	}
	in := sine(1000, 700, 8000)
	r.SetDrift(300)
	want := r.Append(nil, in)
	r.Append(nil, in[:777])
	r.Reset()
	if got := r.Append(nil, in); !slices.Equal(got, want) {
		t.Error("after Reset the output differs")
	}
}

func TestRefused(t *testing.T) {
	t.Parallel()
	for _, x := range [][3]int{
		{0, 8000, 1}, {8000, 0, 1}, {-8000, 8000, 1}, {3999, 8000, 1}, {8000, 96001, 1},
		{8000, 48000, 0}, {8000, 48000, 3}, {44100, 44101, 1}, {47999, 48000, 2},
	} {
		if _, err := New(x[0], x[1], x[2]); err == nil {
			t.Errorf("%d to %d Hz, %d channels: accepted", x[0], x[1], x[2])
		}
		if _, err := NewVariable(x[0], x[1], x[2]); err == nil {
			t.Errorf("variable, %d to %d Hz, %d channels: accepted", x[0], x[1], x[2])
		}
	}
	r := mustNew(t, 8000, 48000, 2)
	if r.From() != 8000 || r.To() != 48000 || r.Channels() != 2 {
		t.Errorf("%d to %d Hz, %d channels", r.From(), r.To(), r.Channels())
	}
	defer func() {
		if recover() == nil {
			t.Error("SetDrift on a fixed resampler did not panic")
		}
	}()
	r.SetDrift(1)
}

func TestMix(t *testing.T) {
	t.Parallel()
	for _, x := range []struct {
		src      []float32
		from, to int
		want     []float32
	}{
		{[]float32{1, 2}, 1, 1, []float32{9, 1, 2}},
		{[]float32{1, 2}, 2, 2, []float32{9, 1, 2}},
		{[]float32{1, 2}, 1, 2, []float32{9, 1, 1, 2, 2}},
		{[]float32{1, 0, -1, -1}, 2, 1, []float32{9, 0.5, -1}},
		{[]float32{1, 1, 5}, 2, 1, []float32{9, 1}},
		{nil, 2, 1, []float32{9}},
	} {
		if got := Mix([]float32{9}, x.src, x.from, x.to); !slices.Equal(got, x.want) {
			t.Errorf("Mix(%v, %d, %d) = %v, want %v", x.src, x.from, x.to, got, x.want)
		}
	}
}

// FuzzBlocks: the output does not depend on how the input is cut.
func FuzzBlocks(f *testing.F) {
	f.Add(uint8(0), true, []byte{1, 2, 3, 200, 0, 255})
	f.Add(uint8(6), false, []byte{255, 255, 255, 255})
	f.Add(uint8(11), true, []byte{0, 7})
	f.Fuzz(func(t *testing.T, pair uint8, stereo bool, cuts []byte) {
		p := pairs[int(pair)%len(pairs)]
		if len(cuts) > 64 {
			return
		}
		channels := 1
		if stereo {
			channels = 2
		}
		n := 0
		for _, c := range cuts {
			n += int(c) * 5 * channels
		}
		in := sine(n, 1234, 48000)
		want := mustNew(t, p[0], p[1], channels).Append(nil, in)
		r, rest := mustNew(t, p[0], p[1], channels), in
		var got []float32
		for _, c := range cuts {
			k := int(c) * 5 * channels
			got = r.Append(got, rest[:k])
			rest = rest[k:]
		}
		if !slices.Equal(got, want) {
			t.Fatalf("%d to %d Hz: differs from one block", p[0], p[1])
		}
	})
}

func TestAllocs(t *testing.T) {
	for _, variable := range []bool{false, true} {
		r, err := build(8000, 48000, 2, variable)
		if err != nil {
			t.Fatal(err)
		}
		if variable {
			r.SetDrift(-200)
		}
		in, out := make([]float32, 2*160), make([]float32, 0, 2*970)
		if n := testing.AllocsPerRun(200, func() { out = r.Append(out[:0], in) }); n != 0 {
			t.Errorf("variable %v: %g allocations", variable, n)
		}
	}
}

func BenchmarkFrame(b *testing.B) {
	for _, p := range [][2]int{{8000, 48000}, {48000, 8000}, {16000, 48000}, {44100, 48000}} {
		r := mustNew(b, p[0], p[1], 1)
		in, out := sine(p[0]/50, 440, float64(p[0])), make([]float32, 0, 2*p[1]/50)
		b.Run(fmt.Sprintf("%d to %d", p[0], p[1]), func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				out = r.Append(out[:0], in)
			}
		})
	}
	r, _ := NewVariable(48000, 48000, 1)
	r.SetDrift(50)
	in, out := sine(960, 440, 48000), make([]float32, 0, 1000)
	b.Run("48000 with drift", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			out = r.Append(out[:0], in)
		}
	})
}
