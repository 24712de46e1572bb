package opus

import (
	"errors"
	"math"
	"slices"
	"testing"

	"github.com/trunkcast/trunkcast/internal/plc/plctest"
	"github.com/trunkcast/trunkcast/media"
)

func trackOf(channels int) *media.Track {
	return &media.Track{Codec: media.Opus, ClockRate: rate, Channels: channels}
}

func encodeAll(t testing.TB, c Codec, channels int, o media.EncoderOptions, pcm []float32) [][]byte {
	t.Helper()
	e, err := c.NewEncoder(trackOf(channels), o)
	if err != nil {
		t.Fatal(err)
	}
	defer e.Close()
	var frames [][]byte
	for n := frameSize * channels; len(pcm) >= n; pcm = pcm[n:] {
		data, err := e.Encode(nil, pcm[:n])
		if err != nil {
			t.Fatal(err)
		}
		frames = append(frames, data)
	}
	return frames
}

func decodeAll(t testing.TB, channels int, frames [][]byte) []float32 {
	t.Helper()
	d, err := Codec{}.NewDecoder(trackOf(channels))
	if err != nil {
		t.Fatal(err)
	}
	defer d.Close()
	var pcm []float32
	for _, f := range frames {
		if pcm, err = d.Decode(pcm, f); err != nil {
			t.Fatal(err)
		}
	}
	return pcm
}

func size(frames [][]byte) (n int) {
	for _, f := range frames {
		n += len(f)
	}
	return n
}

// TestRoundTrip also measures the delay and the rate.
func TestRoundTrip(t *testing.T) {
	t.Parallel()
	const seconds = 1
	voice := plctest.Voice(rate, seconds)
	for _, x := range []struct {
		name  string
		codec Codec
		o     media.EncoderOptions
		snr   float64 // dB
		rate  int     // bit/s
		drift int     // of the lag from the delay, in samples
	}{
		{"default", Codec{}, media.EncoderOptions{}, 17, 32000, 1},
		{"64 kbit/s", Codec{}, media.EncoderOptions{BitRate: 64000}, 23, 64000, 1},
		{"from G.711", Codec{}, media.EncoderOptions{Bandwidth: 4000}, 17, 32000, 1},
		{"fast", Codec{Complexity: 1}, media.EncoderOptions{}, 14, 32000, 1},
		{"best", Codec{Complexity: 10}, media.EncoderOptions{BitRate: 64000}, 23, 64000, 1},
		// The coder for speech shapes the noise and filters deep sounds away,
		// which is heard less than it is measured.
		{"lossy", Codec{Loss: 10}, media.EncoderOptions{}, 9, 32000, 5},
	} {
		frames := encodeAll(t, x.codec, 1, x.o, voice)
		got := decodeAll(t, 1, frames)
		if len(got) != len(voice) {
			t.Fatalf("%s: %d samples, want %d", x.name, len(got), len(voice))
		}
		lag := plctest.Lag(voice, got, 500)
		e, _ := x.codec.NewEncoder(trackOf(1), x.o)
		if d := lag - e.Delay(); d < -x.drift || d > x.drift {
			t.Errorf("%s: the output is %d samples behind, Delay says %d", x.name, lag, e.Delay())
		}
		e.Close()
		if snr := plctest.SNR(voice[:len(voice)-lag], got[lag:]); snr < x.snr {
			t.Errorf("%s: SNR %.1f dB, want %g", x.name, snr, x.snr)
		}
		if r := size(frames) * 8 / seconds; r > x.rate*11/10 {
			t.Errorf("%s: %d bit/s, want %d", x.name, r, x.rate)
		}
	}
}

