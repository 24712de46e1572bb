package opus

import (
	"errors"
	"math"
	"testing"

	"github.com/thesyncim/gopus"

	"github.com/trunkcast/trunkcast/internal/plc/plctest"
	"github.com/trunkcast/trunkcast/media"
)

// TestSpareCopy loses each sixth frame. With the copy in the frame after it,
// what is put into the gap is nearly what was lost.
func TestSpareCopy(t *testing.T) {
	t.Parallel()
	voice := plctest.Voice(rate, 1.5)
	frames := encodeAll(t, Codec{Loss: 20}, 1, media.EncoderOptions{BitRate: 40000}, voice)
	whole := decodeAll(t, 1, frames)
	mean := func(spare bool, gap int) float64 {
		d, _ := Codec{}.NewDecoder(trackOf(1))
		defer d.Close()
		sum, n := 0.0, 0
		var pcm []float32
		for i := 0; i < len(frames)-1; i++ {
			if i%8 != 7 || i < 10 || i+gap >= len(frames) {
				pcm, _ = d.Decode(pcm, frames[i])
				continue
			}
			var next []byte
			if spare {
				next = frames[i+gap]
			}
			pcm = d.Conceal(pcm, gap*frameSize, next)
			i += gap - 1
			if len(pcm) != (i+1)*frameSize {
				t.Fatalf("%d samples, want %d", len(pcm), (i+1)*frameSize)
			}
			// Of several, the copy is of the last.
			sum += plctest.SNR(whole[i*frameSize:(i+1)*frameSize], pcm[i*frameSize:])
			n++
		}
		return sum / float64(n)
	}
	for gap := 1; gap <= 3; gap++ {
		with, without := mean(true, gap), mean(false, gap)
		// After a longer gap the pitch is out of step with what it was.
		if with < without+0.3 || gap == 1 && with < 7 {
			t.Errorf("gap of %d: SNR with the copy %.1f dB, without %.1f dB", gap, with, without)
		}
	}
}

// TestConceal loses each tenth frame of both coders, and a long stretch.
func TestConceal(t *testing.T) {
	t.Parallel()
	voice := plctest.Voice(rate, 1)
	for _, c := range []Codec{{}, {Loss: 10}} {
		frames := encodeAll(t, c, 1, media.EncoderOptions{}, voice)
		whole := decodeAll(t, 1, frames)
		d, _ := Codec{}.NewDecoder(trackOf(1))
		var pcm []float32
		for i, f := range frames {
			before := len(pcm)
			if i%10 == 9 {
				pcm = d.Conceal(pcm, frameSize, nil)
				if l := plctest.Level(pcm[before:]) - plctest.Level(whole[before:len(pcm)]); l < -8 || l > 6 {
					t.Errorf("%+v, frame %d: concealed at %.1f dB of what was lost", c, i, l)
				}
			} else {
				pcm, _ = d.Decode(pcm, f)
			}
			if len(pcm)-before != frameSize {
				t.Fatalf("%d samples in a frame", len(pcm)-before)
			}
		}
		if j, want := plctest.Jump(pcm), plctest.Jump(whole); j > 1.5*want {
			t.Errorf("%+v: a step of %.3f, without loss %.3f", c, j, want)
		}
		long := d.Conceal(nil, rate, nil)
		if l := plctest.Level(long[rate/2:]); len(long) != rate || l > plctest.Level(whole)-8 {
			// What goes on is comfort noise, at the level of the quietest passages.
			t.Errorf("%+v: after half a second without packets the level is %.1f dB", c, l)
		}
		d.Close()
	}
}

