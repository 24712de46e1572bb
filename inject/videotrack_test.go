package inject

import (
	"bytes"
	"testing"

	"github.com/trunkcast/trunkcast/internal/codecconfig"
	"github.com/trunkcast/trunkcast/media"
)

// unit puts NAL units behind lengths of four bytes.
func unit(nals ...[]byte) (b []byte) {
	for _, n := range nals {
		b = append(b, 0, 0, 0, byte(len(n)))
		b = append(b, n...)
	}
	return b
}

// TestUnit takes access units as cameras and editors write them.
func TestUnit(t *testing.T) {
	sps, pps, pps2 := []byte{0x67, 66, 0xc0, 30, 1}, []byte{0x68, 1}, []byte{0x68, 2}
	sps2 := []byte{0x67, 66, 0xc0, 31, 2}
	idr, slice, sei, delimiter := []byte{0x65, 1}, []byte{0x41, 1}, []byte{0x06, 1}, []byte{0x09, 0xf0}
	v := &videoTrack{lengthSize: 4}
	v.set(media.H264, [][]byte{sps, pps})
	for _, c := range []struct {
		name    string
		in      []byte
		out     [][]byte
		random  bool
		changed bool
		config  [][]byte
	}{
		{"key frame", unit(delimiter, sei, idr), [][]byte{sei, idr}, true, false, [][]byte{sps, pps}},
		{"the same sets again", unit(sps, pps, idr), [][]byte{idr}, true, false, [][]byte{sps, pps}},
		{"another PPS", unit(pps2, slice), [][]byte{slice}, false, true, [][]byte{sps, pps, pps2}},
		{"another sequence", unit(sps2, pps2, idr), [][]byte{idr}, true, true, [][]byte{sps2, pps2}},
		{"an SPS alone", unit(sps, idr), [][]byte{idr}, true, true, [][]byte{sps, pps2}},
		{"empty NAL units", unit(nil, slice, nil), [][]byte{slice}, false, false, [][]byte{sps, pps2}},
		{"nothing in it", nil, nil, false, false, [][]byte{sps, pps2}},
	} {
		t.Run(c.name, func(t *testing.T) {
			before := v.track
			nals, random, ok := v.unit(c.in)
			if !ok || random != c.random || !equal(nals, c.out) {
				t.Errorf("got %x, random access %v, ok %v", nals, random, ok)
			}
			if (v.track != before) != c.changed {
				t.Errorf("the track changed: %v", !c.changed)
			}
			if !equal(v.track.Config, c.config) {
				t.Errorf("configuration %x", v.track.Config)
			}
		})
	}
	before := v.track
	for name, in := range map[string][]byte{
		"length past the end": {0, 0, 0, 9, 0x65}, "half a length": {0, 0, 0}, "huge": {0xff, 0xff, 0xff, 0xff, 0x65},
		"sets, then damage": append(unit(sps2), 0, 0, 0, 9, 0x65), "many": bytes.Repeat([]byte{0, 0, 0, 1, 0x41}, codecconfig.MaxNALs+1),
	} {
		if _, _, ok := v.unit(in); ok || v.track != before {
			t.Errorf("%s: ok %v, track changed %v", name, ok, v.track != before)
		}
	}
}

func equal(a, b [][]byte) bool {
	if len(a) != len(b) {
		return false
	}
	for i := range a {
		if !bytes.Equal(a[i], b[i]) {
			return false
		}
	}
	return true
}

// TestOpusLength is RFC 6716, table 2 and section 3.2.
func TestOpusLength(t *testing.T) {
	for _, c := range []struct {
		packet []byte
		want   int
	}{
		{[]byte{0 << 3}, 480}, {[]byte{3 << 3}, 2880}, {[]byte{13 << 3}, 960}, {[]byte{16 << 3}, 120},
		{[]byte{31 << 3}, 960}, {[]byte{31<<3 | 1}, 1920}, {[]byte{31<<3 | 3, 6}, 5760}, {[]byte{31<<3 | 3, 7}, 0},
		{[]byte{31<<3 | 3}, 0}, {[]byte{3<<3 | 2}, 5760}, {nil, 0},
	} {
		if got := opusPacketLength(c.packet); got != c.want {
			t.Errorf("packet %x: %d samples, want %d", c.packet, got, c.want)
		}
	}
}
