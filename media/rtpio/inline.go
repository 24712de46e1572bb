package rtpio

import (
	"time"

	"github.com/trunkcast/trunkcast/media"
	"github.com/trunkcast/trunkcast/media/sdp"
)

const (
	// sourceReturn is how long the SSRC before may not come back while the
	// one of now is heard.
	sourceReturn = time.Second
	// sourceSilent is how long a source is silent when another one is
	// followed from its second packet on in any case.
	sourceSilent = 500 * time.Millisecond
	// lossMemory is how long the play-out waits for repetitions after the
	// last loss.
	lossMemory = 10 * time.Second
	// failMemory is how long it waits for one repetition more after too few
	// were waited for.
	failMemory = 30 * time.Second
	// failCost is how many answers to requests make up for a failure, of
	// maxTrust that count at most.
	failCost = 2
	maxTrust = 16
	// repairTime is what it takes beyond a round trip to have a packet again.
	repairTime = askAfter + 20*time.Millisecond
	// minReorder is how long a missing packet is waited for at least.
	minReorder = 20 * time.Millisecond
	// newSource is how long after a re-negotiation or a BYE another SSRC is
	// followed from its first packet on.
	newSource = 5 * time.Second
)

// inLine receives one m-line.
type inLine struct {
	r       *receiver
	index   int
	kind    sdp.Kind
	formats payloads // nil: nothing is taken

	stream   *stream       // nil until the first packet
	lookFor  inPacket      // of what may be a new stream; see follow
	looking  bool          // lookFor is there
	spare    []byte        // memory of lookFor
	before   uint32        // SSRC before
	moved    time.Duration // another SSRC is followed at once until then
	window   *window       // of all its streams, one after the other
	lastLoss time.Duration
	repeats  int           // how often more than once a packet may be asked again before it is given up
	failed   time.Duration // when that was too few, last
	trust    int           // that what is asked again comes: up with each answer, down with each failure
	asks     []uint16
	give     func(inPacket) // deliver, made once

	queue    frameQueue
	out      time.Duration // DTS of the last frame that left
	sound    sound
	events   events
	pictures *pictures // video only

	codec                      media.Codec
	packets, bytes             uint64
	late, duplicates, unknown  uint64
	frames, keyFrames, damaged uint64
	malformed                  uint64
	lostBefore                 int64 // of the streams before
	concealed, frozen          time.Duration
	freezes                    uint64
	overflow                   uint64
}

func newInLine(r *receiver, index int, kind sdp.Kind) *inLine {
	l := &inLine{r: r, index: index, kind: kind}
	l.give = l.deliver
	if kind == sdp.Video {
		l.pictures = newPictures(l)
	}
	return l
}

// end is called when another kind of media takes the place of the line.
func (l *inLine) end() {
	if l.stream != nil {
		l.finish(l.stream)
		l.r.clock.Remove(l.stream.track)
	}
}

// packet takes a packet that came now.
func (l *inLine) packet(p inPacket) {
	f := l.formats.Lookup(p.pt)
	ours := l.stream != nil && p.ssrc == l.stream.ssrc && l.stream.fits(p.number)
	if f == nil && !ours {
		l.unknown++
		return
	}
	l.packets++
	l.bytes += uint64(p.size)
	if !ours {
		l.follow(p)
		return
	}
	l.take(p, f) // of an unknown type too: its number is not missing
}

// follow decides about a packet that is not of the stream: a new one begins
// with two packets in a row (RFC 3550 section A.1), at once after a
// re-negotiation or a BYE. The SSRC before is followed again only when the one
// of now is silent: two that are mixed would else take turns.
func (l *inLine) follow(p inPacket) {
	s := l.stream
	if s == nil || p.arrival < l.moved && p.ssrc != s.ssrc {
		l.begin(p)
		return
	}
	c := l.lookFor
	if !l.looking || c.ssrc != p.ssrc || p.number != c.number+1 {
		l.spare = append(l.spare[:0], p.payload...)
		p.payload = l.spare
		l.lookFor, l.looking = p, true
		return
	}
	l.looking = false
	silent := p.arrival - s.lastCodec
	if p.ssrc == l.before && p.ssrc != s.ssrc && silent < sourceSilent && p.arrival-s.switched < sourceReturn {
		return
	}
	l.begin(c)
	if f := l.formats.Lookup(p.pt); f != nil {
		l.take(p, f)
	}
}

