package g711

import (
	"errors"
	"math"
	"testing"

	"github.com/trunkcast/trunkcast/internal/plc/plctest"
	"github.com/trunkcast/trunkcast/media"
)

var codecs = []media.AudioCodec{ALaw{}, ULaw{}}

func trackOf(c media.AudioCodec) *media.Track {
	return &media.Track{Codec: c.Codec(), ClockRate: rate, Channels: 1}
}

func encodeAll(t testing.TB, c media.AudioCodec, pcm []float32) []byte {
	t.Helper()
	e, err := c.NewEncoder(trackOf(c), media.EncoderOptions{})
	if err != nil {
		t.Fatal(err)
	}
	defer e.Close()
	var data []byte
	for ; len(pcm) >= e.FrameSize(); pcm = pcm[e.FrameSize():] {
		if data, err = e.Encode(data, pcm[:e.FrameSize()]); err != nil {
			t.Fatal(err)
		}
	}
	return data
}

// TestRoundTrip: G.711 has an SNR of about 38 dB over a wide range of levels
// (G.712 asks 33 dB of a tone from -30 to 0 dBm0).
func TestRoundTrip(t *testing.T) {
	t.Parallel()
	for _, c := range codecs {
		d, err := c.NewDecoder(trackOf(c))
		if err != nil {
			t.Fatal(err)
		}
		for _, db := range []float64{-0.1, -10, -20, -30} {
			pcm := plctest.Sine(rate, 1, 1013, math.Pow(10, db/20))
			got, err := d.Decode(nil, encodeAll(t, c, pcm))
			if err != nil {
				t.Fatal(err)
			}
			if len(got) != len(pcm) {
				t.Fatalf("%s: %d samples, want %d", c.Codec(), len(got), len(pcm))
			}
			if snr := plctest.SNR(pcm, got); snr < 34.5 {
				t.Errorf("%s at %g dB: SNR %.1f dB", c.Codec(), db, snr)
			}
		}
	}
}

func TestTracks(t *testing.T) {
	t.Parallel()
	for _, c := range codecs {
		for _, x := range []struct {
			track *media.Track
			ok    bool
		}{
			{trackOf(c), true},
			{&media.Track{Codec: c.Codec()}, true},
			{nil, false},
			{&media.Track{Codec: media.Opus}, false},
			{&media.Track{Codec: c.Codec(), ClockRate: 16000}, false},
			{&media.Track{Codec: c.Codec(), ClockRate: 8000, Channels: 2}, false},
		} {
			d, err := c.NewDecoder(x.track)
			if x.ok != (err == nil) || !x.ok && !errors.Is(err, ErrTrack) {
				t.Errorf("%s decoder of %+v: %v", c.Codec(), x.track, err)
			}
			e, err := c.NewEncoder(x.track, media.EncoderOptions{BitRate: 1, Bandwidth: 1})
			if x.ok != (err == nil) || !x.ok && !errors.Is(err, ErrTrack) {
				t.Errorf("%s encoder of %+v: %v", c.Codec(), x.track, err)
			}
			if !x.ok {
				continue
			}
			if d.SampleRate() != 8000 || d.Channels() != 1 {
				t.Errorf("%s decoder: %d Hz, %d channels", c.Codec(), d.SampleRate(), d.Channels())
			}
			if tr := e.Track(); tr.Codec != c.Codec() || tr.ClockRate != 8000 || tr.Channels != 1 {
				t.Errorf("%s encoder: %+v", c.Codec(), tr)
			}
			if e.FrameSize() != 160 || e.Delay() != 0 {
				t.Errorf("%s: frames of %d, delay %d", c.Codec(), e.FrameSize(), e.Delay())
			}
			d.Close()
			d.Close()
			e.Close()
			e.Close()
		}
	}
}

func TestBadFrames(t *testing.T) {
	t.Parallel()
	for _, c := range codecs {
		d, _ := c.NewDecoder(trackOf(c))
		pcm := []float32{1}
		pcm, err := d.Decode(pcm, nil)
		if !errors.Is(err, ErrFrame) || len(pcm) != 1 {
			t.Errorf("%s: empty frame: %d samples, %v", c.Codec(), len(pcm)-1, err)
		}
		if pcm, err = d.Decode(pcm, []byte{0x55}); err != nil || len(pcm) != 2 {
			t.Errorf("%s: after an error: %d samples, %v", c.Codec(), len(pcm)-1, err)
		}
		e, _ := c.NewEncoder(trackOf(c), media.EncoderOptions{})
		for _, n := range []int{0, 159, 161} {
			data, err := e.Encode([]byte{1}, make([]float32, n))
			if !errors.Is(err, ErrFrame) || len(data) != 1 {
				t.Errorf("%s: %d samples: %d bytes, %v", c.Codec(), n, len(data)-1, err)
			}
		}
		odd := make([]float32, 160)
		odd[3], odd[5] = float32(math.NaN()), float32(math.Inf(-1))
		if data, err := e.Encode(nil, odd); err != nil || len(data) != 160 {
			t.Errorf("%s: NaN: %d bytes, %v", c.Codec(), len(data), err)
		}
	}
}

