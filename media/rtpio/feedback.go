package rtpio

import (
	"math"
	"net/netip"
	"time"

	"github.com/pion/rtcp"
)

const (
	// keyRequestGap is the shortest time between two calls of
	// OnKeyFrameRequested.
	keyRequestGap = 500 * time.Millisecond
	// maxResend bounds what one datagram can make us send.
	maxResend = 64
)

// wishes is what the caller asks of us in one RTCP datagram.
type wishes struct {
	key    bool
	resend []uint16
	reply  []byte
	to     netip.AddrPort
	mux    bool
}

// rtcp takes one RTCP datagram, compound or of reduced size (RFC 5506). Types
// that mean nothing to us are passed over, XR among them.
func (r *reader) rtcp(b []byte, from netip.AddrPort, now time.Time) {
	s, l := r.l.s, r.l
	c := l.agreed.Load()
	if c == nil {
		return
	}
	if c.secure {
		var err error
		if c.in == nil {
			return
		}
		if b, err = c.in.decryptRTCP(b); err != nil {
			s.unauthentic.Add(1)
			return
		}
	}
	packets, err := rtcp.AppendRawPackets(r.raw[:0], b)
	if err != nil {
		s.malformed.Add(1)
		return
	}
	r.raw = packets
	var w wishes
	s.mu.Lock()
	ok := l.latch.acceptRTCP(from)
	if ok {
		s.lastIn = now
		for _, p := range packets {
			l.take(p, now, &w)
		}
		w.to, w.mux = l.latch.destinationRTCP(now), c.mux
		w.reply = l.protect(c, w.reply)
		s.rouse(now)
	}
	s.mu.Unlock()
	if !ok {
		s.foreign.Add(1)
		return
	}
	r.serve(w, now)
}

// take reads one packet of a datagram. The mutex is held.
func (l *line) take(p rtcp.RawPacket, now time.Time, w *wishes) {
	switch h := p.Header(); h.Type {
	case rtcp.TypeSenderReport:
		var sr rtcp.SenderReport
		if sr.Unmarshal(p) == nil {
			l.s.receiver.SenderReport(l.index, sr.SSRC, sr.NTPTime, sr.RTPTime, now)
			l.takeReports(sr.Reports, now)
		}
	case rtcp.TypeReceiverReport:
		var rr rtcp.ReceiverReport
		if rr.Unmarshal(p) == nil {
			l.takeReports(rr.Reports, now)
		}
	case rtcp.TypeGoodbye:
		var bye rtcp.Goodbye
		if bye.Unmarshal(p) == nil {
			for _, ssrc := range bye.Sources {
				l.s.receiver.Bye(l.index, ssrc, now)
			}
		}
	case rtcp.TypeTransportSpecificFeedback:
		l.takeTransport(h.Count, p, w)
	case rtcp.TypePayloadSpecificFeedback:
		l.takePayload(h.Count, p, w)
	}
}

// takeReports reads what the caller says about our stream.
func (l *line) takeReports(blocks []rtcp.ReceptionReport, now time.Time) {
	for _, b := range blocks {
		if b.SSRC != l.send.ssrc {
			continue
		}
		r := &l.report
		r.lost = int64(int32(b.TotalLost<<8) >> 8) // 24 bits, signed
		r.fraction = float64(b.FractionLost) / 256
		if l.send.format != nil {
			r.jitter = time.Duration(int64(b.Jitter) * int64(time.Second) / int64(l.send.format.ClockRate))
		}
		if d, ok := roundTrip(now, b.LastSenderReport, b.Delay); ok {
			r.rtt = d
			l.s.receiver.SetRTT(d)
		}
	}
}

func (l *line) takeTransport(format uint8, p rtcp.RawPacket, w *wishes) {
	switch format {
	case rtcp.FormatTLN:
		var nack rtcp.TransportLayerNack
		if nack.Unmarshal(p) != nil || nack.MediaSSRC != l.send.ssrc {
			return
		}
		for _, pair := range nack.Nacks {
			pair.Range(func(seq uint16) bool {
				w.resend = append(w.resend, seq)
				return len(w.resend) < maxResend
			})
			if len(w.resend) >= maxResend {
				return
			}
		}
	case fmtTMMBR:
		c := l.agreed.Load()
		if limit := parseTMMBR(p, l.send.ssrc); limit > 0 && c != nil {
			l.report.limit = limit
			n := rtcp.RawPacket(tmmb(fmtTMMBN, l.send.ssrc, l.send.ssrc, limit))
			w.reply = l.early(c, time.Now(), &n)
		}
	}
}

func (l *line) takePayload(format uint8, p rtcp.RawPacket, w *wishes) {
	switch format {
	case rtcp.FormatPLI:
		var pli rtcp.PictureLossIndication
		// Some phones leave the media SSRC 0: there is one stream only.
		if pli.Unmarshal(p) == nil && (pli.MediaSSRC == l.send.ssrc || pli.MediaSSRC == 0) {
			w.key = true
		}
	case rtcp.FormatFIR:
		var fir rtcp.FullIntraRequest
		if fir.Unmarshal(p) != nil {
			return
		}
		for _, e := range fir.FIR {
			// A repeated command has the number of the first (RFC 5104
			// section 4.3.1.2).
			if (e.SSRC == l.send.ssrc || e.SSRC == 0) && (!l.firHeard || e.SequenceNumber != l.firSeq) {
				l.firHeard, l.firSeq, w.key = true, e.SequenceNumber, true
			}
		}
	case rtcp.FormatREMB:
		var remb rtcp.ReceiverEstimatedMaximumBitrate
		if remb.Unmarshal(p) == nil && remb.Bitrate > 0 && remb.Bitrate < math.MaxInt32 {
			l.report.limit = int(remb.Bitrate)
		}
	}
}

// serve does what the caller asked for, without the mutex.
func (r *reader) serve(w wishes, now time.Time) {
	s, l := r.l.s, r.l
	l.sendRTCP(w.reply, w.to, w.mux)
	for _, seq := range w.resend {
		s.mu.Lock()
		_, to, ok := l.target(now)
		n := 0
		if ok && l.history != nil {
			if p := l.history.find(seq, now); p != nil {
				n = copy(r.out[:], p.b)
				l.counts.retransmitted++
			}
		}
		s.mu.Unlock()
		if n > 0 {
			l.sendRTP(r.out[:n], to)
		}
	}
	if !w.key {
		return
	}
	s.mu.Lock()
	l.counts.keyRequests++
	tell := now.Sub(s.keyTold) >= keyRequestGap
	if tell {
		s.keyTold = now
	}
	s.mu.Unlock()
	if tell && s.OnKeyFrameRequested != nil {
		s.guard("OnKeyFrameRequested", s.OnKeyFrameRequested)
	}
}
