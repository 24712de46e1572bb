package rtpio

import (
	"bytes"
	"context"
	"errors"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/pion/rtcp"
	"github.com/pion/srtp/v3"
	"go.uber.org/goleak"

	"github.com/trunkcast/trunkcast/media"
	"github.com/trunkcast/trunkcast/media/sdp"
)

// sendAll sends audio and video in real time until stop is closed: 50 packets
// of PCMU and 25 pictures a second, the first one a key frame if key.
func (p *phone) sendAll(stop <-chan struct{}, key bool) {
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for i := 0; ; i++ {
		p.lines[0].pt = 0
		p.lines[0].send(uint32(i*160), i == 0, bytes.Repeat([]byte{0x55}, 160))
		if len(p.lines) > 1 && i%2 == 0 {
			p.lines[1].picture(uint32(i/2*3600), key && i == 0)
		}
		select {
		case <-stop:
			return
		case <-tick.C:
		}
	}
}

func TestReceive(t *testing.T) {
	t.Parallel()
	t.Run("polled where possible", func(t *testing.T) { t.Parallel(); testReceive(t, false) })
	t.Run("a goroutine a socket", func(t *testing.T) { t.Parallel(); testReceive(t, true) })
}

func testReceive(t *testing.T, waiting bool) {
	p := newPhone(t, 2)
	var out output
	var first atomic.Int32
	s := &Session{Output: &out, OnMedia: func(sdp.Kind, netip.AddrPort) { first.Add(1) }}
	s.waiting = waiting
	p.call(s, audioLine, videoLine)
	stop := make(chan struct{})
	var wg sync.WaitGroup
	wg.Go(func() { p.sendAll(stop, true) })
	eventually(t, "a second of sound and picture", func() bool {
		return len(out.of(false)) >= 40 && len(out.of(true)) >= 20
	})
	eventually(t, "receiver reports", func() bool {
		return len(receptionReports(p.lines[0])) > 0 && len(receptionReports(p.lines[1])) > 0
	})
	close(stop)
	wg.Wait()
	if err := s.Close(); err != nil {
		t.Error(err)
	}
	if !errors.Is(s.Err(), ErrClosed) {
		t.Errorf("Err: %v", s.Err())
	}
	eventually(t, "a BYE", func() bool { return len(controls[*rtcp.Goodbye](p.lines[0])) > 0 })

	video := out.of(true)
	if !video[0].Key || len(video[0].Track.Config) != 2 || !bytes.Equal(video[0].Track.Config[0], testSPS) {
		t.Errorf("first picture: %s, configuration %x", describe(video[0]), video[0].Track.Config)
	}
	if video[0].Track.Width != 320 || video[0].Track.Height != 240 {
		t.Errorf("%dx%d", video[0].Track.Width, video[0].Track.Height)
	}
	for _, list := range [][]*media.Frame{video, out.of(false)} {
		for i := 1; i < len(list); i++ {
			if list[i].DTS < list[i-1].DTS {
				t.Fatalf("%s after %s", describe(list[i]), describe(list[i-1]))
			}
		}
	}
	for i, l := range p.lines {
		if rr := receptionReports(l)[0]; rr.SSRC != l.ssrc {
			t.Errorf("line %d: %+v", i, rr)
		}
		if names := controls[*rtcp.SourceDescription](l); len(names) == 0 || names[0].Chunks[0].Items[0].Text == "" {
			t.Errorf("line %d: no CNAME", i)
		}
	}
	if first.Load() != 2 {
		t.Errorf("OnMedia called %d times", first.Load())
	}
	st := s.Stats()
	if len(st.Lines) != 2 || st.Lines[0].Received.Packets < 40 || st.Lines[1].Received.KeyFrames < 1 || st.Foreign+st.Malformed > 0 {
		t.Errorf("statistics: %+v", st)
	}
}

