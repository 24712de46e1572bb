package rtpio

import (
	"encoding/binary"
	"net/netip"
	"time"

	"github.com/pion/rtcp"

	"github.com/trunkcast/trunkcast/media/sdp"
)

// reportState is the RTCP side of one line. It is guarded by the session's
// mutex.
type reportState struct {
	next  time.Time // next regular report; zero: draw one
	sent  bool      // the first was sent
	size  int       // of the last report
	total uint32    // packets sent at the last report: the difference makes us a sender

	// From the caller's reports on our stream.
	lost     int64
	fraction float64
	jitter   time.Duration
	rtt      time.Duration
	limit    int // bit/s by TMMBR or REMB
}

// compound makes an RTCP datagram of a line: report and description first, as
// RFC 3550 section 6.1 wants, then more. The mutex is held.
func (l *line) compound(now time.Time, more ...rtcp.Packet) []byte {
	t := &l.send
	blocks := l.s.receiver.ReceptionReports(l.index, now)
	if len(blocks) > 31 {
		blocks = blocks[:31]
	}
	packets := make([]rtcp.Packet, 0, 2+len(more))
	if t.format != nil && t.packets != l.report.total {
		packets = append(packets, &rtcp.SenderReport{
			SSRC: t.ssrc, NTPTime: ntp(now), RTPTime: t.timestamp(l.s.at(now)),
			PacketCount: t.packets, OctetCount: t.octets, Reports: blocks,
		})
	} else {
		packets = append(packets, &rtcp.ReceiverReport{SSRC: t.ssrc, Reports: blocks})
	}
	packets = append(packets, rtcp.NewCNAMESourceDescription(t.ssrc, l.s.cname))
	b, err := rtcp.Marshal(append(packets, more...))
	if err != nil {
		l.counts.errors++
		return nil
	}
	return b
}

// early makes an RTCP datagram of what cannot wait for the next report: alone
// where that was agreed (RFC 5506 section 3.4.2), else behind one. The mutex is
// held.
func (l *line) early(c *lineConfig, now time.Time, packets ...rtcp.Packet) []byte {
	if !c.reduced {
		return l.compound(now, packets...)
	}
	b, err := rtcp.Marshal(packets)
	if err != nil {
		l.counts.errors++
		return nil
	}
	return b
}

// protect encrypts an RTCP datagram where that was agreed; nil if it cannot
// be sent. The mutex is held.
func (l *line) protect(c *lineConfig, b []byte) []byte {
	if !c.secure || b == nil {
		return b
	}
	if c.out == nil {
		return nil
	}
	b, err := c.out.encryptRTCP(b)
	if err != nil {
		l.counts.errors++
		return nil
	}
	return b
}

// sendRTCP sends one RTCP datagram, from the RTP port if they share it.
func (l *line) sendRTCP(b []byte, to netip.AddrPort, mux bool) {
	if len(b) == 0 || !to.IsValid() || to.Port() == 0 {
		return
	}
	conn := l.pair.rtcp
	if mux {
		conn = l.pair.rtp
	}
	if _, err := conn.WriteToUDPAddrPort(b, to); err != nil {
		l.s.sendErrors.Add(1)
	}
}

// due makes the RTCP packets whose time has come and returns when it is to be
// called next. sip tells that a key frame is to be asked by INFO. The mutex is
// held.
func (l *line) due(now time.Time) (b []byte, sip bool, next time.Time) {
	c := l.agreed.Load()
	if c == nil {
		return nil, false, time.Time{}
	}
	r := &l.report
	if r.next.IsZero() {
		r.next = now.Add(nextReport(l.meanInterval(c), true))
	}
	more, sip := l.feedback(c, now)
	regular := !now.Before(r.next)
	switch {
	case regular || len(more) > 0 && !c.reduced:
		b = l.compound(now, l.appendLimit(c, more)...)
		r.size = len(b)
	case len(more) > 0:
		b = l.early(c, now, more...)
	}
	b = l.protect(c, b)
	if regular {
		r.total = l.send.packets
		r.sent = true
		r.next = now.Add(nextReport(l.meanInterval(c), false))
	}
	next = r.next
	if at, ok := l.keys.next(l.keyMeans(c)); ok && at.Before(next) {
		next = at
	}
	return b, sip, next
}

// meanInterval is the mean time between two reports. The RTCP bandwidth that
// the caller's b=RS and b=RR state is for the caller: values seen in the field
// (50 bit/s) would leave sound and picture out of step.
func (l *line) meanInterval(c *lineConfig) time.Duration {
	bandwidth := c.bandwidth.MaxBitRate
	if bandwidth <= 0 {
		bandwidth = defaultAudioBandwidth
		if l.kind == sdp.Video {
			bandwidth = defaultVideoBandwidth
		}
	}
	size := l.report.size
	if size == 0 {
		size = 100
	}
	return reportInterval(bandwidth, size)
}

