package aac

import (
	"bytes"
	"errors"
	"math"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/trunkcast/trunkcast/media"
)

func encoderOptions(bitRate, bandwidth int) media.EncoderOptions {
	return media.EncoderOptions{BitRate: bitRate, Bandwidth: bandwidth}
}

// TestEncoderTrack looks at what an encoder tells about its frames.
func TestEncoderTrack(t *testing.T) {
	e, err := Codec{}.NewEncoder(&media.Track{}, media.EncoderOptions{})
	if err != nil {
		t.Fatal(err)
	}
	track := e.Track()
	if track.Codec != media.AAC || track.ClockRate != 48000 || track.Channels != 1 {
		t.Errorf("default track: %+v", track)
	}
	if want := []byte{0x11, 0x88}; len(track.Config) != 1 || !bytes.Equal(track.Config[0], want) {
		t.Errorf("configuration %x, want %x", track.Config, want)
	}
	if e.FrameSize() != 1024 || e.Delay() != 1600 {
		t.Errorf("frame of %d, delay %d", e.FrameSize(), e.Delay())
	}
	again, err := Codec{LowDelay: true}.NewEncoder(&media.Track{Config: [][]byte{{0x14, 0x10}}}, media.EncoderOptions{})
	if err != nil {
		t.Fatal(err)
	}
	if track := again.Track(); track.ClockRate != 16000 || track.Channels != 2 || again.Delay() != 1024 {
		t.Errorf("track from a configuration: %+v, delay %d", track, again.Delay())
	}
}

func TestEncoderRefuses(t *testing.T) {
	for name, test := range map[string]struct {
		codec   Codec
		track   media.Track
		options media.EncoderOptions
	}{
		"rate":          {track: media.Track{ClockRate: 8000}},
		"channels":      {track: media.Track{Channels: 6}},
		"codec":         {track: media.Track{Codec: media.Opus}},
		"bit rate":      {options: media.EncoderOptions{BitRate: -1}},
		"bandwidth":     {options: media.EncoderOptions{Bandwidth: -1}},
		"rate control":  {codec: Codec{Rate: 7}},
		"contradiction": {track: media.Track{ClockRate: 48000, Config: [][]byte{{0x14, 0x10}}}},
		"configuration": {track: media.Track{Config: [][]byte{{0x14}}}},
	} {
		if e, err := test.codec.NewEncoder(&test.track, test.options); err == nil {
			t.Errorf("%s: got %+v, want an error", name, e.Track())
		}
	}
	e := mustEncoder(t, Codec{}, 48000, 2, media.EncoderOptions{})
	if got, err := e.Encode([]byte{1}, make([]float32, 1024)); err == nil || len(got) != 1 {
		t.Errorf("half a frame: %d bytes, %v", len(got), err)
	}
}

// TestDelay finds the delay of clicks through encoder and decoder.
func TestDelay(t *testing.T) {
	t.Parallel()
	for _, k := range []Codec{{}, {LowDelay: true}} {
		for channels := 1; channels <= 2; channels++ {
			pcm := render("clicks", 48000, channels, 30)
			e := mustEncoder(t, k, 48000, channels, encoderOptions(128000*channels, 0))
			got := decodeAll(t, mustDecoder(t, e.Track()), encodeAll(t, e, pcm))
			best, at := math.Inf(-1), 0
			for delay := e.Delay() - 200; delay < e.Delay()+200; delay++ {
				if snr := signalToNoise(pcm, got, delay*channels); snr > best {
					best, at = snr, delay
				}
			}
			if at != e.Delay() || best < 5 {
				t.Errorf("%+v, %d channel(s): delay %d (%.1f dB), want %d", k, channels, at, best, e.Delay())
			}
		}
	}
}

