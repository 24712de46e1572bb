package inject_test

import (
	"encoding/binary"
	"errors"
	"math"
	"testing"

	"github.com/trunkcast/trunkcast/inject"
	"github.com/trunkcast/trunkcast/media"
)

func TestL16(t *testing.T) {
	var c inject.L16Codec
	track := &media.Track{Codec: inject.L16, ClockRate: 8000, Channels: 2}
	e, err := c.NewEncoder(track, media.EncoderOptions{})
	if err != nil {
		t.Fatal(err)
	}
	d, err := c.NewDecoder(e.Track())
	if err != nil {
		t.Fatal(err)
	}
	pcm := make([]float32, e.FrameSize()*2)
	for i := range pcm {
		pcm[i] = float32(math.Sin(float64(i)))
	}
	pcm[0], pcm[1] = 2, -2 // louder than there is
	b, err := e.Encode(nil, pcm)
	if err != nil || len(b) != 2*len(pcm) {
		t.Fatalf("%d bytes, %v", len(b), err)
	}
	if v := binary.BigEndian.Uint16(b); v != 0x7fff {
		t.Errorf("the loudest is %#x", v)
	}
	got, err := d.Decode(nil, b)
	if err != nil || len(got) != len(pcm) {
		t.Fatalf("%d samples, %v", len(got), err)
	}
	for i := 2; i < len(got); i++ {
		if math.Abs(float64(got[i]-pcm[i])) > 1.0/32768 {
			t.Fatalf("sample %d is %v, was %v", i, got[i], pcm[i])
		}
	}
	if got, err := d.Decode(nil, b[:3]); err == nil || len(got) != 0 {
		t.Errorf("half a sample gives %v, %v", got, err)
	}
	if _, err := e.Encode(nil, pcm[:5]); err == nil {
		t.Error("a short frame was taken")
	}
	if n := len(d.Conceal(nil, 10, nil)); n != 20 {
		t.Errorf("%d samples of silence", n)
	}
	bad := *track
	bad.Channels = 6
	var unsupported *inject.ErrUnsupportedCodec
	if _, err := c.NewDecoder(&bad); !errors.As(err, &unsupported) {
		t.Errorf("6 channels: %v", err)
	}
}

// wavFile builds a WAV file.
func wavFile(tag, channels, rate, bits int, data []byte) []byte {
	le := binary.LittleEndian
	b := []byte("RIFF\x00\x00\x00\x00WAVE")
	b = append(b, "LIST\x03\x00\x00\x00abc\x00"...) // of an odd length, so padded
	b = append(b, "fmt \x10\x00\x00\x00"...)
	b = le.AppendUint16(b, uint16(tag))
	b = le.AppendUint16(b, uint16(channels))
	b = le.AppendUint32(b, uint32(rate))
	b = le.AppendUint32(b, uint32(rate*channels*bits/8))
	b = le.AppendUint16(b, uint16(channels*bits/8))
	b = le.AppendUint16(b, uint16(bits))
	b = append(b, "data"...)
	b = le.AppendUint32(b, uint32(len(data)))
	return append(b, data...)
}

// TestWAV reads the forms of PCM.
func TestWAV(t *testing.T) {
	for _, c := range []struct {
		name      string
		bits      int
		data, out []byte
	}{
		{"8 bits", 8, []byte{0, 0x80, 0xff, 0x81}, []byte{0x80, 0, 0, 0, 0x7f, 0, 1, 0}},
		{"16 bits", 16, []byte{1, 2, 3, 4}, []byte{2, 1, 4, 3}},
		{"24 bits", 24, []byte{1, 2, 3, 4, 5, 6}, []byte{3, 2, 6, 5}},
	} {
		t.Run(c.name, func(t *testing.T) {
			f := mustOpen(t, wavFile(1, 2, 44100, c.bits, c.data), inject.FileOptions{})
			frames := readAll(t, f)
			if len(frames) != 1 || string(frames[0].Data[0]) != string(c.out) {
				t.Fatalf("got %v", frames)
			}
			if tr := frames[0].Track; tr.Codec != inject.L16 || tr.ClockRate != 44100 || tr.Channels != 2 {
				t.Errorf("track %+v", tr)
			}
		})
	}
	for name, b := range map[string][]byte{
		"float":       wavFile(3, 1, 8000, 32, make([]byte, 8)),
		"12 bits":     wavFile(1, 1, 8000, 12, make([]byte, 8)),
		"wide A-law":  wavFile(6, 1, 16000, 8, make([]byte, 8)),
		"no samples":  wavFile(1, 2, 8000, 16, nil),
		"half of one": wavFile(1, 2, 8000, 16, make([]byte, 3)),
	} {
		if _, err := open(b, inject.FileOptions{}); err == nil {
			t.Errorf("%s was taken", name)
		}
	}
}
