package g722

import (
	"errors"
	"math"
	"testing"

	"github.com/trunkcast/trunkcast/internal/plc/plctest"
	"github.com/trunkcast/trunkcast/media"
)

func TestDelay(t *testing.T) {
	t.Parallel()
	e, _ := Codec{}.NewEncoder(track, media.EncoderOptions{})
	voice := plctest.Voice(rate, 0.8)
	got := decodeAll(t, encodeAll(t, voice))
	if lag := plctest.Lag(voice, got, 100); lag != e.Delay() {
		t.Errorf("the output is %d samples behind, Delay says %d", lag, e.Delay())
	}
}

// TestRoundTrip: 6 bits of ADPCM in the low band, 2 in the high one.
func TestRoundTrip(t *testing.T) {
	t.Parallel()
	for _, x := range []struct {
		name string
		pcm  []float32
		want float64 // dB
	}{
		{"voice", plctest.Voice(rate, 1), 33},
		{"300 Hz", plctest.Sine(rate, 0.5, 300, 0.5), 34},
		{"1020 Hz", plctest.Sine(rate, 0.5, 1020, 0.5), 31},
		{"1020 Hz, soft", plctest.Sine(rate, 0.5, 1020, 0.01), 32},
		{"6 kHz", plctest.Sine(rate, 0.5, 6000, 0.5), 21},
	} {
		got := decodeAll(t, encodeAll(t, x.pcm))
		if snr := plctest.SNR(x.pcm[:len(x.pcm)-delay], got[delay:]); snr < x.want {
			t.Errorf("%s: SNR %.1f dB, want %g", x.name, snr, x.want)
		}
	}
}

// TestOverload: what is too loud is clipped, it does not fold over.
func TestOverload(t *testing.T) {
	t.Parallel()
	for _, x := range []struct{ hz, amplitude float64 }{{1000, 1}, {200, 1}, {1000, 3}, {5000, 1}, {440, 100}} {
		pcm := plctest.Sine(rate, 0.3, x.hz, x.amplitude)
		for i := range pcm {
			pcm[i] = max(-1, min(1, pcm[i]))
		}
		got := decodeAll(t, encodeAll(t, pcm))[delay:]
		for i := 1000; i < len(got); i++ {
			// An edge may be late by most of a full scale; folding over is two.
			if d := got[i] - pcm[i]; d > 1.5 || d < -1.5 {
				t.Errorf("%g Hz of %g: sample %d is %g instead of %g", x.hz, x.amplitude, i, got[i], pcm[i])
				break
			}
		}
	}
}

func TestTracks(t *testing.T) {
	t.Parallel()
	for _, x := range []struct {
		track *media.Track
		ok    bool
	}{
		{track, true},
		{&media.Track{Codec: media.G722}, true},
		{nil, false},
		{&media.Track{Codec: media.PCMA}, false},
		{&media.Track{Codec: media.G722, ClockRate: 8000}, false},
		{&media.Track{Codec: media.G722, Channels: 2}, false},
	} {
		d, err := Codec{}.NewDecoder(x.track)
		if x.ok != (err == nil) || !x.ok && !errors.Is(err, ErrTrack) {
			t.Errorf("decoder of %+v: %v", x.track, err)
		}
		e, err := Codec{}.NewEncoder(x.track, media.EncoderOptions{})
		if x.ok != (err == nil) || !x.ok && !errors.Is(err, ErrTrack) {
			t.Errorf("encoder of %+v: %v", x.track, err)
		}
		if !x.ok {
			continue
		}
		if d.SampleRate() != 16000 || d.Channels() != 1 {
			t.Errorf("decoder: %d Hz, %d channels", d.SampleRate(), d.Channels())
		}
		if tr := e.Track(); tr.Codec != media.G722 || tr.ClockRate != 16000 || tr.Channels != 1 || e.FrameSize() != 320 {
			t.Errorf("encoder: %+v, frames of %d", tr, e.FrameSize())
		}
		d.Close()
		d.Close()
		e.Close()
		e.Close()
	}
}

func TestBadFrames(t *testing.T) {
	t.Parallel()
	d, _ := Codec{}.NewDecoder(track)
	pcm, err := d.Decode([]float32{1}, nil)
	if !errors.Is(err, ErrFrame) || len(pcm) != 1 {
		t.Errorf("empty frame: %d samples, %v", len(pcm)-1, err)
	}
	if pcm, err = d.Decode(pcm, []byte{0x55}); err != nil || len(pcm) != 3 {
		t.Errorf("after an error: %d samples, %v", len(pcm)-1, err)
	}
	e, _ := Codec{}.NewEncoder(track, media.EncoderOptions{})
	for _, n := range []int{0, 319, 321} {
		data, err := e.Encode([]byte{1}, make([]float32, n))
		if !errors.Is(err, ErrFrame) || len(data) != 1 {
			t.Errorf("%d samples: %d bytes, %v", n, len(data)-1, err)
		}
	}
	odd := make([]float32, 320)
	odd[3], odd[5] = float32(math.NaN()), float32(math.Inf(-1))
	if data, err := e.Encode(nil, odd); err != nil || len(data) != 160 {
		t.Errorf("NaN: %d bytes, %v", len(data), err)
	}
}

