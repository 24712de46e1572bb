package inject

import (
	"bytes"
	"slices"

	"github.com/bluenviron/mediacommon/v2/pkg/codecs/h264"
	"github.com/bluenviron/mediacommon/v2/pkg/codecs/h265"

	"github.com/trunkcast/trunkcast/internal/codecconfig"
	"github.com/trunkcast/trunkcast/media"
)

// maxSets bounds the parameter sets of a video track.
const maxSets = 32

// videoTrack turns the access units of a file into the data of frames. It
// keeps the track as it is now: parameter sets between the pictures change it.
type videoTrack struct {
	track      *media.Track
	lengthSize int // of the number of bytes before each NAL unit
}

// newVideoTrack reads an AVCDecoderConfigurationRecord or an
// HEVCDecoderConfigurationRecord (ISO 14496-15, sections 5.3.3.1 and 8.3.3.1).
func newVideoTrack(codec media.Codec, record []byte) (*videoTrack, error) {
	sets, lengthSize, ok := codecconfig.Parse(codec, record)
	if !ok || len(sets) > maxSets {
		return nil, boundsError("%s configuration of %d bytes with %d parameter sets", codec, len(record), len(sets))
	}
	v := &videoTrack{lengthSize: lengthSize}
	v.set(codec, sets)
	return v, nil
}

func (v *videoTrack) set(codec media.Codec, sets [][]byte) {
	v.track = codecconfig.Track(codec, sets)
}

// isRandomAccess tells whether a NAL unit is of a picture at which decoding
// can start.
func isRandomAccess(codec media.Codec, nal []byte) bool {
	t := codecconfig.NALType(codec, nal)
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
	nals, sets, ok := codecconfig.Split(codec, b, v.lengthSize)
	if !ok {
		return nil, false, false
	}
	for _, nal := range nals {
		random = random || isRandomAccess(codec, nal)
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
	if !slices.ContainsFunc(sets, func(n []byte) bool { return codecconfig.IsSPS(codec, n) }) {
		config = slices.Clone(old) // another PPS for the same sequence
	}
	for _, n := range sets {
		if !contains(config, n) && len(config) < maxSets {
			config = append(config, bytes.Clone(n)) // the access unit must not be kept alive by it
		}
	}
	for _, n := range old {
		missing := !slices.ContainsFunc(config, func(c []byte) bool { return codecconfig.NALType(codec, c) == codecconfig.NALType(codec, n) })
		if missing && len(config) < maxSets {
			config = append(config, n)
		}
	}
	slices.SortStableFunc(config, func(a, b []byte) int { return codecconfig.NALType(codec, a) - codecconfig.NALType(codec, b) })
	v.set(codec, config)
}

func contains(sets [][]byte, n []byte) bool {
	return slices.ContainsFunc(sets, func(s []byte) bool { return bytes.Equal(s, n) })
}
