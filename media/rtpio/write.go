package rtpio

import (
	"context"
	"net/netip"
	"time"

	"github.com/trunkcast/trunkcast/media"
	"github.com/trunkcast/trunkcast/media/sdp"
)

const (
	// burst is how many packets of a picture leave at once; the rest follows
	// in such portions.
	burst = 8
	// maxSpread is the time over which a picture is spread at most.
	maxSpread = 20 * time.Millisecond
	// maxPTime is the longest frame of G.711 and G.722 sent in one packet.
	maxPTime = 60 * time.Millisecond
	// silenceInterval is the time between two packets of silence.
	silenceInterval = 200 * time.Millisecond
	// silenceLag is how old the time is that silence is stamped with. Sound
	// that was transcoded comes late, and must not find its time taken: it
	// would be put behind the silence, and be late for its pictures for good.
	silenceLag = 300 * time.Millisecond
	// silenceAfter is how long silence waits after the last packet of sound: so
	// long that it does not take the time of sound that is only late.
	silenceAfter = silenceLag + 100*time.Millisecond
)

// SendFormat is the format in which the caller wants that kind most, nil if it
// wants none or the agreed direction does not let us send it.
func (s *Session) SendFormat(kind sdp.Kind) *sdp.Format {
	if l := s.agreed.Load().Line(kind); l != nil && l.Direction.Sends() {
		return l.Send.First()
	}
	return nil
}

// SendTracks tells what the caller takes now: at most one track of sound and
// one of video, in the codec that it prefers, nil where nothing may be sent.
// The clock rate is that of the samples: 16000 for G.722.
func (s *Session) SendTracks() []*media.Track {
	var tracks []*media.Track
	for _, kind := range []sdp.Kind{sdp.Audio, sdp.Video} {
		f := s.SendFormat(kind)
		if f == nil {
			continue
		}
		t := &media.Track{Codec: f.Codec, ClockRate: f.ClockRate, Channels: f.Channels}
		switch {
		case f.Codec == media.G722:
			t.ClockRate = 16000
		case f.Codec == media.Opus && (f.Opus == nil || !f.Opus.Stereo):
			t.Channels = 1 // RFC 7587 section 6.1: stereo only if asked for
		}
		tracks = append(tracks, t)
	}
	return tracks
}

// WriteFrame sends a frame to the caller, now: the writer keeps the pace. The
// times of frames are placed on the session's clock; a jump of more than a
// second is taken for the start of another stream and closed up. Frames that
// cannot be sent at the moment (hold, no address of the caller yet, digits
// being sent) are dropped and counted, and so is sound that overlaps by more
// than 40 ms what was sent before. A picture of many packets is spread
// over up to half of its time by another goroutine; WriteFrame waits only
// when more than 256 packets wait.
//
// The error is a [*CodecError] for a codec that the caller does not take, a
// [*NALTooLargeError] for a picture that cannot be cut for it, [ErrClosed], or
// that of ctx.
func (s *Session) WriteFrame(ctx context.Context, f *media.Frame) error {
	s.init()
	if err := ctx.Err(); err != nil {
		return err
	}
	if f.Track.Codec.Video() {
		return s.writeVideo(ctx, f)
	}
	return s.writeAudio(f)
}

// outgoing finds the line and format for a frame. A nil line without an error
// means that the frame is dropped. The mutex is held.
func (s *Session) outgoing(kind sdp.Kind, codec media.Codec, now time.Time) (*line, *lineConfig, netip.AddrPort, error) {
	var none netip.AddrPort
	if s.closed {
		return nil, nil, none, ErrClosed
	}
	agreed := s.agreed.Load().Line(kind)
	if agreed == nil || agreed.Index >= len(s.lines) || s.lines[agreed.Index] == nil {
		return nil, nil, none, &CodecError{Codec: codec}
	}
	format := formatFor(agreed.Send, codec)
	if format == nil {
		return nil, nil, none, &CodecError{Codec: codec, Accepted: codecs(agreed.Send)}
	}
	l := s.lines[agreed.Index]
	c, to, ok := l.target(now)
	if !ok || kind == sdp.Audio && s.dialling {
		l.counts.discarded++
		return nil, nil, none, nil
	}
	l.send.use(format)
	return l, c, to, nil
}

func formatFor(m *sdp.PayloadMap, codec media.Codec) *sdp.Format {
	formats := m.Formats()
	for i := range formats {
		if formats[i].Codec == codec {
			return &formats[i]
		}
	}
	return nil
}

