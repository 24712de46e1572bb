// Package rtpio is the media session of one call: sockets, RTP, RTCP, SRTP
// and the negotiation of all that.
//
//	          Offer, Answer, Accept, Rollback (SDP bodies, from the SIP side)
//	                            |
//	caller --UDP--> demultiplex, latch, decrypt --> receiver --Frames--> Output
//	   ^            (polled by the play-out         (a goroutine: play-out,
//	   |             or a goroutine a socket)        reports, key frames)
//	   '--UDP-- encrypt <-- packetize, pace <-- WriteFrame, SendDTMF, silence
//
// A [Session] opens sockets when a negotiation needs them, from the [Ports]
// that all sessions of a trunk share, and keeps them for as long as their
// m-line lives: a re-INVITE never moves our ports. What was agreed is a value
// ([sdp.Agreed]); the readers see it through one pointer, and Rollback is
// putting the old pointer back.
//
// Identity is kept where it belongs: sockets to the m-line index, SRTP
// contexts to the key bytes, sequence numbers to the SSRC. So a re-INVITE with
// the same keys keeps the roll-over counter (RFC 3711 section 3.3.1), and a new
// SSRC after a transfer is a new sender, nothing else.
//
// # Where packets go to and come from
//
// SDP tells where the caller wants packets, but behind a NAT that address is
// of no use. See [Latching] for the rules by which the source of valid packets
// is followed, and why a third party cannot take over a call that runs.
//
// The first byte of a datagram tells STUN, DTLS, RTP and RTCP apart (RFC 7983,
// RFC 5761); the first two are counted and dropped.
//
// # From packets to frames
//
// Packets are put in order for each SSRC, pictures and sound are made of them
// for each line, and one clock ([Session.JitterMin] to JitterMax behind the
// arrivals) lets the frames of all lines leave in the order of their time.
//
// Sound keeps its RTP time: PTS are contiguous where timestamps are, a gap is
// a gap. Pictures follow the sound by sender reports, or else by arrival, by
// 10 ms a second, 60 while they are far astray (internal/timeline). A transfer
// that changes SSRC, timestamps or codec is placed by arrival and moves nothing
// back.
//
// After a loss that NACK does not repair in time the picture stands until a
// clean key frame, and one is asked for; [Session.PassDamaged] is the other
// choice, [Session.MaxFreeze] the way between. Parameter sets travel as the Config of a picture's Track, which is
// another pointer only when they changed.
//
// # Feedback
//
// Sender and receiver reports are sent as RFC 3550 section 6.2 says, with the
// reduced minimum. Key frames are asked by PLI, FIR (RFC 4585, RFC 5104) or a
// SIP INFO (RFC 5168), whatever was agreed, until one arrives. Where a=rtcp-rsize
// was agreed such requests go without a report before them (RFC 5506).
//
// # Cost and delay
//
// Sockets are looked at each 40 ms, 20 while packets are asked for again, not
// for each packet, and frames leave then: see cadence.go. The moments are moved
// to where the frames of a call are due, so that few of them wait.
package rtpio
