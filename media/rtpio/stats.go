package rtpio

import (
	"net/netip"
	"time"

	"github.com/trunkcast/trunkcast/media"
	"github.com/trunkcast/trunkcast/media/sdp"
)

// Stats is a snapshot of a session's counters since its start.
type Stats struct {
	Lines []LineStats
	// STUN, DTLS and Malformed count datagrams that are neither RTP nor RTCP;
	// Foreign those from a source that is not the caller's, or of a payload
	// type that was not agreed; Unauthentic those that SRTP refused.
	STUN, DTLS, Malformed, Foreign, Unauthentic uint64
	// SendErrors counts datagrams that the system refused to send.
	SendErrors uint64
	// OutputDropped counts frames that Output did not take, or would not have
	// after its error.
	OutputDropped uint64
	// RTT is the round-trip time to the caller by its reports; 0 if it sends
	// none on us.
	RTT time.Duration
	// VideoLimit is the bit rate that callers who understand it are told, in
	// bit/s; 0: none. See [Session.SetMaxVideoBitRate].
	VideoLimit int
	// Sync tells whether sound and picture are in step.
	Sync Sync
}

// Sync is how the picture of the caller stands to the sound, as it is given to
// Output. It is an estimate: nothing in RTP tells how far apart a caller whose
// sender reports are missing or wrong has sent them.
type Sync struct {
	// Known tells that there are both.
	Known bool
	// Offset is how much later than its picture the sound is. Below 0 the
	// picture is late.
	Offset time.Duration
	// Reported tells that sender reports are believed; else it goes by
	// arrival.
	Reported bool
}

// LineStats are the counters of one m-line.
type LineStats struct {
	Index int
	Kind  sdp.Kind
	// LocalPort is that of our RTP, Remote where our packets go to; invalid if
	// that is not known.
	LocalPort int
	Remote    netip.AddrPort
	Encrypted bool

	Received ReceiveStats
	Sent     SendStats
}

// ReceiveStats is about what came from the caller.
type ReceiveStats struct {
	Codec          media.Codec
	SSRC           uint32
	Packets, Bytes uint64
	Lost           int64 // expected less received (RFC 3550 section 6.4.1)
	Late           uint64
	Duplicate      uint64
	Frames         uint64
	KeyFrames      uint64
	DamagedFrames  uint64 // not given on, or given on damaged
	Discarded      uint64 // frames given up because Output did not take those before
	Malformed      uint64 // payloads that make no sense
	Concealed      time.Duration
	Freezes        uint64
	Frozen         time.Duration
	Jitter         time.Duration // interarrival jitter (RFC 3550 section 6.4.1)
	Delay          time.Duration // of the jitter buffer now
	NACKs          uint64        // sequence numbers asked again
	KeyRequests    uint64        // times a key frame was asked
}

// SendStats is about what went to the caller.
type SendStats struct {
	Codec              media.Codec
	SSRC               uint32
	Packets, Bytes     uint64 // without silence, reports and repetitions
	Frames             uint64
	Discarded          uint64 // frames not sent: held, no address yet, or sound that overlaps
	Silence            uint64 // packets of silence
	Retransmitted      uint64
	KeyRequests        uint64        // PLI and FIR received
	RemoteLost         int64         // from the caller's reports
	RemoteFractionLost float64       // 0 to 1, last report
	RemoteJitter       time.Duration // last report
	RTT                time.Duration // 0 if unknown
	RemoteLimit        int           // bit/s by TMMBR or REMB, 0 if none
}

// Stats returns the counters.
func (s *Session) Stats() Stats {
	s.init()
	st := Stats{
		STUN: s.stun.Load(), DTLS: s.dtls.Load(), Malformed: s.malformed.Load(), Foreign: s.foreign.Load(),
		Unauthentic: s.unauthentic.Load(), SendErrors: s.sendErrors.Load(), OutputDropped: s.outputDropped.Load(),
	}
	now := time.Now()
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, l := range s.lines {
		if l != nil {
			st.Lines = append(st.Lines, l.stats(now))
		}
	}
	st.RTT, st.Sync, st.VideoLimit = s.receiver.rtt, s.receiver.sync(now), s.limit
	return st
}

// sync tells how the picture that is shown stands to the sound.
func (r *receiver) sync(now time.Time) Sync {
	for _, l := range r.lines {
		if l == nil || l.stream == nil || l.kind != sdp.Video || !r.shows(l.index, l.kind) {
			continue
		}
		if y, ok := l.stream.track.Sync(r.at(now)); ok {
			return Sync{Known: true, Offset: y.Offset, Reported: y.Reported}
		}
	}
	return Sync{}
}

// stats is called with the mutex held.
func (l *line) stats(now time.Time) LineStats {
	st := LineStats{Index: l.index, Kind: l.kind, LocalPort: l.pair.port, Remote: l.latch.destination(now)}
	if c := l.agreed.Load(); c != nil {
		st.Encrypted = c.secure
	}
	n, r := &l.counts, &l.report
	st.Sent = SendStats{
		SSRC: l.send.ssrc, Packets: n.packets, Bytes: n.bytes, Frames: n.frames, Discarded: n.discarded,
		Silence: n.silence, Retransmitted: n.retransmitted, KeyRequests: n.keyRequests,
		RemoteLost: r.lost, RemoteFractionLost: r.fraction, RemoteJitter: r.jitter, RTT: r.rtt, RemoteLimit: r.limit,
	}
	if l.send.format != nil {
		st.Sent.Codec = l.send.format.Codec
	}
	st.Received = l.received(now)
	return st
}

func (l *line) received(now time.Time) (st ReceiveStats) {
	if in := l.s.receiver.line(l.index); in != nil {
		st = in.stats(l.s.receiver.at(now))
	}
	st.NACKs, st.KeyRequests = l.counts.nacks, l.keys.asked
	return st
}
