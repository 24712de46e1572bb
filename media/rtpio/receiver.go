package rtpio

import (
	"time"

	"github.com/pion/rtcp"
	"github.com/pion/rtp"

	"github.com/trunkcast/trunkcast/internal/timeline"
	"github.com/trunkcast/trunkcast/media"
	"github.com/trunkcast/trunkcast/media/sdp"
)

// receiver turns the packets of all lines into frames on one timeline. It has
// no goroutine and no clock, and is guarded by the session's mutex.
//
//	Packet -> reorder (an SSRC) -> pictures, sound, events (a line) -> queue -> Pop
//	             |                         |
//	        NACK, reports         timeline: RTP time -> PTS, play-out delay
//
// Times inside are session times. A frame leaves when the one play-out clock
// reaches its DTS, so frames of all lines leave in order. A packet that is
// missing holds up those behind it until the next one is due itself.
type receiver struct {
	start time.Time
	clock timeline.Timeline
	lines []*inLine // by m-line index; nil: never used
	out   time.Duration
	alarm bool // the play-out goroutine has something to ask or tell

	rtt    time.Duration // by reports; 0: unknown
	repair time.Duration // from asking for a packet to its coming, smoothed; 0: unknown

	passDamaged bool
	maxFreeze   time.Duration       // passes damaged pictures on after it; 0: never
	nack        func(line int) bool // lost packets may be asked again
	shows       func(line int, kind sdp.Kind) bool
	onDigit     func(digit)
}

const (
	// maxDigits bounds the digits that wait to be told.
	maxDigits = 64
	// maxRepair is the longest that a packet is taken for the answer to a
	// request.
	maxRepair = time.Second
	// minStep is the shortest time from one picture to the next.
	minStep = time.Millisecond
)

func (s *Session) newReceiver() *receiver {
	return &receiver{
		start:       s.start,
		clock:       timeline.Timeline{Min: s.JitterMin, Max: s.JitterMax},
		passDamaged: s.PassDamaged,
		maxFreeze:   s.MaxFreeze,
		nack:        s.mayAskAgain,
		shows:       s.shows,
		onDigit: func(d digit) {
			if len(s.digits) < maxDigits {
				s.digits = append(s.digits, d)
			}
		},
	}
}

// mayAskAgain tells whether lost packets of a line are asked again.
func (s *Session) mayAskAgain(line int) bool {
	if line >= len(s.lines) || s.lines[line] == nil {
		return false
	}
	c := s.lines[line].agreed.Load()
	return c != nil && (c.feedback.NACK || s.ForceFeedback)
}

// shows tells whether the frames of a line go to Output: of two pictures (a
// camera and slides) it is the one that counts as the video of the call.
func (s *Session) shows(line int, kind sdp.Kind) bool {
	main := s.agreed.Load().Line(kind)
	return main == nil || main.Index == line
}

func (r *receiver) at(now time.Time) time.Duration { return max(now.Sub(r.start), 0) }

func (r *receiver) line(i int) *inLine {
	if i < 0 || i >= len(r.lines) {
		return nil
	}
	return r.lines[i]
}

// payloads is what a receiver needs of an sdp.PayloadMap.
type payloads interface {
	Lookup(pt uint8) *sdp.Format
}

// SetFormats tells what the payload types of a line mean from now on; nil ends
// the line.
func (r *receiver) SetFormats(line int, kind sdp.Kind, formats *sdp.PayloadMap, now time.Time) {
	if len(formats.Formats()) == 0 {
		r.setFormats(line, kind, nil, r.at(now))
		return
	}
	r.setFormats(line, kind, formats, r.at(now))
}

func (r *receiver) setFormats(line int, kind sdp.Kind, formats payloads, now time.Duration) {
	for len(r.lines) <= line {
		r.lines = append(r.lines, nil)
	}
	l := r.lines[line]
	if l != nil && l.kind != kind {
		l.end()
		l = nil
	}
	if l == nil {
		l = newInLine(r, line, kind)
		r.lines[line] = l
	}
	l.formats = formats
	l.moved = now + newSource
	l.looking = false
}

// Packet takes a packet of a line and keeps nothing of it but copies.
func (r *receiver) Packet(line int, p *rtp.Packet, now time.Time) {
	l := r.line(line)
	if l == nil || l.formats == nil {
		return
	}
	t := r.at(now)
	l.packet(inPacket{
		ssrc: p.SSRC, number: p.SequenceNumber, ts: p.Timestamp, pt: p.PayloadType, marker: p.Marker,
		arrival: t, payload: p.Payload, size: p.MarshalSize(),
	})
	r.clock.Playout(t)
}

// SenderReport takes the relation between wall clock and RTP time of a source.
func (r *receiver) SenderReport(line int, ssrc uint32, ntp uint64, rtp uint32, now time.Time) {
	l := r.line(line)
	if l == nil || l.stream == nil || l.stream.ssrc != ssrc {
		return
	}
	l.stream.reportNTP, l.stream.reportAt, l.stream.reported = uint32(ntp>>16), r.at(now), true
	l.stream.track.SenderReport(ntp, rtp, r.at(now))
}