// TestChannels decodes mono and stereo packets to what the track says.
func TestChannels(t *testing.T) {
	t.Parallel()
	left, right := plctest.Sine(rate, 0.5, 440, 0.3), plctest.Sine(rate, 0.5, 1500, 0.3)
	stereo := encodeAll(t, Codec{}, 2, media.EncoderOptions{BitRate: 128000}, plctest.Stereo(left, right))
	mono := encodeAll(t, Codec{}, 1, media.EncoderOptions{}, left)
	const delay, skip = 312, 4800
	snr := func(want, got []float32) float64 {
		return plctest.SNR(want[skip:len(want)-delay], got[skip+delay:])
	}
	both := decodeAll(t, 2, stereo)
	if l, r := snr(left, plctest.Mono(both, 0)), snr(right, plctest.Mono(both, 1)); l < 20 || r < 20 {
		t.Errorf("stereo to stereo: SNR %.1f and %.1f dB", l, r)
	}
	mean := make([]float32, len(left))
	for i := range mean {
		mean[i] = (left[i] + right[i]) / 2
	}
	if s := snr(mean, decodeAll(t, 1, stereo)); s < 20 {
		t.Errorf("stereo to mono: SNR %.1f dB", s)
	}
	both = decodeAll(t, 2, mono)
	l, r := plctest.Mono(both, 0), plctest.Mono(both, 1)
	if s := snr(left, l); s < 20 || !slices.Equal(l, r) {
		t.Errorf("mono to stereo: SNR %.1f dB, same on both sides: %v", s, slices.Equal(l, r))
	}
}

func TestTracks(t *testing.T) {
	t.Parallel()
	for _, x := range []struct {
		track    *media.Track
		channels int // 0: refused
	}{
		{trackOf(1), 1},
		{trackOf(2), 2},
		{&media.Track{Codec: media.Opus}, 1},
		{&media.Track{Codec: media.Opus, Config: [][]byte{[]byte("OpusHead")}}, 1},
		{nil, 0},
		{&media.Track{Codec: media.PCMA}, 0},
		{&media.Track{Codec: media.Opus, ClockRate: 8000}, 0},
		{trackOf(3), 0},
		{trackOf(-1), 0},
	} {
		d, err := Codec{}.NewDecoder(x.track)
		if (x.channels > 0) != (err == nil) || err != nil && !errors.Is(err, ErrTrack) {
			t.Errorf("decoder of %+v: %v", x.track, err)
		}
		e, err := Codec{}.NewEncoder(x.track, media.EncoderOptions{})
		if (x.channels > 0) != (err == nil) || err != nil && !errors.Is(err, ErrTrack) {
			t.Errorf("encoder of %+v: %v", x.track, err)
		}
		if x.channels == 0 {
			continue
		}
		if d.SampleRate() != rate || d.Channels() != x.channels {
			t.Errorf("decoder: %d Hz, %d channels", d.SampleRate(), d.Channels())
		}
		if tr := e.Track(); tr.Codec != media.Opus || tr.ClockRate != rate || tr.Channels != x.channels ||
			e.FrameSize() != 960 || e.Delay() != 312 {
			t.Errorf("encoder: %+v, frames of %d, delay %d", tr, e.FrameSize(), e.Delay())
		}
		d.Close()
		e.Close()
	}
}

func TestOptions(t *testing.T) {
	t.Parallel()
	for _, x := range []struct {
		codec Codec
		o     media.EncoderOptions
		ok    bool
	}{
		{Codec{}, media.EncoderOptions{BitRate: 1}, true}, // the least it can
		{Codec{}, media.EncoderOptions{BitRate: math.MaxInt}, true},
		{Codec{}, media.EncoderOptions{Bandwidth: 11025}, true},
		{Codec{}, media.EncoderOptions{Bandwidth: 48000}, true},
		{Codec{Loss: 100, Complexity: 10}, media.EncoderOptions{}, true},
		{Codec{Loss: 101}, media.EncoderOptions{}, false},
		{Codec{Loss: -1}, media.EncoderOptions{}, false},
		{Codec{Complexity: 11}, media.EncoderOptions{}, false},
		{Codec{Complexity: -1}, media.EncoderOptions{}, false},
		{Codec{}, media.EncoderOptions{BitRate: -1}, false},
		{Codec{}, media.EncoderOptions{Bandwidth: -1}, false},
	} {
		e, err := x.codec.NewEncoder(trackOf(1), x.o)
		if (err == nil) != x.ok {
			t.Errorf("%+v, %+v: %v", x.codec, x.o, err)
		}
		if err != nil {
			continue
		}
		data, err := e.Encode(nil, plctest.Voice(rate, 0.02))
		if err != nil || len(data) == 0 || len(data) > 1275+2 {
			t.Errorf("%+v, %+v: %d bytes, %v", x.codec, x.o, len(data), err)
		}
		e.Close()
	}
}