// TestConcealLengths: exactly as many samples as asked for, whatever comes
// after, in mono and stereo.
func TestConcealLengths(t *testing.T) {
	t.Parallel()
	spare := encodeAll(t, Codec{Loss: 20}, 1, media.EncoderOptions{}, plctest.Voice(rate, 0.3))
	for channels := 1; channels <= 2; channels++ {
		d, _ := Codec{}.NewDecoder(trackOf(channels))
		for _, n := range []int{-1, 0, 1, 119, 120, 121, 479, 480, 959, 960, 961, 1000, 1920, 2880, 5760, 6000, 48000} {
			for _, next := range [][]byte{nil, {}, {0xff}, {3}, {0xff, 0xff, 0xff}, spare[5], make([]byte, 2000), make([]byte, 10000)} {
				pcm := d.Conceal([]float32{7}, n, next)
				if want := 1 + max(0, n)*channels; len(pcm) != want || pcm[0] != 7 {
					t.Fatalf("%d channels, gap of %d before % .8x: %d samples, want %d", channels, n, next, len(pcm), want)
				}
			}
			if _, err := d.Decode(nil, spare[6]); err != nil {
				t.Fatal(err)
			}
		}
		d.Close()
	}
}

// TestDTX decodes packets with nothing in them.
func TestDTX(t *testing.T) {
	t.Parallel()
	for _, c := range []Codec{{}, {Loss: 10}} {
		frames := encodeAll(t, c, 1, media.EncoderOptions{}, plctest.Voice(rate, 0.5))
		toc := frames[10][0]
		for _, empty := range [][]byte{{}, {toc}, {toc, 0}} {
			d, _ := Codec{}.NewDecoder(trackOf(1))
			for _, f := range frames {
				if _, err := d.Decode(nil, f); err != nil {
					t.Fatal(err)
				}
			}
			var pcm []float32
			for range 50 {
				before := len(pcm)
				var err error
				pcm, err = d.Decode(pcm, empty)
				if err != nil || len(pcm)-before != frameSize {
					t.Fatalf("% x: %d samples, %v", empty, len(pcm)-before, err)
				}
			}
			if l := plctest.Level(pcm[len(pcm)/2:]); l > -30 {
				t.Errorf("% x: after half a second the level is %.1f dB", empty, l)
			}
			for _, f := range frames[15:20] {
				var err error
				if pcm, err = d.Decode(pcm, f); err != nil {
					t.Fatal(err)
				}
			}
			if l := plctest.Level(pcm[len(pcm)-frameSize:]); l < -30 {
				t.Errorf("% x: afterwards the level is %.1f dB", empty, l)
			}
			d.Close()
		}
	}
	// Before anything else came, too.
	d, _ := Codec{}.NewDecoder(trackOf(2))
	defer d.Close()
	if pcm, err := d.Decode(nil, nil); err != nil || len(pcm) != 2*frameSize {
		t.Errorf("empty packet at the start: %d samples, %v", len(pcm), err)
	}
}

// TestDurations decodes packets of all lengths, one after the other, and an
// empty one after each.
func TestDurations(t *testing.T) {
	t.Parallel()
	d, _ := Codec{}.NewDecoder(trackOf(1))
	defer d.Close()
	voice := plctest.Voice(rate, 0.24)
	for _, application := range []gopus.Application{gopus.ApplicationVoIP, gopus.ApplicationAudio, gopus.ApplicationLowDelay} {
		for _, n := range []int{120, 240, 480, 960, 1920, 2880, 3840, 4800, 5760} {
			e, err := gopus.NewEncoder(gopus.EncoderConfig{SampleRate: rate, Channels: 1, Application: application})
			if err != nil {
				t.Fatal(err)
			}
			if err := e.SetFrameSize(n); err != nil {
				t.Fatal(err)
			}
			for i := 0; i+n <= min(3*n, len(voice)); i += n {
				data, err := e.EncodeFloat32(voice[i : i+n])
				if err != nil {
					t.Fatal(err)
				}
				if pcm, err := d.Decode(nil, data); err != nil || len(pcm) != n {
					t.Fatalf("application %d, %d samples: %d, %v", application, n, len(pcm), err)
				}
			}
			if pcm, err := d.Decode(nil, nil); err != nil || len(pcm) != n {
				t.Fatalf("application %d, empty after %d samples: %d, %v", application, n, len(pcm), err)
			}
		}
	}
}

