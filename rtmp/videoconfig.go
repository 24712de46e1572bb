package rtmp

import (
	"encoding/binary"
	"errors"
	"fmt"

	"github.com/bluenviron/mediacommon/v2/pkg/codecs/h264"
	"github.com/bluenviron/mediacommon/v2/pkg/codecs/h265"

	"github.com/trunkcast/trunkcast/media"
)

var errNoParameterSets = errors.New("rtmp: video track without good parameter sets")

// avcRecord builds the AVCDecoderConfigurationRecord (ISO 14496-15, section
// 5.3.3.1) of a track's parameter sets.
func avcRecord(sets [][]byte) ([]byte, error) {
	var sps, pps [][]byte
	for _, n := range sets {
		switch {
		case len(n) < 2:
		case n[0]&0x1f == 7 && len(n) >= 4:
			sps = append(sps, n)
		case n[0]&0x1f == 8:
			pps = append(pps, n)
		}
	}
	if len(sps) == 0 || len(pps) == 0 || len(sps) > 31 || len(pps) > 255 {
		return nil, errNoParameterSets
	}
	b := []byte{1, sps[0][1], sps[0][2], sps[0][3], 0xff, 0xe0 | byte(len(sps))}
	b = appendSets(b, sps)
	b = append(b, byte(len(pps)))
	b = appendSets(b, pps)
	return appendHighProfile(b, sps[0]), nil
}

// appendHighProfile appends chroma format and bit depths, which the record
// has for the High profiles.
func appendHighProfile(b, sps []byte) []byte {
	switch sps[1] {
	case 100, 110, 122, 144:
		var s h264.SPS
		if s.Unmarshal(sps) == nil {
			return append(b, 0xfc|byte(s.ChromaFormatIdc), 0xf8|byte(s.BitDepthLumaMinus8),
				0xf8|byte(s.BitDepthChromaMinus8), 0)
		}
	}
	return b
}

func appendSets(b []byte, sets [][]byte) []byte {
	for _, n := range sets {
		b = binary.BigEndian.AppendUint16(b, uint16(len(n)))
		b = append(b, n...)
	}
	return b
}

// parseAVCRecord returns the parameter sets of a record and the size of the
// length before each NAL unit of the frames.
func parseAVCRecord(b []byte) (sets [][]byte, lengthSize int, err error) {
	if len(b) < 7 || b[0] != 1 {
		return nil, 0, protocolError("bad AVC configuration record")
	}
	lengthSize = int(b[4]&3) + 1
	count, b := int(b[5]&0x1f), b[6:]
	if sets, b, err = takeSets(nil, b, count); err != nil || len(b) == 0 {
		return nil, 0, protocolError("bad AVC configuration record")
	}
	if sets, _, err = takeSets(sets, b[1:], int(b[0])); err != nil || len(sets) < 2 {
		return nil, 0, protocolError("AVC configuration record without parameter sets")
	}
	return sets, lengthSize, nil
}

func takeSets(sets [][]byte, b []byte, count int) (_ [][]byte, rest []byte, err error) {
	for range count {
		if len(b) < 2 {
			return nil, nil, protocolError("parameter set cut short")
		}
		n := int(binary.BigEndian.Uint16(b))
		if len(b) < 2+n {
			return nil, nil, protocolError("parameter set cut short")
		}
		if n > 0 {
			sets = append(sets, b[2:2+n:2+n])
		}
		b = b[2+n:]
	}
	return sets, b, nil
}

// hevcRecord builds the HEVCDecoderConfigurationRecord (ISO 14496-15, section
// 8.3.3.1).
func hevcRecord(sets [][]byte) ([]byte, error) {
	byType := map[h265.NALUType][][]byte{}
	for _, n := range sets {
		if len(n) > 2 {
			t := h265.NALUType(n[0] >> 1 & 0x3f)
			byType[t] = append(byType[t], n)
		}
	}
	order := []h265.NALUType{h265.NALUType_VPS_NUT, h265.NALUType_SPS_NUT, h265.NALUType_PPS_NUT}
	for _, t := range order {
		if len(byType[t]) == 0 {
			return nil, errNoParameterSets
		}
	}
	raw := byType[h265.NALUType_SPS_NUT][0]
	var sps h265.SPS
	if err := sps.Unmarshal(raw); err != nil {
		return nil, fmt.Errorf("%w: %w", errNoParameterSets, err)
	}
	// The profile, tier and level stand after the two bytes of the NAL unit
	// header and one byte of the SPS (ITU-T H.265, sections 7.3.2.2 and 7.3.3).
	level := h264.EmulationPreventionRemove(raw[:min(len(raw), 32)])
	if len(level) < 15 {
		return nil, errNoParameterSets
	}
	b := append([]byte{1}, level[3:15]...)
	b = append(b,
		0xf0, 0, // min_spatial_segmentation_idc
		0xfc, // parallelismType
		0xfc|byte(sps.ChromaFormatIdc), 0xf8|byte(sps.BitDepthLumaMinus8), 0xf8|byte(sps.BitDepthChromaMinus8),
		0, 0, // avgFrameRate
		(sps.MaxSubLayersMinus1+1)&7<<3|nested(sps.TemporalIDNestingFlag)|3,
		byte(len(order)))
	for _, t := range order {
		b = append(b, 0x80|byte(t))
		b = binary.BigEndian.AppendUint16(b, uint16(len(byType[t])))
		b = appendSets(b, byType[t])
	}
	return b, nil
}

