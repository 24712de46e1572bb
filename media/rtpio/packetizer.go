package rtpio

import (
	"encoding/binary"

	"github.com/trunkcast/trunkcast/media"
	"github.com/trunkcast/trunkcast/media/sdp"
)

// packetizer cuts a video access unit into RTP payloads, one a call of next,
// straight into the packet: H.264 by RFC 6184 (packetization-modes 0 and 1),
// H.265 by RFC 7798. It belongs to the goroutine of WriteFrame and keeps
// nothing of a frame once it is done.
type packetizer struct {
	h265   bool
	single bool // packetization-mode 0: a NAL unit a packet
	limit  int  // largest payload in bytes

	config, data [][]byte
	index        int // next NAL unit: of config, then of data
	offset       int // of the next fragment in it, 0 if it is not begun
}

const (
	h264STAPA = 24
	h264FUA   = 28
	h265AP    = 48
	h265FU    = 49

	fuStart = 0x80
	fuEnd   = 0x40
)

// start takes a frame. Parameter sets go in front of key frames: a peer that
// lost them, or got them never, can begin there. cut permits what mode 0 does
// not: to cut a NAL unit.
func (p *packetizer) start(format *sdp.Format, f *media.Frame, limit int, cut bool) error {
	*p = packetizer{
		h265:   format.Codec == media.H265,
		single: format.Codec == media.H264 && (format.H264 == nil || format.H264.PacketizationMode == 0),
		limit:  limit,
		data:   f.Data,
	}
	if f.Key && f.Track != nil {
		p.config = f.Track.Config
	}
	for i := range p.count() {
		if n := len(p.nal(i)); p.single && !cut && n > limit {
			return &NALTooLargeError{Size: n, Limit: limit}
		}
	}
	p.skipEmpty()
	return nil
}

func (p *packetizer) count() int { return len(p.config) + len(p.data) }

func (p *packetizer) nal(i int) []byte {
	if i < len(p.config) {
		return p.config[i]
	}
	return p.data[i-len(p.config)]
}

// headerSize is the NAL unit header: 1 byte in H.264, 2 in H.265.
func (p *packetizer) headerSize() int {
	if p.h265 {
		return 2
	}
	return 1
}

// skipEmpty moves to the next NAL unit that holds more than its header.
func (p *packetizer) skipEmpty() {
	for p.index < p.count() && len(p.nal(p.index)) <= p.headerSize() {
		p.index++
	}
}

func (p *packetizer) done() bool { return p.index >= p.count() }

// packets estimates how many payloads are left, rounded up.
func (p *packetizer) packets() int {
	n := 0
	for i := p.index; i < p.count(); i++ {
		n += len(p.nal(i))/(p.limit-p.headerSize()-1) + 1
	}
	return n
}

// next appends one payload to b.
func (p *packetizer) next(b []byte) []byte {
	nal := p.nal(p.index)
	switch {
	case p.offset > 0 || len(nal) > p.limit:
		return p.fragment(b, nal)
	case !p.single && p.aggregates() > 1:
		return p.aggregate(b)
	default:
		p.advance()
		return append(b, nal...)
	}
}

func (p *packetizer) advance() {
	p.index++
	p.offset = 0
	p.skipEmpty()
}

// aggregates counts the NAL units from here on that fit into one packet
// together.
func (p *packetizer) aggregates() int {
	size, n := p.headerSize(), 0
	for i := p.index; i < p.count(); i++ {
		nal := p.nal(i)
		if size += 2 + len(nal); size > p.limit || len(nal) > 0xffff {
			break
		}
		if len(nal) > p.headerSize() {
			n++
		}
	}
	return n
}

// aggregate makes a STAP-A (RFC 6184 section 5.7.1) or an aggregation packet
// (RFC 7798 section 4.4.2). Its header holds the highest importance in it.
func (p *packetizer) aggregate(b []byte) []byte {
	start := len(b)
	layer, tid := byte(0xff), byte(7)
	var importance byte
	if p.h265 {
		b = append(b, h265AP<<1, 0)
	} else {
		b = append(b, h264STAPA)
	}
	for n := p.aggregates(); n > 0; n-- {
		nal := p.nal(p.index)
		b = binary.BigEndian.AppendUint16(b, uint16(len(nal)))
		b = append(b, nal...)
		if p.h265 {
			layer = min(layer, nal[0]&1<<5|nal[1]>>3)
			tid = min(tid, nal[1]&7)
		} else {
			importance = max(importance, nal[0]&0x60)
		}
		p.advance()
	}
	if p.h265 {
		b[start] |= layer >> 5
		b[start+1] = layer<<3 | tid
	} else {
		b[start] |= importance
	}
	return b
}

// fragment makes an FU-A (RFC 6184 section 5.8) or an FU (RFC 7798 section
// 4.4.3).
func (p *packetizer) fragment(b, nal []byte) []byte {
	h := p.headerSize()
	var flags byte
	if p.offset == 0 {
		p.offset = h
		flags = fuStart
	}
	n := min(len(nal)-p.offset, p.limit-h-1)
	if p.offset+n == len(nal) {
		flags |= fuEnd
	}
	if p.h265 {
		b = append(b, nal[0]&0x81|h265FU<<1, nal[1], flags|nal[0]>>1&0x3f)
	} else {
		b = append(b, nal[0]&0xe0|h264FUA, flags|nal[0]&0x1f)
	}
	b = append(b, nal[p.offset:p.offset+n]...)
	if p.offset += n; p.offset == len(nal) {
		p.advance()
	}
	return b
}
