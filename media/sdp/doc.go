// Package sdp is offer and answer (RFC 3264) as pure functions on values: no
// sockets, no clocks, no state. A failed negotiation therefore leaves nothing
// to undo, and what was agreed can be kept, compared and thrown away.
//
// Answering an offer, and making one:
//
//	body --Parse--> Description --Match(caps, prev)--> Agreed --MarshalAnswer(Local)--> body
//
//	NewOffer(caps, prev) --> Offered --Marshal(Local)--> body ... answer
//	                            '--Accept(Description of the answer)--> Agreed
//
// Between Match and MarshalAnswer (NewOffer and Marshal) the caller allocates
// sockets for the lines that were accepted, and tells their addresses in a
// [Local]. The three values Description, Agreed and Offered are immutable and
// may be read by any number of goroutines; [Capabilities] must not be changed
// while a negotiation uses it.
//
// # What is negotiated
//
// Lists are indexed by m-line: an answer has as many lines as its offer, in
// the same order, with the payload numbers of the offer. The first acceptable
// audio and the first acceptable video line are taken and all others refused
// with port 0. Payload numbers belong to a line, never to the call.
//
// An answer names every audio codec in common, since audio can be transcoded,
// but one video format: video goes out as it comes in. Of several H.264
// payload types packetization mode 1 is taken before mode 0, then the profile
// of the wish; profile and mode of the answer are those of the offer. Comfort
// noise is understood, and answered only where the template names it.
//
// The sdp block of a trunk is a [Template]: a wish, not an SDP. The codecs it
// names come first, and only they are answered if one of them was offered; a
// caller with none of them is still served from the default list, unless
// [Capabilities].Strict. Its direction is taken literally.
//
// # Tolerance
//
// [Parse] takes what phones and PBXs send: any line ending, lines out of
// order or missing, unknown media and transports. That is why it does not
// stand on pion/sdp, which refuses all of these, and which would add, once
// the lines are split, only the cut at "=" and ":". What this package writes
// is strict, and pion/sdp judges it in the tests.
//
// The RFCs: 8866 (SDP), 3264 (offer/answer), 3551 (static payload types),
// 6184 (H.264), 7798 (H.265), 7587 (Opus), 4733 (telephone-event), 4585 and
// 5104 (feedback), 3605 and 5761 (RTCP port), 3556 (RTCP bandwidth), 4568
// (SDES keys), 4574 (label), 4796 (content).
package sdp
