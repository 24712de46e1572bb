package rtmp

import (
	"slices"
	"time"

	"github.com/notedit/rtmp/format/flv/flvio"

	"github.com/trunkcast/trunkcast/internal/codecconfig"
	"github.com/trunkcast/trunkcast/media"
)

// demuxer turns FLV tags into frames. It belongs to one goroutine.
type demuxer struct {
	video, audio *media.Track
	lengthSize   int // of the NAL unit lengths
	clock        tagClock
	skipped      uint64 // tags of codecs or forms not carried further
}

// tag takes one tag and returns the frame in it, nil if there is none: a
// sequence header, a codec that is not carried. The frame aliases payload. An
// error concerns this tag only.
func (d *demuxer) tag(kind byte, at uint32, payload []byte) (*media.Frame, error) {
	if len(payload) == 0 {
		return nil, nil
	}
	switch kind {
	case kindVideo:
		return d.videoTag(at, payload)
	case kindAudio:
		return d.audioTag(at, payload)
	}
	return nil, nil
}

// tracks returns the tracks seen so far.
func (d *demuxer) tracks() []*media.Track {
	var t []*media.Track
	if d.video != nil {
		t = append(t, d.video)
	}
	if d.audio != nil {
		t = append(t, d.audio)
	}
	return t
}

// videoInfo is the header of a video tag.
type videoInfo struct {
	codec  media.Codec // empty if not carried
	packet byte        // exSequenceStart, exCodedFrames or exSequenceEnd
	key    bool
	offset int32 // composition time in ms
}

// parseVideo reads the header of a video tag (FLV 10.1, section E.4.3.1;
// Enhanced RTMP v1) and returns what follows it.
func parseVideo(b []byte) (videoInfo, []byte, error) {
	var v videoInfo
	first := b[0]
	v.key = first>>4&7 == flvio.FRAME_KEY
	if first&exVideo != 0 {
		return parseExVideo(v, b)
	}
	switch first & 0xf {
	case flvio.VIDEO_H264:
		v.codec = media.H264
	case flvio.VIDEO_H265:
		v.codec = media.H265
	default:
		return v, nil, nil
	}
	if len(b) < 5 {
		return v, nil, protocolError("video tag of %d bytes", len(b))
	}
	// 0 sequence header, 1 NAL units, 2 end: the numbers of Enhanced RTMP too.
	v.packet, v.offset = b[1], int24(b[2:])
	return v, b[5:], nil
}

func parseExVideo(v videoInfo, b []byte) (videoInfo, []byte, error) {
	if len(b) < 5 {
		return v, nil, protocolError("video tag of %d bytes", len(b))
	}
	v.packet = b[0] & 0xf
	switch string(b[1:5]) {
	case fourCCHEVC:
		v.codec = media.H265
	case fourCCAVC:
		v.codec = media.H264
	}
	b = b[5:]
	switch v.packet {
	case exCodedFrames:
		if v.codec == "" {
			return v, nil, nil
		}
		if len(b) < 3 {
			return v, nil, protocolError("video tag without composition time")
		}
		v.offset, b = int24(b), b[3:]
	case exCodedFramesX:
		v.packet = exCodedFrames
	case exSequenceStart, exSequenceEnd:
	default: // metadata, multitrack, extensions
		v.codec = ""
	}
	return v, b, nil
}

func int24(b []byte) int32 {
	return int32(uint32(b[0])<<24|uint32(b[1])<<16|uint32(b[2])<<8) >> 8
}

func (d *demuxer) videoTag(at uint32, payload []byte) (*media.Frame, error) {
	v, b, err := parseVideo(payload)
	if err != nil {
		return nil, err
	}
	if v.codec == "" {
		d.skipped++
		return nil, nil
	}
	switch v.packet {
	case exSequenceStart:
		return nil, d.videoConfig(v.codec, b)
	case exCodedFrames:
		return d.videoFrame(v, at, b)
	}
	return nil, nil
}

func (d *demuxer) videoConfig(codec media.Codec, b []byte) error {
	sets, size, ok := codecconfig.Parse(codec, b)
	least := 2 // SPS and PPS
	if codec == media.H265 {
		least = 3
	}
	if !ok || len(sets) < least {
		return protocolError("bad %s configuration record", codec)
	}
	d.lengthSize = size
	d.setVideo(codecconfig.Track(codec, sets))
	return nil
}

func (d *demuxer) setVideo(t *media.Track) {
	if !sameTrack(d.video, t) {
		d.video = t
	}
}

func (d *demuxer) videoFrame(v videoInfo, at uint32, b []byte) (*media.Frame, error) {
	if d.video == nil || d.video.Codec != v.codec {
		d.skipped++ // before its sequence header
		return nil, nil
	}
	nals, sets, ok := codecconfig.Split(v.codec, b, d.lengthSize)
	if !ok {
		return nil, protocolError("bad video frame of %d bytes", len(b))
	}
	d.inBand(v.codec, sets)
	if len(nals) == 0 {
		return nil, nil
	}
	dts := d.clock.time(kindVideo, at)
	return &media.Frame{
		Track: d.video, DTS: dts, PTS: max(dts+time.Duration(v.offset)*time.Millisecond, 0),
		Key: v.key, Data: nals,
	}, nil
}

