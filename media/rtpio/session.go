package rtpio

import (
	"context"
	"log/slog"
	"net/netip"
	"sync"
	"time"

	"github.com/trunkcast/trunkcast/media"
	"github.com/trunkcast/trunkcast/media/sdp"
)

// Session is the media session of one call. Set the exported fields before
// the first method is called and do not change them afterwards. It is a
// negotiator of session descriptions (Offer, Answer, Accept, Rollback) and a
// [media.Sink] for what the caller shall see and hear. All methods may be
// called from any goroutine; WriteFrame by one at a time.
type Session struct {
	// Caps is what may be negotiated. Default: every codec, both ways.
	Caps *sdp.Capabilities
	// Ports gives the sockets. Default: a Ports of its own, with its default
	// range; sessions of one process should share one.
	Ports *Ports
	// Advertise is the address in our SDP. Default: Ports.Addr, or else the
	// local address that packets to the caller (to Peer, if the SDP does not
	// tell an address) leave from.
	Advertise netip.Addr
	// Peer is where the signalling comes from; it only helps to find the
	// default of Advertise.
	Peer netip.Addr

	// Output takes the frames of the caller, audio and video in the order of
	// their time. Its WriteFrame must not block: it runs in the play-out
	// goroutine (a media.Stream queues). An error stops the output, not the
	// session: frames are then counted and dropped.
	Output media.Sink

	// Latching tells how far the caller's SDP is believed. Default:
	// [LatchAuto].
	Latching Latching
	// MediaTimeout ends the session with [ErrMediaTimeout] when nothing came
	// for so long from a caller who should send. It rests during hold.
	// Default 60 s; negative: never.
	MediaTimeout time.Duration
	// JitterMin and JitterMax bound the jitter buffer. Default 40 and 400 ms.
	JitterMin, JitterMax time.Duration
	// PassDamaged gives pictures with missing parts to Output. Default: the
	// picture stands until a clean one comes.
	PassDamaged bool

	// ForceFeedback sends PLI, FIR and NACK though the caller did not agree
	// to them.
	ForceFeedback bool
	// KeyFrameInterval is the shortest time between two key frame requests.
	// Default 1 s.
	KeyFrameInterval time.Duration
	// PeriodicKeyFrames asks for a key frame each so often. Default: never.
	PeriodicKeyFrames time.Duration
	// MaxVideoBitRate in bit/s is told to the caller by TMMBR (RFC 5104) or
	// REMB where agreed. Default: no limit. See SetMaxVideoBitRate.
	MaxVideoBitRate int

	// MTU is the size of the largest IP packet that we send, in bytes.
	// Default 1280, 576 at least.
	MTU int
	// NoSilence switches off the packets of silence that keep NATs and PBXs
	// content while nothing is played to the caller.
	NoSilence bool
	// CNAME names us in RTCP (RFC 3550 section 6.5.1). Default: a random one
	// (RFC 7022).
	CNAME string

	// RequestKeyFrameBySIP asks for a key frame by SIP INFO (RFC 5168). It
	// runs in a goroutine of its own, one at a time; ctx ends with the
	// session. Default: not possible.
	RequestKeyFrameBySIP func(ctx context.Context) error
	// OnKeyFrameRequested is called when the caller asks for a key frame (PLI
	// or FIR), at most twice a second. Like the other hooks it must not block
	// and may not call Close.
	OnKeyFrameRequested func()
	// OnDigit is called once for each DTMF digit of the caller (RFC 4733),
	// when it ends or, if the end is lost, when it is overdue.
	OnDigit func(digit rune, duration time.Duration)
	// OnMedia is called once for each kind when its first valid packet came.
	OnMedia func(kind sdp.Kind, from netip.AddrPort)

	// Logger gets what happens rarely: addresses followed, time-outs,
	// refusals. Default: discarded.
	Logger *slog.Logger

	state
}

// state is what Session hides; see run.go for who owns what.
type state struct {
	once sync.Once
}
