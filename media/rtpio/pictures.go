package rtpio

import (
	"bytes"
	"errors"
	"slices"
	"time"

	"github.com/trunkcast/trunkcast/internal/depacketize"
	"github.com/trunkcast/trunkcast/media"
	"github.com/trunkcast/trunkcast/media/sdp"
)

// refreshAfter is how long there was no IDR when a recovery point counts as a
// key frame: the stream refreshes itself in strips and will send none.
const refreshAfter = 3 * time.Second

// pictures makes access units of the video packets of a line. After a loss it
// keeps back what comes until a clean key frame, unless damaged pictures are
// to be passed on.
type pictures struct {
	l      *inLine
	format *sdp.Format // of the last packet
	h265   depacketize.H265
	codec  media.Codec
	sprop  [][]byte // of the SDP, as taken last
	sets   paramSets
	order  decodeOrder
	config *media.Track // order is for this one

	// The picture that is being put together.
	pic      depacketize.Picture
	open     bool
	ts       uint32
	arrival  time.Duration // of its first packet
	newest   time.Duration // of its last
	doubtful bool          // its beginning may be lost
	damaged  bool

	gap        bool   // packets are lost since the last one
	ended      bool   // a marker ended the picture of endedTS
	endedTS    uint32 //
	badMarkers bool   // markers do not end pictures

	waiting  bool          // for a key frame
	begun    bool          // a picture was given on
	skipRASL bool          // leading pictures refer to what we never had
	lastKey  time.Duration // arrival of the last IDR, or begin of the stream
	stopped  time.Duration // arrival of the last picture before the freeze
	frozen   bool
	thawed   bool // damaged pictures are passed on, up to the next key frame
}

func newPictures(l *inLine) *pictures { return &pictures{l: l, waiting: true} }

// cut ends a stream of packets; the next one begins with a key frame.
func (v *pictures) cut() {
	if v.open {
		v.damaged = v.damaged || v.pic.Open()
		v.finish(v.newest)
	}
	v.lose()
}

// start begins a stream of packets, perhaps in the middle of a picture.
func (v *pictures) start(now time.Duration) {
	v.gap, v.ended, v.badMarkers = true, false, false
	v.lastKey = now
}

// lose tells that packets are lost.
func (v *pictures) lose() {
	v.gap = true
	if !v.waiting {
		v.waiting = true
		v.l.r.alarm = true
	}
	if v.open {
		v.damaged = true
		v.pic.Abandon()
	}
}

// use follows the format of a packet.
func (v *pictures) use(f *sdp.Format) {
	if f.Codec != v.codec {
		v.codec = f.Codec
		v.sets = paramSets{codec: f.Codec}
		v.sprop = nil
		v.waiting = true
		v.order.reset(0)
	}
	v.h265.DONL = false
	var sprop [][]byte
	switch {
	case f.H264 != nil && f.Codec == media.H264:
		if len(f.H264.SPS)+len(f.H264.PPS) == 0 {
			return
		}
		sprop = slices.Concat(f.H264.SPS, f.H264.PPS)
	case f.H265 != nil && f.Codec == media.H265:
		v.h265.DONL = f.H265.MaxDONDiff > 0
		sprop = slices.Concat(f.H265.VPS, f.H265.SPS, f.H265.PPS)
	}
	// A session refresh says again what may be long outdated in the stream.
	if slices.EqualFunc(sprop, v.sprop, bytes.Equal) {
		return
	}
	v.sprop = sprop
	for _, nal := range sprop {
		if kind := v.kind(nal); kind == depacketize.VPS || kind == depacketize.SPS || kind == depacketize.PPS {
			v.sets.put(kind, nal)
		}
	}
}

func (v *pictures) kind(nal []byte) depacketize.Kind {
	if v.codec == media.H265 {
		return depacketize.H265Kind(nal)
	}
	return depacketize.H264Kind(nal)
}

// packet takes the packets in order.
func (v *pictures) packet(f *sdp.Format, p inPacket) {
	if f != v.format {
		if v.open && f.Codec != v.codec {
			v.finish(p.arrival)
		}
		v.format = f
		v.use(f)
	}
	if p.gap {
		v.lose()
	}
	if len(p.payload) == 0 {
		return // padding, to probe the line
	}
	if v.open && p.ts != v.ts {
		v.l.stream.track.Arrive(v.ts, p.arrival) // it was complete only now
		v.finish(p.arrival)
	}
	if !v.open {
		v.open, v.ts, v.arrival = true, p.ts, p.arrival
		v.doubtful, v.damaged = v.gap, false
		v.pic.Reset()
	}
	v.gap, v.newest = false, p.arrival
	if err := v.push(p.payload); err != nil {
		v.l.malformed++
		v.damaged = v.damaged || !errors.Is(err, depacketize.ErrType)
	}
	if p.marker && !v.badMarkers {
		v.finish(p.arrival)
		v.ended, v.endedTS = true, p.ts
	}
}

func (v *pictures) push(b []byte) error {
	if v.codec == media.H265 {
		return v.h265.Push(&v.pic, b)
	}
	return depacketize.H264{}.Push(&v.pic, b)
}

// content is what a picture is made of.
type content struct {
	slices   bool
	key      bool
	recovery bool
	rasl     bool // H.265: leading picture that refers to what is before
	cra      bool
	whole    bool // the first slice is the first of the picture
	pps      uint32
	readable bool // pps is
	units    int  // to be given on
	bytes    int
}

