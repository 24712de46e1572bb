package rtmp

import (
	"context"
	"crypto/tls"
	"log/slog"
	"net"
	"sync"
	"time"

	"github.com/trunkcast/trunkcast/media"
)

// State is where a [Publisher] or a [Player] stands.
type State int

// The states. They follow in this order, and from Waiting or Live back to
// Connecting.
const (
	Idle       State = iota // not started
	Connecting              // a connection is being made
	Live                    // the server said yes
	Waiting                 // for the next attempt
	Closed                  // for good
)

func (s State) String() string {
	switch s {
	case Idle:
		return "idle"
	case Connecting:
		return "connecting"
	case Live:
		return "live"
	case Waiting:
		return "waiting"
	case Closed:
		return "closed"
	}
	return "unknown"
}

// Publisher publishes frames to an RTMP server. It is a media.Sink and an
// io.Closer.
//
// WriteFrame never waits for the network. Publishing begins once the tracks
// are known, with a key frame if there is video. When the server is slow or
// away, whole groups of pictures are dropped, and counted; when it is back
// the stream goes on with a key frame, its times running on.
//
// The fields are read at the first frame or by Start and not changed after.
type Publisher struct {
	// URL is rtmp:// or rtmps://[user:password@]host[:port]/application/stream,
	// with a query that goes to the server as part of the stream's name (where
	// nginx and others look for tokens). The ports default to 1935 and 443.
	// User and password are for servers that ask by authmod=adobe.
	URL string
	// StreamName, if not empty, is appended to the path of URL.
	StreamName string
	// App is the application's name where it has more than the first element
	// of the path, for example "live/instance".
	App string
	// Logger gets changes of state, attempts that fail again for the same reason
	// at level Debug. Nil discards.
	Logger *slog.Logger
	// TLS is for rtmps. Nil verifies the server by the system's roots.
	TLS *tls.Config
	// Dial replaces the dialling of TCP connections.
	Dial func(ctx context.Context, network, addr string) (net.Conn, error)
	// OnState is told changes of state, in order, from a goroutine of the
	// Publisher. err is why it is Waiting or Closed, nil after Close. It must
	// not call Close.
	OnState func(s State, err error)
	// NeedKeyFrame is called when the video cannot go on without a key frame:
	// connected in the middle of a group of pictures, or frames were dropped.
	// It must not block nor call the Publisher.
	NeedKeyFrame func()

	// ConnectTimeout is the time from dialling to the server's yes. Default 10 s.
	ConnectTimeout time.Duration
	// WriteTimeout is the longest that a server may take for 32 KiB before
	// the connection is given up. Default 10 s.
	WriteTimeout time.Duration
	// CloseTimeout is the longest that Close waits for the server to take what
	// is left. Default 2 s.
	CloseTimeout time.Duration
	// SettleTime is the longest to wait, connected, for the first audio frame
	// or the first key frame when the other is there. Default 1 s.
	SettleTime time.Duration
	// RetryMin and RetryMax bound the pause before a new attempt, which
	// doubles each time. Defaults 100 ms and 10 s.
	RetryMin, RetryMax time.Duration
	// GiveUp tells whether to end for good after an attempt that failed,
	// counted from 1 since the Publisher was last live for 2 s or more. Nil goes on for ever,
	// except when user name or password were refused.
	GiveUp func(err error, attempt int) bool
	// MaxQueue bounds the bytes that wait for a slow server or for the
	// connection, MaxDelay their age. Defaults 2 MiB and 3 s.
	MaxQueue int
	MaxDelay time.Duration

	once   sync.Once
	cancel context.CancelFunc
	ctx    context.Context
	done   chan struct{} // run has ended
	target *target
	log    *slog.Logger

	mu       sync.Mutex
	err      error // final
	closing  bool
	state    State
	wasLive  chan struct{} // closed when a session begins
	sess     *session      // while Live
	mux      muxer
	settled  bool
	settleBy time.Time
	hold     holdQueue
	video    *media.Track // the latest seen
	audio    *media.Track
	waitKey  bool // video is dropped up to the next key frame
	keyAsked time.Time
	warned   string          // the last failure that was logged
	badTrack *media.Track    // without a usable configuration, reported
	told     [2]*media.Track // video and audio as in the last metadata
	stats    PublisherStats

	pictureAt time.Duration // DTS of the last picture
}

