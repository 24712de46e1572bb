package aac

import (
	"math"
	"math/rand/v2"
	"testing"

	"github.com/trunkcast/trunkcast/media"
)

// TestShapingIsUndone filters lines as the encoder does, sends the filter
// through its bits, and filters back as the decoder does.
func TestShapingIsUndone(t *testing.T) {
	r := rand.New(rand.NewPCG(11, 12))
	for range 100 {
		var s noiseShaper
		var reflections [maxTNSOrder]float32
		s.active, s.first, s.order = true, 10, 1+r.IntN(tnsOrder)
		for i := range s.order {
			s.codes[i] = tnsCode(1.4*r.Float64() - .7)
			reflections[i] = tnsReflection(s.codes[i], tnsResolution)
		}
		s.coefficients = directForm(&reflections, s.order)

		var c decoderChannel
		c.info.perGroup = 40
		bands := &bandTables[3]
		lo, hi := bands.long[s.first], bands.long[min(bands.tnsLong, c.info.perGroup)]
		var want [frameSize]float32
		for i := range want {
			want[i] = 2*r.Float32() - 1
		}
		c.lines = want
		s.filter(c.lines[lo:hi])
		if signalToNoise(want[lo:hi], c.lines[lo:hi], 0) > 60 && s.codes != [tnsOrder]int{} {
			t.Fatal("the filter did nothing")
		}
		var w bitWriter
		s.write(&w, bands)
		written := int32(8*len(w.buf)) + int32(w.held) - 1
		if written != s.bits() {
			t.Errorf("%d bits written, %d counted", written, s.bits())
		}
		if err := c.info.tns.read(&bitReader{data: w.finish()}, &c.info); err != nil {
			t.Fatal(err)
		}
		c.shapeNoise(bands)
		if snr := signalToNoise(want[:], c.lines[:], 0); snr < 90 {
			t.Fatalf("order %d: %.1f dB, want 90", s.order, snr)
		}
	}
}

// TestShapingDirections runs a filter of known response both ways.
func TestShapingDirections(t *testing.T) {
	f := tnsFilter{order: 1, coefficients: [maxTNSOrder]float32{-.5}}
	up := []float32{1, 0, 0, 2}
	f.run(up)
	f.downwards = true
	down := []float32{1, 0, 0, 2}
	f.run(down)
	for i, want := range []float32{1, .5, .25, 2.125} {
		if up[i] != want {
			t.Errorf("upwards, line %d: %v, want %v", i, up[i], want)
		}
	}
	for i, want := range []float32{1.25, .5, 1, 2} {
		if down[i] != want {
			t.Errorf("downwards, line %d: %v, want %v", i, down[i], want)
		}
	}
}

// TestShapingUsed sees that clicks are shaped, tones are not, and that shaping
// puts the noise where the sound is.
func TestShapingUsed(t *testing.T) {
	for name, want := range map[string]bool{"clicks": true, "tone": false, "noise": false, "silence": false} {
		e := mustEncoder(t, Codec{LowDelay: true}, 48000, 1, media.EncoderOptions{}).(*pooledEncoder).encoder
		pcm, used := render(name, 48000, 1, 60), false
		for i := 0; i < len(pcm); i += frameSize {
			e.borrow()
			e.encodeFrame(nil, pcm[i:i+frameSize])
			used = used || e.shaper.active && i > 2*frameSize
			e.handBack()
		}
		if used != want {
			t.Errorf("%s: used %v, want %v", name, used, want)
		}
	}
}

// TestAutocorrelation compares with the plain sum.
func TestAutocorrelation(t *testing.T) {
	const n = 101
	x := make([]float32, n+tnsLags)
	for i := range n {
		x[i] = float32(white(i, 0))
	}
	var got [tnsLags]float64
	autocorrelate(&got, x, n)
	for lag, v := range got {
		want := 0.0
		for i := range n - lag {
			want += float64(x[i]) * float64(x[i+lag])
		}
		if math.Abs(v-want) > 1e-4 {
			t.Errorf("lag %d: %v, want %v", lag, v, want)
		}
	}
}

func TestReflections(t *testing.T) {
	for resolution := 3; resolution <= 4; resolution++ {
		half := 1 << (resolution - 1)
		for v := -half; v < half; v++ {
			k := float64(tnsReflection(v, resolution))
			if math.Abs(k) >= 1 || (k > 0) != (v > 0) {
				t.Errorf("%d at %d bits: %v", v, resolution, k)
			}
			if resolution == tnsResolution && tnsCode(k) != v {
				t.Errorf("%d is %v and coded as %d", v, k, tnsCode(k))
			}
		}
	}
}
