package record

import (
	"errors"
	"fmt"

	"github.com/bluenviron/mediacommon/v2/pkg/codecs/mpeg4audio"

	"github.com/trunkcast/trunkcast/internal/codecconfig"
	"github.com/trunkcast/trunkcast/media"
)

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
	// Parameter sets stand in the samples too: the arrays are not complete.
	record, err := codecconfig.Record(t.Codec, t.Config, false)
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

// complete turns an entry with parameter sets in the samples into the one
// that says there are none. That of H.264 says so already.
func complete(entry []byte) {
	if len(entry) >= 8 && string(entry[4:8]) == "hev1" {
		copy(entry[4:], "hvc1")
		codecconfig.Complete(entry[min(visualEntryHead+8, len(entry)):])
	}
}

// pictureSize returns the size in luma samples, 0 if it is not known.
func pictureSize(t *media.Track) (width, height int) {
	if t.Width > 0 && t.Height > 0 {
		return min(t.Width, 0xffff), min(t.Height, 0xffff)
	}
	return codecconfig.PictureSize(t.Codec, t.Config)
}

// isParameterSet tells whether a NAL unit with that first byte is one.
func isParameterSet(h265Video bool, header byte) bool {
	codec := media.H264
	if h265Video {
		codec = media.H265
	}
	return codecconfig.IsSet(codec, []byte{header})
}
