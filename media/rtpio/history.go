package rtpio

import "time"

// historySize is in packets: two seconds of 1.2 Mbit/s, and the bound of what
// waits for its turn.
const historySize = 256

// resendGap is the shortest time between two repetitions of one packet.
const resendGap = 10 * time.Millisecond

// history keeps the video packets last sent, as they went over the wire, for
// repetition (RFC 4585 section 6.2.1), and those that wait to be sent: a big
// picture must not leave at line speed. It is guarded by the session's mutex,
// but a packet that waits is not changed, so that it can be sent without it.
type history struct {
	slots [historySize]sentPacket
	head  uint64 // next to be written
	sent  uint64 // next to be sent; head when nothing waits
}

type sentPacket struct {
	b      []byte
	seq    uint16
	due    time.Time
	resent time.Time
}

// waiting counts the packets that are not sent yet.
func (h *history) waiting() int { return int(h.head - h.sent) }

// full tells that the next packet would overwrite one that waits.
func (h *history) full() bool { return h.waiting() >= historySize }

// next is the slot for the next packet; add makes it count.
func (h *history) next() *sentPacket { return &h.slots[h.head%historySize] }

func (h *history) add() { h.head++ }

// last is the packet added last.
func (h *history) last() *sentPacket { return &h.slots[(h.head-1)%historySize] }

// find returns the packet with that sequence number if it was sent and is
// still here.
func (h *history) find(seq uint16, now time.Time) *sentPacket {
	if h.sent == 0 {
		return nil
	}
	newest := h.slots[(h.sent-1)%historySize].seq
	back := uint64(newest - seq)
	if back >= historySize || back >= h.sent || h.sent-back+historySize < h.head+1 {
		return nil
	}
	p := &h.slots[(h.sent-1-back)%historySize]
	if p.seq != seq || now.Sub(p.resent) < resendGap {
		return nil
	}
	p.resent = now
	return p
}
