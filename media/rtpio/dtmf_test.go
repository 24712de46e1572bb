package rtpio

import (
	"encoding/binary"
	"sync"
	"testing"
	"time"

	"github.com/pion/rtp"
)

// TestDTMFSegments sends a digit that is longer than 16 bits of ticks can tell
// at 48000 Hz (RFC 4733 section 2.5.1.3), and takes it back as one digit, also
// without the packet that ends the first segment.
func TestDTMFSegments(t *testing.T) {
	t.Parallel()
	p := newPhone(t, 1)
	var mu sync.Mutex
	var told []time.Duration
	s := &Session{OnDigit: func(_ rune, d time.Duration) { mu.Lock(); told = append(told, d); mu.Unlock() }}
	p.call(s, "m=audio AUDIO RTP/AVP 96 97\r\na=rtpmap:96 opus/48000/2\r\na=rtpmap:97 telephone-event/48000")
	l := p.lines[0]
	l.pt = 97
	const length = 1500 * time.Millisecond
	if err := s.SendDTMF(t.Context(), "5", length); err != nil {
		t.Fatal(err)
	}
	events := func() (list []*rtp.Packet) {
		for _, pkt := range l.received() {
			if pkt.PayloadType == 97 {
				list = append(list, pkt)
			}
		}
		return list
	}
	const packets = 75 + 1 + 2 // each 20 ms, the end of the first segment, the end repeated
	eventually(t, "the digit", func() bool { return len(events()) == packets })
	list := events()
	first, segment := list[0].Timestamp, -1
	for i, pkt := range list {
		n := binary.BigEndian.Uint16(pkt.Payload[2:])
		end, last := pkt.Payload[1]&0x80 != 0, i >= packets-3
		if pkt.Marker != (i == 0) || end != last {
			t.Errorf("packet %d: marker %v, end %v", i, pkt.Marker, end)
		}
		switch at := pkt.Timestamp - first; {
		case at == 0:
			segment = i
			if n == 0xffff && i != 68 {
				t.Errorf("packet %d has the longest duration", i)
			}
		case at != 0xffff:
			t.Errorf("packet %d is %d after the first", i, at)
		}
	}
	if n := binary.BigEndian.Uint16(list[segment].Payload[2:]); segment != 68 || n != 0xffff {
		t.Errorf("the first segment ends with packet %d, duration %d", segment, n)
	}
	if n := binary.BigEndian.Uint16(list[packets-1].Payload[2:]); n != 72000-0xffff {
		t.Errorf("the digit ends at %d", n)
	}
	for round, without := range []int{-1, segment} {
		for i, pkt := range list {
			if i == without {
				continue
			}
			l.send(pkt.Timestamp+uint32(round)*480_000, pkt.Marker, pkt.Payload)
		}
		eventually(t, "a digit", func() bool { mu.Lock(); defer mu.Unlock(); return len(told) == round+1 })
		time.Sleep(2 * eventTimeout)
		mu.Lock()
		if len(told) != round+1 || told[round] != length {
			t.Errorf("round %d: digits of %v", round, told)
		}
		mu.Unlock()
	}
}
