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
	// Foreign those from a source that is not the caller's.
	STUN, DTLS, Malformed, Foreign uint64
	// Unauthentic counts packets that SRTP refused.
	Unauthentic uint64
	// OutputDropped counts frames that Output did not take after its error.
	OutputDropped uint64
}

// LineStats are the counters of one m-line.
type LineStats struct {
	Index int
	Kind  sdp.Kind
	// Local is our RTP address, Remote where our packets go to.
	Local, Remote netip.AddrPort
	Encrypted     bool

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
	UnknownType    uint64 // payload types that were not agreed
	Frames         uint64
	KeyFrames      uint64
	DamagedFrames  uint64 // not given on, or given on damaged
	Concealed      time.Duration
	Freezes        uint64
	Frozen         time.Duration
	Jitter         time.Duration // interarrival jitter (RFC 3550 section 6.4.1)
	Delay          time.Duration // of the jitter buffer now
	NACKs          uint64        // sequence numbers asked again
	KeyRequests    uint64        // PLI, FIR and INFO sent
	SenderReports  uint64
}

// SendStats is about what went to the caller.
type SendStats struct {
	Codec              media.Codec
	SSRC               uint32
	Packets, Bytes     uint64 // without silence
	Frames             uint64
	Discarded          uint64 // frames not sent: held, or no address yet
	Silence            uint64 // packets of silence
	Retransmitted      uint64
	KeyRequests        uint64        // PLI and FIR received
	RemoteLost         int64         // from the caller's reports
	RemoteFractionLost float64       // 0 to 1, last report
	RemoteJitter       time.Duration // last report
	RTT                time.Duration // 0 if unknown
	RemoteLimit        int           // bit/s by TMMBR or REMB, 0 if none
}