// begin starts a stream with its first packet.
func (l *inLine) begin(p inPacket) {
	f := l.formats.Lookup(p.pt)
	if f == nil {
		return
	}
	if l.window == nil {
		l.window = &window{}
	}
	old := l.stream
	l.moved = 0
	s := newStream(p.ssrc, p.number, l.window)
	s.switched = p.arrival
	s.rate = max(f.ClockRate, 1)
	if old != nil {
		l.finish(old)
		l.before = old.ssrc
		l.lostBefore += old.lost()
		s.track = l.r.clock.Add(s.rate, l.kind == sdp.Audio, old.track)
	} else {
		s.track = l.r.clock.Add(s.rate, l.kind == sdp.Audio, nil)
	}
	if l.pictures != nil {
		l.pictures.start(p.arrival)
	}
	l.stream = s
	l.take(p, f)
}

// finish gives on what is left of a stream.
func (l *inLine) finish(s *stream) {
	for s.window.held > 0 {
		s.giveUp(s.highest, l.give)
	}
	if l.pictures != nil {
		l.pictures.cut()
	}
	l.sound.cut()
}

// take puts a packet of the stream into its place.
func (l *inLine) take(p inPacket, f *sdp.Format) {
	s := l.stream
	l.looking = false
	held := s.highest + 1 - s.next
	verdict := s.judge(&p)
	if verdict != packetDuplicate {
		if d, ok := s.answered(&p); ok {
			l.r.repaired(d)
			l.trust = min(l.trust+1, maxTrust)
		}
	}
	switch verdict {
	case packetDuplicate:
		l.duplicates++
		return
	case packetLate:
		l.late++
		l.arrive(p, f)
		return
	}
	l.arrive(p, f)
	if p.seq == s.next && !s.fresh {
		s.pass(p, l.give)
		return
	}
	s.hold(p, l.give)
	if held == 0 && p.seq != s.next {
		l.lost(p.arrival)
	}
}

// arrive lets the clocks see a packet, in the order of arrival. f is nil for an
// unknown payload type.
func (l *inLine) arrive(p inPacket, f *sdp.Format) {
	s := l.stream
	s.lastCodec = p.arrival
	if f == nil || f.Codec == "" || f.ClockRate != s.rate {
		return
	}
	s.time(p.ts, p.arrival)
	s.track.Arrive(p.ts, p.arrival)
	if l.lastLoss > 0 && p.arrival-l.lastLoss > lossMemory {
		l.lastLoss, l.repeats = 0, 0
		s.track.Reserve(0)
	}
}

// repairs tells whether lost packets of the line are asked again.
func (l *inLine) repairs() bool { return l.kind == sdp.Video && l.r.nack(l.index) }

// lost notes that a packet is missing: if it is asked again, the play-out
// waits long enough for it from here on.
func (l *inLine) lost(now time.Duration) {
	l.lastLoss = now
	if !l.repairs() {
		return
	}
	if l.repeats > 0 && now-l.failed > failMemory {
		l.repeats, l.failed = l.repeats-1, now
	}
	rtt := l.r.roundTrip()
	l.stream.track.Reserve(min(rtt+repairTime+time.Duration(l.repeats)*askPause(rtt), l.r.clock.Longest()))
}

// unrepaired notes that a gap is given up though it was asked for: requests
// and repetitions are lost too, and those that follow get another chance,
// unless the caller seems to send nothing again.
func (l *inLine) unrepaired(now time.Duration) {
	if !l.repairs() || l.stream.fresh {
		return
	}
	if l.trust = max(l.trust-failCost, 0); l.trust > 0 {
		l.repeats, l.failed = min(l.repeats+1, askTries-1), now
		l.lost(now)
	}
}