func TestAsksForKeyFrame(t *testing.T) {
	t.Parallel()
	p := newPhone(t, 2)
	var out output
	var infos atomic.Int32
	s := &Session{Output: &out, KeyFrameInterval: 100 * time.Millisecond,
		RequestKeyFrameBySIP: func(context.Context) error { infos.Add(1); return nil }}
	p.call(s, audioLine, videoLine)
	stop := make(chan struct{})
	var wg sync.WaitGroup
	wg.Go(func() { p.sendAll(stop, false) })
	eventually(t, "PLI, FIR and INFO", func() bool {
		return len(controls[*rtcp.PictureLossIndication](p.lines[1])) >= 2 &&
			len(controls[*rtcp.FullIntraRequest](p.lines[1])) >= 1 && infos.Load() >= 1
	})
	close(stop)
	wg.Wait()
	if n := len(out.of(true)); n != 0 {
		t.Errorf("%d pictures without a key frame", n)
	}
	pli := controls[*rtcp.PictureLossIndication](p.lines[1])[0]
	fir := controls[*rtcp.FullIntraRequest](p.lines[1])[0]
	if pli.MediaSSRC != p.lines[1].ssrc || fir.FIR[0].SSRC != p.lines[1].ssrc {
		t.Errorf("%v %v", pli, fir)
	}
	for i := range 10 {
		p.lines[1].picture(uint32(1_000_000+i*3600), i == 0)
	}
	eventually(t, "pictures", func() bool { return len(out.of(true)) >= 9 })
	asked := s.Stats().Lines[1].Received.KeyRequests
	s.RequestKeyFrame() // a new output wants one, too
	eventually(t, "one more request", func() bool { return s.Stats().Lines[1].Received.KeyRequests > asked })
}

func TestDTMF(t *testing.T) {
	t.Parallel()
	p := newPhone(t, 1)
	var mu sync.Mutex
	var digits []rune
	s := &Session{OnDigit: func(r rune, _ time.Duration) { mu.Lock(); digits = append(digits, r); mu.Unlock() }}
	p.call(s, audioLine)
	l := p.lines[0]
	if err := s.SendDTMF(t.Context(), "1#", 60*time.Millisecond); err != nil {
		t.Fatal(err)
	}
	events := func() (list []*packet) {
		for _, pkt := range l.received() {
			if pkt.PayloadType == 101 {
				list = append(list, pkt)
			}
		}
		return list
	}
	eventually(t, "two digits", func() bool { return len(events()) == 10 }) // 20, 40, 3 x 60 ms
	list := events()
	for i, pkt := range list {
		code, n := byte(1), uint16(160*min(i%5+1, 3))
		if i >= 5 {
			code = 11
		}
		if pkt.Payload[0] != code || pkt.Payload[1]&0x80 != 0 != (i%5 >= 2) || uint16(pkt.Payload[2])<<8|uint16(pkt.Payload[3]) != n {
			t.Errorf("event %d: % x", i, pkt.Payload)
		}
		if pkt.Marker != (i%5 == 0) || pkt.Timestamp != list[i/5*5].Timestamp {
			t.Errorf("event %d: %v", i, pkt.Header)
		}
	}
	if err := s.SendDTMF(t.Context(), "1x", 0); err == nil {
		t.Error("a letter that is no digit is sent")
	}

	// And the other way: one digit in eight packets, the end three times.
	l.pt = 101
	for i := range 8 {
		n, flags := byte(i*8), byte(10)
		if i >= 5 {
			n, flags = 40, 0x8a
		}
		l.send(5000, i == 0, []byte{7, flags, n, 0})
	}
	eventually(t, "a digit", func() bool { mu.Lock(); defer mu.Unlock(); return len(digits) > 0 })
	if digits[0] != '7' || len(digits) != 1 {
		t.Errorf("digits %q", string(digits))
	}
	q := newPhone(t, 1)
	other := &Session{}
	q.call(other, "m=audio AUDIO RTP/AVP 0")
	if err := other.SendDTMF(t.Context(), "1", 0); !errors.Is(err, ErrNoEvents) {
		t.Errorf("without telephone-event: %v", err)
	}
}

// secure gives a phone line SRTP by the keys of an SDP and its own.
func (l *phoneLine) secure(t *testing.T, own, theirs []byte) {
	t.Helper()
	ctx := func(key []byte) *srtp.Context {
		c, err := srtp.CreateContext(key[:16], key[16:], srtp.ProtectionProfileAes128CmHmacSha1_80)
		if err != nil {
			t.Fatal(err)
		}
		return c
	}
	in, out := ctx(theirs), ctx(own)
	l.mu.Lock()
	defer l.mu.Unlock()
	l.decrypt = func(b []byte) ([]byte, error) { return in.DecryptRTP(nil, b, nil) }
	l.decCtl = func(b []byte) ([]byte, error) { return in.DecryptRTCP(nil, b, nil) }
	l.encrypt = func(b []byte) ([]byte, error) { return out.EncryptRTP(nil, b, nil) }
}

