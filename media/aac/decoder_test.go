package aac

import (
	"errors"
	"math"
	"math/rand/v2"
	"testing"

	"github.com/trunkcast/trunkcast/media"
)

func TestParseConfig(t *testing.T) {
	for name, test := range map[string]struct {
		data []byte
		want Config // zero: refused
	}{
		"48k mono":         {[]byte{0x11, 0x88}, Config{48000, 1}},
		"44.1k stereo":     {[]byte{0x12, 0x10}, Config{44100, 2}},
		"with extension":   {[]byte{0x12, 0x10, 0x56, 0xe5, 0x00}, Config{44100, 2}},
		"HE-AAC, explicit": {[]byte{0x2b, 0x11, 0x88, 0x00}, Config{24000, 2}},
		"HE-AAC v2":        {[]byte{0xeb, 0x09, 0x88, 0x00}, Config{24000, 1}},
		"own rate":         {[]byte{0x17, 0x80, 0x5d, 0xc0, 0x08}, Config{48000, 1}},
		"5.1":              {[]byte{0x11, 0xb0}, Config{}},
		"Main":             {[]byte{0x09, 0x88}, Config{}},
		"960 samples":      {[]byte{0x11, 0x8c}, Config{}},
		"reserved rate":    {[]byte{0x16, 0x88}, Config{}},
		// A programme of one pair, and of a pair and a single channel, with
		// an empty comment.
		"pair by PCE":  {programme(1), Config{48000, 2}},
		"three by PCE": {programme(1, 0), Config{}},
		"short":        {[]byte{0x11}, Config{}},
		"empty":        {nil, Config{}},
	} {
		got, err := ParseConfig(test.data)
		if got != test.want || (err != nil) != (test.want == Config{}) {
			t.Errorf("%s: %+v, %v, want %+v", name, got, err, test.want)
		}
	}
}

// programme makes a configuration with a program_config_element of front
// elements: 1 for a pair, 0 for a single channel.
func programme(front ...uint32) []byte {
	var w bitWriter
	w.put(objectLC, 5)
	w.put(3, 4)     // 48 kHz
	w.put(0, 4+3)   // channelConfiguration, GASpecificConfig
	w.put(0, 4+2+4) // tag, object type, rate
	w.put(uint32(len(front)), 4)
	w.put(0, 4+4+2+3+4+3) // nothing at the sides, no mixdown
	for _, pair := range front {
		w.put(pair, 1)
		w.put(0, 4)
	}
	for w.held%8 != 0 {
		w.put(0, 1)
	}
	w.put(0, 8) // comment
	return w.finish()
}

// TestConfigMarshal reads what was written.
func TestConfigMarshal(t *testing.T) {
	for _, rate := range append(samplingRates[:], 47000) {
		for channels := 1; channels <= 2; channels++ {
			want := Config{SampleRate: rate, Channels: channels}
			if got, err := ParseConfig(want.Marshal()); got != want || err != nil {
				t.Errorf("%+v is read as %+v, %v", want, got, err)
			}
		}
	}
}

func TestDecoderRefuses(t *testing.T) {
	var unsupported *UnsupportedError
	for name, track := range map[string]media.Track{
		"5.1":      {Codec: media.AAC, Config: [][]byte{{0x11, 0xb0}}},
		"rate":     {Codec: media.AAC, ClockRate: 192000, Channels: 1},
		"channels": {Codec: media.AAC, ClockRate: 48000},
	} {
		if _, err := (Codec{}).NewDecoder(&track); !errors.As(err, &unsupported) {
			t.Errorf("%s: %v, want an UnsupportedError", name, err)
		}
	}
	if _, err := (Codec{}).NewDecoder(&media.Track{Codec: media.Opus}); err == nil {
		t.Error("Opus was taken")
	}
}

