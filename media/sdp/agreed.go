package sdp

import (
	"net/netip"
	"time"
)

// Kind of an m-line.
type Kind uint8

// The kinds.
const (
	Other Kind = iota // application, image, text, ...
	Audio
	Video
)

func (k Kind) String() string {
	switch k {
	case Audio:
		return "audio"
	case Video:
		return "video"
	default:
		return "other"
	}
}

// Agreed is the outcome of one offer/answer exchange. It is immutable.
type Agreed struct {
	// Lines are the m-lines in their order. Every line of the offer is here.
	Lines []*Line
	// Origin is the peer's o= line.
	Origin Origin
	// Unchanged tells that the peer's SDP says what the one before it said: a
	// session refresh. It is judged by the content: there are peers that
	// raise the version without a change, and the reverse.
	Unchanged bool

	caps    *Capabilities
	peer    *Description
	answers bool // the offer was the peer's
}

// Line is what was agreed for one m-line.
type Line struct {
	Index int
	Kind  Kind
	// Accepted is false for lines with port 0 in the answer; only Index,
	// Kind, Reason, Proto, Content, Label and Mid have a meaning then.
	Accepted bool
	Reason   Reason
	// Proto is the transport of offer and answer, as written by the offerer.
	Proto string

	// RTP and RTCP are where the peer says it wants packets. They are invalid
	// when it did not say (no c= line), said a name (Host) or 0.0.0.0 (hold,
	// RFC 3264 section 8.4); nothing may be sent in the last case, as
	// Direction tells. Addresses of private networks are passed on.
	RTP, RTCP netip.AddrPort
	// Host and the ports in RTPPort and RTCPPort are set in every case where
	// a port is known; Host only if c= holds a name.
	Host              string
	RTPPort, RTCPPort int
	// Mux tells that RTCP shares the RTP port (RFC 5761).
	Mux bool
	// ReducedSize tells that feedback may be sent without a report before it
	// (RFC 5506).
	ReducedSize bool

	// Direction is ours: whether we may send, whether the peer may.
	Direction Direction
	// RemoteDirection is what the peer wrote, from its view, less receiving
	// if its address is 0.0.0.0. Not receiving is what hold looks like.
	RemoteDirection Direction

	// Send holds the payload types to use towards the peer; Send.First is the
	// codec to send. Recv holds those that may come: it has all that the peer
	// stated and we understand, also beyond those in our answer, so that a
	// peer that does not care for the answer is understood.
	Send, Recv *PayloadMap

	// Feedback is the RTCP feedback that the peer understands and we agreed
	// to, for video.
	Feedback Feedback
	// Bandwidth is what the peer stated for this line, else for the session.
	Bandwidth Bandwidth
	// PTime is the packet time that the peer wants to receive, MaxPTime the
	// longest that it takes; 0 if unsaid.
	PTime, MaxPTime time.Duration
	// Crypto is the peer's SDES key, nil if the line is not SRTP.
	Crypto *Crypto

	// Content is a=content ("main", "slides", ...), Label a=label, Mid a=mid.
	Content, Label, Mid string

	own ownLine
}

// Line returns the first accepted line of that kind, nil if there is none.
// Slides count only if there is no other video.
func (a *Agreed) Line(k Kind) (found *Line) {
	if a == nil {
		return nil
	}
	for _, l := range a.Lines {
		if l.Accepted && l.Kind == k && (found == nil || isSlides(found) && !isSlides(l)) {
			found = l
		}
	}
	return found
}

// Held tells that the peer wants no media from us on this line.
func (l *Line) Held() bool { return !l.RemoteDirection.Receives() }

// Bandwidth holds the b= lines of a peer; -1 stands for unsaid. MaxBitRate is
// the lower of AS (which counts IP, UDP and RTP headers) and TIAS (which does
// not) in bit/s, RS and RR the RTCP bandwidth of senders and receivers in
// bit/s (RFC 3556).
type Bandwidth struct {
	MaxBitRate, RS, RR int
}

// Feedback is a set of RTCP feedback messages (RFC 4585, RFC 5104).
type Feedback struct {
	NACK  bool // a=rtcp-fb nack
	PLI   bool // nack pli
	FIR   bool // ccm fir
	TMMBR bool // ccm tmmbr
	REMB  bool // goog-remb
}

// Local is what an SDP of ours says about this side.
type Local struct {
	// Username of the o= line; empty takes the template's, else "-".
	Username string
	// SessionID and Version of the o= line. The version must be raised by one
	// whenever anything else in the SDP changes (RFC 3264 section 8): with
	// Prev set, this is done here.
	SessionID, Version uint64
	// Prev is the SDP that we sent before in this dialog, nil for the first.
	// If set, the result carries its version if nothing else differs, else
	// its version plus one; SessionID and Version are not used.
	Prev []byte
	// Addr is the address to tell the peer, in o= and c=.
	Addr netip.Addr
	// Lines is indexed by m-line. Those of refused lines are not read.
	Lines []LocalLine
}

// LocalLine is where we receive for one m-line.
type LocalLine struct {
	// Addr overrides Local.Addr for this line if valid.
	Addr netip.Addr
	// RTPPort and RTCPPort are the ports to tell the peer; RTCPPort 0 means
	// RTPPort+1, or RTPPort where RTCP is multiplexed.
	RTPPort, RTCPPort int
	// Key is our SRTP master key and salt, of KeyLen bytes for the suite of
	// the line; needed where the line is SRTP.
	Key []byte
}