func TestSRTP(t *testing.T) {
	t.Parallel()
	p := newPhone(t, 1)
	own := bytes.Repeat([]byte{7}, 30)
	line := "m=audio AUDIO RTP/SAVP 0\r\na=rtcp:AUDIOCTL\r\na=" + sdpCrypto(own)
	var out output
	s := &Session{Output: &out}
	answer := p.call(s, line)
	key := answerKey(t, answer)
	l := p.lines[0]
	l.secure(t, own, key)
	l.pt = 0
	for i := range 100 { // the sequence number wraps after 36
		l.send(uint32(i*160), false, bytes.Repeat([]byte{0x55}, 160))
		time.Sleep(time.Millisecond)
	}
	eventually(t, "decrypted sound", func() bool { return len(out.of(false)) >= 60 })
	again, err := s.Answer(t.Context(), bytes.Replace(p.offer(line), []byte("o=- 1 1"), []byte("o=- 1 2"), 1))
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(answerKey(t, again), key) {
		t.Error("our key changed with the re-INVITE")
	}
	before := s.Stats().Lines[0].Received.Packets
	for i := range 20 {
		l.send(uint32(16000+i*160), false, bytes.Repeat([]byte{0x55}, 160))
	}
	eventually(t, "sound after the re-INVITE", func() bool { return s.Stats().Lines[0].Received.Packets >= before+20 })
	eventually(t, "encrypted silence", func() bool { return len(l.received()) > 2 })

	// Packets that are not authentic change nothing.
	l.encrypt = nil
	l.send(0, false, make([]byte, 170))
	eventually(t, "a refusal", func() bool { return s.Stats().Unauthentic > 0 })
}

func TestLatchesOverLoopback(t *testing.T) {
	t.Parallel()
	p := newPhone(t, 1)
	s := &Session{NoSilence: false}
	line := strings.Replace(audioLine, "AUDIO RTP", "9 RTP", 1) // not where packets come from
	p.call(s, line)
	l := p.lines[0]
	l.pt = 0
	l.send(0, true, make([]byte, 160))
	eventually(t, "silence at the real source", func() bool { return len(l.received()) > 0 })
	thief := listenLoopback(t, "127.0.0.9")
	for i := range 10 {
		l.sendFrom(thief, uint32(i*160), false, make([]byte, 160))
	}
	eventually(t, "a refusal", func() bool { return s.Stats().Foreign >= 10 })
	if to := s.Stats().Lines[0].Remote; int(to.Port()) != port(l.rtp) {
		t.Errorf("packets go to %v", to)
	}
	for _, junk := range [][]byte{{}, {0x80}, {0, 1, 0, 0}, {22, 254, 253}, bytes.Repeat([]byte{0xff}, 3000), {0x80, 0}, {0x80, 200, 0, 9}} {
		if _, err := l.rtp.WriteToUDPAddrPort(junk, l.to); err != nil {
			t.Fatal(err)
		}
	}
	eventually(t, "counted junk", func() bool {
		st := s.Stats()
		return st.STUN == 1 && st.DTLS == 1 && st.Malformed >= 4
	})
}

