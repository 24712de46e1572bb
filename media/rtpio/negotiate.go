package rtpio

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"net/netip"
	"sync"
	"time"

	"github.com/trunkcast/trunkcast/media/sdp"
)

// resolveTimeout bounds the look-up of a name in a c= line.
const resolveTimeout = 2 * time.Second

// negotiation is the state between offers and answers.
type negotiation struct {
	// mu makes one exchange wait for the other. It is held while names are
	// looked up and sockets opened, and guards the fields below.
	mu      sync.Mutex
	addr    netip.Addr // what we advertise; it does not change in a dialog
	id      uint64     // session id of the o= line
	body    []byte     // our SDP as sent last
	offered *sdp.Offered
	back    *snapshot // where Rollback goes

	sending bool // SetSending; guarded by Session.mu
}

// snapshot is what an exchange changes.
type snapshot struct {
	agreed  *sdp.Agreed
	lines   []*line
	configs []*lineConfig
}

// begin starts an exchange; the one before it is final now.
func (s *Session) begin() error {
	s.init()
	s.nego.mu.Lock()
	s.reap() // first: Rollback must not bring back what is closed
	s.mu.Lock()
	closed := s.closed
	s.nego.back = &snapshot{agreed: s.agreed.Load(), lines: s.lines}
	for _, l := range s.lines {
		var c *lineConfig
		if l != nil {
			c = l.agreed.Load()
		}
		s.nego.back.configs = append(s.nego.back.configs, c)
	}
	s.mu.Unlock()
	if closed {
		s.nego.mu.Unlock()
		return ErrClosed
	}
	return nil
}

// finish ends an exchange. After an error nothing is left of it.
func (s *Session) finish(err *error) {
	if *err != nil {
		s.restore()
	}
	s.nego.mu.Unlock()
}

// Offer makes an offer: of everything at first, later of what was agreed,
// with the direction of now. Packets may come as soon as it is out.
func (s *Session) Offer(ctx context.Context) ([]byte, error) { return s.offer(ctx, false) }

// OfferFull makes an offer of all that Caps has, on top of what was agreed:
// the right one for a re-INVITE without an offer (RFC 3261 section 14.2).
func (s *Session) OfferFull(ctx context.Context) ([]byte, error) { return s.offer(ctx, true) }

func (s *Session) offer(ctx context.Context, full bool) (body []byte, err error) {
	if err = s.begin(); err != nil {
		return nil, err
	}
	defer s.finish(&err)
	prev := s.agreed.Load()
	var o *sdp.Offered
	if full || prev == nil {
		o = sdp.NewOffer(s.capabilities(), prev)
	} else {
		o = sdp.ReOffer(s.capabilities(), prev)
	}
	wanted := make([]wantedLine, len(o.Lines))
	for i, ol := range o.Lines {
		wanted[i] = wantedLine{active: ol.Active, kind: ol.Kind, suite: ol.Suite}
	}
	local, err := s.prepare(ctx, wanted, netip.Addr{})
	if err != nil {
		return nil, err
	}
	body = o.Marshal(local)
	s.nego.body, s.nego.offered = body, o
	s.expect(o)
	return body, nil
}

// expect opens new lines for packets that overtake the answer.
func (s *Session) expect(o *sdp.Offered) {
	s.mu.Lock()
	defer s.mu.Unlock()
	now := time.Now()
	for i, ol := range o.Lines {
		if l := s.lines[i]; l != nil && ol.Active && l.agreed.Load() == nil && ol.Direction.Receives() {
			l.agreed.Store(&lineConfig{recv: ol.Recv, secure: ol.Suite != ""})
			s.receiver.SetFormats(i, ol.Kind, ol.Recv, now)
		}
	}
	s.rouse(now)
}

// Answer takes an offer and makes the answer, which is in force at once. An
// error leaves the session as it was.
func (s *Session) Answer(ctx context.Context, offer []byte) (body []byte, err error) {
	if err = s.begin(); err != nil {
		return nil, err
	}
	defer s.finish(&err)
	desc, err := sdp.Parse(offer)
	if err != nil {
		return nil, err
	}
	agreed, err := sdp.Match(s.capabilities(), s.agreed.Load(), desc)
	if err != nil {
		return nil, err
	}
	local, err := s.prepare(ctx, wantedOf(agreed), remoteOf(agreed))
	if err != nil {
		return nil, err
	}
	body = agreed.MarshalAnswer(local)
	if err = s.commit(ctx, agreed); err != nil {
		return nil, err
	}
	s.nego.body, s.nego.offered = body, nil
	return body, nil
}

// Accept takes the answer to the last offer. After an error the offer is
// undone: there is nothing to roll back.
func (s *Session) Accept(ctx context.Context, answer []byte) (err error) {
	s.init()
	s.nego.mu.Lock()
	defer s.nego.mu.Unlock()
	o := s.nego.offered
	if o == nil {
		return ErrNoOffer
	}
	defer func() {
		if err != nil {
			s.restore()
		}
	}()
	desc, err := sdp.Parse(answer)
	if err != nil {
		return err
	}
	agreed, err := o.Accept(desc)
	if err != nil {
		return err
	}
	if err := s.commit(ctx, agreed); err != nil {
		return err
	}
	s.nego.offered = nil
	return nil
}

