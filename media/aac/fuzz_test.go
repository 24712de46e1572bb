package aac

import (
	"encoding/binary"
	"math"
	"runtime"
	"testing"

	"github.com/trunkcast/trunkcast/media"
)

// FuzzDecode decodes a frame thrice between good ones. Whatever it holds, it is
// an error that appends nothing or a frame of finite samples, it allocates
// nothing but an error, and good frames decode afterwards.
func FuzzDecode(f *testing.F) {
	for channels := 1; channels <= 2; channels++ {
		for _, name := range []string{"speech", "clicks", "music", "silence"} {
			e := mustEncoder(f, Codec{}, 48000, channels, media.EncoderOptions{})
			for _, frame := range encodeAll(f, e, render(name, 48000, channels, 6))[2:] {
				f.Add(byte(channels), frame)
			}
		}
	}
	good := map[int][]byte{}
	for channels := 1; channels <= 2; channels++ {
		e := mustEncoder(f, Codec{}, 48000, channels, media.EncoderOptions{})
		good[channels] = encodeAll(f, e, render("tone", 48000, channels, 4))[3]
	}
	f.Fuzz(func(t *testing.T, format byte, data []byte) {
		channels, rate := 1+int(format&1), samplingRates[int(format>>1)%len(samplingRates)]
		d := mustDecoder(t, &media.Track{Codec: media.AAC, ClockRate: rate, Channels: channels})
		defer d.Close()
		pcm := make([]float32, 0, 8*frameSize)
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		for range 3 {
			got, err := d.Decode(pcm, data)
			if err != nil && len(got) != 0 || err == nil && len(got) != frameSize*channels {
				t.Fatalf("%d samples, %v", len(got), err)
			}
			checkFinite(t, got)
			checkFinite(t, d.Conceal(pcm, frameSize, data))
		}
		runtime.ReadMemStats(&after)
		if spent := after.TotalAlloc - before.TotalAlloc; spent > 64<<10 {
			t.Errorf("%d bytes allocated", spent)
		}
		for range 2 {
			got, err := d.Decode(pcm, good[channels])
			if rate == 48000 && err != nil {
				t.Fatalf("a good frame: %v", err)
			}
			checkFinite(t, got)
		}
	})
}

func checkFinite(t *testing.T, pcm []float32) {
	t.Helper()
	for i, v := range pcm {
		if !(v > -1000 && v < 1000) {
			t.Fatalf("sample %d is %v", i, v)
		}
	}
}

// FuzzEncode encodes any floats. Each frame keeps its limit and decodes.
func FuzzEncode(f *testing.F) {
	f.Add(byte(0), []byte{0, 0, 0, 0})
	f.Add(byte(1), []byte{0, 0, 0x80, 0x7f, 0, 0, 0xc0, 0xff})
	f.Add(byte(77), binary.LittleEndian.AppendUint32(nil, math.Float32bits(.5)))
	f.Add(byte(200), []byte("some text, that is not quite sound"))
	f.Fuzz(func(t *testing.T, format byte, data []byte) {
		channels, rate := 1+int(format&1), encoderRates[int(format>>1)%len(encoderRates)]
		k := Codec{Rate: RateControl(format >> 5 & 1), LowDelay: format>>6&1 != 0}
		e := mustEncoder(t, k, rate, channels, encoderOptions(16000<<(format>>4&3), 0))
		d := mustDecoder(t, e.Track())
		defer e.Close()
		defer d.Close()
		pcm := make([]float32, frameSize*channels)
		at := 0
		for range 6 {
			for i := range pcm {
				if at+4 > len(data) {
					at = 0
				}
				if len(data) >= 4 {
					pcm[i] = math.Float32frombits(binary.LittleEndian.Uint32(data[at:]))
				}
				at += 4
			}
			frame, err := e.Encode(nil, pcm)
			if err != nil || len(frame)*8 > maxFrameBits*channels {
				t.Fatalf("%d bytes, %v", len(frame), err)
			}
			got, err := d.Decode(nil, frame)
			if err != nil {
				t.Fatalf("decode: %v", err)
			}
			checkFinite(t, got)
		}
	})
}

// FuzzConfig parses configurations: what was read is read again from what is
// written.
func FuzzConfig(f *testing.F) {
	for _, data := range [][]byte{{0x11, 0x88}, {0x12, 0x10, 0x56, 0xe5, 0}, {0xeb, 0x09, 0x88, 0}, {0x17, 0x80, 0x5d, 0xc0, 8}, programme(1)} {
		f.Add(data)
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		c, err := ParseConfig(data)
		if err != nil {
			return
		}
		if again, err := ParseConfig(c.Marshal()); err != nil || again != c {
			t.Errorf("%+v is read again as %+v, %v", c, again, err)
		}
		d, err := Codec{}.NewDecoder(&media.Track{Codec: media.AAC, Config: [][]byte{data}})
		if err != nil {
			t.Fatalf("%+v: %v", c, err)
		}
		d.Close()
	})
}
