package opus

import (
	"bytes"
	"testing"

	"github.com/thesyncim/gopus"

	"github.com/trunkcast/trunkcast/internal/plc/plctest"
	"github.com/trunkcast/trunkcast/media"
)

// counting counts what a codec decodes.
type counting struct {
	engine
	count int
}

func (c *counting) Decode(data []byte, pcm []float32) (int, error) {
	c.count++
	return c.engine.Decode(data, pcm)
}

// TestStill: packets of silence in a row are not all decoded, and what comes
// after them is the same to the bit as if they were.
func TestStill(t *testing.T) {
	voice := plctest.Voice(rate, 0.4)
	for channels := 1; channels <= 2; channels++ {
		pcm := voice
		if channels == 2 {
			pcm = plctest.Stereo(voice, voice)
		}
		for name, c := range map[string]Codec{"general": {}, "speech": {Loss: 10}} {
			sound := encodeAll(t, c, channels, media.EncoderOptions{}, pcm)
			packets := append([][]byte{}, sound...)
			toc := byte(0xf8) // CELT, 20 ms, mono
			if channels == 2 {
				toc |= 4
			}
			for range 40 {
				packets = append(packets, []byte{toc, 0xff, 0xfe})
			}
			packets = append(packets, sound...)
			reference, err := gopus.NewDecoder(gopus.DecoderConfig{
				SampleRate: rate, Channels: channels, MaxPacketSamples: maxSamples, MaxPacketBytes: maxPacket,
			})
			if err != nil {
				t.Fatal(err)
			}
			d, _ := newDecoder(channels)
			counter := &counting{engine: d.(*decoder).codec}
			d.(*decoder).codec = counter
			want := make([]float32, frameSize*channels)
			var got []float32
			for i, data := range packets {
				if _, err := reference.Decode(data, want); err != nil {
					t.Fatal(err)
				}
				if got, err = d.Decode(got[:0], data); err != nil {
					t.Fatal(err)
				}
				for j := range want {
					// The codec's silence is not quite zero.
					if w := max(-1, min(1, want[j])); got[j] != w && !(w > -1e-20 && w < 1e-20 && got[j] == 0) {
						t.Fatalf("%s, %d channel(s), packet %d: sample %d is %g, want %g", name, channels, i, j, got[j], w)
					}
				}
			}
			if most := 2*len(sound) + 15; counter.count > most {
				t.Errorf("%s, %d channel(s): %d packets decoded, want %d at most", name, channels, counter.count, most)
			}
		}
	}
}

// TestStillEnds: loss, another packet of silence, or a packet that is none make
// the codec work again.
func TestStillEnds(t *testing.T) {
	quiet := []byte{0xf8, 0xff, 0xfe}
	var s still
	for range stillAfter {
		if s.again(quiet) {
			t.Fatal("too soon")
		}
		s.decoded(quiet, make([]float32, 4))
	}
	if !s.again(quiet) || s.again([]byte{0xf8, 0xff}) || s.again([]byte{0xfc, 0xff, 0xfe}) {
		t.Fatalf("%+v", s)
	}
	for name, end := range map[string]func(*still){
		"another": func(s *still) { s.decoded([]byte{0xf0, 0xff, 0xfe}, make([]float32, 4)) },
		"sound":   func(s *still) { s.decoded(quiet, []float32{0, 1e-5}) },
		"long":    func(s *still) { s.decoded(bytes.Repeat(quiet, 2), make([]float32, 4)) },
		"speech":  func(s *still) { s.decoded([]byte{0x08, 0}, make([]float32, 4)) },
		"two":     func(s *still) { s.decoded([]byte{0xf9, 0, 0}, make([]float32, 4)) },
	} {
		ended := s
		if end(&ended); ended.again(quiet) {
			t.Errorf("after %s it goes on", name)
		}
	}
	d, _ := newDecoder(1)
	for range stillAfter + 9 {
		if _, err := d.Decode(nil, quiet); err != nil {
			t.Fatal(err)
		}
	}
	if !d.(*decoder).still.again(quiet) {
		t.Error("silence is not noticed")
	}
	d.Conceal(nil, frameSize, nil)
	if d.(*decoder).still.again(quiet) {
		t.Error("loss is not noticed")
	}
	d.Close()
}
