package inject

import (
	"bytes"
	"encoding/binary"
	"slices"

	"github.com/bluenviron/mediacommon/v2/pkg/codecs/h264"
	"github.com/bluenviron/mediacommon/v2/pkg/codecs/h265"

	"github.com/trunkcast/trunkcast/media"
)

// Bounds of a video track.
const (
	maxNALs = 512   // NAL units of an access unit
	maxSets = 32    // parameter sets
	maxSide = 16384 // samples of a picture's side
)

// videoTrack turns the access units of a file into the data of frames. It
// keeps the track as it is now: parameter sets between the pictures change it.
type videoTrack struct {
	track      *media.Track
	lengthSize int // of the number of bytes before each NAL unit
}

// newVideoTrack reads an AVCDecoderConfigurationRecord or an
// HEVCDecoderConfigurationRecord (ISO 14496-15, sections 5.3.3.1 and 8.3.3.1).
func newVideoTrack(codec media.Codec, record []byte) (*videoTrack, error) {
	var v videoTrack
	var sets [][]byte
	var ok bool
	if codec == media.H264 {
		sets, v.lengthSize, ok = parseAVCRecord(record)
	} else {
		sets, v.lengthSize, ok = parseHEVCRecord(record)
	}
	if !ok || len(sets) > maxSets {
		return nil, boundsError("%s configuration of %d bytes with %d parameter sets", codec, len(record), len(sets))
	}
	v.set(codec, sets)
	return &v, nil
}

// parseAVCRecord returns the parameter sets, and the size of NAL unit lengths.
func parseAVCRecord(b []byte) (sets [][]byte, lengthSize int, ok bool) {
	if len(b) < 7 || b[0] != 1 {
		return nil, 0, false
	}
	lengthSize = int(b[4]&3) + 1
	sets, rest, ok := cutSets(nil, b[6:], int(b[5]&0x1f))
	if !ok || len(rest) == 0 {
		return nil, 0, false
	}
	sets, _, ok = cutSets(sets, rest[1:], int(rest[0]))
	return sets, lengthSize, ok
}

func parseHEVCRecord(b []byte) (sets [][]byte, lengthSize int, ok bool) {
	const fixed = 23
	if len(b) < fixed {
		return nil, 0, false
	}
	lengthSize = int(b[21]&3) + 1
	arrays := int(b[22])
	b = b[fixed:]
	for range arrays {
		if len(b) < 3 {
			return nil, 0, false
		}
		kind := b[0] & 0x3f
		var cut [][]byte
		if cut, b, ok = cutSets(nil, b[3:], int(binary.BigEndian.Uint16(b[1:]))); !ok {
			return nil, 0, false
		}
		if h265.NALUType(kind) >= h265.NALUType_VPS_NUT && h265.NALUType(kind) <= h265.NALUType_PPS_NUT {
			sets = append(sets, cut...) // not the SEI messages that may be here too
		}
	}
	return sets, lengthSize, true
}

// cutSets takes count NAL units, each after its length in 16 bits.
func cutSets(sets [][]byte, b []byte, count int) (_ [][]byte, rest []byte, ok bool) {
	for range count {
		if len(b) < 2 {
			return nil, nil, false
		}
		n := int(binary.BigEndian.Uint16(b))
		if len(b) < 2+n {
			return nil, nil, false
		}
		if n > 0 {
			sets = append(sets, bytes.Clone(b[2:2+n]))
		}
		b = b[2+n:]
	}
	return sets, b, true
}

func (v *videoTrack) set(codec media.Codec, sets [][]byte) {
	t := &media.Track{Codec: codec, ClockRate: media.VideoClockRate, Config: sets}
	t.Width, t.Height = pictureSize(codec, sets)
	v.track = t
}

// pictureSize is what the first SPS says, 0 if that cannot be read.
func pictureSize(codec media.Codec, sets [][]byte) (width, height int) {
	for _, n := range sets {
		if len(n) < 4 || !isSPS(codec, n) {
			continue
		}
		if codec == media.H264 {
			var s h264.SPS
			if s.Unmarshal(n) == nil {
				return side(s.Width()), side(s.Height())
			}
		} else {
			var s h265.SPS
			if s.Unmarshal(n) == nil {
				return side(s.Width()), side(s.Height())
			}
		}
	}
	return 0, 0
}