// Bye tells that a source has ended: another one may take its place at once.
func (r *receiver) Bye(line int, ssrc uint32, now time.Time) {
	if l := r.line(line); l != nil && l.stream != nil && l.stream.ssrc == ssrc {
		l.moved = r.at(now) + newSource
	}
}

// SetRTT tells the round-trip time to the caller. It is that of all lines: who
// only receives pictures is told by the reports on the sound.
func (r *receiver) SetRTT(d time.Duration) { r.rtt = d }

// repaired tells that a packet came so long after it was asked again.
func (r *receiver) repaired(d time.Duration) {
	switch {
	case d <= 0 || d > maxRepair:
	case r.repair == 0:
		r.repair = d
	default:
		r.repair += (d - r.repair) / 8
	}
}

// roundTrip is what a request takes to be answered: by reports, or as it was
// seen, with the time that the caller needs.
func (r *receiver) roundTrip() time.Duration { return max(r.rtt, r.repair) }

// Next is when Pop is due; ok is false if nothing waits.
func (r *receiver) Next() (at time.Time, ok bool) {
	due, ok := r.next()
	if r.alarm {
		due, ok = 0, true
	}
	for _, l := range r.lines {
		if l != nil && l.kind == sdp.Video && l.stream != nil && l.stream.askAt > 0 && r.nack(l.index) && (!ok || l.stream.askAt < due) {
			due, ok = l.stream.askAt, true
		}
	}
	return r.start.Add(due), ok
}

// next is when the first frame is due, a gap is to be given up or a digit is
// overdue.
func (r *receiver) next() (due time.Duration, ok bool) {
	for _, l := range r.lines {
		if l == nil {
			continue
		}
		if at, some := l.next(); some && (!ok || at < due) {
			due, ok = at, true
		}
	}
	return due, ok
}

// Pop gives the frames that are due, in the order of their time, and returns
// when it is to be called next; zero if nothing waits.
func (r *receiver) Pop(now time.Time, emit func(*media.Frame)) (next time.Time) {
	t := r.at(now)
	r.alarm = false
	r.clock.Playout(t)
	for _, l := range r.lines {
		if l != nil {
			l.expire(t)
		}
	}
	r.release(t-r.clock.Playout(t), emit) // what expired may have moved the clock
	if due, ok := r.next(); ok {
		return r.start.Add(due)
	}
	return time.Time{}
}

// release gives the frames whose DTS is at most until.
func (r *receiver) release(until time.Duration, emit func(*media.Frame)) {
	for {
		var first *inLine
		for _, l := range r.lines {
			if l == nil || l.queue.len() == 0 {
				continue
			}
			r.makeRoom(l)
			if first == nil || l.queue.head().DTS < first.queue.head().DTS {
				first = l
			}
		}
		if first == nil || first.queue.head().DTS > until && !first.queue.full() {
			return
		}
		f := first.queue.pop()
		if f.DTS < r.out { // sound
			first.late++
			continue
		}
		r.out, first.out = f.DTS, f.DTS
		first.gave(f)
		emit(f)
	}
}

// makeRoom has the next picture of a line that comes after its time fit behind
// the frames that left already. Two pictures never have the same time: RTMP and
// players count in milliseconds.
func (r *receiver) makeRoom(l *inLine) {
	if l.kind != sdp.Video {
		return
	}
	f := l.queue.head()
	f.DTS = max(f.DTS, r.out)
	if l.frames > 0 {
		f.DTS = max(f.DTS, l.out+minStep)
	}
	f.PTS = max(f.PTS, f.DTS)
}

// Flush gives everything that is left.
func (r *receiver) Flush(emit func(*media.Frame)) {
	for _, l := range r.lines {
		if l != nil {
			l.flush()
		}
	}
	r.release(1<<63-1, emit)
}

// Nacks are the sequence numbers to ask again now.
func (r *receiver) Nacks(line int, now time.Time) []uint16 {
	l := r.line(line)
	if l == nil || l.stream == nil {
		return nil
	}
	l.asks = l.stream.missing(l.asks[:0], r.at(now), r.roundTrip())
	return l.asks
}

// KeyFrameWanted tells that the pictures of a line stand still until a key
// frame comes.
func (r *receiver) KeyFrameWanted(line int) bool {
	l := r.line(line)
	return l != nil && l.stream != nil && l.pictures != nil && l.pictures.waiting && r.shows(line, l.kind)
}

// SSRC is that of the source of a line.
func (r *receiver) SSRC(line int) (uint32, bool) {
	l := r.line(line)
	if l == nil || l.stream == nil {
		return 0, false
	}
	return l.stream.ssrc, true
}

// ReceptionReports are what an RTCP report says about a line.
func (r *receiver) ReceptionReports(line int, now time.Time) []rtcp.ReceptionReport {
	l := r.line(line)
	if l == nil || l.stream == nil {
		return nil
	}
	return []rtcp.ReceptionReport{l.stream.report(r.at(now))}
}