// PublisherStats are counters since the start and the present state.
type PublisherStats struct {
	State State
	// URL is where to, without secrets.
	URL string
	// Since is when the state began.
	Since time.Time
	// Connects counts successful connections; all but the first are
	// reconnections. Failures counts attempts that failed and connections that
	// broke, Refusals those of them in which the server said no.
	Connects, Failures, Refusals uint64
	// VideoFrames and AudioFrames were handed to the connection.
	VideoFrames, AudioFrames uint64
	// VideoDropped and AudioDropped were not: no connection, or too slow a one.
	VideoDropped, AudioDropped uint64
	// Bytes were written to the network, all connections together.
	Bytes uint64
	// Queued bytes wait for the network or the connection.
	Queued int
	// Clamped counts times that would have gone back.
	Clamped uint64
	// LastError is why the last attempt or connection failed.
	LastError error
}

// Start checks the options and begins to connect. The first WriteFrame does
// the same.
func (p *Publisher) Start() error {
	p.once.Do(p.start)
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.err
}

func (p *Publisher) start() {
	p.setDefaults()
	p.ctx, p.cancel = context.WithCancel(context.Background())
	p.done = make(chan struct{})
	p.wasLive = make(chan struct{})
	t, err := parseTarget(p.URL, p.StreamName, p.App)
	p.mu.Lock()
	defer p.mu.Unlock()
	if err == nil && p.closing {
		err = media.ErrClosed
	}
	if err != nil {
		p.err, p.state = err, Closed
		close(p.done)
		return
	}
	p.target = t
	p.log = p.log.With("url", t.shown)
	p.stats.URL = t.shown
	p.stats.Since = time.Now()
	go p.run()
}

func (p *Publisher) setDefaults() {
	if p.log = p.Logger; p.log == nil {
		p.log = slog.New(slog.DiscardHandler)
	}
	for _, d := range []struct {
		field *time.Duration
		value time.Duration
	}{
		{&p.ConnectTimeout, 10 * time.Second}, {&p.WriteTimeout, 10 * time.Second}, {&p.CloseTimeout, 2 * time.Second},
		{&p.SettleTime, time.Second}, {&p.RetryMin, 100 * time.Millisecond}, {&p.RetryMax, 10 * time.Second},
		{&p.MaxDelay, 3 * time.Second},
	} {
		if *d.field <= 0 {
			*d.field = d.value
		}
	}
	p.RetryMax = max(p.RetryMax, p.RetryMin)
	if p.MaxQueue <= 0 {
		p.MaxQueue = 2 << 20
	}
}

// WriteFrame takes a frame for publishing. It returns an error only when the
// Publisher cannot go on at all: bad options, a codec FLV has no place for,
// given up, closed.
func (p *Publisher) WriteFrame(ctx context.Context, f *media.Frame) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	if !supported(f.Track.Codec) {
		return &UnsupportedError{Codec: f.Track.Codec}
	}
	p.once.Do(p.start)
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.err != nil {
		return p.err
	}
	if p.closing {
		return media.ErrClosed
	}
	if f.Track.Codec.Video() {
		p.video = f.Track
	} else {
		p.audio = f.Track
	}
	if p.sess != nil && p.settled {
		p.send(f)
		return nil
	}
	p.drop(p.hold.push(f, p.MaxQueue, p.MaxDelay))
	p.settle(time.Now(), false)
	return nil
}

// Direct tells a media.Stream that WriteFrame does not wait.
func (p *Publisher) Direct() bool { return true }

// drop counts frames that were not sent.
func (p *Publisher) drop(video, audio int) {
	p.stats.VideoDropped += uint64(video)
	p.stats.AudioDropped += uint64(audio)
}

