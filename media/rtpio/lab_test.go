package rtpio

import (
	"slices"
	"testing"
	"time"

	"github.com/pion/rtp"

	"github.com/trunkcast/trunkcast/media"
	"github.com/trunkcast/trunkcast/media/sdp"
)

// formatList is a payload map of a test.
type formatList []*sdp.Format

func (l formatList) Lookup(pt uint8) *sdp.Format {
	for _, f := range l {
		if f.PayloadType == pt {
			return f
		}
	}
	return nil
}

var (
	soundFormats = formatList{
		{PayloadType: 0, Name: "PCMU", Codec: media.PCMU, ClockRate: 8000, Channels: 1},
		{PayloadType: 8, Name: "PCMA", Codec: media.PCMA, ClockRate: 8000, Channels: 1},
		{PayloadType: 9, Name: "G722", Codec: media.G722, ClockRate: 8000, Channels: 1},
		{PayloadType: 13, Name: "CN", ClockRate: 8000, Channels: 1},
		{PayloadType: 101, Name: "telephone-event", ClockRate: 8000},
		{PayloadType: 111, Name: "opus", Codec: media.Opus, ClockRate: 48000, Channels: 2, Opus: &sdp.OpusParams{}},
	}
	pictureFormats = formatList{h264Format(1), h265Format()}
)

// lab is a receiver with a clock of its own, and a network in between. Line 0
// is sound, line 1 picture.
type lab struct {
	t       testing.TB
	s       *Session
	r       *receiver
	start   time.Time
	now     time.Duration // session time of the last packet
	sent    []sending
	frames  []*media.Frame
	picture *media.Frame    // the last one
	left    []time.Duration // when they left
	digits  []digit
	nack    bool
}

// sending is a packet on its way.
type sending struct {
	at   time.Duration
	line int
	p    rtp.Packet
}

func newLab(t testing.TB, s *Session) *lab {
	t.Helper()
	s.init()
	l := &lab{t: t, s: s, r: s.receiver, start: s.start}
	l.r.nack = func(int) bool { return l.nack }
	l.r.shows = func(line int, _ sdp.Kind) bool { return line < 2 }
	l.r.onDigit = func(d digit) { l.digits = append(l.digits, d) }
	l.r.setFormats(0, sdp.Audio, soundFormats, 0)
	l.r.setFormats(1, sdp.Video, pictureFormats, 0)
	return l
}

// emit takes a frame, and checks what holds for every one.
func (l *lab) emit(at time.Duration) func(f *media.Frame) {
	return func(f *media.Frame) {
		l.t.Helper()
		if f.PTS < f.DTS || f.DTS < 0 || f.Track == nil || len(f.Data) == 0 {
			l.t.Fatalf("bad frame: %s, DTS %v", describe(f), f.DTS)
		}
		if n := len(l.frames); n > 0 && f.DTS < l.frames[n-1].DTS {
			l.t.Fatalf("%s, DTS %v, after %s, DTS %v", describe(f), f.DTS, describe(l.frames[n-1]), l.frames[n-1].DTS)
		}
		if f.Track.Codec.Video() {
			if l.picture != nil && f.DTS-l.picture.DTS < ms {
				l.t.Fatalf("%s, DTS %v, after %s, DTS %v", describe(f), f.DTS, describe(l.picture), l.picture.DTS)
			}
			defer func() { l.picture = f }()
		}
		if f.Track.Codec.Video() && l.picture == nil && (!f.Key || len(f.Track.Config) < 2) {
			l.t.Fatalf("first picture: %s", describe(f))
		}
		l.frames = append(l.frames, f)
		l.left = append(l.left, at)
	}
}

// of returns the frames of one kind.
func (l *lab) of(video bool) (list []*media.Frame) {
	for _, f := range l.frames {
		if f.Track.Codec.Video() == video {
			list = append(list, f)
		}
	}
	return list
}

// until plays out until a moment.
func (l *lab) until(at time.Duration) {
	l.t.Helper()
	for turns := 0; ; turns++ {
		next, ok := l.r.Next()
		if d := max(next.Sub(l.start), l.now); ok && d <= at {
			l.now = d
			l.r.Pop(l.start.Add(d), l.emit(d))
			if turns > 100000 {
				l.t.Fatal("nothing comes of what is due")
			}
			if l.r.line(1) != nil && l.r.line(1).stream != nil && l.r.line(1).stream.askAt > 0 {
				l.r.Nacks(1, l.start.Add(d))
			}
			continue
		}
		break
	}
	l.now = at
}

// send puts a packet on its way.
func (l *lab) send(line int, at time.Duration, p rtp.Packet) {
	p.Version = 2
	l.sent = append(l.sent, sending{at: at, line: line, p: p})
}

// run lets everything arrive and the play-out come to its end.
func (l *lab) run() {
	l.t.Helper()
	l.arrive()
	l.until(l.now + time.Second)
}