// TestBadPackets: each gives an error and nothing else, and the next one is
// decoded.
func TestBadPackets(t *testing.T) {
	t.Parallel()
	good := encodeAll(t, Codec{}, 1, media.EncoderOptions{}, plctest.Voice(rate, 0.1))
	d, _ := Codec{}.NewDecoder(trackOf(1))
	defer d.Close()
	for name, data := range map[string][]byte{
		"code 3 without count":      {3},
		"no frames":                 {3, 0},
		"63 frames of 2.5 ms":       append([]byte{0x83, 63}, make([]byte, 63)...),
		"more than 120 ms":          append([]byte{0x1b, 3}, make([]byte, 30)...),
		"two frames of odd length":  {1, 1, 2, 3},
		"frame longer than packet":  {2, 200, 1, 1},
		"padding longer than frame": {3, 0x41, 255, 255, 3},
		"first frame of 1276":       append([]byte{0xf8}, make([]byte, 1276)...),
		"10000 bytes":               append([]byte{0xfb, 6}, make([]byte, 10000)...),
	} {
		pcm, err := d.Decode([]float32{7}, data)
		if !errors.Is(err, ErrFrame) || len(pcm) != 1 {
			t.Errorf("%s: %d samples, %v", name, len(pcm)-1, err)
		}
		if pcm, err = d.Decode(pcm, good[2]); err != nil || len(pcm) != 1+frameSize {
			t.Errorf("after %s: %d samples, %v", name, len(pcm)-1, err)
		}
	}
}

// broken is a codec with all the faults that one can have.
type broken struct {
	fault func(pcm []float32) (int, error)
}

func (b broken) Decode(_ []byte, pcm []float32) (int, error)                { return b.fault(pcm) }
func (b broken) DecodeWithFEC(_ []byte, pcm []float32, _ bool) (int, error) { return b.fault(pcm) }
func (b broken) Reset()                                                     {}

// TestBrokenCodec: a fault of the codec is an error, or silence in a gap.
func TestBrokenCodec(t *testing.T) {
	t.Parallel()
	good := encodeAll(t, Codec{Loss: 20}, 1, media.EncoderOptions{}, plctest.Voice(rate, 0.2))
	nan := float32(math.NaN())
	for name, fault := range map[string]func([]float32) (int, error){
		"panic":      func([]float32) (int, error) { panic("index out of range") },
		"no numbers": func(pcm []float32) (int, error) { pcm[7] = nan; return len(pcm), nil },
		"error":      func([]float32) (int, error) { return 5, gopus.ErrInvalidPacket },
	} {
		fresh := func() *decoder {
			d, err := newDecoder(1)
			if err != nil {
				t.Fatal(err)
			}
			d.(*decoder).codec = broken{fault: fault}
			return d.(*decoder)
		}
		d := fresh()
		if pcm, err := d.Decode([]float32{7}, good[3]); !errors.Is(err, ErrFrame) || len(pcm) != 1 {
			t.Errorf("%s: %d samples, %v", name, len(pcm)-1, err)
		}
		if name == "panic" {
			if pcm, err := d.Decode(nil, good[4]); err != nil || len(pcm) != frameSize {
				t.Errorf("after a %s: %d samples, %v", name, len(pcm), err)
			}
		}
		d = fresh()
		pcm := d.Conceal(nil, 3*frameSize, good[5])
		if len(pcm) != 3*frameSize {
			t.Errorf("%s in a gap: %d samples", name, len(pcm))
		}
		for _, s := range pcm {
			if !(s >= -1 && s <= 1) {
				t.Fatalf("%s in a gap: sample %g", name, s)
			}
		}
	}
	for count, want := range map[int]int{-3: 0, 0: 0, 1 << 30: frameSize} {
		d := &decoder{channels: 1, codec: broken{fault: func([]float32) (int, error) { return count, nil }}}
		if pcm, err := d.Decode(nil, good[3]); err != nil || len(pcm) != want {
			t.Errorf("a codec that says %d samples: %d, %v", count, len(pcm), err)
		}
	}
}