// Rollback returns to the session as it was before the last Offer or Answer
// (RFC 3261 section 14.1). Without one it does nothing.
func (s *Session) Rollback() {
	s.init()
	s.nego.mu.Lock()
	defer s.nego.mu.Unlock()
	s.restore()
}

// SetSending tells whether we want to send in the next Offer or Answer even
// where Caps or its template says recvonly or inactive. It returns whether the
// agreement in force says otherwise: then an offer is due.
func (s *Session) SetSending(on bool) (renegotiate bool) {
	s.init()
	s.mu.Lock()
	s.nego.sending = on
	s.mu.Unlock()
	agreed, caps := s.agreed.Load(), s.capabilities()
	if agreed == nil {
		return false
	}
	for _, l := range agreed.Lines {
		if !l.Accepted {
			continue
		}
		want := caps.Audio.Direction
		if l.Kind == sdp.Video {
			want = caps.Video.Direction
		}
		if want.Sends() != l.Direction.Sends() && (on || l.Direction.Sends()) {
			return true
		}
	}
	return false
}

// capabilities are Caps with the direction of now written out.
func (s *Session) capabilities() *sdp.Capabilities {
	var c sdp.Capabilities
	if s.Caps != nil {
		c = *s.Caps
	}
	s.mu.Lock()
	on := s.nego.sending
	s.mu.Unlock()
	var audio, video *sdp.TemplateLine
	if c.Template != nil {
		audio, video = c.Template.Audio, c.Template.Video
	}
	c.Audio.Direction = wish(c.Audio.Direction, audio, on)
	c.Video.Direction = wish(c.Video.Direction, video, on)
	return &c
}

func wish(d sdp.Direction, t *sdp.TemplateLine, send bool) sdp.Direction {
	if d == sdp.DirectionUnset && t != nil {
		d = t.Direction
	}
	switch {
	case !send || d.Sends():
		return d
	case d.Receives():
		return sdp.SendRecv
	default:
		return sdp.SendOnly
	}
}

// wantedLine is what an exchange needs for one m-line.
type wantedLine struct {
	active bool
	kind   sdp.Kind
	suite  sdp.CryptoSuite // empty: not SRTP
}

func wantedOf(a *sdp.Agreed) []wantedLine {
	w := make([]wantedLine, len(a.Lines))
	for i, l := range a.Lines {
		w[i] = wantedLine{active: l.Accepted, kind: l.Kind}
		if l.Crypto != nil {
			w[i].suite = l.Crypto.Suite
		}
	}
	return w
}

func remoteOf(a *sdp.Agreed) netip.Addr {
	for _, l := range a.Lines {
		if l.Accepted && l.RTP.IsValid() {
			return l.RTP.Addr()
		}
	}
	return netip.Addr{}
}

// prepare makes sure that there are sockets and keys for the wanted lines and
// returns what our SDP says about them.
func (s *Session) prepare(ctx context.Context, wanted []wantedLine, remote netip.Addr) (sdp.Local, error) {
	addr, err := s.address(ctx, remote)
	if err != nil {
		return sdp.Local{}, err
	}
	if s.nego.id == 0 {
		s.nego.id = rand.Uint64N(1<<62) + 1 // fits the 63 bits that peers can read
	}
	local := sdp.Local{SessionID: s.nego.id, Version: 1, Prev: s.nego.body, Addr: addr,
		Lines: make([]sdp.LocalLine, len(wanted))}
	lines := make([]*line, len(wanted))
	copy(lines, s.nego.back.lines)
	for i, w := range wanted {
		if !w.active {
			continue
		}
		if lines[i] == nil || lines[i].kind != w.kind || lines[i].pair == nil {
			if lines[i], err = s.open(i, w.kind); err != nil {
				return sdp.Local{}, err
			}
		}
		l := lines[i]
		local.Lines[i] = sdp.LocalLine{RTPPort: l.pair.port, RTCPPort: l.pair.port + 1, Key: l.keyFor(w.suite)}
	}
	s.mu.Lock()
	s.lines = lines
	s.mu.Unlock()
	return local, nil
}

// keyFor is our SRTP key for a suite, nil for none. It stays as long as the
// suite does. It is called within an exchange only.
func (l *line) keyFor(suite sdp.CryptoSuite) []byte {
	if suite == "" {
		return nil
	}
	if l.suite != suite {
		l.suite, l.key = suite, newKey(suite)
	}
	return l.key
}

// address is what we advertise.
func (s *Session) address(ctx context.Context, remote netip.Addr) (netip.Addr, error) {
	switch {
	case s.nego.addr.IsValid():
	case s.Advertise.IsValid():
		s.nego.addr = s.Advertise
	case s.ports.Addr.IsValid() && !s.ports.Addr.IsUnspecified():
		s.nego.addr = s.ports.Addr
	default:
		if !remote.IsValid() {
			remote = s.Peer
		}
		if !remote.IsValid() {
			return netip.Addr{}, ErrNoAddress
		}
		addr, err := localAddress(ctx, remote)
		if err != nil {
			return netip.Addr{}, fmt.Errorf("%w: %w", ErrNoAddress, err)
		}
		s.nego.addr = addr
	}
	return s.nego.addr, nil
}

