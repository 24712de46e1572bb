// Package depacketize puts the NAL units of one picture together from RTP
// payloads: H.264 by RFC 6184, H.265 by RFC 7798.
//
//	payloads, in order, without gaps --> H264.Push, H265.Push --> Picture
//
// Nothing is allocated for a packet: a [Picture] is used again and again, and
// grows to the largest one of its stream, [MaxPicture] at most. What NAL units
// say about themselves is in nal.go.
package depacketize