// TestReuse: what was used before and closed is as good as new.
func TestReuse(t *testing.T) {
	voice := plctest.Voice(rate, 0.3)
	loud := plctest.Sine(rate, 0.3, 777, 0.9)
	quiet := make([]float32, frameSize*10)
	o := media.EncoderOptions{}
	for _, c := range []Codec{{}, {Loss: 10}} {
		first := encodeAll(t, c, 1, o, voice)
		pcm := decodeAll(t, 1, first)
		snr := plctest.SNR(voice[:len(voice)-312], pcm[312:])
		for range 3 {
			// Make those in the pool dirty.
			dirty := encodeAll(t, Codec{Complexity: 10, Loss: c.Loss * 3}, 1, media.EncoderOptions{BitRate: 9000, Bandwidth: 4000}, loud)
			again := decodeAll(t, 1, encodeAll(t, c, 1, o, voice))
			if s := plctest.SNR(voice[:len(voice)-312], again[312:]); s < snr-1 {
				t.Errorf("%+v: a used encoder has an SNR of %.1f dB, a new one %.1f dB", c, s, snr)
			}
			encodeAll(t, c, 1, o, loud)
			if l := plctest.Level(decodeAll(t, 1, encodeAll(t, c, 1, o, quiet))); l > -80 {
				t.Errorf("%+v: of earlier sound %.1f dB is left in an encoder", c, l)
			}

			d, _ := Codec{}.NewDecoder(trackOf(1))
			for _, f := range dirty {
				_, _ = d.Decode(nil, f)
				d.Conceal(nil, 1000, nil)
			}
			d.Close()
			if !slices.Equal(pcm, decodeAll(t, 1, first)) {
				t.Fatalf("%+v: a used decoder gives other samples", c)
			}
		}
	}
}

func TestClosed(t *testing.T) {
	t.Parallel()
	d, _ := Codec{}.NewDecoder(trackOf(1))
	d.Close()
	d.Close()
	if _, err := d.Decode(nil, []byte{0xf8, 0xff, 0xfe}); !errors.Is(err, media.ErrClosed) {
		t.Errorf("decode: %v", err)
	}
	if pcm := d.Conceal(nil, 480, nil); len(pcm) != 480 || plctest.Level(pcm) > -190 {
		t.Errorf("conceal: %d samples", len(pcm))
	}
	e, _ := Codec{}.NewEncoder(trackOf(1), media.EncoderOptions{})
	e.Close()
	e.Close()
	if _, err := e.Encode(nil, make([]float32, frameSize)); !errors.Is(err, media.ErrClosed) {
		t.Errorf("encode: %v", err)
	}
	if e.Track() == nil || e.Delay() != 312 {
		t.Error("closed encoder forgot its track")
	}
}

// TestBadSamples: a wrong number is refused, one that is no number does not
// last.
func TestBadSamples(t *testing.T) {
	t.Parallel()
	e, _ := Codec{}.NewEncoder(trackOf(2), media.EncoderOptions{})
	defer e.Close()
	for _, n := range []int{0, frameSize, 2*frameSize - 1, 2*frameSize + 1} {
		data, err := e.Encode([]byte{1}, make([]float32, n))
		if !errors.Is(err, ErrFrame) || len(data) != 1 {
			t.Errorf("%d samples: %d bytes, %v", n, len(data)-1, err)
		}
	}
	voice := plctest.Stereo(plctest.Voice(rate, 0.5), plctest.Voice(rate, 0.5))
	kept := slices.Clone(voice)
	const bad = 2 * frameSize * 10
	for i, s := range []float64{math.NaN(), math.Inf(1), math.Inf(-1), 1e30} {
		voice[bad+2*i] = float32(s)
	}
	got := decodeAll(t, 2, encodeAll(t, Codec{}, 2, media.EncoderOptions{}, voice))
	if !math.IsNaN(float64(voice[bad])) {
		t.Error("the samples given were changed")
	}
	for i, s := range got {
		if !(s >= -10 && s <= 10) {
			t.Fatalf("sample %d is %g", i, s)
		}
	}
	from := bad + 2*frameSize*3
	if snr := plctest.SNR(kept[from:len(kept)-624], got[from+624:]); snr < 12 {
		t.Errorf("60 ms later the SNR is %.1f dB", snr)
	}
}
