package record

import (
	"time"

	"github.com/bluenviron/mediacommon/v2/pkg/formats/mpegts"
	"github.com/bluenviron/mediacommon/v2/pkg/formats/mpegts/codecs"
	"github.com/bluenviron/mediacommon/v2/pkg/formats/mpegts/substructs"

	"github.com/trunkcast/trunkcast/media"
)

// transport makes an MPEG transport stream. Parameter sets stand before every
// key frame.
type transport struct {
	writer       mpegts.Writer
	out          buffer
	video, audio *mpegts.Track
	last         *media.Track // of the last picture
	err          error
}

// buffer is an io.Writer into memory.
type buffer struct{ b []byte }

func (w *buffer) Write(p []byte) (int, error) {
	w.b = append(w.b, p...)
	return len(p), nil
}

// transportClock is the clock of times in a transport stream in Hz; they start
// late enough for the clock reference, which runs 100 ms ahead of them.
const (
	transportClock = 90000
	transportStart = transportClock
)

func newTransport(video, audio *media.Track) (*transport, error) {
	m := &transport{}
	m.writer.W = &m.out
	if video != nil {
		m.video = &mpegts.Track{Codec: &codecs.H264{}}
		if video.Codec == media.H265 {
			m.video.Codec = &codecs.H265{}
		}
		m.writer.Tracks = append(m.writer.Tracks, m.video)
	}
	if audio != nil {
		codec, err := transportAudio(audio)
		if err != nil {
			return nil, err
		}
		m.audio = &mpegts.Track{Codec: codec}
		m.writer.Tracks = append(m.writer.Tracks, m.audio)
	}
	if err := m.writer.Initialize(); err != nil {
		return nil, err
	}
	return m, nil
}

func transportAudio(t *media.Track) (codecs.Codec, error) {
	if t.Codec == media.Opus {
		return &codecs.Opus{Desc: &substructs.OpusAudioDescriptor{ChannelConfigCode: uint8(t.Channels)}}, nil
	}
	c, err := audioConfig(t)
	if err != nil {
		return nil, err
	}
	return &codecs.MPEG4Audio{Config: *c}, nil
}

func (m *transport) write(f *media.Frame, pts, dts time.Duration) {
	at := func(d time.Duration) int64 { return transportStart + max(ticks(d, transportClock), 0) }
	var err error
	switch f.Track.Codec {
	case media.H264:
		err = m.writer.WriteH264(m.video, at(pts), at(dts), m.unit(f))
	case media.H265:
		err = m.writer.WriteH265(m.video, at(pts), at(dts), m.unit(f))
	case media.Opus:
		err = m.writer.WriteOpus(m.audio, at(pts), f.Data)
	default:
		err = m.writer.WriteMPEG4Audio(m.audio, at(pts), f.Data)
	}
	if err != nil && m.err == nil {
		m.err = err
	}
}

// unit is an access unit with its parameter sets, if it needs them.
func (m *transport) unit(f *media.Frame) [][]byte {
	change := m.last == nil || !sameConfig(m.last, f.Track)
	m.last = f.Track
	if !f.Key && !change {
		return f.Data
	}
	unit := make([][]byte, 0, len(f.Track.Config)+len(f.Data))
	return append(append(unit, f.Track.Config...), f.Data...)
}

func (m *transport) pending() int { return len(m.out.b) }

func (m *transport) flush(b []byte, _ bool) ([]byte, error) {
	if m.err != nil {
		return b, m.err
	}
	b = append(b, m.out.b...)
	m.out.b = m.out.b[:0]
	return b, nil
}