// deliver takes packets in order.
func (l *inLine) deliver(p inPacket) {
	if l.formats == nil { // put on hold meanwhile
		l.lose(true)
		return
	}
	f := l.formats.Lookup(p.pt)
	switch {
	case f == nil:
		l.unknown++
		l.lose(p.gap)
	case f.Event():
		l.lose(p.gap)
		l.events.packet(l, f, p)
	case l.kind == sdp.Video && f.Codec.Video():
		l.clockRate(f)
		l.pictures.packet(f, p)
	case l.kind == sdp.Audio && f.Codec.Audio():
		l.lose(p.gap)
		l.clockRate(f)
		l.sound.packet(l, f, p)
	case f.ComfortNoise():
		l.lose(p.gap)
	default:
		l.unknown++
		l.lose(p.gap)
	}
}

func (l *inLine) lose(gap bool) {
	switch {
	case !gap:
	case l.pictures != nil:
		l.pictures.lose()
	default:
		l.sound.lost = true
	}
}

// clockRate follows a change of the RTP clock with the payload type, which RFC
// 7160 advises against and phones do.
func (l *inLine) clockRate(f *sdp.Format) {
	l.codec = f.Codec
	s := l.stream
	if f.ClockRate == s.rate || f.ClockRate <= 0 {
		return
	}
	s.rate, s.timed = f.ClockRate, false
	s.track = l.r.clock.Add(s.rate, l.kind == sdp.Audio, s.track)
}

// push queues a frame.
func (l *inLine) push(f *media.Frame) bool {
	if !l.r.shows(l.index, l.kind) {
		return true
	}
	if l.queue.overflows() {
		l.overflow++
		return false
	}
	l.queue.push(f)
	return true
}

// gave counts a frame that left.
func (l *inLine) gave(f *media.Frame) {
	l.frames++
	if f.Key && l.kind == sdp.Video {
		l.keyFrames++
	}
}

// deadline is when the gap in front of what waits is given up: when the first
// packet behind it is due. Odd timestamps do not stretch that.
func (l *inLine) deadline() (at time.Duration, ok bool) {
	if l.stream == nil {
		return 0, false
	}
	w := l.stream.first()
	if w == nil {
		return 0, false
	}
	if l.stream.fresh {
		return l.stream.switched + max(l.r.clock.Shortest()-minReorder, minReorder), true
	}
	longest := w.arrival + l.r.clock.Longest()
	pts, mapped := l.stream.track.Peek(w.ts)
	if !mapped {
		return longest, true
	}
	return min(max(pts+l.r.clock.Delay(), w.arrival+minReorder), longest), true
}

// next is when expire or a frame of this line is due.
func (l *inLine) next() (due time.Duration, ok bool) {
	sooner := func(at time.Duration, some bool) {
		if some && (!ok || at < due) {
			due, ok = at, true
		}
	}
	if l.queue.len() > 0 {
		sooner(l.queue.head().DTS+l.r.clock.Delay(), true)
	}
	sooner(l.deadline())
	sooner(l.events.overdue())
	return due, ok
}

// expire gives up what did not come in time.
func (l *inLine) expire(now time.Duration) {
	for {
		at, ok := l.deadline()
		if !ok || at > now {
			break
		}
		l.unrepaired(now)
		l.stream.giveUp(l.stream.highest, l.give)
		l.r.clock.Playout(now)
	}
	l.events.expire(l, now)
}

// flush gives on everything, at the end of the session.
func (l *inLine) flush() {
	if l.stream != nil {
		l.finish(l.stream)
	}
	l.events.end(l)
}

// stats is what the receiver knows of a line.
func (l *inLine) stats(now time.Duration) ReceiveStats {
	st := ReceiveStats{
		Codec: l.codec, Packets: l.packets, Bytes: l.bytes, Lost: l.lostBefore, Late: l.late, Duplicate: l.duplicates,
		Frames: l.frames, KeyFrames: l.keyFrames, DamagedFrames: l.damaged, Concealed: l.concealed,
		Freezes: l.freezes, Frozen: l.frozen, Malformed: l.malformed, Discarded: l.overflow,
	}
	if l.pictures != nil {
		st.Frozen += l.pictures.still(now)
	}
	if s := l.stream; s != nil {
		st.SSRC, st.Jitter = s.ssrc, s.jitterTime()
		st.Lost += s.lost()
		st.Delay = l.r.clock.Buffered(now)
	}
	return st
}
