package rtpio

import (
	"math"
	"time"

	"github.com/pion/rtcp"

	"github.com/trunkcast/trunkcast/internal/timeline"
)

const (
	// maxGap and maxMisorder are how far sequence numbers may go on and back
	// before they are taken for a new stream (RFC 3550 section A.1).
	maxGap      = 3000
	maxMisorder = windowSize
	// windowSize is in packets: how many may wait behind a gap (0.8 s of
	// 12 Mbit/s), and for how many it is known whether they came.
	windowSize = 1024

	// askAfter is how long a missing packet may be on its way before it is
	// asked again, askGap the shortest time between two requests, askTries
	// their number.
	askAfter = 10 * time.Millisecond
	askGap   = 30 * time.Millisecond
	askTries = 5
	maxAsks  = 256 // at a time
)

// inPacket is one RTP packet on its way through the receiver. seq is its number
// without wrap.
type inPacket struct {
	ssrc    uint32
	number  uint16
	seq     uint64
	ts      uint32
	pt      uint8
	marker  bool
	gap     bool // packets in front of it are lost
	arrival time.Duration
	payload []byte
	size    int // of the whole packet
}

// stream is one SSRC: it puts packets in order and counts them.
type stream struct {
	ssrc  uint32
	track *timeline.Track
	rate  int // clock of track in Hz

	base    uint64 // first sequence number
	next    uint64 // next to be given on
	highest uint64
	came    [windowSize / 64]uint64 // bit seq%windowSize: it came
	gap     bool                    // what is given on next follows a loss
	fresh   bool                    // nothing was given on: packets before base may come
	window  *window
	askAt   time.Duration // when a lost packet is to be asked again; 0: none

	received            uint64
	expectedPrior       uint64
	receivedPrior       uint64
	transit, jitter     float64 // in ticks
	timed               bool
	reportNTP           uint32
	reportAt            time.Duration
	reported            bool
	switched, lastCodec time.Duration
}

// window holds the packets that wait behind a gap. Its memory is used again
// by the streams of a line.
type window struct {
	slots [windowSize]waiting
	held  int
	free  [][]byte
}

// waiting is a packet that came, or the state of one that did not.
type waiting struct {
	inPacket
	here    bool
	about   uint64        // the number that the rest tells of
	noticed time.Duration // missing since
	asked   time.Duration
	tries   int
}

// miss begins to wait for a number.
func (w *waiting) miss(seq uint64, now time.Duration) {
	w.about, w.noticed, w.asked, w.tries = seq, now, 0, 0
}

func newStream(ssrc uint32, number uint16, w *window) *stream {
	seq := 1<<16 + uint64(number)
	w.clear()
	return &stream{ssrc: ssrc, base: seq, next: seq, highest: seq - 1, window: w, fresh: true}
}

func (w *window) clear() {
	if w.held == 0 {
		return
	}
	for i := range w.slots {
		w.drop(&w.slots[i])
	}
}

func (w *window) drop(s *waiting) {
	if !s.here {
		return
	}
	w.free = append(w.free, s.payload[:0])
	s.payload, s.here = nil, false
	w.held--
}

// put copies a packet into its place.
func (w *window) put(p inPacket) {
	s := &w.slots[p.seq%windowSize]
	var b []byte
	if n := len(w.free); n > 0 {
		b, w.free = w.free[n-1], w.free[:n-1]
	}
	s.inPacket, s.here = p, true
	s.payload = append(b, p.payload...)
	w.held++
}

// fits tells whether a sequence number can belong to the stream.
func (s *stream) fits(number uint16) bool {
	d := int(int16(number - uint16(s.highest)))
	return d <= maxGap && d > -maxMisorder
}

type verdict uint8

const (
	packetNew verdict = iota
	packetDuplicate
	packetLate
)

// judge counts a packet that fits and numbers it.
func (s *stream) judge(p *inPacket) verdict {
	p.seq = s.highest + uint64(int64(int16(p.number-uint16(s.highest))))
	s.received++
	if p.seq > s.highest {
		s.advance(p.seq, p.arrival)
		return packetNew
	}
	if s.fresh && p.seq < s.base {
		for i := p.seq + 1; i < s.base; i++ {
			s.window.slots[i%windowSize].miss(i, p.arrival)
			s.ask(p.arrival + askAfter)
		}
		s.base, s.next = p.seq, p.seq
	}
	word, bit := &s.came[p.seq%windowSize/64], uint64(1)<<(p.seq%64)
	switch {
	case *word&bit != 0:
		return packetDuplicate
	case p.seq < s.next:
		*word |= bit
		return packetLate
	}
	*word |= bit
	return packetNew
}

// advance makes seq the highest number, and notes what is missing before it.
func (s *stream) advance(seq uint64, now time.Duration) {
	if seq-s.highest > windowSize {
		s.came = [windowSize / 64]uint64{}
	} else {
		for i := s.highest + 1; i < seq; i++ {
			s.came[i%windowSize/64] &^= 1 << (i % 64)
		}
	}
	for i := max(s.highest+1, s.base, seq-min(seq, windowSize)+1); i < seq; i++ {
		w := &s.window.slots[i%windowSize]
		if !w.here {
			w.miss(i, now)
		}
		s.ask(now + askAfter)
	}
	s.highest = seq
	s.came[seq%windowSize/64] |= 1 << (seq % 64)
}