// localAddress asks the system's routes; nothing is sent.
func localAddress(ctx context.Context, remote netip.Addr) (netip.Addr, error) {
	var d net.Dialer
	c, err := d.DialContext(ctx, "udp", netip.AddrPortFrom(remote, 9).String())
	if err != nil {
		return netip.Addr{}, err
	}
	defer func() { _ = c.Close() }()
	a, ok := c.LocalAddr().(*net.UDPAddr)
	if !ok {
		return netip.Addr{}, errors.New("not a UDP address")
	}
	return a.AddrPort().Addr().Unmap(), nil
}

// commit puts an agreement into force.
func (s *Session) commit(ctx context.Context, a *sdp.Agreed) error {
	configs := make([]*lineConfig, len(a.Lines))
	for i, al := range a.Lines {
		if !al.Accepted {
			continue
		}
		if i >= len(s.lines) || s.lines[i] == nil {
			return fmt.Errorf("rtpio: m-line %d was agreed but not prepared", i)
		}
		var err error
		if configs[i], err = s.configure(ctx, s.lines[i], al); err != nil {
			return err
		}
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return ErrClosed
	}
	s.apply(a, configs, a.Unchanged)
	return nil
}

// configure makes the configuration of a line from what was agreed.
func (s *Session) configure(ctx context.Context, l *line, al *sdp.Line) (*lineConfig, error) {
	c := &lineConfig{
		send: al.Send, sends: al.Direction.Sends(), feedback: al.Feedback, bandwidth: al.Bandwidth,
		rtp: al.RTP, rtcp: al.RTCP, mux: al.Mux, reduced: al.ReducedSize,
	}
	if al.Direction.Receives() {
		c.recv = al.Recv
	}
	if al.Host != "" && !al.RTP.IsValid() {
		s.resolve(ctx, c, al)
	}
	if al.Crypto == nil {
		return c, nil
	}
	c.secure = true
	var before lineConfig
	if p := l.agreed.Load(); p != nil {
		before = *p
	}
	var err error
	if c.in = before.in; !c.in.same(al.Crypto.Suite, al.Crypto.Key, al.Crypto.MKI) {
		if c.in, err = newCipher(al.Crypto.Suite, al.Crypto.Key, al.Crypto.MKI); err != nil {
			return nil, err
		}
	}
	key := l.keyFor(al.Crypto.Suite)
	if c.out = before.out; !c.out.same(al.Crypto.Suite, key, nil) {
		if c.out, err = newCipher(al.Crypto.Suite, key, nil); err != nil {
			return nil, err
		}
	}
	return c, nil
}

// resolve looks up the name in a c= line. If that fails, the address is
// learned from the caller's packets.
func (s *Session) resolve(ctx context.Context, c *lineConfig, al *sdp.Line) {
	ctx, cancel := context.WithTimeout(ctx, resolveTimeout)
	defer cancel()
	addrs, err := net.DefaultResolver.LookupNetIP(ctx, "ip", al.Host)
	if err != nil || len(addrs) == 0 {
		s.log.WarnContext(ctx, "media address not resolved", "host", al.Host, "error", err)
		return
	}
	addr := addrs[0].Unmap()
	c.rtp = netip.AddrPortFrom(addr, uint16(al.RTPPort))
	c.rtcp = netip.AddrPortFrom(addr, uint16(al.RTCPPort))
}

// apply is the moment at which an agreement, or an older one, comes into
// force. The mutex is held.
func (s *Session) apply(a *sdp.Agreed, configs []*lineConfig, refresh bool) {
	now := time.Now()
	for i, l := range s.lines {
		if l == nil {
			continue
		}
		var c *lineConfig
		if i < len(configs) {
			c = configs[i]
		}
		l.agreed.Store(c)
		if c == nil {
			s.receiver.SetFormats(i, l.kind, nil, now)
			continue
		}
		l.latch.mode, l.latch.secure = s.Latching, c.secure
		l.latch.signal(c.rtp, c.rtcp, c.mux, refresh, now)
		s.receiver.SetFormats(i, l.kind, c.recv, now)
	}
	s.agreed.Store(a)
	s.twoWay = s.twoWay || a != nil && !s.Held()
	s.lastIn = now
	s.rouse(now)
}

// restore goes back to the snapshot, if there is one.
func (s *Session) restore() {
	b := s.nego.back
	if b == nil {
		return
	}
	s.nego.back, s.nego.offered = nil, nil
	s.mu.Lock()
	changed := s.agreed.Load() != b.agreed
	for i, l := range s.lines {
		if l == nil || i < len(b.lines) && b.lines[i] == l {
			continue
		}
		changed = true
		l.agreed.Store(nil)
		s.receiver.SetFormats(i, l.kind, nil, time.Now())
	}
	s.lines = b.lines
	if changed {
		s.apply(b.agreed, b.configs, true)
	}
	s.mu.Unlock()
	s.reap()
}
