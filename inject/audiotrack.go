package inject

import (
	"bytes"
	"encoding/binary"
	"fmt"

	"github.com/bluenviron/mediacommon/v2/pkg/codecs/mpeg4audio"

	"github.com/trunkcast/trunkcast/media"
)

// aacTrack reads an AudioSpecificConfig (ISO 14496-3, section 1.6.2.1). Only
// AAC-LC of one or two channels is carried.
func aacTrack(b []byte) (*media.Track, error) {
	const longest = 64
	if len(b) < 2 || len(b) > longest {
		return nil, boundsError("AudioSpecificConfig of %d bytes", len(b))
	}
	if name := aacProfile(b[0] >> 3); name != "" {
		return nil, &ErrUnsupportedCodec{Codec: name}
	}
	var c mpeg4audio.AudioSpecificConfig
	if err := c.Unmarshal(b); err != nil {
		return nil, &ErrUnsupportedCodec{Codec: "AAC", Reason: err.Error()}
	}
	if c.ChannelConfig != 1 && c.ChannelConfig != 2 {
		return nil, &ErrUnsupportedCodec{Codec: "AAC", Reason: fmt.Sprintf("channel configuration %d", c.ChannelConfig)}
	}
	if c.SampleRate < 7350 || c.SampleRate > 96000 {
		return nil, &ErrUnsupportedCodec{Codec: "AAC", Reason: fmt.Sprintf("%d Hz", c.SampleRate)}
	}
	return &media.Track{
		Codec: media.AAC, ClockRate: c.SampleRate, Channels: int(c.ChannelConfig), Config: [][]byte{bytes.Clone(b)},
	}, nil
}

// aacProfile names the audio object types that are not carried (ISO 14496-3,
// table 1.17), empty for AAC-LC.
func aacProfile(objectType byte) string {
	switch objectType {
	case 2:
		return ""
	case 1:
		return "AAC Main"
	case 3:
		return "AAC SSR"
	case 4:
		return "AAC LTP"
	case 5:
		return "HE-AAC"
	case 29:
		return "HE-AACv2"
	default:
		return fmt.Sprintf("MPEG-4 audio object type %d", objectType)
	}
}

// opusTrack checks the number of channels and the mapping family (RFC 7845,
// section 5.1.1): family 0 is one Opus stream of one or two channels.
func opusTrack(channels, family byte) (*media.Track, error) {
	if family != 0 || channels != 1 && channels != 2 {
		return nil, &ErrUnsupportedCodec{Codec: "Opus",
			Reason: fmt.Sprintf("%d channels, mapping family %d", channels, family)}
	}
	return &media.Track{Codec: media.Opus, ClockRate: 48000, Channels: int(channels)}, nil
}

// The object types of DecoderConfigDescriptor (ISO 14496-1, table 5) that
// stand for AAC.
const (
	objectMPEG4Audio = 0x40
	objectMPEG2LC    = 0x67
	objectMP3        = 0x6b
	objectMP3Low     = 0x69
)

// esdsTrack reads the body of an esds box: descriptors in one another
// (ISO 14496-1, section 7.2.6).
func esdsTrack(b []byte) (*media.Track, error) {
	const version = 4
	if len(b) < version {
		return nil, boundsError("esds box of %d bytes", len(b))
	}
	es, ok := descriptor(b[version:], 3)
	if !ok || len(es) < 3 {
		return nil, boundsError("esds box without an elementary stream")
	}
	flags := es[2]
	skip := 3
	if flags&0x80 != 0 { // depends on another stream
		skip += 2
	}
	if flags&0x40 != 0 && len(es) > skip { // has a URL
		skip += 1 + int(es[skip])
	}
	if flags&0x20 != 0 { // has a clock of its own
		skip += 2
	}
	if skip > len(es) {
		return nil, boundsError("esds box cut short")
	}
	config, ok := descriptor(es[skip:], 4)
	const fixed = 13
	if !ok || len(config) < fixed {
		return nil, boundsError("esds box without decoder configuration")
	}
	switch config[0] {
	case objectMPEG4Audio, objectMPEG2LC:
	case objectMP3, objectMP3Low:
		return nil, &ErrUnsupportedCodec{Codec: "MP3"}
	default:
		return nil, &ErrUnsupportedCodec{Codec: "mp4a", Reason: fmt.Sprintf("object type %#x", config[0])}
	}
	specific, ok := descriptor(config[fixed:], 5)
	if !ok {
		return nil, boundsError("esds box without AudioSpecificConfig")
	}
	return aacTrack(specific)
}

// descriptor finds the first descriptor with that tag. Its length has seven
// bits a byte, in four bytes at most.
func descriptor(b []byte, tag byte) ([]byte, bool) {
	for len(b) >= 2 {
		kind := b[0]
		n, used := 0, 0
		for used < 4 && used+1 < len(b) {
			c := b[1+used]
			used++
			n = n<<7 | int(c&0x7f)
			if c&0x80 == 0 {
				break
			}
		}
		b = b[1+used:]
		if n > len(b) {
			return nil, false
		}
		if kind == tag {
			return b[:n], true
		}
		b = b[n:]
	}
	return nil, false
}

// opusPacketLength is the number of samples at 48 kHz in an Opus packet
// (RFC 6716, section 3.1), 0 if it is none.
func opusPacketLength(b []byte) int {
	if len(b) == 0 {
		return 0
	}
	config := int(b[0] >> 3)
	var frame int
	switch {
	case config < 12: // SILK: 10, 20, 40, 60 ms
		frame = [...]int{480, 960, 1920, 2880}[config%4]
	case config < 16: // hybrid: 10, 20 ms
		frame = [...]int{480, 960}[config%2]
	default: // CELT: 2.5, 5, 10, 20 ms
		frame = 120 << (config % 4)
	}
	count := 1
	switch b[0] & 3 {
	case 1, 2:
		count = 2
	case 3:
		if len(b) < 2 {
			return 0
		}
		count = int(b[1] & 0x3f)
	}
	const longest = 5760 // 120 ms
	if n := frame * count; n <= longest {
		return n
	}
	return 0
}

// opusHead reads an identification header (RFC 7845, section 5.1) and returns
// the samples to skip at the start.
func opusHead(b []byte) (t *media.Track, preSkip int, err error) {
	if len(b) < 19 || string(b[:8]) != "OpusHead" || b[8]>>4 != 0 {
		return nil, 0, boundsError("Opus identification header of %d bytes", len(b))
	}
	t, err = opusTrack(b[9], b[18])
	return t, int(binary.LittleEndian.Uint16(b[10:])), err
}