// TestConceal loses each tenth frame: no gap is silent, no seam clicks.
func TestConceal(t *testing.T) {
	t.Parallel()
	voice := plctest.Voice(rate, 2)
	for _, c := range codecs {
		data := encodeAll(t, c, voice)
		d, _ := c.NewDecoder(trackOf(c))
		var out []float32
		for i := 0; i+frameSize <= len(data); i += frameSize {
			before := len(out)
			if i/frameSize%10 == 9 {
				out = d.Conceal(out, frameSize, nil)
				if l, want := plctest.Level(out[before:]), plctest.Level(voice[before:len(out)]); l < want-6 {
					t.Errorf("%s, frame %d: %.1f dB instead of %.1f", c.Codec(), i/frameSize, l, want)
				}
			} else {
				out, _ = d.Decode(out, data[i:i+frameSize])
			}
			if len(out)-before != frameSize {
				t.Fatalf("%s: %d samples in a frame", c.Codec(), len(out)-before)
			}
		}
		if j, want := plctest.Jump(out), plctest.Jump(voice); j > 1.3*want {
			t.Errorf("%s: a step of %.3f, the voice has %.3f", c.Codec(), j, want)
		}
	}
}

// FuzzDecode: a sample for each byte, from any bytes, within full scale.
func FuzzDecode(f *testing.F) {
	f.Add([]byte{0}, uint16(80))
	f.Add([]byte("RTP payload"), uint16(1))
	f.Fuzz(func(t *testing.T, data []byte, gap uint16) {
		for _, c := range codecs {
			d, _ := c.NewDecoder(trackOf(c))
			pcm, err := d.Decode(nil, data)
			if len(pcm) != len(data) || (err != nil) != (len(data) == 0) {
				t.Fatalf("%d samples of %d bytes, %v", len(pcm), len(data), err)
			}
			pcm = d.Conceal(pcm, int(gap), data)
			if len(pcm) != len(data)+int(gap) {
				t.Fatalf("%d samples concealed, want %d", len(pcm)-len(data), gap)
			}
			before := len(pcm)
			if pcm, err = d.Decode(pcm, []byte{1, 2, 3}); err != nil || len(pcm) != before+3 {
				t.Fatalf("afterwards: %d samples, %v", len(pcm)-before, err)
			}
			if n := testing.AllocsPerRun(1, func() { pcm, _ = d.Decode(pcm[:0], data) }); n > 0 && len(data) > 0 {
				t.Fatalf("%g allocations", n)
			}
		}
	})
}

func TestAllocs(t *testing.T) {
	voice := plctest.Voice(rate, 0.02)
	for _, c := range codecs {
		e, _ := c.NewEncoder(trackOf(c), media.EncoderOptions{})
		d, _ := c.NewDecoder(trackOf(c))
		data, pcm := make([]byte, 0, 160), make([]float32, 0, 320)
		if n := testing.AllocsPerRun(100, func() {
			data, _ = e.Encode(data[:0], voice)
			pcm, _ = d.Decode(pcm[:0], data)
			pcm = d.Conceal(pcm, 160, nil)
		}); n != 0 {
			t.Errorf("%s: %g allocations", c.Codec(), n)
		}
	}
}

func BenchmarkFrame(b *testing.B) {
	voice := plctest.Voice(rate, 0.02)
	for _, c := range codecs {
		e, _ := c.NewEncoder(trackOf(c), media.EncoderOptions{})
		d, _ := c.NewDecoder(trackOf(c))
		data, pcm := make([]byte, 0, 160), make([]float32, 0, 160)
		b.Run(string(c.Codec())+"/encode", func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				data, _ = e.Encode(data[:0], voice)
			}
		})
		b.Run(string(c.Codec())+"/decode", func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				pcm, _ = d.Decode(pcm[:0], data)
			}
		})
	}
}
