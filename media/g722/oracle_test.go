package g722

import (
	"math"
	"math/rand/v2"
	"testing"

	oracle "github.com/gotranspile/g722"

	"github.com/trunkcast/trunkcast/media"
)

var track = &media.Track{Codec: media.G722, ClockRate: rate, Channels: 1}

// signals of half a second; loud ones overflow in the other implementation.
func signals() map[string][]float32 {
	random := rand.New(rand.NewPCG(1, 2))
	all := map[string][]float32{}
	add := func(name string, sample func(t float64) float64) {
		pcm := make([]float32, rate/2)
		for i := range pcm {
			pcm[i] = float32(sample(float64(i) / rate))
		}
		all[name] = pcm
	}
	sine := func(hz, t float64) float64 { return math.Sin(2 * math.Pi * hz * t) }
	add("silence", func(float64) float64 { return 0 })
	add("low", func(t float64) float64 { return 0.5 * sine(440, t) })
	add("high", func(t float64) float64 { return 0.5 * sine(6000, t) })
	add("both", func(t float64) float64 { return 0.3*sine(300, t) + 0.3*sine(5000, t) })
	add("noise", func(float64) float64 { return 0.5 * (2*random.Float64() - 1) })
	add("bursts", func(t float64) float64 {
		if math.Mod(t, 0.1) < 0.05 {
			return 0.0003 * sine(1000, t)
		}
		return 0.6 * sine(1000, t)
	})
	return all
}

func encodeAll(t testing.TB, pcm []float32) []byte {
	e, err := Codec{}.NewEncoder(track, media.EncoderOptions{})
	if err != nil {
		t.Fatal(err)
	}
	defer e.Close()
	var data []byte
	for ; len(pcm) >= frameSize; pcm = pcm[frameSize:] {
		if data, err = e.Encode(data, pcm[:frameSize]); err != nil {
			t.Fatal(err)
		}
	}
	return data
}

func decodeAll(t testing.TB, data []byte) []float32 {
	d, err := Codec{}.NewDecoder(track)
	if err != nil {
		t.Fatal(err)
	}
	defer d.Close()
	pcm, err := d.Decode(nil, data)
	if err != nil {
		t.Fatal(err)
	}
	return pcm
}

func TestSameBitsAsAnother(t *testing.T) {
	t.Parallel()
	for name, pcm := range signals() {
		data := encodeAll(t, pcm)
		in := make([]int16, len(pcm))
		for i, s := range pcm {
			in[i] = int16(linear(s))
		}
		want := make([]byte, len(pcm)/2)
		oracle.NewEncoder(oracle.Rate64000, 0).Encode(want, in)
		for i := range want {
			if data[i] != want[i] {
				t.Errorf("%s: octet %d is %#x, want %#x", name, i, data[i], want[i])
				break
			}
		}
		out := make([]int16, len(pcm))
		oracle.NewDecoder(oracle.Rate64000, 0).Decode(out, data)
		for i, s := range decodeAll(t, data) {
			if got := int16(s * 32768); got != out[i] {
				t.Errorf("%s: sample %d is %d, want %d", name, i, got, out[i])
				break
			}
		}
	}
}