// TestBitsCounted sees that the bits which the rate control goes by are those
// that are written, for each signal and rate.
func TestBitsCounted(t *testing.T) {
	t.Parallel()
	for channels := 1; channels <= 2; channels++ {
		for _, rate := range encoderRates {
			e := mustEncoder(t, Codec{}, rate, channels, media.EncoderOptions{}).(*pooledEncoder).encoder
			for name := range signals {
				pcm := render(name, rate, channels, 5)
				for ; len(pcm) > 0; pcm = pcm[frameSize*channels:] {
					e.borrow()
					frame := e.encodeFrame(nil, pcm[:frameSize*channels])
					if counted := int(e.quantize()); (counted+7)/8 != len(frame) {
						t.Fatalf("%s, %d Hz, %d channel(s): %d bits counted, %d bytes written", name, rate, channels, counted, len(frame))
					}
					e.handBack()
				}
			}
		}
	}
}

// TestConstantRate sees that no frame is larger than the decoder's buffer, and
// no second larger than the rate and that buffer.
func TestConstantRate(t *testing.T) {
	t.Parallel()
	for channels := 1; channels <= 2; channels++ {
		for _, bitRate := range []int{24000, 96000} {
			e := mustEncoder(t, Codec{}, 48000, channels, encoderOptions(bitRate*channels, 0))
			for _, name := range []string{"silence", "clicks", "speech", "noise", "clipped"} {
				sizes := frameBits(encodeAll(t, e, render(name, 48000, channels, 60)))
				for i := range len(sizes) - 46 {
					if second := sum(sizes[i : i+47]); second > (bitRate+bitRate/40+maxFrameBits)*channels {
						t.Errorf("%s at %d bit/s: %d bits in a second", name, bitRate*channels, second)
						break
					}
				}
				for i, bits := range sizes {
					if bits > maxFrameBits*channels {
						t.Errorf("%s at %d bit/s: frame %d of %d bits", name, bitRate*channels, i, bits)
					}
				}
			}
		}
	}
}

// TestRateIsUsed sees that signals without pauses get the bits asked for.
func TestRateIsUsed(t *testing.T) {
	t.Parallel()
	for _, mode := range []RateControl{ConstantRate, AverageRate} {
		for channels := 1; channels <= 2; channels++ {
			for _, bitRate := range []int{8000, 64000, 128000} {
				e := mustEncoder(t, Codec{Rate: mode}, 48000, channels, encoderOptions(bitRate*channels, 0))
				sizes := frameBits(encodeAll(t, e, render("noise", 48000, channels, 200)))
				if mode == ConstantRate {
					sizes = sizes[100:] // before, the reservoir is filled
				}
				got := float64(sum(sizes)) / float64(len(sizes)) * 48000 / frameSize
				if ratio := got / float64(bitRate*channels); ratio < .97 || ratio > 1.03 {
					t.Errorf("mode %d, %d channel(s): %.0f bit/s, want %d", mode, channels, got, bitRate*channels)
				}
			}
		}
	}
}

func frameBits(frames [][]byte) (bits []int) {
	for _, frame := range frames {
		bits = append(bits, 8*len(frame))
	}
	return bits
}

func sum(values []int) (sum int) {
	for _, v := range values {
		sum += v
	}
	return sum
}

// TestBandwidth sees that nothing much above the source's band is coded.
func TestBandwidth(t *testing.T) {
	e := mustEncoder(t, Codec{}, 48000, 1, encoderOptions(0, 4000))
	d := mustDecoder(t, e.Track()).(*pooledDecoder).decoder
	for _, frame := range encodeAll(t, e, render("noise", 48000, 1, 20)) {
		if err := d.parse(frame); err != nil {
			t.Fatal(err)
		}
		if d.channels[0].info.sequence != onlyLong {
			continue
		}
		if above := energy(d.channels[0].lines[4352*1024/24000:]); above > 0 {
			t.Fatalf("energy %v above 4352 Hz", above)
		}
		if below := energy(d.channels[0].lines[3500*1024/24000 : 4000*1024/24000]); below == 0 {
			t.Fatal("nothing between 3500 and 4000 Hz")
		}
	}
}

