package rtmp

import (
	"encoding/binary"
	"errors"

	"github.com/bluenviron/mediacommon/v2/pkg/codecs/mpeg4audio"

	"github.com/trunkcast/trunkcast/media"
)

var errNoAudioConfig = errors.New("rtmp: AAC track without its AudioSpecificConfig")

// opusHead builds the identification header of an Opus stream (RFC 7845,
// section 5.1), which is its sequence header in Enhanced RTMP.
func opusHead(t *media.Track) []byte {
	if len(t.Config) > 0 && len(t.Config[0]) >= 19 && string(t.Config[0][:8]) == "OpusHead" {
		return t.Config[0]
	}
	b := append([]byte("OpusHead"), 1, byte(max(t.Channels, 1)))
	b = binary.LittleEndian.AppendUint16(b, 0) // pre-skip: the sender's delay is in the times already
	b = binary.LittleEndian.AppendUint32(b, 48000)
	return append(b, 0, 0, 0) // output gain, channel mapping family 0
}

// opusTrack reads what opusHead writes.
func opusTrack(b []byte) (*media.Track, error) {
	if len(b) < 19 || string(b[:8]) != "OpusHead" {
		return nil, protocolError("bad Opus identification header")
	}
	channels := int(b[9])
	if channels != 1 && channels != 2 {
		return nil, protocolError("Opus of %d channels", channels)
	}
	return &media.Track{Codec: media.Opus, ClockRate: 48000, Channels: channels}, nil
}

// aacTrack returns the track of an AudioSpecificConfig.
func aacTrack(b []byte) (*media.Track, error) {
	if len(b) > 64 {
		return nil, protocolError("AudioSpecificConfig of %d bytes", len(b))
	}
	var c mpeg4audio.AudioSpecificConfig
	if err := c.Unmarshal(b); err != nil {
		return nil, protocolError("AudioSpecificConfig: %v", err)
	}
	channels := int(c.ChannelConfig)
	if channels != 1 && channels != 2 {
		return nil, protocolError("AAC of channel configuration %d", channels)
	}
	rate := c.SampleRate
	if c.ExtensionSampleRate > rate {
		rate = c.ExtensionSampleRate
	}
	if rate < 7350 || rate > 96000 {
		return nil, protocolError("AAC of %d Hz", rate)
	}
	return &media.Track{Codec: media.AAC, ClockRate: rate, Channels: channels, Config: [][]byte{b}}, nil
}
