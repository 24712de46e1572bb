package sdp

import (
	"time"

	"github.com/trunkcast/trunkcast/media"
)

// Capabilities is what this side can and wants to do. The zero value accepts
// audio and video in every supported codec, both ways.
type Capabilities struct {
	Audio, Video MediaCapabilities
	// Template is the sdp block of a trunk, nil for none: see [ParseTemplate].
	Template *Template
	// Lines are added to every SDP of ours, nil for none: see [ParseLines].
	Lines *Lines
	// Strict refuses offers without a codec of the template, instead of
	// serving them from Codecs.
	Strict bool
	// OfferOrder lets the offer's order of codecs decide instead of ours.
	OfferOrder bool
	// Slides accepts a second video line if it says a=content:slides.
	Slides bool
	// SRTP tells what to do about encrypted media. Default: SRTPAllowed.
	SRTP SRTPPolicy
	// FeedbackOff names feedback messages that are never agreed to. Default:
	// all that the peer offers are.
	FeedbackOff Feedback
	// NoEvents refuses telephone-event.
	NoEvents bool
	// NoMux refuses RTCP on the RTP port.
	NoMux bool
}

// MediaCapabilities is the part of Capabilities for one kind of media.
type MediaCapabilities struct {
	// Off refuses this kind.
	Off bool
	// Codecs in order of preference. Default: Opus, G.722, then PCMA and PCMU
	// in the order of the offer; H.264, H.265.
	Codecs []Codec
	// Direction is the widest direction that we agree to, or offer. Default:
	// that of the template, else sendrecv. Set, it replaces the template's.
	Direction Direction
	// PTime is the packet time that we ask for. Default: that of the
	// template, else the one the peer asks for.
	PTime time.Duration
	// MaxBitRate is told to the peer as b=AS and b=TIAS of the line, in
	// bit/s. Default: not told.
	MaxBitRate int
}

// Codec is a codec with the parameters that we wish for.
type Codec struct {
	Codec media.Codec
	// FMTP is the text of an a=fmtp line behind its payload type. Default:
	// "stereo=0;useinbandfec=1" for Opus, for H.264 profile, level and mode of
	// the peer; "profile-level-id=42E01F" in offers. Answers always have the
	// profile and the mode of the offer, and no higher level than it, unless
	// it says level-asymmetry-allowed=1. Our offers have packetization
	// mode 1, then mode 0 under its own payload type, for phones that know
	// nothing else; mode 0 alone if it is named here.
	FMTP string
	// PayloadType in our own offers; 0 lets the package choose.
	PayloadType uint8

	equal bool // as good as the one before: the offer's order decides
}

// SRTPPolicy tells what to do about encrypted media.
type SRTPPolicy uint8

// The policies.
const (
	SRTPAllowed  SRTPPolicy = iota // accepted if offered, not offered
	SRTPRequired                   // plain RTP is refused; offered
	SRTPOff                        // refused
)
