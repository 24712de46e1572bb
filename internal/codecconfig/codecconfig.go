// Package codecconfig reads and writes the configuration of H.264 and H.265 as
// MP4 and FLV have it (ISO 14496-15), and takes apart their access units.
package codecconfig

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"

	"github.com/bluenviron/mediacommon/v2/pkg/codecs/h264"
	"github.com/bluenviron/mediacommon/v2/pkg/codecs/h265"

	"github.com/trunkcast/trunkcast/media"
)

// ErrNoParameterSets tells that a track's parameter sets cannot be used.
var ErrNoParameterSets = errors.New("no usable parameter sets")

const (
	// HEVCFixed is the length of an HEVCDecoderConfigurationRecord before its
	// arrays, in bytes.
	HEVCFixed = 23
	// maxSet bounds a parameter set in bytes: its length has 16 bits.
	maxSet = 0xffff
)

// Record builds the AVCDecoderConfigurationRecord or the
// HEVCDecoderConfigurationRecord of a track's parameter sets. complete tells
// that H.265 has none in its access units; a record of H.264 does not say.
func Record(codec media.Codec, sets [][]byte, complete bool) ([]byte, error) {
	for _, n := range sets {
		if len(n) == 0 || len(n) > maxSet {
			return nil, ErrNoParameterSets
		}
	}
	if codec == media.H265 {
		return hevcRecord(sets, complete)
	}
	return avcRecord(sets)
}

// avcRecord follows ISO 14496-15, section 5.3.3.1.
func avcRecord(sets [][]byte) ([]byte, error) {
	var sps, pps [][]byte
	for _, n := range sets {
		switch NALType(media.H264, n) {
		case int(h264.NALUTypeSPS):
			if len(n) >= 4 {
				sps = append(sps, n)
			}
		case int(h264.NALUTypePPS):
			if len(n) >= 2 {
				pps = append(pps, n)
			}
		}
	}
	if len(sps) == 0 || len(pps) == 0 || len(sps) > 31 || len(pps) > 255 {
		return nil, ErrNoParameterSets
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

// hevcRecord follows ISO 14496-15, section 8.3.3.1.
func hevcRecord(sets [][]byte, complete bool) ([]byte, error) {
	byType := map[h265.NALUType][][]byte{}
	for _, n := range sets {
		if len(n) > 2 {
			t := h265.NALUType(NALType(media.H265, n))
			byType[t] = append(byType[t], n)
		}
	}
	order := []h265.NALUType{h265.NALUType_VPS_NUT, h265.NALUType_SPS_NUT, h265.NALUType_PPS_NUT}
	for _, t := range order {
		if len(byType[t]) == 0 {
			return nil, ErrNoParameterSets
		}
	}
	raw := byType[h265.NALUType_SPS_NUT][0]
	var sps h265.SPS
	if err := sps.Unmarshal(raw); err != nil {
		return nil, fmt.Errorf("%w: %w", ErrNoParameterSets, err)
	}
	// The profile, tier and level stand after the two bytes of the NAL unit
	// header and one byte of the SPS (ITU-T H.265, sections 7.3.2.2 and 7.3.3).
	level := h264.EmulationPreventionRemove(raw[:min(len(raw), 32)])
	if len(level) < 15 {
		return nil, ErrNoParameterSets
	}
	b := append([]byte{1}, level[3:15]...)
	b = append(b,
		0xf0, 0, // min_spatial_segmentation_idc
		0xfc, // parallelismType
		0xfc|byte(sps.ChromaFormatIdc), 0xf8|byte(sps.BitDepthLumaMinus8), 0xf8|byte(sps.BitDepthChromaMinus8),
		0, 0, // avgFrameRate
		(sps.MaxSubLayersMinus1+1)&7<<3|bit(sps.TemporalIDNestingFlag)<<2|3, // lengthSizeMinusOne
		byte(len(order)))
	for _, t := range order {
		b = append(b, bit(complete)<<7|byte(t))
		b = binary.BigEndian.AppendUint16(b, uint16(len(byType[t])))
		b = appendSets(b, byType[t])
	}
	return b, nil
}

func bit(flag bool) byte {
	if flag {
		return 1
	}
	return 0
}

// Complete sets array_completeness in an HEVCDecoderConfigurationRecord.
func Complete(record []byte) {
	for at := HEVCFixed; at+3 <= len(record); {
		record[at] |= 0x80
		count := int(binary.BigEndian.Uint16(record[at+1:]))
		at += 3
		for range count {
			if at+2 > len(record) {
				return
			}
			at += 2 + int(binary.BigEndian.Uint16(record[at:]))
		}
	}
}

// Parse reads what Record builds: the parameter sets, which do not alias b,
// and the number of bytes of the length before each NAL unit of the access
// units. There may be no sets in it.
func Parse(codec media.Codec, b []byte) (sets [][]byte, lengthSize int, ok bool) {
	if codec == media.H265 {
		return parseHEVC(b)
	}
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

func parseHEVC(b []byte) (sets [][]byte, lengthSize int, ok bool) {
	if len(b) < HEVCFixed {
		return nil, 0, false
	}
	lengthSize = int(b[21]&3) + 1
	arrays := int(b[22])
	b = b[HEVCFixed:]
	for range arrays {
		if len(b) < 3 {
			return nil, 0, false
		}
		kind := h265.NALUType(b[0] & 0x3f)
		var cut [][]byte
		if cut, b, ok = cutSets(nil, b[3:], int(binary.BigEndian.Uint16(b[1:]))); !ok {
			return nil, 0, false
		}
		if kind >= h265.NALUType_VPS_NUT && kind <= h265.NALUType_PPS_NUT {
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
