package rtpio

import (
	"bytes"
	"slices"

	"github.com/bluenviron/mediacommon/v2/pkg/codecs/h264"
	"github.com/bluenviron/mediacommon/v2/pkg/codecs/h265"

	"github.com/trunkcast/trunkcast/internal/depacketize"
	"github.com/trunkcast/trunkcast/media"
)

const (
	// maxParams bounds the parameter sets of one type that are kept,
	// maxParamSize their bytes.
	maxParams    = 16
	maxParamSize = 4096
	// maxSide bounds width and height: what is beyond is not said.
	maxSide = 16384
)

// paramSet is one VPS, SPS or PPS.
type paramSet struct {
	id  uint32
	ref uint32 // of a PPS: its SPS
	nal []byte
}

// paramSets are the parameter sets of a video stream, and the track that they
// make.
type paramSets struct {
	codec         media.Codec
	vps, sps, pps []paramSet
	changed       bool
	active        uint32 // SPS in use
	track         *media.Track
	depth         int // pictures that may be out of order, by the SPS
}

// put takes a parameter set, of which it keeps a copy if it is new.
func (s *paramSets) put(kind depacketize.Kind, nal []byte) {
	if len(nal) > maxParamSize || len(nal) < 3 {
		return
	}
	list, set, ok := &s.vps, paramSet{}, true
	switch {
	case kind == depacketize.VPS:
		set.id = uint32(nal[2] >> 4)
	case kind == depacketize.SPS:
		list = &s.sps
		if known(*list, nal) {
			return
		}
		set.id, ok = s.spsID(nal)
	case s.codec == media.H265:
		list = &s.pps
		set.id, set.ref, ok = depacketize.H265PPSIDs(nal)
	default:
		list = &s.pps
		set.id, set.ref, ok = depacketize.H264PPSIDs(nal)
	}
	if !ok || known(*list, nal) {
		return
	}
	set.nal = bytes.Clone(nal)
	s.changed = true
	if i := slices.IndexFunc(*list, func(p paramSet) bool { return p.id == set.id }); i >= 0 {
		(*list)[i] = set
		return
	}
	if len(*list) >= maxParams {
		*list = slices.Delete(*list, 0, 1)
	}
	*list = append(*list, set)
}

func known(list []paramSet, nal []byte) bool {
	return slices.ContainsFunc(list, func(p paramSet) bool { return bytes.Equal(p.nal, nal) })
}

func (s *paramSets) spsID(nal []byte) (uint32, bool) {
	if s.codec == media.H264 {
		return depacketize.H264SPSID(nal)
	}
	// The number of an H.265 SPS stands behind a part of variable length.
	// What follows it may have things in it that the parser does not know.
	var sps h265.SPS
	err := sps.Unmarshal(nal)
	return uint32(sps.ID), err == nil || sps.PicWidthInLumaSamples > 0
}

// use returns the track for a picture whose slices name that PPS; nil if not
// all that it needs is known.
func (s *paramSets) use(pps uint32) *media.Track {
	i := slices.IndexFunc(s.pps, func(p paramSet) bool { return p.id == pps })
	if i < 0 {
		return nil
	}
	active := s.pps[i].ref
	if s.track != nil && !s.changed && active == s.active {
		return s.track
	}
	i = slices.IndexFunc(s.sps, func(p paramSet) bool { return p.id == active })
	if i < 0 || s.codec == media.H265 && len(s.vps) == 0 {
		return nil
	}
	s.active, s.changed = active, false
	sps := s.sps[i].nal
	var config [][]byte
	for _, p := range s.vps {
		config = append(config, p.nal)
	}
	config = append(config, sps)
	for _, p := range s.pps {
		if p.ref == active {
			config = append(config, p.nal)
		}
	}
	if s.track != nil && slices.EqualFunc(config, s.track.Config, bytes.Equal) {
		return s.track
	}
	t := &media.Track{Codec: s.codec, ClockRate: media.VideoClockRate, Config: config}
	t.Width, t.Height, s.depth = describeSPS(s.codec, sps)
	s.track = t
	return t
}

// describeSPS reads size and reordering depth; 0 if they are not to be had.
func describeSPS(codec media.Codec, nal []byte) (width, height, depth int) {
	if codec == media.H265 {
		var sps h265.SPS
		_ = sps.Unmarshal(nal) // size and depth come before what it may refuse
		if n := len(sps.MaxNumReorderPics); n > 0 {
			depth = int(min(sps.MaxNumReorderPics[n-1], maxReorder))
		}
		if sps.ChromaFormatIdc > 3 {
			return 0, 0, depth
		}
		width, height = sps.Width(), sps.Height()
	} else {
		var sps h264.SPS
		if sps.Unmarshal(nal) != nil {
			return 0, 0, 0
		}
		width, height, depth = sps.Width(), sps.Height(), depthH264(&sps)
	}
	if width <= 0 || height <= 0 || width > maxSide || height > maxSide {
		width, height = 0, 0
	}
	return width, height, depth
}

// depthH264 is max_num_reorder_frames, or what goes without saying: Baseline
// has no B pictures, picture order type 2 no reordering. An SPS that says
// nothing is taken for one without; the pictures will tell.
func depthH264(sps *h264.SPS) int {
	const baseline = 66
	switch {
	case sps.ProfileIdc == baseline, sps.PicOrderCntType == 2,
		sps.VUI == nil, sps.VUI.BitstreamRestriction == nil:
		return 0
	default:
		return int(min(sps.VUI.BitstreamRestriction.MaxNumReorderFrames, maxReorder))
	}
}
