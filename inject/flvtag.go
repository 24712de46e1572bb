package inject

import (
	"errors"
	"fmt"
	"time"

	"github.com/trunkcast/trunkcast/media"
)

// Video tags (FLV 10.1, section E.4.3.1; Enhanced RTMP v1): frame type and
// codec in one byte, or a packet type in the codec's place and a FourCC.
const (
	flvExtended = 0x80
	flvKeyFrame = 1

	flvConfig  = 0 // sequence header
	flvFrames  = 1
	flvFramesX = 3 // without composition time

	flvAVC  = 7
	flvHEVC = 12 // never registered, but written
)

// Audio tags (section E.4.2.1; Enhanced RTMP v2).
const (
	flvALaw  = 7
	flvMuLaw = 8
	flvExt   = 9
	flvAAC   = 10
)

// errDamaged tells that a tag cannot be used; the next one may.
var errDamaged = errors.New("inject: damaged FLV tag")

// frame takes a tag of the track and returns the frame in it, nil if there is
// none.
func (k *flvTrack) frame(t flvTag, b []byte) (*media.Frame, error) {
	if k.kind == flvVideo {
		return k.videoFrame(t, b)
	}
	return k.audioFrame(t, b)
}

// flvPacket is what stands before the data of a tag.
type flvPacket struct {
	codec  media.Codec
	kind   byte // flvConfig, flvFrames; others carry nothing
	key    bool
	offset time.Duration // PTS - DTS
	data   []byte
}

func parseVideoTag(b []byte) (p flvPacket, err error) {
	const header = 5
	if len(b) < header {
		return p, errDamaged
	}
	p.key = b[0]>>4&7 == flvKeyFrame
	p.kind = b[1]
	p.data = b[header:]
	timed := true // the composition time is in the header
	if b[0]&flvExtended != 0 {
		p.kind, timed = b[0]&0xf, false
		switch string(b[1:header]) {
		case "avc1":
			p.codec = media.H264
		case "hvc1":
			p.codec = media.H265
		default:
			return p, &ErrUnsupportedCodec{Codec: printable(b[1:header])}
		}
	} else {
		switch b[0] & 0xf {
		case flvAVC:
			p.codec = media.H264
		case flvHEVC:
			p.codec = media.H265
		default:
			return p, &ErrUnsupportedCodec{Codec: "FLV video", Reason: fmt.Sprintf("codec %d", b[0]&0xf)}
		}
	}
	switch {
	case p.kind == flvFrames && timed:
		p.offset = int24(b[2:])
	case p.kind == flvFrames && len(p.data) < 3:
		return p, errDamaged
	case p.kind == flvFrames:
		p.offset, p.data = int24(p.data), p.data[3:]
	case p.kind == flvFramesX && !timed:
		p.kind = flvFrames
	}
	return p, nil
}

func int24(b []byte) time.Duration {
	return time.Duration(int32(uint32(b[0])<<24|uint32(b[1])<<16|uint32(b[2])<<8)>>8) * time.Millisecond
}

func (k *flvTrack) videoFrame(t flvTag, b []byte) (*media.Frame, error) {
	if b[0]>>4&7 == 5 { // a command to the player
		return nil, nil
	}
	p, err := parseVideoTag(b)
	if err != nil {
		return nil, err
	}
	switch p.kind {
	case flvConfig:
		v, err := newVideoTrack(p.codec, p.data)
		if err != nil {
			return nil, err
		}
		if k.video == nil || k.video.lengthSize != v.lengthSize || !sameTrack(k.video.track, v.track) {
			k.video = v
		}
		return nil, nil
	case flvFrames:
	default:
		return nil, nil
	}
	if k.video == nil || k.video.track.Codec != p.codec {
		return nil, errDamaged // before its sequence header
	}
	nals, _, ok := k.video.unit(p.data)
	if !ok {
		return nil, errDamaged
	}
	if len(nals) == 0 {
		return nil, nil
	}
	return &media.Frame{Track: k.video.track, DTS: t.at, PTS: t.at + p.offset, Key: p.key, Data: nals}, nil
}

// sameTrack tells whether frames of one need no notice for the other.
func sameTrack(a, b *media.Track) bool {
	if a.Codec != b.Codec || len(a.Config) != len(b.Config) {
		return false
	}
	for _, n := range b.Config {
		if !contains(a.Config, n) {
			return false
		}
	}
	return true
}

func parseAudioTag(b []byte) (p flvPacket, err error) {
	p = flvPacket{kind: flvFrames, data: b[1:]}
	switch format := b[0] >> 4; format {
	case flvALaw:
		p.codec = media.PCMA
	case flvMuLaw:
		p.codec = media.PCMU
	case flvAAC:
		if len(b) < 2 {
			return p, errDamaged
		}
		p.codec, p.kind, p.data = media.AAC, b[1], b[2:]
	case flvExt:
		const header = 5
		if len(b) < header {
			return p, errDamaged
		}
		p.kind, p.data = b[0]&0xf, b[header:]
		switch string(b[1:header]) {
		case "Opus":
			p.codec = media.Opus
		case "mp4a":
			p.codec = media.AAC
		default:
			return p, &ErrUnsupportedCodec{Codec: printable(b[1:header])}
		}
	case 2, 14:
		return p, &ErrUnsupportedCodec{Codec: "MP3"}
	default:
		return p, &ErrUnsupportedCodec{Codec: "FLV audio", Reason: fmt.Sprintf("format %d", format)}
	}
	return p, nil
}

func (k *flvTrack) audioFrame(t flvTag, b []byte) (*media.Frame, error) {
	p, err := parseAudioTag(b)
	if err != nil {
		return nil, err
	}
	if p.kind != flvConfig && p.kind != flvFrames || len(p.data) == 0 {
		return nil, nil
	}
	switch {
	case p.codec == media.PCMA || p.codec == media.PCMU:
		if k.audio == nil || k.audio.Codec != p.codec {
			k.audio = &media.Track{Codec: p.codec, ClockRate: 8000, Channels: int(b[0]&1) + 1}
		}
		if k.audio.Channels != 1 {
			return nil, &ErrUnsupportedCodec{Codec: string(p.codec), Reason: "2 channels"}
		}
	case p.kind == flvConfig:
		track, err := flvAudioTrack(p)
		if err != nil {
			return nil, err
		}
		if k.audio == nil || !sameTrack(k.audio, track) || k.audio.Channels != track.Channels {
			k.audio = track
		}
		return nil, nil
	case k.audio == nil || k.audio.Codec != p.codec:
		return nil, errDamaged // before its sequence header
	}
	return &media.Frame{Track: k.audio, DTS: t.at, PTS: t.at, Data: [][]byte{p.data}}, nil
}

func flvAudioTrack(p flvPacket) (*media.Track, error) {
	if p.codec == media.Opus {
		t, _, err := opusHead(p.data)
		return t, err
	}
	return aacTrack(p.data)
}