// TestConceal loses each tenth frame: no gap is silent, no seam clicks, and
// the decoder, whose state the gap made wrong, finds back.
func TestConceal(t *testing.T) {
	t.Parallel()
	voice := plctest.Voice(rate, 1.6)
	data := encodeAll(t, voice)
	whole := decodeAll(t, data)
	d, _ := Codec{}.NewDecoder(track)
	var out []float32
	var first, later, n float64
	const bytes = frameSize / 2
	for i := 0; (i+1)*bytes <= len(data); i++ {
		before := len(out)
		if i%10 == 9 {
			out = d.Conceal(out, frameSize, nil)
		} else {
			out, _ = d.Decode(out, data[i*bytes:(i+1)*bytes])
		}
		if len(out)-before != frameSize {
			t.Fatalf("%d samples in a frame", len(out)-before)
		}
		want, got := whole[before:len(out)], out[before:]
		switch {
		case i%10 == 9:
			if l := plctest.Level(got) - plctest.Level(want); l < -6 || l > 6 {
				t.Errorf("frame %d: concealed at %.1f dB of what was lost", i, l)
			}
		case i > 10 && i%10 == 0:
			first += plctest.SNR(want, got)
			n++
		case i > 10 && i%10 == 2:
			later += plctest.SNR(want, got)
		}
	}
	if first/n < 4 || later/n < 25 {
		t.Errorf("SNR in the first frame after a gap %.1f dB, in the third %.1f dB", first/n, later/n)
	}
	if j, want := plctest.Jump(out), plctest.Jump(voice); j > 1.3*want {
		t.Errorf("a step of %.3f, the voice has %.3f", j, want)
	}
}

// FuzzDecode: two samples for each byte, from any bytes, within full scale.
func FuzzDecode(f *testing.F) {
	f.Add([]byte{0}, uint16(80))
	f.Add([]byte("RTP payload"), uint16(1))
	f.Fuzz(func(t *testing.T, data []byte, gap uint16) {
		d, _ := Codec{}.NewDecoder(track)
		pcm, err := d.Decode(nil, data)
		if len(pcm) != 2*len(data) || (err != nil) != (len(data) == 0) {
			t.Fatalf("%d samples of %d bytes, %v", len(pcm), len(data), err)
		}
		for _, s := range pcm {
			if !(s >= -1 && s <= 1) {
				t.Fatalf("sample %g", s)
			}
		}
		pcm = d.Conceal(pcm, int(gap), data)
		if len(pcm) != 2*len(data)+int(gap) {
			t.Fatalf("%d samples concealed, want %d", len(pcm)-2*len(data), gap)
		}
		before := len(pcm)
		if pcm, err = d.Decode(pcm, []byte{1, 2, 3}); err != nil || len(pcm) != before+6 {
			t.Fatalf("afterwards: %d samples, %v", len(pcm)-before, err)
		}
		if n := testing.AllocsPerRun(1, func() { pcm, _ = d.Decode(pcm[:0], data) }); n > 0 && len(data) > 0 {
			t.Fatalf("%g allocations", n)
		}
	})
}

func TestAllocs(t *testing.T) {
	voice := plctest.Voice(rate, 0.02)
	e, _ := Codec{}.NewEncoder(track, media.EncoderOptions{})
	d, _ := Codec{}.NewDecoder(track)
	data, pcm := make([]byte, 0, 160), make([]float32, 0, 640)
	if n := testing.AllocsPerRun(100, func() {
		data, _ = e.Encode(data[:0], voice)
		pcm, _ = d.Decode(pcm[:0], data)
		pcm = d.Conceal(pcm, 320, nil)
	}); n != 0 {
		t.Errorf("%g allocations", n)
	}
}

func BenchmarkFrame(b *testing.B) {
	voice := plctest.Voice(rate, 0.02)
	e, _ := Codec{}.NewEncoder(track, media.EncoderOptions{})
	d, _ := Codec{}.NewDecoder(track)
	data, pcm := make([]byte, 0, 160), make([]float32, 0, 640)
	b.Run("encode", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			data, _ = e.Encode(data[:0], voice)
		}
	})
	b.Run("decode", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			pcm, _ = d.Decode(pcm[:0], data)
		}
	})
}