func side(n int) int {
	if n < 0 || n > maxSide {
		return 0
	}
	return n
}

// nalType is nal_unit_type (ITU-T H.264 section 7.3.1, H.265 section 7.3.1.2).
func nalType(codec media.Codec, nal []byte) int {
	if codec == media.H264 {
		return int(nal[0] & 0x1f)
	}
	return int(nal[0] >> 1 & 0x3f)
}

func isSPS(codec media.Codec, nal []byte) bool {
	if codec == media.H264 {
		return nalType(codec, nal) == int(h264.NALUTypeSPS)
	}
	return nalType(codec, nal) == int(h265.NALUType_SPS_NUT)
}

// isSet tells whether a NAL unit is a parameter set.
func isSet(codec media.Codec, nal []byte) bool {
	t := nalType(codec, nal)
	if codec == media.H264 {
		return t == int(h264.NALUTypeSPS) || t == int(h264.NALUTypePPS)
	}
	return t >= int(h265.NALUType_VPS_NUT) && t <= int(h265.NALUType_PPS_NUT)
}

// isDelimiter tells whether a NAL unit is an access unit delimiter.
func isDelimiter(codec media.Codec, nal []byte) bool {
	if codec == media.H264 {
		return nalType(codec, nal) == int(h264.NALUTypeAccessUnitDelimiter)
	}
	return nalType(codec, nal) == int(h265.NALUType_AUD_NUT)
}

// isRandomAccess tells whether a NAL unit is of a picture at which decoding
// can start.
func isRandomAccess(codec media.Codec, nal []byte) bool {
	t := nalType(codec, nal)
	if codec == media.H264 {
		return t == int(h264.NALUTypeIDR)
	}
	return t >= int(h265.NALUType_BLA_W_LP) && t <= int(h265.NALUType_CRA_NUT)
}

// unit cuts an access unit into the NAL units that a frame carries, which
// alias b. Parameter sets in it make v.track another one if they are new. A
// damaged one gives false and leaves v as it is.
func (v *videoTrack) unit(b []byte) (nals [][]byte, random, ok bool) {
	codec := v.track.Codec
	var sets [][]byte
	for count := 0; len(b) > 0; count++ {
		if len(b) < v.lengthSize || count == maxNALs {
			return nil, false, false
		}
		n := 0
		for _, c := range b[:v.lengthSize] {
			n = n<<8 | int(c)
		}
		b = b[v.lengthSize:]
		if n > len(b) {
			return nil, false, false
		}
		nal := b[:n:n]
		b = b[n:]
		switch {
		case n == 0 || isDelimiter(codec, nal):
		case isSet(codec, nal):
			sets = append(sets, nal)
		default:
			random = random || isRandomAccess(codec, nal)
			nals = append(nals, nal)
		}
	}
	v.inBand(codec, sets)
	return nals, random, true
}

// inBand takes the parameter sets that stood in an access unit. A new SPS (or
// VPS) begins a sequence of which only the sets beside it are known; where it
// comes without one of its kinds, the old ones of that kind go on.
func (v *videoTrack) inBand(codec media.Codec, sets [][]byte) {
	old := v.track.Config
	if !slices.ContainsFunc(sets, func(n []byte) bool { return !contains(old, n) }) {
		return
	}
	var config [][]byte
	if !slices.ContainsFunc(sets, func(n []byte) bool { return isSPS(codec, n) }) {
		config = slices.Clone(old) // another PPS for the same sequence
	}
	for _, n := range sets {
		if !contains(config, n) && len(config) < maxSets {
			config = append(config, bytes.Clone(n)) // the access unit must not be kept alive by it
		}
	}
	for _, n := range old {
		missing := !slices.ContainsFunc(config, func(c []byte) bool { return nalType(codec, c) == nalType(codec, n) })
		if missing && len(config) < maxSets {
			config = append(config, n)
		}
	}
	slices.SortStableFunc(config, func(a, b []byte) int { return nalType(codec, a) - nalType(codec, b) })
	v.set(codec, config)
}

func contains(sets [][]byte, n []byte) bool {
	return slices.ContainsFunc(sets, func(s []byte) bool { return bytes.Equal(s, n) })
}
