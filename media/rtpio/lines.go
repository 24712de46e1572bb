package rtpio

import (
	"math/rand/v2"
	"net"
	"net/netip"
	"slices"
	"sync/atomic"
	"time"

	"github.com/trunkcast/trunkcast/media/sdp"
)

// line is what a session has for one m-line: it lives from the negotiation
// that first wants it to the one after that which refuses it.
type line struct {
	s     *Session
	index int
	kind  sdp.Kind
	pair  *portPair
	gone  chan struct{} // closed when no agreement has the line any more

	readers [2]*reader // of RTP and RTCP

	key   []byte // our SRTP key for suite; see keyFor
	suite sdp.CryptoSuite

	sending atomic.Bool // pictures were sent: RTCP may ask for packets of them again
	repairs uint64      // counts.nacks at the last tick

	// agreed is read by the readers for each packet; nil means not in use.
	agreed atomic.Pointer[lineConfig]

	// The rest is guarded by the session's mutex.
	latch    latch
	send     sender
	report   reportState
	keys     keyFrames
	history  *history      // video, made with the first frame
	pacing   chan struct{} // packets wait for the pacer
	space    chan struct{} // there is room in history
	paced    bool          // the pacer runs
	counts   lineCounts
	firSeq   uint8 // of the caller's last FIR
	firHeard bool
	told     bool      // OnMedia was called
	logged   time.Time // last log line about the source

	soundSeen uint64        // counts.packets at the last look
	silentAt  time.Duration // session time of the next packet of silence
}

// lineConfig is what one negotiation says about a line. It is immutable.
type lineConfig struct {
	rtp, rtcp netip.AddrPort // of the SDP
	mux       bool
	reduced   bool            // feedback needs no report before it (RFC 5506)
	recv      *sdp.PayloadMap // nil: nothing is taken
	send      *sdp.PayloadMap
	sends     bool
	feedback  sdp.Feedback
	bandwidth sdp.Bandwidth
	secure    bool
	in, out   *cipher // in is nil until the peer's key is known
}

// lineCounts are the counters that the receiver does not keep.
type lineCounts struct {
	packets, bytes, frames, discarded uint64
	silence, retransmitted            uint64
	keyRequests, nacks, errors        uint64
}

// open makes a line with its sockets and starts to read them. It is called
// within an exchange.
func (s *Session) open(index int, kind sdp.Kind) (*line, error) {
	pair, err := s.ports.open(kind, !s.waiting)
	if err != nil {
		return nil, err
	}
	l := &line{s: s, index: index, kind: kind, pair: pair, gone: make(chan struct{})}
	l.latch.mode = s.Latching
	l.send = sender{ssrc: rand.Uint32(), seq: firstSequence(), base: rand.Uint32()}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		pair.stop()
		pair.release()
		return nil, ErrClosed
	}
	if !s.running {
		s.running = true
		go s.run()
	}
	s.opened = append(s.opened, l)
	for i, c := range []socket{pair.rtp, pair.rtcp} {
		l.readers[i] = s.read(l, c)
	}
	return l, nil
}

// read has a socket read, by the play-out goroutine where it can be polled.
func (s *Session) read(l *line, c socket) *reader {
	r := &reader{l: l}
	switch c := c.(type) {
	case *poller:
		r.poller = c
	case *net.UDPConn:
		r.conn = c
		s.wg.Go(r.run)
	}
	return r
}

// firstSequence is random, with room before the first wrap: a receiver that
// misses the first packets of an SRTP stream would else guess a wrong
// roll-over counter.
func firstSequence() uint16 { return uint16(rand.UintN(1 << 15)) }

// reap closes the lines that no agreement uses any more.
func (s *Session) reap() {
	s.mu.Lock()
	var gone, kept []*line // new slices: others hold the old ones
	for _, l := range s.opened {
		listed := l.index < len(s.lines) && s.lines[l.index] == l
		if listed && l.agreed.Load() != nil {
			kept = append(kept, l)
			continue
		}
		gone = append(gone, l)
		if listed {
			s.lines = slices.Clone(s.lines)
			s.lines[l.index] = nil
		}
	}
	s.opened = kept
	s.mu.Unlock()
	for _, l := range gone {
		close(l.gone)
		l.pair.stop()
		l.pair.release()
	}
}

// target is where RTP goes to and with which configuration; ok is false while
// nothing may or can be sent. The mutex is held.
func (l *line) target(now time.Time) (c *lineConfig, to netip.AddrPort, ok bool) {
	c = l.agreed.Load()
	if c == nil || !c.sends || c.secure && c.out == nil {
		return c, to, false
	}
	to = l.latch.destination(now)
	return c, to, to.IsValid() && to.Port() != 0
}

// sendRTP sends one datagram. Errors are counted, not returned: an unreachable
// caller is for the media time-out to notice.
func (l *line) sendRTP(b []byte, to netip.AddrPort) {
	if _, err := l.pair.rtp.WriteToUDPAddrPort(b, to); err != nil {
		l.s.sendErrors.Add(1)
	}
}