// inBand takes parameter sets that came among the NAL units of a frame.
func (d *demuxer) inBand(codec media.Codec, sets [][]byte) {
	const most = 32
	config := d.video.Config
	changed := false
	for _, n := range sets {
		if containsBytes(d.video.Config, n) {
			continue
		}
		if !changed && slices.ContainsFunc(sets, func(s []byte) bool { return codecconfig.IsSPS(codec, s) }) {
			config = nil // a new sequence: nothing of the old one counts
			for _, s := range sets {
				if !containsBytes(config, s) && len(config) < most {
					config = append(config, s)
				}
			}
			changed = true
			break
		}
		if len(config) < most {
			config = append(slices.Clip(config), n)
			changed = true
		}
	}
	if changed {
		d.setVideo(codecconfig.Track(codec, config))
	}
}

func containsBytes(list [][]byte, b []byte) bool {
	return slices.ContainsFunc(list, func(l []byte) bool { return string(l) == string(b) })
}

// audioInfo is the header of an audio tag.
type audioInfo struct {
	codec    media.Codec // empty if not carried
	packet   byte        // exSequenceStart or exCodedFrames
	channels int         // of G.711
}

// parseAudio reads the header of an audio tag (FLV 10.1, section E.4.2.1;
// Enhanced RTMP v2) and returns what follows it.
func parseAudio(b []byte) (audioInfo, []byte, error) {
	a := audioInfo{packet: exCodedFrames, channels: int(b[0]&1) + 1}
	switch format := b[0] >> 4; format {
	case exAudio >> 4:
		if len(b) < 5 {
			return a, nil, protocolError("audio tag of %d bytes", len(b))
		}
		a.packet = b[0] & 0xf
		switch string(b[1:5]) {
		case fourCCOpus:
			a.codec = media.Opus
		case fourCCAAC:
			a.codec = media.AAC
		}
		if a.packet != exSequenceStart && a.packet != exCodedFrames {
			a.codec = ""
		}
		return a, b[5:], nil
	case flvio.SOUND_AAC:
		if len(b) < 2 {
			return a, nil, protocolError("audio tag of %d bytes", len(b))
		}
		a.codec, a.packet = media.AAC, b[1] // 0 sequence header, 1 frame
		return a, b[2:], nil
	case flvio.SOUND_ALAW:
		a.codec = media.PCMA
	case flvio.SOUND_MULAW:
		a.codec = media.PCMU
	}
	return a, b[1:], nil
}

func (d *demuxer) audioTag(at uint32, payload []byte) (*media.Frame, error) {
	a, b, err := parseAudio(payload)
	if err != nil {
		return nil, err
	}
	switch {
	case a.codec == "":
		d.skipped++
		return nil, nil
	case a.packet == exSequenceStart:
		return nil, d.audioConfig(a.codec, b)
	case a.packet != exCodedFrames || len(b) == 0:
		return nil, nil
	case a.codec == media.PCMA || a.codec == media.PCMU:
		d.setAudio(&media.Track{Codec: a.codec, ClockRate: 8000, Channels: a.channels})
	case d.audio == nil || d.audio.Codec != a.codec:
		d.skipped++ // before its sequence header
		return nil, nil
	}
	at64 := d.clock.time(kindAudio, at)
	return &media.Frame{Track: d.audio, DTS: at64, PTS: at64, Data: [][]byte{b}}, nil
}

func (d *demuxer) audioConfig(codec media.Codec, b []byte) error {
	parse := aacTrack
	if codec == media.Opus {
		parse = opusTrack
	}
	t, err := parse(b)
	if err != nil {
		return err
	}
	d.setAudio(t)
	return nil
}

func (d *demuxer) setAudio(t *media.Track) {
	if !sameTrack(d.audio, t) {
		d.audio = t
	}
}

// tagClock turns the 32-bit milliseconds of tags into a timeline that starts
// at 0 and goes on over wraps and over jumps, which a publisher that was
// restarted makes. A jump is one within a kind: sound may lag behind the
// picture by seconds.
type tagClock struct {
	begun  bool
	raw    int64    // last time of either kind, unwrapped
	offset int64    // timeline = raw + offset
	before [2]int64 // last time of each kind, unwrapped
	known  [2]bool  // before is of the present beginning
	last   [2]int64 // given out, video and audio
}

// A jump of more than these, in ms, is a new beginning.
const (
	jumpBack    = 1000
	jumpForward = 60_000
	jumpGap     = 20 // left in its place
)

func (c *tagClock) time(kind byte, at uint32) time.Duration {
	if !c.begun {
		c.begun, c.raw, c.offset = true, int64(at), -int64(at)
	}
	raw := c.raw + int64(int32(at-uint32(c.raw)))
	i := 0
	if kind == kindAudio {
		i = 1
	}
	if c.jumped(i, raw) {
		c.offset = max(c.last[0], c.last[1]) + jumpGap - raw
		c.known = [2]bool{}
	}
	c.raw, c.before[i], c.known[i] = raw, raw, true
	c.last[i] = max(c.last[i], raw+c.offset)
	return time.Duration(c.last[i]) * time.Millisecond
}

// jumped tells whether raw is a new beginning. The first time of a kind in a
// beginning is held against that of the other kind.
func (c *tagClock) jumped(i int, raw int64) bool {
	if c.known[i] {
		d := raw - c.before[i]
		return d < -jumpBack || d > jumpForward
	}
	d := raw - c.raw
	return d < -jumpForward || d > jumpForward
}