func codecs(m *sdp.PayloadMap) (list []media.Codec) {
	for _, f := range m.Formats() {
		if f.Codec != "" {
			list = append(list, f.Codec)
		}
	}
	return list
}

func (s *Session) writeAudio(f *media.Frame) error {
	now := time.Now()
	for _, data := range f.Data {
		at := time.Duration(0)
		first := true
		for len(data) > 0 {
			s.mu.Lock()
			l, c, to, err := s.outgoing(sdp.Audio, f.Track.Codec, now)
			if l == nil {
				s.mu.Unlock()
				return err
			}
			if first {
				at, first = s.clock.place(f.PTS, s.at(now)), false
				if l.send.crowded(at) {
					l.counts.discarded++
					s.mu.Unlock()
					return nil
				}
				l.counts.frames++
			}
			piece := data[:pieceLength(l.send.format, data, s.payloadLimit(c.secure))]
			data = data[len(piece):]
			n := audioTicks(f.Track.Codec, piece)
			b, err := l.audioPacket(s.audioOut[:0], c, at, n, piece)
			at += time.Duration(n) * time.Second / time.Duration(l.send.format.ClockRate)
			s.mu.Unlock()
			if err == nil {
				l.sendRTP(b, to)
			}
		}
	}
	return nil
}

// pieceLength is how much of an audio frame goes into the next packet: all of
// it, except where every byte stands for itself and there are too many.
func pieceLength(format *sdp.Format, data []byte, limit int) int {
	if format.Codec == media.Opus {
		return len(data)
	}
	return min(len(data), limit, int(ticks(maxPTime, format.ClockRate)))
}

// audioPacket makes one packet of sound. The mutex is held.
func (l *line) audioPacket(b []byte, c *lineConfig, at time.Duration, length int, payload []byte) ([]byte, error) {
	t := &l.send
	if len(payload) > maxDatagram-rtpHeaderSize-srtpOverhead {
		l.counts.errors++
		return nil, errTooLarge
	}
	ts, spurt := t.audioTimestamp(at, length)
	b = append(t.put(b, t.format.PayloadType, spurt, ts), payload...)
	b, err := t.seal(b, c.out)
	if err != nil {
		l.counts.errors++
		return nil, err
	}
	l.counts.packets++
	l.counts.bytes += uint64(len(b))
	return b, nil
}

// SetCutting lets NAL units that are too large for a packet be cut (FU-A) for a
// caller of packetization-mode 0, too, which RFC 6184 section 6.2 forbids and
// many phones take all the same. Without it WriteFrame refuses them.
func (s *Session) SetCutting(on bool) {
	s.mu.Lock()
	s.cutsAll = on
	s.mu.Unlock()
}

func (s *Session) writeVideo(ctx context.Context, f *media.Frame) error {
	now := time.Now()
	s.mu.Lock()
	l, c, to, err := s.outgoing(sdp.Video, f.Track.Codec, now)
	if l == nil {
		s.mu.Unlock()
		return err
	}
	if err := s.cutter.start(l.send.format, f, s.payloadLimit(c.secure), s.cutsAll); err != nil {
		s.mu.Unlock()
		return err
	}
	if l.history == nil {
		l.history = &history{}
		l.pacing = make(chan struct{}, 1)
		l.space = make(chan struct{}, 1)
	}
	at := s.at(now)
	ts := l.send.timestamp(s.clock.place(f.PTS, at))
	l.counts.frames++
	l.sending.Store(true)
	spread := pace{due: now, step: l.send.step(at, s.cutter.packets())}
	if l.history.waiting() > 0 {
		spread.due = later(now, l.history.last().due)
	}
	s.mu.Unlock()
	for !s.cutter.done() {
		if err := s.writePortion(ctx, l, c, to, ts, &spread); err != nil {
			return err
		}
	}
	return nil
}

// pace tells when the next portion of a picture is due.
type pace struct {
	due  time.Time
	step time.Duration // between portions
}

func later(a, b time.Time) time.Time {
	if b.After(a) {
		return b
	}
	return a
}

// step is the time between two portions of a picture of n packets: together
// they take half the time since the picture before, 20 ms at most.
func (t *sender) step(now time.Duration, n int) time.Duration {
	since := now - t.lastAt
	t.lastAt = now
	if n <= 2*burst {
		return 0
	}
	return min(max(since/2, maxSpread/4), maxSpread) * burst / time.Duration(n)
}