// look reads the NAL units, and takes the parameter sets out.
func (v *pictures) look() (c content) {
	for i := range v.pic.Len() {
		nal := v.pic.Unit(i)
		switch kind := v.kind(nal); kind {
		case depacketize.VPS, depacketize.SPS, depacketize.PPS:
			v.sets.put(kind, nal)
			continue
		case depacketize.Delimiter:
			continue
		case depacketize.Slice, depacketize.Key:
			v.slice(&c, nal, kind)
		case depacketize.SEI:
			c.recovery = c.recovery || depacketize.RecoveryPoint(nal, v.headerSize())
		}
		c.units++
		c.bytes += len(nal)
	}
	return c
}

func (v *pictures) headerSize() int {
	if v.codec == media.H265 {
		return 2
	}
	return 1
}

func (v *pictures) slice(c *content, nal []byte, kind depacketize.Kind) {
	var h depacketize.SliceHeader
	var ok bool
	if v.codec == media.H265 {
		h, ok = depacketize.H265Slice(nal)
		t := nal[0] >> 1 & 0x3f
		c.rasl = c.rasl || t == 8 || t == 9
		c.cra = c.cra || kind == depacketize.Key && t != 19 && t != 20
	} else {
		h, ok = depacketize.H264Slice(nal)
	}
	if !c.slices {
		c.whole = ok && h.First
	}
	if ok && !c.readable {
		c.pps, c.readable = h.PPS, true
	}
	c.slices = true
	c.key = c.key || kind == depacketize.Key
}

// finish ends the picture.
func (v *pictures) finish(now time.Duration) {
	v.open = false
	if v.pic.Open() {
		v.damaged = true
		v.pic.Abandon()
	}
	c := v.look()
	if !c.slices {
		if v.damaged {
			v.want()
			v.l.damaged++
			v.freeze()
		}
		return
	}
	split := !c.whole && !v.doubtful && v.ended && v.endedTS == v.ts
	v.badMarkers = v.badMarkers || split // this is the rest of the one before
	damaged := v.damaged || !c.whole && v.doubtful
	pts := max(v.l.stream.track.Map(v.ts, v.arrival), 0)
	track := (*media.Track)(nil)
	if c.readable {
		track = v.sets.use(c.pps)
	}
	if track != nil && track != v.config {
		v.config = track
		v.order.reset(v.sets.depth)
	}
	dts, pts := v.order.next(pts)
	if key, pass := v.judge(&c, damaged, track); pass {
		v.emit(&c, track, key, pts, dts, now)
		return
	}
	v.l.damaged++
	v.freeze()
}

// judge tells whether a picture is passed on, and as a key frame.
func (v *pictures) judge(c *content, damaged bool, track *media.Track) (key, pass bool) {
	if c.key && !damaged {
		v.lastKey = v.arrival
	}
	key = !damaged && (c.key || c.recovery && v.arrival-v.lastKey >= refreshAfter)
	switch {
	case track == nil:
		v.want()
		return false, false
	case key:
		v.skipRASL = c.cra && (v.waiting || !v.begun)
		v.waiting, v.thawed = false, false
		return true, true
	case c.rasl && v.skipRASL:
		return false, false
	case damaged:
		v.want()
	}
	if v.waiting && v.begun && v.passesDamaged() {
		v.l.damaged++
		return false, true
	}
	return false, !v.waiting
}

// passesDamaged tells whether what came of a picture is better than none: it was
// wished, or the picture has stood for too long.
func (v *pictures) passesDamaged() bool {
	limit := v.l.r.maxFreeze
	switch {
	case v.l.r.passDamaged || v.thawed:
		return true
	case limit > 0 && v.still(v.newest) >= limit:
		v.thawed = true
	}
	return v.thawed
}

func (v *pictures) want() {
	if !v.waiting {
		v.waiting = true
		v.l.r.alarm = true
	}
}

// freeze begins a freeze: what is seen stands still.
func (v *pictures) freeze() {
	if !v.begun || v.frozen {
		return
	}
	v.frozen = true
	v.l.freezes++
}

// still is how long the picture stands by now, 0 if it does not.
func (v *pictures) still(now time.Duration) time.Duration {
	if !v.frozen {
		return 0
	}
	return max(now-v.stopped, 0)
}

// emit queues the picture. Its NAL units are copied into one piece of memory
// of their size.
func (v *pictures) emit(c *content, track *media.Track, key bool, pts, dts, now time.Duration) {
	m := &struct {
		media.Frame
		list [4][]byte
	}{}
	f := &m.Frame
	f.Track, f.Key, f.PTS, f.DTS = track, key, pts, dts
	f.Data = m.list[:0]
	if c.units > len(m.list) {
		f.Data = make([][]byte, 0, c.units)
	}
	b := make([]byte, 0, c.bytes)
	for i := range v.pic.Len() {
		nal := v.pic.Unit(i)
		switch v.kind(nal) {
		case depacketize.VPS, depacketize.SPS, depacketize.PPS, depacketize.Delimiter:
			continue
		}
		n := len(b)
		b = append(b, nal...)
		f.Data = append(f.Data, b[n:len(b):len(b)])
	}
	if !v.l.push(f) {
		v.want()
		return
	}
	if v.frozen {
		v.l.frozen += v.still(now)
		v.frozen = false
	}
	v.begun, v.stopped = true, now
}