// settle begins to send when the tracks are known, or time is up, or force.
func (p *Publisher) settle(now time.Time, force bool) {
	if p.sess == nil || p.settled || p.hold.empty() {
		return
	}
	key := p.hold.hasKey()
	if !force && (!key || p.audio == nil) && now.Before(p.settleBy) {
		return
	}
	p.settled = true
	frames, video, audio := p.hold.take()
	p.drop(video, audio)
	p.waitKey = p.video != nil
	if p.waitKey && !key {
		p.needKey()
	}
	for _, f := range frames {
		p.send(f)
	}
}

// send hands a frame to the connection, or drops it: video up to the next key
// frame, when too much waits already.
func (p *Publisher) send(f *media.Frame) {
	isVideo := f.Track.Codec.Video()
	if p.sess.begin() != nil { // the connection's end is run's business
		p.dropOne(isVideo)
		return
	}
	defer p.sess.endAfter(p.spacing(f, isVideo))
	queued, age := p.sess.backlog()
	if queued > 0 && (queued > p.MaxQueue || age > p.MaxDelay) {
		p.waitKey = p.waitKey || isVideo
		p.dropOne(isVideo)
		return
	}
	if isVideo && p.waitKey {
		if !f.Key || queued > p.MaxQueue/2 {
			p.dropOne(true)
			if !f.Key && queued == 0 {
				p.needKey()
			}
			return
		}
		p.waitKey = false
	}
	p.write(f, isVideo)
}

// write appends the tags of a frame to the connection's output.
func (p *Publisher) write(f *media.Frame, isVideo bool) {
	if p.announces(isVideo, f.Track) {
		p.mux.metadata(&p.sess.out, p.told[0], p.told[1])
	}
	clamped := p.mux.clamped
	if err := p.mux.frame(&p.sess.out, f); err != nil {
		// The next parameter sets may be good ones: not a reason to end.
		p.dropOne(isVideo)
		p.stats.LastError = err
		if p.badTrack != f.Track {
			p.badTrack = f.Track
			go p.log.Warn("frames without a usable configuration are dropped", "codec", f.Track.Codec, "error", err)
		}
		return
	}
	p.stats.Clamped += p.mux.clamped - clamped
	if isVideo {
		p.stats.VideoFrames++
		p.pictureAt = f.DTS
	} else {
		p.stats.AudioFrames++
	}
}

// announces tells whether metadata is due before a frame of t: at the start,
// and when a track comes or changes.
func (p *Publisher) announces(isVideo bool, t *media.Track) bool {
	i := 1
	if isVideo {
		i = 0
	}
	if p.told[i] == t {
		return false
	}
	known := p.told[i] != nil && sameTrack(p.told[i], t)
	p.told = [2]*media.Track{p.video, p.audio}
	p.told[i] = t
	return !known
}

func (p *Publisher) dropOne(video bool) {
	if video {
		p.drop(1, 0)
	} else {
		p.drop(0, 1)
	}
}

// needKey asks for a key frame, at most twice a second.
func (p *Publisher) needKey() {
	if now := time.Now(); p.NeedKeyFrame != nil && now.Sub(p.keyAsked) >= 500*time.Millisecond {
		p.keyAsked = now
		p.guard("NeedKeyFrame", p.NeedKeyFrame)
	}
}

// Stats returns the counters. It may be called at any time.
func (p *Publisher) Stats() PublisherStats {
	p.mu.Lock()
	defer p.mu.Unlock()
	st := p.stats
	st.State = p.state
	st.Queued = p.hold.bytes
	if p.sess != nil {
		st.Bytes += p.sess.bytesSent()
		p.sess.mu.Lock()
		queued, _ := p.sess.backlog()
		p.sess.mu.Unlock()
		st.Queued += queued
	}
	return st
}

// String names the Publisher by its URL without secrets.
func (p *Publisher) String() string {
	t, err := parseTarget(p.URL, p.StreamName, p.App)
	if err != nil {
		return "rtmp.Publisher"
	}
	return "rtmp.Publisher " + t.shown
}

// LogValue is String.
func (p *Publisher) LogValue() slog.Value { return slog.StringValue(p.String()) }
