package rtmp

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"slices"
	"time"

	"github.com/notedit/rtmp/format/flv/flvio"

	"github.com/trunkcast/trunkcast/internal/codecconfig"
	"github.com/trunkcast/trunkcast/media"
)

// FourCCs of Enhanced RTMP v1.
const (
	fourCCHEVC = "hvc1"
	fourCCAVC  = "avc1"
	fourCCOpus = "Opus"
	fourCCAAC  = "mp4a"
)

// Packet types of Enhanced RTMP v1.
const (
	exSequenceStart = 0
	exCodedFrames   = 1
	exSequenceEnd   = 2
	exCodedFramesX  = 3 // video without a composition time
)

const (
	exVideo = 0x80                                 // IsExHeader
	exAudio = 9 << 4                               // SoundFormat ExHeader
	aacHead = flvio.SOUND_AAC<<4 | 3<<2 | 1<<1 | 1 // always says 44 kHz, 16 bit, stereo
)

// tagWriter takes the payload of a tag in pieces.
type tagWriter interface {
	begin(csid, kind byte, stream, time uint32, n int)
	bytes(p []byte)
}

// muxer turns frames into FLV tags of one message stream. It belongs to one
// goroutine at a time.
type muxer struct {
	stream       uint32
	video, audio *media.Track // as announced to the peer
	videoMS      int64        // time of the last tag of each kind
	audioMS      int64
	clamped      uint64 // times that would have gone back
	scratch      [16]byte
	// inBand puts the parameter sets into key frames too, for players that pass
	// over a second sequence header.
	inBand bool
}

// supported tells whether FLV can carry c.
func supported(c media.Codec) bool {
	switch c {
	case media.H264, media.H265, media.AAC, media.Opus, media.PCMA, media.PCMU:
		return true
	}
	return false
}

// enhanced tells whether c needs Enhanced RTMP.
func enhanced(c media.Codec) bool { return c == media.H265 || c == media.Opus }

// sameTrack tells whether a decoder set up for a can go on with b.
func sameTrack(a, b *media.Track) bool {
	if a == b {
		return true
	}
	return a != nil && b != nil && a.Codec == b.Codec && a.ClockRate == b.ClockRate && a.Channels == b.Channels &&
		slices.EqualFunc(a.Config, b.Config, bytes.Equal)
}

// tagTime converts a time of the timeline to milliseconds.
func tagTime(d time.Duration) int64 { return max(d, 0).Milliseconds() }

// metadata writes onMetaData for the tracks, nil for one that is not there. Its
// time is 0, even in mid-stream: ffmpeg takes any other for a track of text.
func (m *muxer) metadata(w tagWriter, video, audio *media.Track) {
	p := encodeAMF("@setDataFrame", "onMetaData", ecmaArray(describe(video, audio)))
	w.begin(csidData, kindData, m.stream, 0, len(p))
	w.bytes(p)
}

// describe returns the properties of onMetaData.
func describe(video, audio *media.Track) flvio.AMFMap {
	var meta flvio.AMFMap
	add := func(k string, v any) { meta = append(meta, flvio.AMFKv{K: k, V: v}) }
	if video != nil {
		width, height := video.Width, video.Height
		if width == 0 {
			width, height = codecconfig.PictureSize(video.Codec, video.Config)
		}
		if width > 0 {
			add("width", width)
			add("height", height)
		}
		add("videocodecid", codecID(video.Codec))
	}
	if audio != nil {
		add("audiocodecid", codecID(audio.Codec))
		add("audiosamplerate", audio.ClockRate)
		add("audiosamplesize", 16)
		add("audiochannels", max(audio.Channels, 1))
		add("stereo", audio.Channels == 2)
	}
	add("encoder", "trunkcast")
	return meta
}

// codecID returns the number of a codec in onMetaData: the one of its FLV
// tags, or its FourCC (Enhanced RTMP v1).
func codecID(c media.Codec) int {
	switch c {
	case media.H264:
		return flvio.VIDEO_H264
	case media.H265:
		return int(binary.BigEndian.Uint32([]byte(fourCCHEVC)))
	case media.Opus:
		return int(binary.BigEndian.Uint32([]byte(fourCCOpus)))
	case media.PCMA:
		return flvio.SOUND_ALAW
	case media.PCMU:
		return flvio.SOUND_MULAW
	}
	return flvio.SOUND_AAC
}

// frame writes one frame and, before it, the sequence header of its track if
// that is new or has changed.
func (m *muxer) frame(w tagWriter, f *media.Frame) error {
	if f.Track.Codec.Video() {
		if f.Track != m.video {
			if err := m.videoHeader(w, f); err != nil {
				return err
			}
		}
		m.videoFrame(w, f)
		return nil
	}
	if f.Track != m.audio {
		if err := m.audioHeader(w, f); err != nil {
			return err
		}
	}
	return m.audioFrame(w, f)
}