// TestBadSamples gives samples that are no numbers, or far too large.
func TestBadSamples(t *testing.T) {
	nan, inf := float32(math.NaN()), float32(math.Inf(1))
	for channels := 1; channels <= 2; channels++ {
		e := mustEncoder(t, Codec{}, 48000, channels, media.EncoderOptions{})
		d := mustDecoder(t, e.Track())
		pcm := render("tone", 48000, channels, 40)
		for i := 10 * frameSize; i < 20*frameSize; i++ {
			pcm[i] = [...]float32{nan, inf, -inf, math.MaxFloat32, 1e-45, 0}[i%6]
		}
		got := decodeAll(t, d, encodeAll(t, e, pcm))
		tail := 30 * frameSize * channels
		if snr := signalToNoise(pcm[tail:], got[tail:], e.Delay()*channels); snr < 35 {
			t.Errorf("%d channel(s): %.1f dB after bad samples, want 35", channels, snr)
		}
	}
}

// TestPooled sees that an encoder and a decoder that served another stream
// give the same as new ones.
func TestPooled(t *testing.T) {
	pcm := append(render("speech", 48000, 2, 20), render("clicks", 48000, 2, 20)...)
	c := Config{SampleRate: 48000, Channels: 2}
	fresh := newEncoder(2)
	fresh.reset(Codec{LowDelay: true}, c, media.EncoderOptions{})
	want := encodeRaw(t, fresh, pcm)
	used := newEncoder(2)
	used.reset(Codec{Rate: AverageRate, LowDelay: true, PlainNoise: true}, Config{SampleRate: 16000, Channels: 2}, encoderOptions(64000, 0))
	encodeRaw(t, used, render("clicks", 16000, 2, 33))
	used.reset(Codec{LowDelay: true}, c, media.EncoderOptions{})
	got := encodeRaw(t, used, pcm)
	for i := range want {
		if !bytes.Equal(want[i], got[i]) {
			t.Fatalf("frame %d differs", i)
		}
	}

	d := newDecoder(2)
	var pcms [2][]float32
	for run := range pcms {
		d.reset(c)
		for _, frame := range want {
			var err error
			if pcms[run], err = d.decode(pcms[run], frame); err != nil {
				t.Fatal(err)
			}
		}
	}
	if !slices.Equal(pcms[0], pcms[1]) {
		t.Error("a used decoder gives other samples")
	}
}

// TestSharedWorkspace sees that frames do not depend on what other encoders did
// in between.
func TestSharedWorkspace(t *testing.T) {
	r := rand.New(rand.NewPCG(9, 9))
	for channels := 1; channels <= 2; channels++ {
		pcm := allSignals(48000, channels, 5)
		alone := mustEncoder(t, Codec{}, 48000, channels, media.EncoderOptions{})
		want := encodeAll(t, alone, pcm)
		e := mustEncoder(t, Codec{}, 48000, channels, media.EncoderOptions{})
		other := mustEncoder(t, Codec{Rate: AverageRate}, 16000, 2, media.EncoderOptions{})
		noise := make([]float32, 2*frameSize)
		for i, frame := range want {
			hostile(r, noise)
			encodeAll(t, other, noise)
			n := frameSize * channels
			if got := encodeAll(t, e, pcm[i*n:(i+1)*n])[0]; !bytes.Equal(got, frame) {
				t.Fatalf("%d channel(s): frame %d is %x, alone %x", channels, i, got, frame)
			}
		}
	}
}

func encodeRaw(t *testing.T, e *encoder, pcm []float32) (frames [][]byte) {
	t.Helper()
	for n := frameSize * len(e.channels); len(pcm) >= n; pcm = pcm[n:] {
		frame, err := e.encode(nil, pcm[:n])
		if err != nil {
			t.Fatal(err)
		}
		frames = append(frames, frame)
	}
	return frames
}

