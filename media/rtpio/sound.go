package rtpio

import (
	"time"

	"github.com/trunkcast/trunkcast/media"
	"github.com/trunkcast/trunkcast/media/sdp"
)

// maxConcealed bounds what one gap counts as concealed: more is a pause.
const maxConcealed = 10 * time.Second

// sound makes frames of the audio packets of a line.
type sound struct {
	track *media.Track
	begun bool
	last  time.Duration // PTS of the last frame
	end   time.Duration // of the last frame
	lost  bool          // packets are missing since then
}

// cut ends a stream of packets.
func (a *sound) cut() { a.lost = false }

// packet takes the packets in order. Each is one frame; those without sound
// in them are passed over.
func (a *sound) packet(l *inLine, f *sdp.Format, p inPacket) {
	length := audioTicks(f.Codec, p.payload)
	pts := l.stream.track.Map(p.ts, p.arrival)
	if length <= 0 {
		if len(p.payload) > 0 {
			l.malformed++
		}
		return
	}
	// What is in order but not in time would make the timeline go back.
	if pts < 0 || a.begun && pts <= a.last {
		l.late++
		return
	}
	if a.lost && a.begun && pts > a.end {
		l.concealed += min(pts-a.end, maxConcealed)
	}
	a.lost, a.begun = false, true
	a.last = pts
	a.end = pts + time.Duration(length)*time.Second/time.Duration(f.ClockRate)
	a.use(f, p.payload)
	frame := soundFrame(p.payload)
	frame.Track, frame.PTS, frame.DTS = a.track, pts, pts
	l.push(frame)
}

// use makes a track when the codec changes. An Opus stream that was mono may
// turn stereo, and stays so: decoders give what their track says.
func (a *sound) use(f *sdp.Format, payload []byte) {
	t := media.Track{Codec: f.Codec, ClockRate: f.ClockRate, Channels: max(f.Channels, 1)}
	switch f.Codec {
	case media.G722:
		t.ClockRate = 16000
	case media.Opus:
		t.Channels = 1
		stereo := f.Opus != nil && f.Opus.SpropStereo || payload[0]&opusStereo != 0
		if stereo || a.track != nil && a.track.Codec == media.Opus && a.track.Channels == 2 {
			t.Channels = 2
		}
	}
	if a.track != nil && a.track.Codec == t.Codec && a.track.ClockRate == t.ClockRate && a.track.Channels == t.Channels {
		return
	}
	track := t
	a.track = &track
}

// opusStereo is a bit of an Opus packet's first byte (RFC 6716 section 3.1).
const opusStereo = 4

// soundFrame makes a frame with a copy of b in one piece of memory, of a few
// sizes: 20 ms of most codecs, 60 ms of G.711.
func soundFrame(b []byte) *media.Frame {
	switch {
	case len(b) <= 160:
		m := &struct {
			media.Frame
			list [1][]byte
			b    [160]byte
		}{}
		return fillFrame(&m.Frame, &m.list, m.b[:], b)
	case len(b) <= 480:
		m := &struct {
			media.Frame
			list [1][]byte
			b    [480]byte
		}{}
		return fillFrame(&m.Frame, &m.list, m.b[:], b)
	default:
		m := &struct {
			media.Frame
			list [1][]byte
			b    [maxDatagram]byte
		}{}
		return fillFrame(&m.Frame, &m.list, m.b[:], b)
	}
}

func fillFrame(f *media.Frame, list *[1][]byte, room, b []byte) *media.Frame {
	n := copy(room, b)
	list[0] = room[:n:n]
	f.Data = list[:]
	return f
}
