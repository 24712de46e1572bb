package rtmp

import (
	"bytes"
	"errors"
	"math"
	"strings"
	"testing"

	"github.com/notedit/rtmp/format/flv/flvio"
)

func TestAMFGuard(t *testing.T) {
	keys := []byte{3}
	for range maxAMFKeys + 1 {
		keys = append(keys, 0, 1, 'k', 5)
	}
	for _, tt := range []struct {
		name string
		in   []byte
	}{
		{"nested without end", bytes.Repeat([]byte{3, 0, 1, 'a'}, 10000)},
		{"array of 4 G", unhex("0a ffffffff 05")},
		{"nested arrays", bytes.Repeat(unhex("0a 00000001"), 5000)},
		{"many keys", append(keys, 0, 0, 9)},
		{"64 KiB and more", make([]byte, maxAMFBytes+1)},
		{"long string cut", unhex("0c 7fffffff 61")},
		{"number cut", unhex("00 0000")},
		{"AMF3 inside", unhex("11 0a")},
		{"typed object", unhex("10 0001 61")},
		{"empty key", unhex("03 0000 05")},
	} {
		t.Run(tt.name, func(t *testing.T) {
			var err error
			n := allocated(func() { _, err = decodeAMF(tt.in, false) })
			if !errors.Is(err, ErrProtocol) {
				t.Errorf("got %v", err)
			}
			if n > 16<<10 {
				t.Errorf("%d bytes allocated", n)
			}
		})
	}
	if _, err := decodeAMF(unhex("0a 0b 01"), true); !errors.Is(err, ErrProtocol) {
		t.Errorf("AMF3: %v", err)
	}
}

func TestCommandRoundTrip(t *testing.T) {
	object := flvio.AMFMap{{K: "app", V: "live"}, {K: "list", V: flvio.AMFArray{"a", 1.0, nil}}}
	b := encodeAMF("connect", 1, object, "name", true)
	for _, m := range []message{{kind: kindCommand, payload: b}, {kind: kindCommandAMF3, payload: append([]byte{0}, b...)}} {
		c, err := decodeCommand(m)
		if err != nil {
			t.Fatal(err)
		}
		if app, _ := c.object.GetString("app"); c.name != "connect" || c.id != 1 || app != "live" || c.text(0) != "name" || c.text(1) != "" || c.text(9) != "" {
			t.Errorf("got %+v", c)
		}
	}
	for _, b := range [][]byte{nil, encodeAMF(1.0), encodeAMF(nil)} {
		if _, err := decodeCommand(message{kind: kindCommand, payload: b}); !errors.Is(err, ErrProtocol) {
			t.Errorf("%x: %v", b, err)
		}
	}
	// One value is enough: some servers send "close" so.
	if c, err := decodeCommand(message{kind: kindCommand, payload: encodeAMF("close")}); err != nil || c.name != "close" {
		t.Errorf("got %+v, %v", c, err)
	}
}

func TestMetadata(t *testing.T) {
	var out tagBuffer
	var got []byte
	out.emit = func(_ byte, _ uint32, p []byte) { got = p }
	var m muxer
	m.metadata(&out, h264Track(spsSD), audioTrack("AAC"))
	vals, err := decodeAMF(got, false)
	if err != nil || len(vals) != 3 || vals[0] != "@setDataFrame" || vals[1] != "onMetaData" {
		t.Fatalf("got %v, %v", vals, err)
	}
	meta := vals[2].(flvio.AMFMap)
	for k, want := range map[string]float64{
		"width": 640, "height": 360, "videocodecid": 7, "audiocodecid": 10, "audiosamplerate": 48000, "audiochannels": 1,
	} {
		if v, _ := meta.GetFloat64(k); v != want {
			t.Errorf("%s is %v, want %v", k, v, want)
		}
	}
	m.metadata(&out, h265Track(), audioTrack("OPUS"))
	vals, _ = decodeAMF(got, false)
	if v, _ := vals[2].(flvio.AMFMap).GetFloat64("videocodecid"); v != 0x68766331 {
		t.Errorf("videocodecid of H.265 is %v", v)
	}
}

func FuzzDecodeAMF(f *testing.F) {
	f.Add(encodeAMF("connect", 1, flvio.AMFMap{{K: "app", V: "live"}}, true, nil))
	f.Add(encodeAMF("onMetaData", ecmaArray(describe(h264Track(spsHD), audioTrack("AAC")))))
	f.Add(unhex("0a 00000003 05 05 05 0b 0000000000000000 0000"))
	f.Add([]byte(strings.Repeat("\x0a\x00\x00\x00\x01", 15) + "\x05"))
	f.Fuzz(func(t *testing.T, b []byte) {
		var vals []any
		var err error
		n := uint64(math.MaxUint64)
		for range 3 { // the least: the fuzzer allocates meanwhile
			n = min(n, allocated(func() { vals, err = decodeAMF(b, false) }))
		}
		if most := uint64(4096 + 128*len(b)); n > most {
			t.Errorf("%d bytes allocated for %d", n, len(b))
		}
		if err != nil && !errors.Is(err, ErrProtocol) {
			t.Errorf("error of another kind: %v", err)
		}
		_, _ = decodeCommand(message{kind: kindCommandAMF3, payload: b})
		if err == nil && len(vals) > 0 && len(vals) > len(b) {
			t.Errorf("%d values from %d bytes", len(vals), len(b))
		}
	})
}