func TestHoldAndTimeout(t *testing.T) {
	t.Parallel()
	p := newPhone(t, 1)
	s := &Session{MediaTimeout: 300 * time.Millisecond}
	p.call(s, audioLine)
	hold := strings.Replace(string(p.offer(audioLine)), "c=IN IP4 127.0.0.1", "c=IN IP4 0.0.0.0", 1) + "a=inactive\r\n"
	if _, err := s.Answer(t.Context(), []byte(strings.Replace(hold, "o=- 1 1", "o=- 1 2", 1))); err != nil {
		t.Fatal(err)
	}
	if !s.Held() {
		t.Error("not held")
	}
	if s.SendFormat(sdp.Audio) != nil || len(s.SendTracks()) != 0 {
		t.Error("something may be sent during hold")
	}
	f := &media.Frame{Track: &media.Track{Codec: media.PCMU}, Data: [][]byte{make([]byte, 160)}}
	if err := s.WriteFrame(t.Context(), f); err != nil {
		t.Errorf("a frame during hold: %v", err)
	}
	if err := s.SendDTMF(t.Context(), "1", 0); !errors.Is(err, ErrNotSending) {
		t.Errorf("digits during hold: %v", err)
	}
	select {
	case <-s.Done():
		t.Fatal("timed out during hold")
	case <-time.After(600 * time.Millisecond):
	}
	if _, err := s.Answer(t.Context(), []byte(strings.Replace(string(p.offer(audioLine)), "o=- 1 1", "o=- 1 3", 1))); err != nil {
		t.Fatal(err)
	}
	if s.Held() {
		t.Error("still held")
	}
	n := len(p.lines[0].received())
	eventually(t, "silence after hold", func() bool { return len(p.lines[0].received()) > n })
	select {
	case <-s.Done():
	case <-time.After(5 * time.Second):
		t.Fatal("no time-out")
	}
	if !errors.Is(s.Err(), ErrMediaTimeout) {
		t.Errorf("Err: %v", s.Err())
	}
}

// A caller that has us on hold need not send; one that never wanted anything
// from us has to.
func TestTimeoutOfOneWayCaller(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name  string
		first string // direction in the first offer
		held  bool
	}{{"hold", "sendrecv", true}, {"camera", "sendonly", false}} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			p := newPhone(t, 1)
			s := &Session{MediaTimeout: 300 * time.Millisecond}
			p.call(s, audioLine, "a="+tt.first)
			hold := strings.Replace(string(p.offer(audioLine, "a=sendonly")), "o=- 1 1", "o=- 1 2", 1)
			if _, err := s.Answer(t.Context(), []byte(hold)); err != nil {
				t.Fatal(err)
			}
			if !s.Held() {
				t.Error("not held")
			}
			wait := 5 * time.Second
			if tt.held {
				wait = 700 * time.Millisecond
			}
			select {
			case <-s.Done():
				if tt.held {
					t.Error("timed out during hold")
				}
			case <-time.After(wait):
				if !tt.held {
					t.Error("no time-out")
				}
			}
		})
	}
}

func TestOfferAcceptRollback(t *testing.T) {
	t.Parallel()
	a, b := &Session{Ports: testPorts}, &Session{Ports: testPorts}
	defer func() { _ = a.Close(); _ = b.Close() }()
	ctx := t.Context()
	offer, err := a.Offer(ctx)
	if err != nil {
		t.Fatal(err)
	}
	answer, err := b.Answer(ctx, offer)
	if err != nil {
		t.Fatal(err)
	}
	if err := a.Accept(ctx, answer); err != nil {
		t.Fatal(err)
	}
	if err := a.Accept(ctx, answer); !errors.Is(err, ErrNoOffer) {
		t.Errorf("the answer again: %v", err)
	}
	if a.Agreed().Line(sdp.Audio) == nil || b.Agreed().Line(sdp.Video) == nil {
		t.Fatalf("agreed:\n%s", answer)
	}
	ports := func(body []byte) []string { return mLine.FindAllString(string(body), -1) }
	before := a.Agreed()
	again, err := a.Offer(ctx)
	if err != nil {
		t.Fatal(err)
	}
	if !slices.Equal(ports(again), ports(offer)) {
		t.Errorf("ports moved: %v, then %v", ports(offer), ports(again))
	}
	a.Rollback()
	if a.Agreed() != before {
		t.Error("Rollback did not bring back the agreement")
	}

	// An offer that nothing fits leaves the session as it was.
	if _, err := a.Answer(ctx, []byte("v=0\r\nm=audio 9 RTP/AVP 18\r\nc=IN IP4 127.0.0.1\r\n")); err == nil {
		t.Error("G.729 is taken")
	}
	if _, err := a.Answer(ctx, []byte("nonsense")); err == nil {
		t.Error("nonsense is taken")
	}
	if a.Agreed() != before {
		t.Error("a refused offer changed the agreement")
	}
	// One that was answered is undone by Rollback.
	if _, err := a.Answer(ctx, []byte("v=0\r\nc=IN IP4 127.0.0.1\r\nm=audio 9 RTP/AVP 0\r\nm=video 0 RTP/AVP 96\r\n")); err != nil {
		t.Fatal(err)
	}
	if a.Agreed().Line(sdp.Video) != nil {
		t.Error("video is still there")
	}
	a.Rollback()
	if a.Agreed() != before {
		t.Error("Rollback after Answer")
	}
	// Sound goes from one to the other.
	f := &media.Frame{Track: &media.Track{Codec: a.SendFormat(sdp.Audio).Codec}, Data: [][]byte{silence(a.SendFormat(sdp.Audio).Codec)}}
	if err := a.WriteFrame(ctx, f); err != nil {
		t.Fatal(err)
	}
	eventually(t, "a packet at the other side", func() bool { return b.Stats().Lines[0].Received.Packets > 0 })
}

