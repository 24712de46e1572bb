package rtpio

import (
	"context"
	"encoding/base64"
	"log/slog"
	"math/rand/v2"
	"net/netip"
	"sync"
	"sync/atomic"
	"time"

	crand "crypto/rand"

	"github.com/trunkcast/trunkcast/media"
	"github.com/trunkcast/trunkcast/media/sdp"
)

// Session is the media session of one call. Set the exported fields before
// the first method is called and do not change them afterwards. It is a
// negotiator of session descriptions (Offer, Answer, Accept, Rollback) and a
// [media.Sink] for what the caller shall see and hear. All methods may be
// called from any goroutine; WriteFrame by one at a time. Close must be called
// in the end.
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
	// MediaTimeout ends the session with [ErrMediaTimeout] when nothing (RTP
	// or RTCP) came for so long from a caller who should send. It rests
	// during hold.
	// Default 60 s; negative: never.
	MediaTimeout time.Duration
	// JitterMin and JitterMax bound the jitter buffer. Default 40 and 400 ms.
	JitterMin, JitterMax time.Duration
	// PassDamaged gives pictures with missing parts to Output. Default: the
	// picture stands until a clean one comes.
	PassDamaged bool
	// MaxFreeze passes them on all the same when the picture has stood for so
	// long, until a clean key frame comes. Default: never.
	MaxFreeze time.Duration

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
	// Default 1280; 576 at least, 1500 at most.
	MTU int
	// NoSilence switches off the packets of silence, five a second, that keep
	// NATs and PBXs content while nothing is played to the caller.
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
	// OnMedia is called once for each line when its first valid packet came.
	OnMedia func(kind sdp.Kind, from netip.AddrPort)

	// Logger gets what happens rarely: addresses followed, time-outs,
	// refusals. Default: discarded.
	Logger *slog.Logger

	state
}

// state is what Session hides.
type state struct {
	once   sync.Once
	log    *slog.Logger
	start  time.Time     // session time 0
	slot   time.Duration // of the ticks of all sessions, the one of this
	ctx    context.Context
	cancel context.CancelFunc
	done   chan struct{}
	wake   chan struct{}  // the play-out goroutine has something earlier to do
	wg     sync.WaitGroup // readers, pacers, the INFO in flight
	ports  *Ports
	cname  string

	nego   negotiation
	agreed atomic.Pointer[sdp.Agreed]

	// mu is held for moments only: never over I/O, nor over a call of a hook
	// or of Output.
	mu       sync.Mutex
	running  bool
	closed   bool
	err      error
	lines    []*line
	receiver *receiver
	wakeAt   time.Time // when the play-out goroutine wakes by itself
	busy     time.Time // until when it wakes at busyInterval
	waiting  bool      // sockets are not polled; for tests, set before the first method
	clock    sendClock
	lastIn   time.Time // last valid packet, or when the caller last had to send nothing
	limit    int       // MaxVideoBitRate
	twoWay   bool      // the caller has wanted something from us
	digits   []digit   // to be told by the play-out goroutine
	opened   []*line   // lines with open sockets, those of lines among them
	asking   bool      // an INFO is under way
	noINFO   bool      // the caller refuses INFO
	refused  int       // INFOs refused in a row
	keyTold  time.Time // last OnKeyFrameRequested
	dialling bool      // digits are being sent

	// Of the play-out goroutine.
	ticks        int
	aligner      aligner
	frames       []*media.Frame
	outputFailed bool
	silenceOut   [maxDatagram]byte

	// Of the goroutine of WriteFrame.
	cutter   packetizer
	cutsAll  bool // see SetCutting
	audioOut [maxDatagram]byte

	dial     chan struct{} // held by SendDTMF
	eventOut [256]byte

	sendErrors, stun, dtls, malformed, foreign, unauthentic, outputDropped atomic.Uint64
}

type digit struct {
	r rune
	d time.Duration
}

const (
	defaultMediaTimeout = 60 * time.Second
	defaultKeyInterval  = time.Second
	defaultMTU          = 1280
	maxMTU              = 1500
)

// init makes what every method needs. It starts nothing.
func (s *Session) init() {
	s.once.Do(func() {
		s.log = s.Logger
		if s.log == nil {
			s.log = slog.New(slog.DiscardHandler)
		}
		s.start = time.Now()
		s.slot = time.Duration(slots.Add(1)%slotCount) * slotLength
		s.ctx, s.cancel = context.WithCancel(context.Background())
		s.done = make(chan struct{})
		s.wake = make(chan struct{}, 1)
		s.dial = make(chan struct{}, 1)
		if s.ports = s.Ports; s.ports == nil {
			s.ports = &Ports{}
		}
		if s.cname = s.CNAME; s.cname == "" {
			var b [12]byte // 96 bits, RFC 7022 section 4.2
			_, _ = crand.Read(b[:])
			s.cname = base64.StdEncoding.EncodeToString(b[:])
		}
		s.limit = s.MaxVideoBitRate
		s.receiver = s.newReceiver()
	})
}

// at is the session time of t.
func (s *Session) at(t time.Time) time.Duration { return t.Sub(s.start) }

func (s *Session) mediaTimeout() time.Duration {
	if s.MediaTimeout == 0 {
		return defaultMediaTimeout
	}
	return s.MediaTimeout
}

// payloadLimit is the size of the largest RTP payload that we send.
func (s *Session) payloadLimit(secure bool) int {
	mtu := s.MTU
	if mtu == 0 {
		mtu = defaultMTU
	}
	n := min(max(mtu, 576), maxMTU) - ipUDPOverhead - rtpHeaderSize
	if secure {
		n -= srtpOverhead
	}
	return n
}

// Agreed is the agreement in force, nil before the first.
func (s *Session) Agreed() *sdp.Agreed { return s.agreed.Load() }

// Held tells that the caller wants nothing from us on any line.
func (s *Session) Held() bool {
	a := s.agreed.Load()
	if a == nil {
		return false
	}
	for _, l := range a.Lines {
		if l.Accepted && !l.Held() {
			return false
		}
	}
	return true
}

// Done is closed when the session has ended and everything that it started
// has, too.
func (s *Session) Done() <-chan struct{} {
	s.init()
	return s.done
}

// Err tells why the session ended: [ErrClosed], [ErrMediaTimeout], [ErrPanic].
// It is nil while it runs.
func (s *Session) Err() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.err
}

// Close says goodbye (RTCP BYE), gives what is buffered to Output and ends
// everything. It returns when that is done, also when called again.
func (s *Session) Close() error {
	s.init()
	s.end(ErrClosed)
	<-s.done
	return nil
}

// end begins the end, for the first reason that is given.
func (s *Session) end(reason error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return
	}
	s.closed, s.err = true, reason
	s.cancel()
	if !s.running {
		close(s.done)
	}
}

// randomized draws a random part of d, from half of it to one and a half (RFC 3550
// section 6.3.1).
func randomized(d time.Duration) time.Duration {
	return d/2 + time.Duration(rand.Int64N(int64(d)+1))
}