// writePortion makes the packets of one burst. They are sent here when they
// are due and none waits before them, else by the pacer.
func (s *Session) writePortion(ctx context.Context, l *line, c *lineConfig, to netip.AddrPort, ts uint32, p *pace) error {
	s.mu.Lock()
	if s.closed {
		s.mu.Unlock()
		return ErrClosed
	}
	h := l.history
	from := h.head
	for range burst {
		if s.cutter.done() || h.full() {
			break
		}
		slot := h.next()
		slot.seq = l.send.seq
		b := l.send.put(slot.b[:0], l.send.format.PayloadType, false, ts)
		b = s.cutter.next(b)
		if s.cutter.done() {
			b[1] |= 0x80 // the marker ends the access unit
		}
		var err error
		if slot.b, err = l.send.seal(b, c.out); err != nil {
			l.counts.errors++
			slot.b = b[:0]
			continue
		}
		slot.due, slot.resent = p.due, time.Time{}
		l.counts.packets++
		l.counts.bytes += uint64(len(slot.b))
		h.add()
	}
	made := h.head - from
	direct := h.sent == from && !p.due.After(time.Now())
	if direct {
		h.sent = h.head
	} else if made > 0 && !l.paced {
		l.paced = true
		s.wg.Go(l.pacer)
	}
	s.mu.Unlock()
	p.due = p.due.Add(p.step)
	switch {
	case direct:
		for i := from; i < from+made; i++ {
			l.sendRTP(h.slots[i%historySize].b, to)
		}
	case made > 0:
		notify(l.pacing)
	default:
		select {
		case <-l.space:
		case <-ctx.Done():
			return ctx.Err()
		case <-l.gone:
			return nil // the rest of the picture has nowhere to go
		case <-s.ctx.Done():
			return ErrClosed
		}
	}
	return nil
}

func notify(c chan struct{}) {
	select {
	case c <- struct{}{}:
	default:
	}
}

// pacer sends the packets of big pictures when they are due. It starts with
// the first of them and ends with the line or the session.
func (l *line) pacer() {
	s := l.s
	timer := time.NewTimer(time.Hour)
	defer timer.Stop()
	for {
		s.mu.Lock()
		h := l.history
		var slot *sentPacket
		if h.waiting() > 0 {
			slot = &h.slots[h.sent%historySize]
		}
		_, to, ok := l.target(time.Now())
		s.mu.Unlock()
		if slot == nil {
			select {
			case <-l.pacing:
			case <-l.gone:
				return
			case <-s.ctx.Done():
				return
			}
			continue
		}
		if d := time.Until(slot.due); d > 0 {
			timer.Reset(d)
			select {
			case <-timer.C:
			case <-l.gone:
				return
			case <-s.ctx.Done():
				return
			}
		}
		if ok {
			l.sendRTP(slot.b, to) // nobody changes a packet that waits
		}
		s.mu.Lock()
		h.sent++
		s.mu.Unlock()
		notify(l.space)
	}
}

// keepAlive sends a frame of silence where sound may be sent and none is, so
// that NATs stay open and PBXs do not take the call for dead. It returns when
// to look again. It is called by the play-out goroutine only.
func (l *line) keepAlive(now time.Time) (next time.Time) {
	s := l.s
	if l.kind != sdp.Audio || s.NoSilence {
		return next
	}
	s.mu.Lock()
	c, to, ok := l.target(now)
	if !ok || s.dialling {
		s.mu.Unlock()
		return next
	}
	if l.send.format == nil || formatFor(c.send, l.send.format.Codec) == nil {
		first := c.send.First()
		if first == nil {
			s.mu.Unlock()
			return next
		}
		l.send.use(first)
	}
	at := s.at(now)
	frame := silence(l.send.format.Codec)
	if l.counts.packets != l.soundSeen {
		l.soundSeen = l.counts.packets
		l.silentAt = at + silenceAfter
	}
	if frame == nil || at < l.silentAt {
		s.mu.Unlock()
		return now.Add(max(l.silentAt-at, minSleep))
	}
	length := int(ticks(silenceLength, l.send.format.ClockRate))
	ts, spurt := l.send.audioTimestamp(at-silenceLag, length)
	b := append(l.send.put(s.silenceOut[:0], l.send.format.PayloadType, spurt, ts), frame...)
	b, err := l.send.seal(b, c.out)
	l.counts.silence++
	l.silentAt = at + silenceInterval
	s.mu.Unlock()
	if err == nil {
		l.sendRTP(b, to)
	}
	return now.Add(silenceInterval)
}
