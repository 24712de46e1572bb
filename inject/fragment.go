package inject

import (
	"encoding/binary"
	"math"
)

// Bounds of a movie fragment.
const (
	maxFragment        = 16 << 20 // bytes of a moof box
	maxFragmentSamples = 1 << 16
	maxFragments       = 1 << 20
	maxSampleTicks     = math.MaxInt64 / 8
)

// Flags of tfhd and trun (ISO 14496-12, sections 8.8.7 and 8.8.8).
const (
	tfhdBaseOffset  = 0x1
	tfhdDescription = 0x2
	tfhdDuration    = 0x8
	tfhdSize        = 0x10
	tfhdFlags       = 0x20
	tfhdBaseIsMoof  = 0x20000

	trunDataOffset = 0x1
	trunFirstFlags = 0x4
	trunDuration   = 0x100
	trunSize       = 0x200
	trunFlags      = 0x400
	trunOffset     = 0x800

	// sampleNotSync is sample_is_non_sync_sample of the sample flags.
	sampleNotSync = 0x10000
)

// sampleDefaults are those of a trex or tfhd box.
type sampleDefaults struct{ duration, size, flags uint32 }

// readTrex reads the defaults of a track.
func readTrex(mvex []byte, track uint32) (d sampleDefaults) {
	const length = 24
	for len(mvex) > 0 {
		var kind string
		var body []byte
		if kind, body, mvex = nextBox(mvex); kind == "trex" && len(body) >= length && u32(body, 4) == track {
			return sampleDefaults{u32(body, 12), u32(body, 16), u32(body, 20)}
		}
	}
	return d
}

// fragSample is a sample of a fragment; times are in ticks of its track.
type fragSample struct {
	dts    int64
	offset int32 // PTS - DTS
	length uint32
	size   uint32
	key    bool
	pos    int64
}

// fragmentReader reads the samples of one track from moof boxes.
type fragmentReader struct {
	id       uint32
	defaults sampleDefaults
}

// readMoof appends the samples that a fragment has of the track. start is
// where its moof box begins, dts the end of the fragment before.
func (r *fragmentReader) readMoof(samples []fragSample, moof []byte, start, dts int64) ([]fragSample, error) {
	base := start // where the data of the traf before ended
	for count := 0; len(moof) > 0; {
		var kind string
		var body []byte
		if kind, body, moof = nextBox(moof); kind != "traf" {
			continue
		}
		if count++; count > maxTracks {
			return nil, boundsError("more than %d tracks in a fragment", maxTracks)
		}
		t, err := newTraf(body, r, start, base, dts)
		if err != nil {
			return nil, err
		}
		if samples, err = t.runs(samples, body); err != nil {
			return nil, err
		}
		base = t.pos
		if t.wanted {
			dts = t.dts
		}
	}
	return samples, nil
}

// traf is a track fragment that is being read.
type traf struct {
	wanted   bool
	defaults sampleDefaults
	base     int64
	pos      int64 // of the next sample
	dts      int64
}

func newTraf(body []byte, r *fragmentReader, moof, previous, dts int64) (*traf, error) {
	tfhd := child(body, "tfhd")
	if len(tfhd) < 8 {
		return nil, boundsError("track fragment without header")
	}
	flags := u32(tfhd, 0) & 0xffffff
	t := &traf{wanted: u32(tfhd, 4) == r.id, defaults: r.defaults, base: previous, dts: dts}
	if flags&tfhdBaseIsMoof != 0 {
		t.base = moof
	}
	f := fields{b: tfhd[8:]}
	if flags&tfhdBaseOffset != 0 {
		t.base = int64(f.u64() & math.MaxInt64)
	}
	if flags&tfhdDescription != 0 {
		f.u32()
	}
	for _, d := range []struct {
		flag uint32
		to   *uint32
	}{{tfhdDuration, &t.defaults.duration}, {tfhdSize, &t.defaults.size}, {tfhdFlags, &t.defaults.flags}} {
		if flags&d.flag != 0 {
			*d.to = f.u32()
		}
	}
	if tfdt := child(body, "tfdt"); len(tfdt) >= 8 {
		g := fields{b: tfdt[4:]}
		if tfdt[0] == 1 {
			t.dts = int64(g.u64() & math.MaxInt64)
		} else {
			t.dts = int64(g.u32())
		}
		f.short = f.short || g.short
	}
	if t.pos = t.base; f.short || t.dts > maxSampleTicks {
		return nil, boundsError("track fragment header")
	}
	return t, nil
}

// runs reads the trun boxes. Those of other tracks are followed too, because
// where they end may be where the next one begins.
func (t *traf) runs(samples []fragSample, body []byte) ([]fragSample, error) {
	for len(body) > 0 {
		var kind string
		var trun []byte
		if kind, trun, body = nextBox(body); kind != "trun" {
			continue
		}
		var err error
		if samples, err = t.run(samples, trun); err != nil {
			return nil, err
		}
	}
	return samples, nil
}

func (t *traf) run(samples []fragSample, trun []byte) ([]fragSample, error) {
	if len(trun) < 8 {
		return nil, boundsError("track run of %d bytes", len(trun))
	}
	flags, count := u32(trun, 0)&0xffffff, u32(trun, 4)
	if count > maxFragmentSamples || len(samples)+int(count) > maxFragmentSamples {
		return nil, boundsError("fragment of %d samples", count)
	}
	f := fields{b: trun[8:]}
	if flags&trunDataOffset != 0 {
		t.pos = t.base + int64(int32(f.u32()))
	}
	var first uint32
	if flags&trunFirstFlags != 0 {
		first = f.u32()
	}
	for i := range count {
		s := fragSample{dts: t.dts, length: t.defaults.duration, size: t.defaults.size, pos: t.pos}
		how := t.defaults.flags
		if flags&trunDuration != 0 {
			s.length = f.u32()
		}
		if flags&trunSize != 0 {
			s.size = f.u32()
		}
		if flags&trunFlags != 0 {
			how = f.u32()
		}
		if i == 0 && flags&trunFirstFlags != 0 {
			how = first
		}
		if flags&trunOffset != 0 {
			s.offset = int32(f.u32())
		}
		if f.short || t.dts > maxSampleTicks || t.pos < 0 {
			return nil, boundsError("track run of %d samples in %d bytes", count, len(trun))
		}
		s.key = how&sampleNotSync == 0
		t.dts += int64(s.length)
		t.pos += int64(s.size)
		if t.wanted {
			samples = append(samples, s)
		}
	}
	return samples, nil
}

// fields takes numbers off a box.
type fields struct {
	b     []byte
	short bool // there were not enough
}

func (f *fields) u32() uint32 {
	if len(f.b) < 4 {
		f.short = true
		return 0
	}
	v := binary.BigEndian.Uint32(f.b)
	f.b = f.b[4:]
	return v
}

func (f *fields) u64() uint64 {
	high := f.u32()
	return uint64(high)<<32 | uint64(f.u32())
}