func nested(flag bool) byte {
	if flag {
		return 4
	}
	return 0
}

// parseHEVCRecord is for H.265 what parseAVCRecord is for H.264.
func parseHEVCRecord(b []byte) (sets [][]byte, lengthSize int, err error) {
	const fixed = 23
	if len(b) < fixed {
		return nil, 0, protocolError("bad HEVC configuration record")
	}
	lengthSize = int(b[21]&3) + 1
	arrays, b := int(b[22]), b[fixed:]
	for range arrays {
		if len(b) < 3 {
			return nil, 0, protocolError("bad HEVC configuration record")
		}
		if sets, b, err = takeSets(sets, b[3:], int(binary.BigEndian.Uint16(b[1:]))); err != nil {
			return nil, 0, err
		}
	}
	if len(sets) < 3 {
		return nil, 0, protocolError("HEVC configuration record without parameter sets")
	}
	return sets, lengthSize, nil
}

// videoTrack returns a track with the picture size of its parameter sets.
func videoTrack(codec media.Codec, sets [][]byte) *media.Track {
	t := &media.Track{Codec: codec, ClockRate: media.VideoClockRate, Config: sets}
	t.Width, t.Height = pictureSize(codec, sets)
	return t
}

// pictureSize reads the size of the pictures in luma samples from the SPS; 0
// if it cannot be read.
func pictureSize(codec media.Codec, sets [][]byte) (width, height int) {
	for _, n := range sets {
		switch {
		case len(n) < 4:
		case codec == media.H264 && n[0]&0x1f == 7:
			var s h264.SPS
			if s.Unmarshal(n) == nil {
				return sane(s.Width()), sane(s.Height())
			}
		case codec == media.H265 && h265.NALUType(n[0]>>1&0x3f) == h265.NALUType_SPS_NUT:
			var s h265.SPS
			if s.Unmarshal(n) == nil {
				return sane(s.Width()), sane(s.Height())
			}
		}
	}
	return 0, 0
}

// sane drops sizes that only a broken SPS has.
func sane(n int) int {
	if n < 0 || n > 16384 {
		return 0
	}
	return n
}

// splitNALs cuts a frame into its NAL units. Those that a media.Frame does
// not carry go elsewhere: parameter sets are returned apart, access unit
// delimiters dropped.
func splitNALs(codec media.Codec, b []byte, lengthSize int) (nals, sets [][]byte, err error) {
	const most = 512 // NAL units of an access unit
	for count := 0; len(b) > 0; count++ {
		if len(b) < lengthSize || count == most {
			return nil, nil, protocolError("bad video frame")
		}
		n := 0
		for _, v := range b[:lengthSize] {
			n = n<<8 | int(v)
		}
		b = b[lengthSize:]
		if n > len(b) {
			return nil, nil, protocolError("NAL unit of %d bytes in %d", n, len(b))
		}
		if n > 0 {
			switch nal := b[:n:n]; nalRole(codec, nal[0]) {
			case nalData:
				nals = append(nals, nal)
			case nalSet:
				sets = append(sets, nal)
			}
		}
		b = b[n:]
	}
	return nals, sets, nil
}

const (
	nalData = iota
	nalSet
	nalDelimiter
)

func nalRole(codec media.Codec, header byte) int {
	if codec == media.H264 {
		switch header & 0x1f {
		case 7, 8:
			return nalSet
		case 9:
			return nalDelimiter
		}
		return nalData
	}
	switch h265.NALUType(header >> 1 & 0x3f) {
	case h265.NALUType_VPS_NUT, h265.NALUType_SPS_NUT, h265.NALUType_PPS_NUT:
		return nalSet
	case h265.NALUType_AUD_NUT:
		return nalDelimiter
	}
	return nalData
}