func (s *stream) ask(at time.Duration) {
	if s.askAt == 0 || at < s.askAt {
		s.askAt = at
	}
}

// hold keeps a packet behind a gap, or one of the first. Those that have no
// room any more are given up before.
func (s *stream) hold(p inPacket, deliver func(inPacket)) {
	if s.fresh && p.seq-s.next < windowSize {
		s.window.put(p)
		return
	}
	for p.seq-s.next >= windowSize {
		s.giveUp(p.seq-windowSize+1, deliver)
	}
	if p.seq == s.next {
		s.pass(p, deliver)
		return
	}
	s.window.put(p)
}

// pass gives a packet on whose turn it is, and those that waited for it.
func (s *stream) pass(p inPacket, deliver func(inPacket)) {
	s.give(p, deliver)
	s.drain(deliver)
}

func (s *stream) give(p inPacket, deliver func(inPacket)) {
	p.gap, s.gap = s.gap, false
	s.next = p.seq + 1
	deliver(p)
}

func (s *stream) drain(deliver func(inPacket)) {
	for s.window.held > 0 {
		w := &s.window.slots[s.next%windowSize]
		if !w.here || w.seq != s.next {
			return
		}
		s.give(w.inPacket, deliver)
		s.window.drop(w)
	}
	s.askAt = 0
}

// first is the first packet that waits behind the gap.
func (s *stream) first() *waiting {
	if s.window.held == 0 {
		return nil
	}
	for i := s.next; i <= s.highest; i++ {
		if w := &s.window.slots[i%windowSize]; w.here && w.seq == i {
			return w
		}
	}
	return nil
}

// giveUp goes on behind the gap, or at number upTo if that comes first.
func (s *stream) giveUp(upTo uint64, deliver func(inPacket)) {
	s.gap, s.fresh = !s.fresh, false
	if w := s.first(); w != nil && w.seq <= upTo {
		s.next = w.seq
		s.drain(deliver)
		return
	}
	s.next = upTo
}

// askPause is the time from one request for a packet to the next.
func askPause(rtt time.Duration) time.Duration { return max(askGap, rtt+rtt/4) }

// missing appends the numbers to be asked again now.
func (s *stream) missing(list []uint16, now, rtt time.Duration) []uint16 {
	if s.askAt == 0 || now < s.askAt {
		return list
	}
	s.askAt = 0
	gap := askPause(rtt)
	for i := max(s.next, s.base); i < s.highest; i++ {
		w := &s.window.slots[i%windowSize]
		if s.came[i%windowSize/64]&(1<<(i%64)) != 0 || w.tries >= askTries {
			continue
		}
		due := w.noticed + askAfter
		if w.tries > 0 {
			due = w.asked + gap
		}
		if due <= now && len(list) < maxAsks {
			list = append(list, uint16(i))
			w.tries++
			w.asked, due = now, now+gap
		}
		if w.tries < askTries {
			s.ask(due)
		}
	}
	return list
}

// answered is how long after it was asked again a packet came; ok is false if
// it was not, or more than once.
func (s *stream) answered(p *inPacket) (d time.Duration, ok bool) {
	w := &s.window.slots[p.seq%windowSize]
	if w.about != p.seq || w.tries != 1 {
		return 0, false
	}
	return p.arrival - w.asked, true
}

// time updates the interarrival jitter (RFC 3550 section A.8) by a packet of
// sound or picture.
func (s *stream) time(ts uint32, arrival time.Duration) {
	transit := math.Mod(arrival.Seconds()*float64(s.rate), 1<<32) - float64(ts)
	d := math.Abs(math.Remainder(transit-s.transit, 1<<32))
	s.transit = transit
	if s.timed && d < float64(s.rate)*5 { // a jump of the timestamps is no jitter
		s.jitter += (d - s.jitter) / 16
	}
	s.timed = true
}

func (s *stream) expected() uint64 { return s.highest + 1 - s.base }

// lost is the number of packets lost, below 0 if there were duplicates.
func (s *stream) lost() int64 { return int64(s.expected()) - int64(s.received) }

// jitterTime is the interarrival jitter as a duration.
func (s *stream) jitterTime() time.Duration {
	return time.Duration(s.jitter / float64(max(s.rate, 1)) * float64(time.Second))
}

// report makes a reception report block (RFC 3550 section 6.4.1, A.3).
func (s *stream) report(now time.Duration) rtcp.ReceptionReport {
	expected := s.expected() - s.expectedPrior
	received := s.received - s.receivedPrior
	s.expectedPrior, s.receivedPrior = s.expected(), s.received
	r := rtcp.ReceptionReport{
		SSRC:               s.ssrc,
		TotalLost:          uint32(min(max(s.lost(), -1<<23), 1<<23-1)) & 0xffffff,
		LastSequenceNumber: uint32(s.highest - 1<<16),
		Jitter:             uint32(s.jitter),
	}
	if expected > received {
		r.FractionLost = uint8(min((expected-received)<<8/expected, 255))
	}
	if s.reported {
		r.LastSenderReport = s.reportNTP
		r.Delay = uint32((now - s.reportAt) * 65536 / time.Second)
	}
	return r
}