// TestClosed sees that nothing can be done after Close, and that a second one
// does not give an encoder or decoder back twice.
func TestClosed(t *testing.T) {
	e := mustEncoder(t, Codec{}, 48000, 1, media.EncoderOptions{})
	d := mustDecoder(t, e.Track())
	frame := encodeAll(t, e, render("tone", 48000, 1, 1))[0]
	for range 2 {
		e.Close()
		d.Close()
	}
	if _, err := e.Encode(nil, make([]float32, frameSize)); !errors.Is(err, media.ErrClosed) {
		t.Errorf("Encode after Close: %v", err)
	}
	if _, err := d.Decode(nil, frame); !errors.Is(err, media.ErrClosed) {
		t.Errorf("Decode after Close: %v", err)
	}
	if pcm := d.Conceal(nil, 100, nil); len(pcm) != 100 {
		t.Errorf("Conceal after Close: %d samples", len(pcm))
	}
	var streams [4]*pooledEncoder
	for i := range streams {
		streams[i] = mustEncoder(t, Codec{}, 48000, 1, media.EncoderOptions{}).(*pooledEncoder)
		for _, other := range streams[:i] {
			if other.encoder == streams[i].encoder {
				t.Fatal("two streams have the same encoder")
			}
		}
	}
}

// TestNoAllocations leaves out the pool of workspaces, which the race detector
// makes lose some.
func TestNoAllocations(t *testing.T) {
	for channels := 1; channels <= 2; channels++ {
		e := mustEncoder(t, Codec{}, 48000, channels, media.EncoderOptions{})
		encoder := e.(*pooledEncoder).encoder
		encoder.borrow()
		d := mustDecoder(t, e.Track())
		r := rand.New(rand.NewPCG(5, 6))
		pcm := make([]float32, frameSize*channels)
		frame, out := make([]byte, 0, 4096), make([]float32, 0, 4*frameSize)
		if n := testing.AllocsPerRun(50, func() {
			hostile(r, pcm)
			frame = encoder.encodeFrame(frame[:0], pcm)
			out, _ = d.Decode(out[:0], frame)
			out = d.Conceal(out[:0], frameSize, nil)
		}); n > 0 {
			t.Errorf("%d channel(s): %v allocations a frame", channels, n)
		}
	}
}

// TestHostileInput encodes what codecs do not like and decodes it again.
func TestHostileInput(t *testing.T) {
	t.Parallel()
	r := rand.New(rand.NewPCG(7, 8))
	for run := range 24 {
		channels := 1 + run%2
		k := Codec{Rate: RateControl(r.IntN(2)), LowDelay: r.IntN(3) == 0, PlainNoise: r.IntN(2) == 0}
		e := mustEncoder(t, k, encoderRates[r.IntN(len(encoderRates))], channels, encoderOptions(8000<<r.IntN(6), r.IntN(3)*4000))
		d := mustDecoder(t, e.Track())
		pcm := make([]float32, frameSize*channels)
		for i := range 20 {
			hostile(r, pcm)
			frame := encodeAll(t, e, pcm)[0]
			if len(frame)*8 > maxFrameBits*channels {
				t.Errorf("frame of %d bits", len(frame)*8)
			}
			if _, err := d.Decode(nil, frame); err != nil {
				t.Fatalf("run %d, frame %d: %v", run, i, err)
			}
		}
		e.Close()
		d.Close()
	}
}

func TestADTS(t *testing.T) {
	c := Config{SampleRate: 44100, Channels: 2}
	got, err := c.AppendADTS([]byte{9}, make([]byte, 0x123))
	if err != nil {
		t.Fatal(err)
	}
	// Length 0x12a: 00 00001001 010, then the buffer fullness.
	if want := []byte{9, 0xff, 0xf1, 0x50, 0x80, 0x25, 0x5f, 0xfc}; !bytes.Equal(got[:8], want) || len(got) != 8+0x123 {
		t.Errorf("header %x, want %x", got[:8], want)
	}
	var unsupported *UnsupportedError
	if _, err := (Config{SampleRate: 44000, Channels: 1}).AppendADTS(nil, nil); !errors.As(err, &unsupported) {
		t.Errorf("44000 Hz: %v", err)
	}
	if _, err := c.AppendADTS(nil, make([]byte, 8185)); err == nil {
		t.Error("a frame of 8185 bytes was taken")
	}
}