// TestElements puts what a decoder passes over before the channel of a frame.
func TestElements(t *testing.T) {
	e := mustEncoder(t, Codec{PlainNoise: true}, 48000, 1, media.EncoderOptions{})
	frames := encodeAll(t, e, render("speech", 48000, 1, 10))
	want := decodeAll(t, mustDecoder(t, e.Track()), frames)
	elements := map[string]func(w *bitWriter){
		"fill": func(w *bitWriter) {
			w.put(elementFIL, 3)
			w.put(5, 4)
			w.put(0xdeadbeef, 32)
			w.put(0x55, 8)
		},
		"long fill": func(w *bitWriter) {
			w.put(elementFIL, 3)
			w.put(15, 4)
			w.put(2, 8) // 15 + 2 - 1
			for range 16 {
				w.put(0xff, 8)
			}
		},
		"aligned data": func(w *bitWriter) {
			w.put(elementDSE, 3)
			w.put(1, 4+1)
			w.put(2, 8)
			w.put(0xffff, 16) // 3+4+1+8 bits are aligned
		},
		"programme": func(w *bitWriter) {
			w.put(elementPCE, 3)
			w.put(0, 4)
			w.put(1, 2)
			w.put(3, 4)
			w.put(1, 4)     // a front element
			w.put(0, 4+4)   // no side, no back
			w.put(0, 2+3+4) // no others
			w.put(0, 3)     // no mixdown
			w.put(0, 1+4)
			for w.held%8 != 0 {
				w.put(0, 1)
			}
			w.put(1, 8)
			w.put('x', 8)
		},
	}
	for name, write := range elements {
		d := mustDecoder(t, e.Track())
		var got []float32
		for i, frame := range frames {
			var w bitWriter
			write(&w)
			for _, b := range frame {
				w.put(uint32(b), 8)
			}
			var err error
			if got, err = d.Decode(got, w.finish()); err != nil {
				t.Fatalf("%s, frame %d: %v", name, i, err)
			}
		}
		if snr := signalToNoise(want, got, 0); snr < 200 || len(got) != len(want) {
			t.Errorf("%s: %d samples, %.1f dB", name, len(got), snr)
		}
	}
}

// TestMonoInStereo lets a stereo stream send one channel.
func TestMonoInStereo(t *testing.T) {
	e := mustEncoder(t, Codec{PlainNoise: true}, 48000, 1, media.EncoderOptions{})
	frames := encodeAll(t, e, render("music", 48000, 1, 10))
	mono := decodeAll(t, mustDecoder(t, e.Track()), frames)
	stereo := decodeAll(t, mustDecoder(t, &media.Track{Codec: media.AAC, ClockRate: 48000, Channels: 2}), frames)
	for i, v := range mono {
		if stereo[2*i] != v || stereo[2*i+1] != v {
			t.Fatalf("sample %d: %v and %v, want %v", i, stereo[2*i], stereo[2*i+1], v)
		}
	}
	pair := mustEncoder(t, Codec{}, 48000, 2, media.EncoderOptions{})
	frame := encodeAll(t, pair, render("music", 48000, 2, 1))[0]
	if _, err := mustDecoder(t, e.Track()).Decode(nil, frame); !errors.Is(err, ErrFrame) {
		t.Errorf("a pair in a mono stream: %v", err)
	}
}

// TestDamagedFrames cuts and garbles frames: each is an error or sound, an
// error appends nothing, and what follows is not harmed beyond the overlap.
func TestDamagedFrames(t *testing.T) {
	t.Parallel()
	r := rand.New(rand.NewPCG(9, 10))
	for channels := 1; channels <= 2; channels++ {
		e := mustEncoder(t, Codec{PlainNoise: true}, 48000, channels, media.EncoderOptions{})
		frames := encodeAll(t, e, render("music", 48000, channels, 30))
		want := decodeAll(t, mustDecoder(t, e.Track()), frames)
		n := frameSize * channels
		errorsSeen := 0
		for run := range 60 {
			d := mustDecoder(t, e.Track())
			before := decodeAll(t, d, frames[7:10])
			bad := append([]byte(nil), frames[10]...)
			if run%2 == 0 {
				bad = bad[:r.IntN(len(bad))]
			} else {
				for range 1 + r.IntN(8) {
					bad[r.IntN(len(bad))] ^= byte(1 + r.IntN(255))
				}
			}
			got, err := d.Decode(before, bad)
			if err != nil {
				errorsSeen++
				if len(got) != len(before) {
					t.Fatalf("%d samples after an error", len(got)-len(before))
				}
				got = d.Conceal(got, frameSize, frames[11])
			}
			if len(got) != 4*n {
				t.Fatalf("%d samples, want %d", len(got), 4*n)
			}
			after := decodeAll(t, d, frames[11:14])
			if snr := signalToNoise(want[12*n:14*n], after[n:], 0); snr < 200 {
				t.Fatalf("run %d: %.1f dB two frames after the damage (%v)", run, snr, err)
			}
			d.Close()
		}
		if errorsSeen < 30 {
			t.Errorf("%d of 60 damaged frames were noticed, want the 30 that are cut", errorsSeen)
		}
	}
}

