package codecconfig

import (
	"bytes"
	"encoding/hex"
	"errors"
	"runtime"
	"slices"
	"testing"

	"github.com/trunkcast/trunkcast/media"
)

func unhex(t testing.TB, texts ...string) (list [][]byte) {
	t.Helper()
	for _, text := range texts {
		b, err := hex.DecodeString(text)
		if err != nil {
			t.Fatal(err)
		}
		list = append(list, b)
	}
	return list
}

// avcSets and hevcSets are of x264 (High) and x265, 320x180.
func avcSets(t testing.TB) [][]byte {
	return unhex(t, "6764000cacd941419f9f011000000300100000030320f1429960", "68ebe3cb22c0")
}

func hevcSets(t testing.TB) [][]byte {
	return unhex(t, "40010c01ffff01600000030090000003000003003c959809",
		"42010101600000030090000003000003003ca00a080b9f796566924caf016808000003000800000300c840", "4401c172b46240")
}

// TestRecord builds records, whose fixed part is known, and reads them.
func TestRecord(t *testing.T) {
	for _, c := range []struct {
		codec    media.Codec
		sets     [][]byte
		complete bool
		head     string
		tail     string
	}{
		{media.H264, avcSets(t), false, "0164000cffe1001a67", "22c0fdf8f800"},
		{media.H265, hevcSets(t), true, "0101600000009000000000003cf000fcfdf8f800000f03a00001001840", "b46240"},
		{media.H265, hevcSets(t), false, "0101600000009000000000003cf000fcfdf8f800000f03200001001840", "b46240"},
	} {
		b, err := Record(c.codec, c.sets, c.complete)
		if err != nil {
			t.Fatal(err)
		}
		head, tail := unhex(t, c.head)[0], unhex(t, c.tail)[0]
		if !bytes.HasPrefix(b, head) || !bytes.HasSuffix(b, tail) {
			t.Errorf("%s: record %x, want %x ... %x", c.codec, b, head, tail)
		}
		sets, length, ok := Parse(c.codec, b)
		if !ok || length != 4 || !slices.EqualFunc(sets, c.sets, bytes.Equal) {
			t.Errorf("%s: read %x, %d, %v", c.codec, sets, length, ok)
		}
		b[len(b)-1]++
		if !slices.EqualFunc(sets, c.sets, bytes.Equal) {
			t.Errorf("%s: the sets alias the record", c.codec)
		}
		if w, h := PictureSize(c.codec, sets); w != 320 || h != 180 {
			t.Errorf("%s: %dx%d", c.codec, w, h)
		}
	}
	open, _ := Record(media.H265, hevcSets(t), false)
	closed, _ := Record(media.H265, hevcSets(t), true)
	if Complete(open); !bytes.Equal(open, closed) {
		t.Errorf("completed %x, want %x", open, closed)
	}
}

func TestRecordErrors(t *testing.T) {
	avc, hevc := avcSets(t), hevcSets(t)
	for name, c := range map[string]struct {
		codec media.Codec
		sets  [][]byte
	}{
		"nothing": {media.H264, nil}, "no PPS": {media.H264, avc[:1]}, "no SPS": {media.H264, avc[1:]},
		"short SPS": {media.H264, [][]byte{avc[0][:3], avc[1]}}, "empty one": {media.H264, append(slices.Clone(avc), nil)},
		"too long": {media.H264, append(slices.Clone(avc), make([]byte, maxSet+1))},
		"too many": {media.H264, append(slices.Repeat([][]byte{avc[0]}, 32), avc[1])},
		"no VPS":   {media.H265, hevc[1:]}, "broken SPS": {media.H265, [][]byte{hevc[0], hevc[1][:6], hevc[2]}},
		"of the other codec": {media.H265, avc},
	} {
		if _, err := Record(c.codec, c.sets, true); !errors.Is(err, ErrNoParameterSets) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestSplit(t *testing.T) {
	unit := []byte{0, 2, 0x09, 0xf0, 0, 2, 0x67, 1, 0, 0, 0, 2, 0x68, 2, 0, 1, 0x65}
	nals, sets, ok := Split(media.H264, unit, 2)
	if !ok || !slices.EqualFunc(nals, [][]byte{{0x65}}, bytes.Equal) || !slices.EqualFunc(sets, [][]byte{{0x67, 1}, {0x68, 2}}, bytes.Equal) {
		t.Errorf("H.264: %x, %x, %v", nals, sets, ok)
	}
	unit = []byte{3, 0x46, 1, 0x50, 2, 0x42, 1, 2, 0x26, 1}
	nals, sets, ok = Split(media.H265, unit, 1)
	if !ok || !slices.EqualFunc(nals, [][]byte{{0x26, 1}}, bytes.Equal) || !slices.EqualFunc(sets, [][]byte{{0x42, 1}}, bytes.Equal) {
		t.Errorf("H.265: %x, %x, %v", nals, sets, ok)
	}
	for name, b := range map[string][]byte{
		"half a length": {0}, "past the end": {0, 3, 0x65}, "many": bytes.Repeat([]byte{0, 1, 0x65}, MaxNALs+1),
	} {
		if _, _, ok := Split(media.H264, b, 2); ok {
			t.Errorf("%s: taken", name)
		}
	}
}

// FuzzParse reads records and access units: it does not panic, and takes no
// more memory than a few times what it is given.
func FuzzParse(f *testing.F) {
	avc, _ := Record(media.H264, avcSets(f), true)
	hevc, _ := Record(media.H265, hevcSets(f), true)
	f.Add(avc)
	f.Add(hevc)
	f.Add([]byte{0, 0, 0, 1, 0x65, 0, 0, 0, 1, 0x67})
	f.Fuzz(func(t *testing.T, b []byte) {
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		for _, codec := range []media.Codec{media.H264, media.H265} {
			if sets, length, ok := Parse(codec, b); ok {
				PictureSize(codec, sets)
				if length < 1 || length > 4 {
					t.Errorf("lengths of %d bytes", length)
				}
				if record, err := Record(codec, sets, false); err == nil {
					if again, _, ok := Parse(codec, record); !ok || len(again) == 0 {
						t.Errorf("own record %x not read", record)
					}
				}
			}
			for size := 1; size <= 4; size++ {
				_, _, _ = Split(codec, b, size)
			}
		}
		Complete(bytes.Clone(b))
		runtime.ReadMemStats(&after)
		if used := after.TotalAlloc - before.TotalAlloc; used > 4<<20+100*uint64(len(b)) {
			t.Errorf("%d bytes allocated for %d", used, len(b))
		}
	})
}