func (l *line) keyMeans(c *lineConfig) keyMeans {
	s := l.s
	m := keyMeans{feedback: c.feedback, force: s.ForceFeedback, interval: s.KeyFrameInterval,
		sip: s.RequestKeyFrameBySIP != nil && !s.noINFO}
	if m.interval <= 0 {
		m.interval = defaultKeyInterval
	}
	return m
}

// cameraOff is how long no picture came from a caller who is not asked for any
// more: one who has switched the camera off would be asked for ever.
const cameraOff = 3 * time.Second

// feedback makes what is to be asked of the caller now: lost packets again,
// or a key frame.
func (l *line) feedback(c *lineConfig, now time.Time) (more []rtcp.Packet, sip bool) {
	s := l.s
	if l.kind != sdp.Video || c.recv == nil {
		return nil, false
	}
	ssrc, ok := s.receiver.SSRC(l.index)
	if !ok {
		return nil, false // there is nobody to ask yet
	}
	if now.Sub(l.latch.heard) > cameraOff {
		return nil, false // nor now: the camera is off
	}
	if l.keys.old(now, s.PeriodicKeyFrames) {
		l.keys.want(now, false)
	}
	if s.receiver.KeyFrameWanted(l.index) {
		l.keys.want(now, l.keys.came.IsZero())
	}
	if lost := s.receiver.Nacks(l.index, now); len(lost) > 0 && (c.feedback.NACK || s.ForceFeedback) {
		l.counts.nacks += uint64(len(lost))
		more = append(more, &rtcp.TransportLayerNack{SenderSSRC: l.send.ssrc, MediaSSRC: ssrc,
			Nacks: rtcp.NackPairsFromSequenceNumbers(lost)})
	}
	ask, sip := l.keys.ask(l.keyMeans(c), now)
	switch ask {
	case askPLI:
		more = append(more, &rtcp.PictureLossIndication{SenderSSRC: l.send.ssrc, MediaSSRC: ssrc})
	case askFIR:
		l.keys.firSeq++
		more = append(more, &rtcp.FullIntraRequest{SenderSSRC: l.send.ssrc, // media SSRC 0, RFC 5104 section 4.3.1.2
			FIR: []rtcp.FIREntry{{SSRC: ssrc, SequenceNumber: l.keys.firSeq}}})
	}
	return more, sip
}

// appendLimit adds the bit rate that the caller shall stay below. It is
// repeated with every report: the messages may be lost, and REMB expires.
func (l *line) appendLimit(c *lineConfig, more []rtcp.Packet) []rtcp.Packet {
	ssrc, ok := l.s.receiver.SSRC(l.index)
	if l.kind != sdp.Video || l.s.limit <= 0 || !ok {
		return more
	}
	if c.feedback.TMMBR {
		raw := rtcp.RawPacket(tmmb(fmtTMMBR, l.send.ssrc, ssrc, l.s.limit))
		more = append(more, &raw)
	}
	if c.feedback.REMB {
		more = append(more, &rtcp.ReceiverEstimatedMaximumBitrate{
			SenderSSRC: l.send.ssrc, Bitrate: float32(l.s.limit), SSRCs: []uint32{ssrc}})
	}
	return more
}

const (
	fmtTMMBR = 3 // RFC 5104 section 4.2.1
	fmtTMMBN = 4 // RFC 5104 section 4.2.2

	// tmmbOverhead is what a packet costs beyond RTP's payload: IPv4, UDP and
	// RTP headers.
	tmmbOverhead = 20 + 8 + 12
)

// tmmb makes a TMMBR or TMMBN with one entry, in bit/s:
//
//	SSRC (32) | exponent (6) | mantissa (17) | overhead (9)
func tmmb(format uint8, sender, about uint32, rate int) []byte {
	exp, mantissa := uint32(0), uint64(rate)
	for mantissa >= 1<<17 {
		mantissa >>= 1
		exp++
	}
	b := []byte{0x80 | format, byte(rtcp.TypeTransportSpecificFeedback), 0, 4}
	b = binary.BigEndian.AppendUint32(b, sender)
	b = binary.BigEndian.AppendUint32(b, 0)
	b = binary.BigEndian.AppendUint32(b, about)
	return binary.BigEndian.AppendUint32(b, exp<<26|uint32(mantissa)<<9|tmmbOverhead)
}

// parseTMMBR returns the lowest limit for ssrc in bit/s, 0 if there is none.
func parseTMMBR(b []byte, ssrc uint32) (limit int) {
	for b = b[min(12, len(b)):]; len(b) >= 8; b = b[8:] {
		v := binary.BigEndian.Uint32(b[4:])
		exp, mantissa := v>>26, uint64(v>>9&0x1ffff)
		if binary.BigEndian.Uint32(b) != ssrc || exp > 30 {
			continue
		}
		if rate := int(mantissa << exp); limit == 0 || rate < limit {
			limit = rate
		}
	}
	return limit
}