func TestSetSending(t *testing.T) {
	t.Parallel()
	p := newPhone(t, 2)
	template, err := sdp.ParseTemplate([]byte("m=audio 7270 RTP/AVP 0\na=recvonly\nm=video 9202 RTP/AVP 96\na=rtpmap:96 H264/90000\na=recvonly\n"))
	if err != nil {
		t.Fatal(err)
	}
	s := &Session{Caps: &sdp.Capabilities{Template: template}}
	body := p.call(s, audioLine, videoLine)
	if n := strings.Count(string(body), "a=recvonly"); n != 2 {
		t.Fatalf("recvonly %d times in\n%s", n, body)
	}
	if s.SetSending(false) {
		t.Error("an offer is due though nothing is wanted")
	}
	if !s.SetSending(true) {
		t.Error("no offer is due")
	}
	offer, err := s.Offer(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if strings.Contains(string(offer), "recvonly") {
		t.Errorf("offer:\n%s", offer)
	}
	if err := s.Accept(t.Context(), p.offer(audioLine, videoLine)); err != nil {
		t.Fatal(err)
	}
	if s.SendFormat(sdp.Video) == nil || s.SetSending(true) {
		t.Error("not sending")
	}
	if !s.SetSending(false) {
		t.Error("no offer is due to stop")
	}
}

func TestClose(t *testing.T) {
	t.Parallel()
	unused := &Session{}
	if err := unused.Close(); err != nil {
		t.Error(err)
	}
	<-unused.Done()
	p := newPhone(t, 2)
	s := &Session{Output: media.SinkFunc(func(context.Context, *media.Frame) error { return errRefused })}
	p.call(s, audioLine, videoLine)
	p.lines[0].pt = 0
	p.lines[0].send(0, true, make([]byte, 160))
	eventually(t, "a refused frame", func() bool { return s.Stats().OutputDropped > 0 })
	var wg sync.WaitGroup
	for range 3 {
		wg.Go(func() { _ = s.Close() })
	}
	wg.Wait()
	f := &media.Frame{Track: &media.Track{Codec: media.PCMU}, Data: [][]byte{make([]byte, 160)}}
	if err := s.WriteFrame(t.Context(), f); !errors.Is(err, ErrClosed) {
		t.Errorf("WriteFrame after Close: %v", err)
	}
	if _, err := s.Offer(t.Context()); !errors.Is(err, ErrClosed) {
		t.Errorf("Offer after Close: %v", err)
	}
	if err := s.SendDTMF(t.Context(), "1", 0); err == nil {
		t.Error("digits after Close")
	}
	s.RequestKeyFrame()
	s.Rollback()
}

func TestPanicEndsTheCallOnly(t *testing.T) {
	t.Parallel()
	for name, s := range map[string]*Session{
		"Output":  {Output: media.SinkFunc(func(context.Context, *media.Frame) error { panic("in test") })},
		"OnMedia": {OnMedia: func(sdp.Kind, netip.AddrPort) { panic("in test") }},
	} {
		p := newPhone(t, 1)
		p.call(s, audioLine)
		p.lines[0].pt = 0
		for i := range 10 {
			p.lines[0].send(uint32(i*160), i == 0, make([]byte, 160))
		}
		select {
		case <-s.Done():
		case <-time.After(5 * time.Second):
			t.Fatalf("%s: the session goes on", name)
		}
		if !errors.Is(s.Err(), ErrPanic) || !strings.Contains(s.Err().Error(), name) {
			t.Errorf("%s: %v", name, s.Err())
		}
	}
}

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }
