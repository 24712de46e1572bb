package record

import (
	"errors"
	"fmt"

	"github.com/bluenviron/mediacommon/v2/pkg/codecs/h264"
	"github.com/bluenviron/mediacommon/v2/pkg/codecs/h265"
	"github.com/bluenviron/mediacommon/v2/pkg/codecs/mpeg4audio"

	"github.com/trunkcast/trunkcast/media"
)

var errNoParameterSets = errors.New("no usable parameter sets")

// sampleEntry returns the box that describes the frames of a track. Parameter
// sets stand in the samples too, and may change there. For H.265 the entry
// says so ("hev1", ISO 14496-15, section 8.4.1). For H.264 that would be
// "avc3", which VLC 3 does not play at all; it and ffmpeg follow the sets in
// the samples of "avc1" just as well.
func sampleEntry(t *media.Track) ([]byte, error) {
	var w boxes
	var err error
	switch t.Codec {
	case media.H264:
		err = videoEntry(&w, t, "avc1", "avcC")
	case media.H265:
		err = videoEntry(&w, t, "hev1", "hvcC")
	case media.AAC:
		err = aacEntry(&w, t)
	case media.Opus:
		opusEntry(&w, t)
	default:
		err = &ErrUnsupportedTrack{t.Codec, MP4, "unknown codec"}
	}
	return w.b, err
}

// visualEntryHead is the length of a VisualSampleEntry before its boxes (ISO
// 14496-12, section 12.1.3), with the header of the box.
const visualEntryHead = 86

func videoEntry(w *boxes, t *media.Track, kind, recordKind string) error {
	record, err := configRecord(t)
	if err != nil {
		return err
	}
	width, height := pictureSize(t)
	w.box(kind, func() {
		w.zeros(6)
		w.u16(1)    // data_reference_index
		w.zeros(16) // pre_defined and reserved
		w.u16(uint16(width))
		w.u16(uint16(height))
		w.u32(0x480000) // 72 dpi
		w.u32(0x480000)
		w.u32(0)
		w.u16(1)    // frame_count
		w.zeros(32) // compressorname
		w.u16(0x18) // depth
		w.u16(0xffff)
		w.box(recordKind, func() { w.u8(record...) })
	})
	return nil
}

func audioEntryHead(w *boxes, t *media.Track) {
	w.zeros(6)
	w.u16(1) // data_reference_index
	w.zeros(8)
	w.u16(uint16(t.Channels))
	w.u16(16) // samplesize, a template
	w.u32(0)
	w.u32(uint32(t.ClockRate&0xffff) << 16) // 0 where it does not fit: the codec tells
}

// aacEntry has the ES descriptor of ISO 14496-14, section 5.6.
func aacEntry(w *boxes, t *media.Track) error {
	if _, err := audioConfig(t); err != nil {
		return err
	}
	config := t.Config[0]
	// Each descriptor is a tag, a length in one byte, and the content (ISO
	// 14496-1, section 8.3.3).
	const decoder, stream = 13, 3
	specific := 2 + len(config)
	w.box("mp4a", func() {
		audioEntryHead(w, t)
		w.full("esds", 0, 0, func() {
			w.u8(3, byte(stream+2+decoder+specific+3), 0, 0, 0) // ES_Descriptor, ES_ID, flags
			w.u8(4, byte(decoder+specific), 0x40, 0x15)         // DecoderConfigDescriptor: AAC, audio
			w.u8(0, 0, 0)                                       // bufferSizeDB
			w.u32(128000)                                       // maxBitrate
			w.u32(128000)                                       // avgBitrate
			w.u8(5, byte(len(config)))                          // DecoderSpecificInfo
			w.u8(config...)
			w.u8(6, 1, 2) // SLConfigDescriptor: MP4
		})
	})
	return nil
}

// opusEntry follows "Encapsulation of Opus in ISO Base Media File Format",
// section 4.3. The pre-skip is 0: the delay of the encoder is in the times
// already.
func opusEntry(w *boxes, t *media.Track) {
	w.box("Opus", func() {
		audioEntryHead(w, t)
		w.box("dOps", func() {
			w.u8(0, byte(t.Channels))
			w.u16(0)     // PreSkip
			w.u32(48000) // InputSampleRate
			w.u16(0)     // OutputGain
			w.u8(0)      // ChannelMappingFamily
		})
	})
}

// audioConfig reads the AudioSpecificConfig of an AAC track.
func audioConfig(t *media.Track) (*mpeg4audio.AudioSpecificConfig, error) {
	if len(t.Config) == 0 || len(t.Config[0]) > 64 {
		return nil, errors.New("no usable AudioSpecificConfig")
	}
	c := &mpeg4audio.AudioSpecificConfig{}
	if err := c.Unmarshal(t.Config[0]); err != nil {
		return nil, fmt.Errorf("AudioSpecificConfig: %w", err)
	}
	return c, nil
}

// configRecord returns the configuration record of a video track.
func configRecord(t *media.Track) ([]byte, error) {
	for _, n := range t.Config {
		if len(n) == 0 || len(n) > 0xffff {
			return nil, errNoParameterSets
		}
	}
	if t.Codec == media.H265 {
		return hevcRecord(t.Config)
	}
	return avcRecord(t.Config)
}

// avcRecord builds the AVCDecoderConfigurationRecord (ISO 14496-15, section
// 5.3.3.1).
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
	w := boxes{[]byte{1, sps[0][1], sps[0][2], sps[0][3], 0xff, 0xe0 | byte(len(sps))}}
	w.sets(sps)
	w.u8(byte(len(pps)))
	w.sets(pps)
	switch sps[0][1] {
	case 100, 110, 122, 144: // the High profiles have chroma format and bit depths
		var s h264.SPS
		if s.Unmarshal(sps[0]) == nil {
			w.u8(0xfc|byte(s.ChromaFormatIdc), 0xf8|byte(s.BitDepthLumaMinus8), 0xf8|byte(s.BitDepthChromaMinus8), 0)
		}
	}
	return w.b, nil
}

func (w *boxes) sets(sets [][]byte) {
	for _, n := range sets {
		w.u16(uint16(len(n)))
		w.u8(n...)
	}
}

// hevcFixed is the length of a HEVCDecoderConfigurationRecord before its
// arrays.
const hevcFixed = 23

// hevcRecord builds the HEVCDecoderConfigurationRecord (ISO 14496-15, section
// 8.3.3.1) with arrays that are not complete, as "hev1" has them.
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
	w := boxes{append([]byte{1}, level[3:15]...)}
	nested := byte(0)
	if sps.TemporalIDNestingFlag {
		nested = 4
	}
	w.u8(0xf0, 0, // min_spatial_segmentation_idc
		0xfc, // parallelismType
		0xfc|byte(sps.ChromaFormatIdc), 0xf8|byte(sps.BitDepthLumaMinus8), 0xf8|byte(sps.BitDepthChromaMinus8),
		0, 0, // avgFrameRate
		(sps.MaxSubLayersMinus1+1)&7<<3|nested|3, byte(len(order)))
	for _, t := range order {
		w.u8(byte(t))
		w.u16(uint16(len(byType[t])))
		w.sets(byType[t])
	}
	return w.b, nil
}

// complete turns an entry with parameter sets in the samples into the one
// that says there are none. That of H.264 says so already.
func complete(entry []byte) {
	if len(entry) >= 8 && string(entry[4:8]) == "hev1" {
		copy(entry[4:], "hvc1")
		completeArrays(entry)
	}
}

// completeArrays sets array_completeness in the record of an entry.
func completeArrays(entry []byte) {
	at := visualEntryHead + 8 + hevcFixed
	for at+3 <= len(entry) {
		entry[at] |= 0x80
		count := int(entry[at+1])<<8 | int(entry[at+2])
		at += 3
		for range count {
			if at+2 > len(entry) {
				return
			}
			at += 2 + int(entry[at])<<8 + int(entry[at+1])
		}
	}
}

// pictureSize returns the size in luma samples, 0 if it is not known.
func pictureSize(t *media.Track) (width, height int) {
	if t.Width > 0 && t.Height > 0 {
		return min(t.Width, 0xffff), min(t.Height, 0xffff)
	}
	for _, n := range t.Config {
		switch {
		case len(n) < 4:
		case t.Codec == media.H264 && n[0]&0x1f == 7:
			var s h264.SPS
			if s.Unmarshal(n) == nil {
				return sane(s.Width()), sane(s.Height())
			}
		case t.Codec == media.H265 && h265.NALUType(n[0]>>1&0x3f) == h265.NALUType_SPS_NUT:
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

// isParameterSet tells whether a NAL unit with that first byte is one.
func isParameterSet(h265Video bool, header byte) bool {
	if h265Video {
		t := header >> 1 & 0x3f
		return t >= 32 && t <= 34 // VPS, SPS, PPS
	}
	t := header & 0x1f
	return t == 7 || t == 8
}
