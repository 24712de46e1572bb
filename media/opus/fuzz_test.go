package opus

import (
	"runtime"
	"testing"

	"github.com/trunkcast/trunkcast/internal/plc/plctest"
	"github.com/trunkcast/trunkcast/media"
)

// FuzzDecode feeds a packet of any bytes, twice, between good ones: no more
// samples than its first bytes announce, within full scale, and the good ones
// are decoded as always.
func FuzzDecode(f *testing.F) {
	voice := plctest.Voice(rate, 0.2)
	good := encodeAll(f, Codec{Loss: 20}, 1, media.EncoderOptions{}, voice)
	music := encodeAll(f, Codec{}, 2, media.EncoderOptions{}, plctest.Stereo(voice, voice))
	for _, data := range [][]byte{{}, {0}, {3, 0}, {0xff, 0x81, 1}, {0x4b, 0xc2, 255, 255, 0, 4}, good[3], good[7], music[4]} {
		f.Add(data, uint16(960), false)
		f.Add(data, uint16(1923), true)
	}
	f.Fuzz(func(t *testing.T, data []byte, gap uint16, stereo bool) {
		channels := 1
		if stereo {
			channels = 2
		}
		d, err := Codec{}.NewDecoder(trackOf(channels))
		if err != nil {
			t.Fatal(err)
		}
		defer d.Close()
		gap %= 6000
		pcm := make([]float32, 0, 2*maxSamples)
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		for i := range 2 {
			if pcm, err = d.Decode(pcm[:0], data); err != nil && len(pcm) != 0 {
				t.Fatalf("%d samples beside the error %v", len(pcm), err)
			}
			if len(pcm) > maxSamples*channels || len(pcm)%channels != 0 {
				t.Fatalf("%d samples", len(pcm))
			}
			for _, s := range pcm {
				if !(s >= -1 && s <= 1) {
					t.Fatalf("sample %g", s)
				}
			}
			if pcm = d.Conceal(pcm[:0], int(gap), data); len(pcm) != int(gap)*channels {
				t.Fatalf("%d samples concealed of %d", len(pcm), int(gap)*channels)
			}
			if pcm, err = d.Decode(pcm[:0], good[5+i]); err != nil || len(pcm) != frameSize*channels {
				t.Fatalf("good packet afterwards: %d samples, %v", len(pcm), err)
			}
		}
		runtime.ReadMemStats(&after)
		if n := after.TotalAlloc - before.TotalAlloc; n > 1<<20 { // the codec makes its buffers at the first use
			t.Fatalf("%d bytes allocated", n)
		}
	})
}

// TestAllocs: none for each frame. Only what the coder for speech makes up for
// lost frames, and its spare copies, take a few.
func TestAllocs(t *testing.T) {
	voice := plctest.Voice(rate, 0.6)
	for channels := 1; channels <= 2; channels++ {
		pcm, n := voice, frameSize*channels
		if channels == 2 {
			pcm = plctest.Stereo(voice, voice)
		}
		for _, c := range []Codec{{}, {Complexity: 10}, {Loss: 20}} {
			frames := encodeAll(t, c, channels, media.EncoderOptions{}, pcm)
			e, _ := c.NewEncoder(trackOf(channels), media.EncoderOptions{})
			d, _ := Codec{}.NewDecoder(trackOf(channels))
			data, out := make([]byte, 0, 1500), make([]float32, 0, n)
			for _, x := range []struct {
				name   string
				most   float64 // of the general coder
				speech float64 // of that for speech
				do     func(i int)
			}{
				{"encode", 0, 20, func(i int) { data, _ = e.Encode(data[:0], pcm[i%20*n:][:n]) }},
				{"decode", 0, 0, func(i int) { out, _ = d.Decode(out[:0], frames[i%20]) }},
				{"conceal", 0, 20, func(i int) { out = d.Conceal(out[:0], frameSize, frames[i%20]) }},
			} {
				i := 0
				step := func() { x.do(i); i++ }
				for range 30 {
					step() // until all the codec's buffers are there
				}
				most := x.most
				if c.Loss > 0 || c.Complexity == 10 && x.name == "conceal" {
					most = x.speech
				}
				if got := testing.AllocsPerRun(40, step); got > most {
					t.Errorf("%s, %d channels, %+v: %g allocations, want %g", x.name, channels, c, got, most)
				}
			}
			e.Close()
			d.Close()
		}
	}
}

func BenchmarkFrame(b *testing.B) {
	voice := plctest.Voice(rate, 2)
	var data []byte
	var pcm []float32
	for _, x := range []struct {
		name  string
		codec Codec
		o     media.EncoderOptions
	}{
		{"default", Codec{}, media.EncoderOptions{}},
		{"from G.711", Codec{}, media.EncoderOptions{Bandwidth: 4000}},
		{"complexity 1", Codec{Complexity: 1}, media.EncoderOptions{}},
		{"complexity 10", Codec{Complexity: 10}, media.EncoderOptions{}},
		{"spare copies", Codec{Loss: 10}, media.EncoderOptions{}},
	} {
		e, _ := x.codec.NewEncoder(trackOf(1), x.o)
		b.Run("encode/"+x.name, func(b *testing.B) {
			b.ReportAllocs()
			for i := 0; b.Loop(); i++ {
				data, _ = e.Encode(data[:0], voice[i%100*frameSize:][:frameSize])
			}
		})
		e.Close()
		frames := encodeAll(b, x.codec, 1, x.o, voice)
		d, _ := Codec{}.NewDecoder(trackOf(1))
		b.Run("decode/"+x.name, func(b *testing.B) {
			b.ReportAllocs()
			for i := 0; b.Loop(); i++ {
				pcm, _ = d.Decode(pcm[:0], frames[i%100])
			}
		})
		b.Run("conceal/"+x.name, func(b *testing.B) {
			b.ReportAllocs()
			for i := 0; b.Loop(); i++ {
				pcm = d.Conceal(pcm[:0], frameSize, frames[i%100])
			}
		})
		d.Close()
	}
}
