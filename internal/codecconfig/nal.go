package codecconfig

import (
	"github.com/bluenviron/mediacommon/v2/pkg/codecs/h264"
	"github.com/bluenviron/mediacommon/v2/pkg/codecs/h265"

	"github.com/trunkcast/trunkcast/media"
)

const (
	// MaxNALs bounds the NAL units of an access unit.
	MaxNALs = 512
	// maxSide bounds a picture's side in samples.
	maxSide = 16384
)

// Track returns a track with the picture size of its parameter sets.
func Track(codec media.Codec, sets [][]byte) *media.Track {
	t := &media.Track{Codec: codec, ClockRate: media.VideoClockRate, Config: sets}
	t.Width, t.Height = PictureSize(codec, sets)
	return t
}

// PictureSize is what the first SPS says in luma samples, 0 if that cannot be
// read.
func PictureSize(codec media.Codec, sets [][]byte) (width, height int) {
	for _, n := range sets {
		if len(n) < 4 || !IsSPS(codec, n) {
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

// side drops sizes that only a broken SPS has.
func side(n int) int {
	if n < 0 || n > maxSide {
		return 0
	}
	return n
}

// NALType is nal_unit_type of a NAL unit that is not empty (ITU-T H.264 section
// 7.3.1, H.265 section 7.3.1.2).
func NALType(codec media.Codec, nal []byte) int {
	if codec == media.H265 {
		return int(nal[0] >> 1 & 0x3f)
	}
	return int(nal[0] & 0x1f)
}

// IsSPS tells whether a NAL unit is a sequence parameter set.
func IsSPS(codec media.Codec, nal []byte) bool {
	if codec == media.H265 {
		return NALType(codec, nal) == int(h265.NALUType_SPS_NUT)
	}
	return NALType(codec, nal) == int(h264.NALUTypeSPS)
}

// IsSet tells whether a NAL unit is a parameter set.
func IsSet(codec media.Codec, nal []byte) bool {
	t := NALType(codec, nal)
	if codec == media.H265 {
		return t >= int(h265.NALUType_VPS_NUT) && t <= int(h265.NALUType_PPS_NUT)
	}
	return t == int(h264.NALUTypeSPS) || t == int(h264.NALUTypePPS)
}

// IsDelimiter tells whether a NAL unit is an access unit delimiter.
func IsDelimiter(codec media.Codec, nal []byte) bool {
	if codec == media.H265 {
		return NALType(codec, nal) == int(h265.NALUType_AUD_NUT)
	}
	return NALType(codec, nal) == int(h264.NALUTypeAccessUnitDelimiter)
}

// Split cuts an access unit, each NAL unit after its length of lengthSize
// bytes, into those that a media.Frame carries and the parameter sets; both
// alias b. Delimiters and empty ones are dropped.
func Split(codec media.Codec, b []byte, lengthSize int) (nals, sets [][]byte, ok bool) {
	for count := 0; len(b) > 0; count++ {
		if len(b) < lengthSize || count == MaxNALs {
			return nil, nil, false
		}
		n := 0
		for _, c := range b[:lengthSize] {
			n = n<<8 | int(c)
		}
		b = b[lengthSize:]
		if n > len(b) {
			return nil, nil, false
		}
		nal := b[:n:n]
		b = b[n:]
		switch {
		case n == 0 || IsDelimiter(codec, nal):
		case IsSet(codec, nal):
			sets = append(sets, nal)
		default:
			nals = append(nals, nal)
		}
	}
	return nals, sets, true
}
