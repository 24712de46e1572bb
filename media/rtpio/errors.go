package rtpio

import (
	"errors"
	"fmt"
	"strings"

	"github.com/trunkcast/trunkcast/media"
)

var (
	// ErrClosed is what [Session.Err] and methods return after Close.
	ErrClosed = errors.New("rtpio: session closed")
	// ErrMediaTimeout ends a session whose caller sent nothing for
	// MediaTimeout although it was not on hold.
	ErrMediaTimeout = errors.New("rtpio: no media from the caller")
	// ErrPanic ends a session when one of its hooks, or Output, panicked.
	ErrPanic = errors.New("rtpio: panic")
	// ErrNoPorts tells that every port pair of the range is in use or in
	// quarantine, or taken by another program.
	ErrNoPorts = errors.New("rtpio: no free RTP ports")
	// ErrNoOffer is returned by Accept when no offer of ours is pending.
	ErrNoOffer = errors.New("rtpio: an answer without an offer")
	// ErrNoAddress tells that our own address is unknown: neither Advertise
	// nor Ports.Addr nor Peer was given.
	ErrNoAddress = errors.New("rtpio: no local address to advertise")
	// ErrNoEvents is returned by SendDTMF when the caller does not take
	// telephone-event (RFC 4733).
	ErrNoEvents = errors.New("rtpio: telephone-event was not agreed")
	// ErrNotSending is returned by SendDTMF when the agreed direction does
	// not let us send sound, or the caller holds the call.
	ErrNotSending = errors.New("rtpio: the agreed direction does not let us send")
)

// errTooLarge is for an audio frame that no datagram holds; it is counted.
var errTooLarge = errors.New("rtpio: audio frame too large for a packet")

// CodecError is returned by WriteFrame for a frame in a codec that the caller
// does not take.
type CodecError struct {
	Codec media.Codec
	// Accepted are the codecs of that kind which the caller takes; empty if
	// it takes none.
	Accepted []media.Codec
}

func (e *CodecError) Error() string {
	kind := "audio"
	if e.Codec.Video() {
		kind = "video"
	}
	if len(e.Accepted) == 0 {
		return fmt.Sprintf("rtpio: the caller takes no %s (frame in %s)", kind, e.Codec)
	}
	names := make([]string, len(e.Accepted))
	for i, c := range e.Accepted {
		names[i] = string(c)
	}
	return fmt.Sprintf("rtpio: the caller does not take %s, only %s", e.Codec, strings.Join(names, ", "))
}

// NALTooLargeError is returned by WriteFrame when a NAL unit cannot be sent
// to a caller who takes packetization-mode 0 only, in which every NAL unit
// must fit into a packet (RFC 6184 section 6.2). The picture is not sent.
type NALTooLargeError struct {
	Size, Limit int // bytes
}

func (e *NALTooLargeError) Error() string {
	return fmt.Sprintf("rtpio: NAL unit of %d bytes, but the caller agreed to packetization-mode 0 (at most %d): "+
		"encode with smaller slices", e.Size, e.Limit)
}