// runUntil lets everything arrive and plays out until a moment.
func (l *lab) runUntil(at time.Duration) {
	l.t.Helper()
	l.arrive()
	l.until(at)
}

func (l *lab) arrive() {
	l.t.Helper()
	slices.SortStableFunc(l.sent, func(a, b sending) int { return int(a.at - b.at) })
	for _, x := range l.sent {
		l.until(x.at)
		l.r.Packet(x.line, &x.p, l.start.Add(x.at))
	}
	l.sent = l.sent[:0]
}

// stats are those of a line.
func (l *lab) stats(line int) ReceiveStats { return l.r.line(line).stats(l.now) }

// voice is a stream of PCMU from a caller.
type voice struct {
	ssrc uint32
	seq  uint16
	ts   uint32
	pt   uint8
}

// packet makes the next packet of n bytes, each of them v.
func (s *voice) packet(n int, v byte) rtp.Packet {
	b := make([]byte, n)
	for i := range b {
		b[i] = v
	}
	p := rtp.Packet{Header: rtp.Header{PayloadType: s.pt, SequenceNumber: s.seq, Timestamp: s.ts, SSRC: s.ssrc}, Payload: b}
	s.seq++
	s.ts += uint32(n)
	return p
}

// camera is a stream of pictures, cut into packets by our own packetizer.
type camera struct {
	t      testing.TB
	format *sdp.Format
	ssrc   uint32
	seq    uint16
	limit  int
}

// picture makes the packets of one access unit.
func (c *camera) picture(ts uint32, f *media.Frame) (list []rtp.Packet) {
	c.t.Helper()
	var p packetizer
	limit := c.limit
	if limit == 0 {
		limit = 1000
	}
	if err := p.start(c.format, f, limit, false); err != nil {
		c.t.Fatal(err)
	}
	for !p.done() {
		b := p.next(nil)
		list = append(list, rtp.Packet{Header: rtp.Header{PayloadType: c.format.PayloadType, SequenceNumber: c.seq,
			Timestamp: ts, SSRC: c.ssrc, Marker: p.done()}, Payload: b})
		c.seq++
	}
	return list
}

// bits writes parameter sets.
type bits struct {
	b []byte
	n int
}

func (w *bits) u(n int, v uint32) *bits {
	for i := n - 1; i >= 0; i-- {
		if w.n%8 == 0 {
			w.b = append(w.b, 0)
		}
		w.b[w.n/8] |= byte(v>>i&1) << (7 - w.n%8)
		w.n++
	}
	return w
}

func (w *bits) ue(v uint32) *bits {
	n := 0
	for (v+1)>>(n+1) != 0 {
		n++
	}
	return w.u(n, 0).u(n+1, v+1)
}

// spsOf makes an SPS: of a size in macroblocks, with reordering as told: below
// 0 nothing is said about it.
func spsOf(width, height uint32, profile uint32, reorder int) []byte {
	w := &bits{b: []byte{0x67}, n: 8}
	w.u(8, profile).u(8, 0).u(8, 31).ue(0).ue(0)
	if profile == 66 {
		w.ue(2)
	} else {
		w.ue(0).ue(2)
	}
	w.ue(2).u(1, 0).ue(width-1).ue(height-1).u(1, 1).u(1, 1).u(1, 0)
	if reorder < 0 {
		return w.u(1, 0).u(1, 1).b
	}
	w.u(1, 1).u(8, 0).u(1, 1).u(1, 1)
	w.ue(0).ue(0).ue(10).ue(10).ue(uint32(reorder)).ue(4)
	return w.u(1, 1).b
}

// h264Picture is a picture of one NAL unit.
func h264Picture(track *media.Track, key bool, size int) *media.Frame {
	header := []byte{0x41, 0x9a}
	if key {
		header = []byte{0x65, 0x88, 0x84}
	}
	return &media.Frame{Track: track, Key: key, Data: [][]byte{nalUnit(size, header...)}}
}

// Parameter sets of a 1920x1080 H.265 stream, Main profile, level 4.
var (
	testVPS265 = []byte{0x40, 0x01, 0x0c, 0x01, 0xff, 0xff, 0x01, 0x60, 0x00, 0x00, 0x03, 0x00, 0x90, 0x00, 0x00, 0x03, 0x00, 0x00, 0x03,
		0x00, 0x78, 0x99, 0x98, 0x09}
	testSPS265 = []byte{0x42, 0x01, 0x01, 0x01, 0x60, 0x00, 0x00, 0x03, 0x00, 0x90, 0x00, 0x00, 0x03, 0x00, 0x00, 0x03, 0x00, 0x78, 0xa0,
		0x03, 0xc0, 0x80, 0x10, 0xe5, 0x96, 0x66, 0x69, 0x24, 0xca, 0xe0, 0x10, 0x00, 0x00, 0x03, 0x00, 0x10, 0x00, 0x00, 0x03, 0x01, 0xe0, 0x80}
	testPPS265 = []byte{0x44, 0x01, 0xc1, 0x72, 0xb4, 0x62, 0x40}
)