// TestConceal looks at the sound in place of lost frames: at first as loud as
// before, then less and less.
func TestConceal(t *testing.T) {
	for channels := 1; channels <= 2; channels++ {
		e := mustEncoder(t, Codec{}, 48000, channels, media.EncoderOptions{})
		d := mustDecoder(t, e.Track())
		good := decodeAll(t, d, encodeAll(t, e, render("tone", 48000, channels, 20)))
		n := frameSize * channels
		last := power(good[len(good)-n:])
		pcm := d.Conceal(nil, 30*frameSize, nil)
		if len(pcm) != 30*n {
			t.Fatalf("%d samples, want %d", len(pcm), 30*n)
		}
		if first := power(pcm[:n]); first < last/4 || first > 2*last {
			t.Errorf("power %v after %v", first, last)
		}
		if end := power(pcm[29*n:]); end > last/1e6 {
			t.Errorf("power %v after 30 frames", end)
		}
		if pcm = d.Conceal(nil, 1500, nil); len(pcm) != 1500*channels {
			t.Errorf("%d samples, want %d", len(pcm), 1500*channels)
		}
	}
}

func power(pcm []float32) float64 {
	sum := 0.0
	for _, v := range pcm {
		sum += float64(v) * float64(v)
	}
	return sum / float64(len(pcm))
}

// TestPulses decodes a frame with pulses and one whose lines were raised
// already (4.6.3.3).
func TestPulses(t *testing.T) {
	frame := func(lines []int16, pulses func(w *bitWriter)) []byte {
		var w bitWriter
		w.put(elementSCE, 3)
		w.put(0, 4)
		w.put(160, 8)   // global_gain
		w.put(0, 1+2+1) // long sine window
		w.put(4, 6)     // max_sfb
		w.put(0, 1)     // predictor_data_present
		w.put(11, 4)    // book
		w.put(4, 5)     // bands
		for range 4 {   // scalefactors
			w.putCode(scaleBook[maxStep])
		}
		pulses(&w)
		w.put(0, 2) // TNS, gain control
		writeLines(&w, 11, lines)
		w.put(elementEND, 3)
		return w.finish()
	}
	none := func(w *bitWriter) { w.put(0, 1) }
	some := func(w *bitWriter) {
		w.put(1, 1)
		w.put(2, 2) // three
		w.put(1, 6) // from the second band
		for _, p := range [][2]uint32{{0, 7}, {3, 15}, {2, 1}} {
			w.put(p[0], 5)
			w.put(p[1], 4)
		}
	}
	lines := []int16{5, -3, 0, 1, 20, 0, 0, -8, 0, -1, 2, 0, 0, 0, 0, 9}
	raised := append([]int16(nil), lines...)
	raised[4], raised[7], raised[9] = 27, -23, -2
	mono := &media.Track{Codec: media.AAC, ClockRate: 48000, Channels: 1}
	got := decodeAll(t, mustDecoder(t, mono), [][]byte{frame(lines, some)})
	want := decodeAll(t, mustDecoder(t, mono), [][]byte{frame(raised, none)})
	plain := decodeAll(t, mustDecoder(t, mono), [][]byte{frame(lines, none)})
	if snr := signalToNoise(want, got, 0); snr < 200 {
		t.Errorf("pulses: %.1f dB", snr)
	}
	if snr := signalToNoise(plain, want, 0); snr > 60 {
		t.Errorf("without pulses it is the same: %.1f dB", snr)
	}
}

// TestNoiseEnergy sees that substituted noise is as loud as it should be, and
// the same on both sides where the mask says so.
func TestNoiseEnergy(t *testing.T) {
	lines := make([]float32, 32)
	random := uint32(1)
	for scale := -100; scale <= 120; scale += 20 {
		random = noise(lines, random, scale)
		want := math.Exp2(float64(scale) / 2)
		if got := float64(energy(lines)); math.Abs(got/want-1) > 1e-3 {
			t.Errorf("scale %d: energy %v, want %v", scale, got, want)
		}
	}
}

// TestExtremes sees that a frame of absurd loudness is an error, and that the
// next one is not.
func TestExtremes(t *testing.T) {
	var w bitWriter
	w.put(elementSCE, 3)
	w.put(0, 4)
	w.put(255, 8)
	w.put(0, 4)
	w.put(1, 6)
	w.put(0, 1)
	w.put(11, 4)
	w.put(1, 5)
	w.putCode(scaleBook[maxStep])
	w.put(0, 3)
	writeLines(&w, 11, []int16{8191, -8191, 8191, 8191})
	w.put(elementEND, 3)
	d := mustDecoder(t, &media.Track{Codec: media.AAC, ClockRate: 48000, Channels: 1})
	if _, err := d.Decode(nil, w.finish()); !errors.Is(err, ErrFrame) {
		t.Fatalf("absurd loudness: %v", err)
	}
	e := mustEncoder(t, Codec{}, 48000, 1, media.EncoderOptions{})
	for _, v := range decodeAll(t, d, encodeAll(t, e, render("tone", 48000, 1, 5))) {
		if !(v > -2 && v < 2) {
			t.Fatalf("sample %v after it", v)
		}
	}
}