// forward returns the time of the next tag of a kind, which never goes back.
func (m *muxer) forward(last *int64, d time.Duration) uint32 {
	ms := tagTime(d)
	if ms < *last {
		ms = *last
		m.clamped++
	}
	*last = ms
	return uint32(ms)
}

func (m *muxer) videoHeader(w tagWriter, f *media.Frame) error {
	if sameTrack(m.video, f.Track) {
		m.video = f.Track
		return nil
	}
	record, err := codecconfig.Record(f.Track.Codec, f.Track.Config, true)
	if err != nil {
		return fmt.Errorf("rtmp: %w", err)
	}
	head := m.scratch[:5]
	if f.Track.Codec == media.H265 {
		head[0] = exVideo | flvio.FRAME_KEY<<4 | exSequenceStart
		copy(head[1:], fourCCHEVC)
	} else {
		copy(head, []byte{flvio.FRAME_KEY<<4 | flvio.VIDEO_H264, flvio.AVC_SEQHDR, 0, 0, 0})
	}
	m.inBand = m.inBand || m.video != nil
	m.video = f.Track
	w.begin(csidVideo, kindVideo, m.stream, m.forward(&m.videoMS, f.DTS), len(head)+len(record))
	w.bytes(head)
	w.bytes(record)
	return nil
}

func (m *muxer) videoFrame(w tagWriter, f *media.Frame) {
	at := m.forward(&m.videoMS, f.DTS)
	const most = 1<<23 - 1 // the composition time has 24 bits with sign
	offset := min(max(tagTime(f.PTS)-tagTime(f.DTS), -most), most)
	frameType := byte(flvio.FRAME_INTER)
	if f.Key {
		frameType = flvio.FRAME_KEY
	}
	head := m.scratch[:0]
	switch {
	case f.Track.Codec == media.H264:
		head = append(head, frameType<<4|flvio.VIDEO_H264, flvio.AVC_NALU)
		head = append(head, byte(offset>>16), byte(offset>>8), byte(offset))
	case offset == 0:
		head = append(head, exVideo|frameType<<4|exCodedFramesX)
		head = append(head, fourCCHEVC...)
	default:
		head = append(head, exVideo|frameType<<4|exCodedFrames)
		head = append(head, fourCCHEVC...)
		head = append(head, byte(offset>>16), byte(offset>>8), byte(offset))
	}
	units := f.Data
	if m.inBand && f.Key {
		units = slices.Concat(f.Track.Config, f.Data)
	}
	size := len(head)
	for _, n := range units {
		size += 4 + len(n)
	}
	w.begin(csidVideo, kindVideo, m.stream, at, size)
	w.bytes(head)
	for _, n := range units {
		binary.BigEndian.PutUint32(m.scratch[:], uint32(len(n)))
		w.bytes(m.scratch[:4])
		w.bytes(n)
	}
}

func (m *muxer) audioHeader(w tagWriter, f *media.Frame) error {
	if !supported(f.Track.Codec) {
		return &UnsupportedError{Codec: f.Track.Codec}
	}
	if sameTrack(m.audio, f.Track) {
		m.audio = f.Track
		return nil
	}
	var head []byte
	switch f.Track.Codec {
	case media.AAC:
		if len(f.Track.Config) == 0 || len(f.Track.Config[0]) < 2 {
			return errNoAudioConfig
		}
		head = append([]byte{aacHead, flvio.AAC_SEQHDR}, f.Track.Config[0]...)
	case media.Opus:
		head = append([]byte{exAudio | exSequenceStart}, fourCCOpus...)
		head = append(head, opusHead(f.Track)...)
	}
	m.audio = f.Track
	if head != nil {
		w.begin(csidAudio, kindAudio, m.stream, m.forward(&m.audioMS, f.DTS), len(head))
		w.bytes(head)
	}
	return nil
}

func (m *muxer) audioFrame(w tagWriter, f *media.Frame) error {
	head := m.scratch[:0]
	switch f.Track.Codec {
	case media.AAC:
		head = append(head, aacHead, flvio.AAC_RAW)
	case media.Opus:
		head = append(head, exAudio|exCodedFrames)
		head = append(head, fourCCOpus...)
	case media.PCMA:
		head = append(head, flvio.SOUND_ALAW<<4|flvio.SOUND_16BIT<<1|stereo(f.Track))
	case media.PCMU:
		head = append(head, flvio.SOUND_MULAW<<4|flvio.SOUND_16BIT<<1|stereo(f.Track))
	default:
		return &UnsupportedError{Codec: f.Track.Codec}
	}
	w.begin(csidAudio, kindAudio, m.stream, m.forward(&m.audioMS, f.DTS), len(head)+f.Size())
	w.bytes(head)
	for _, d := range f.Data {
		w.bytes(d)
	}
	return nil
}

func stereo(t *media.Track) byte {
	if t.Channels == 2 {
		return flvio.SOUND_STEREO
	}
	return flvio.SOUND_MONO
}
