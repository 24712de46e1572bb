package rtpio

import (
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"regexp"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/pion/rtcp"
	"github.com/pion/rtp"

	"github.com/trunkcast/trunkcast/media"
)

var loopback = netip.MustParseAddr("127.0.0.1")

// testPorts is shared by the tests that run at once.
var testPorts = &Ports{First: 46000, Last: 47999, Addr: loopback, Quarantine: -1}

// output keeps the frames of a session.
type output struct {
	mu     sync.Mutex
	frames []*media.Frame
}

func (o *output) WriteFrame(_ context.Context, f *media.Frame) error {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.frames = append(o.frames, f)
	return nil
}

// of returns the frames of one kind so far.
func (o *output) of(video bool) (list []*media.Frame) {
	o.mu.Lock()
	defer o.mu.Unlock()
	for _, f := range o.frames {
		if f.Track.Codec.Video() == video {
			list = append(list, f)
		}
	}
	return list
}

// phone is the other side of a session: sockets and what came in on them.
type phone struct {
	t       *testing.T
	lines   []*phoneLine
	version int // of its offers, less one
}

// phoneLine is one m-line of a phone.
type phoneLine struct {
	t         *testing.T
	rtp, rtcp *net.UDPConn
	to, toCtl netip.AddrPort // of the session
	ssrc      uint32
	seq       uint16
	pt        uint8

	mu      sync.Mutex
	packets []*rtp.Packet
	at      []time.Time
	reports []rtcp.Packet
	raw     [][]byte // RTCP datagrams
	decrypt func([]byte) ([]byte, error)
	decCtl  func([]byte) ([]byte, error)
	encrypt func([]byte) ([]byte, error)
}

func newPhone(t *testing.T, lines int) *phone {
	t.Helper()
	p := &phone{t: t}
	for i := range lines {
		l := &phoneLine{t: t, ssrc: uint32(1000 + i), seq: 65500, pt: 96}
		l.rtp, l.rtcp = listenLoopback(t, "127.0.0.1"), listenLoopback(t, "127.0.0.1")
		go l.read(l.rtp)
		go l.read(l.rtcp)
		p.lines = append(p.lines, l)
	}
	return p
}

func listenLoopback(t *testing.T, ip string) *net.UDPConn {
	t.Helper()
	c, err := net.ListenUDP("udp4", &net.UDPAddr{IP: net.ParseIP(ip)})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.Close() })
	_ = c.SetReadBuffer(4 << 20) // the tests run on busy machines
	return c
}

func port(c *net.UDPConn) int { return c.LocalAddr().(*net.UDPAddr).Port }

func (l *phoneLine) read(c *net.UDPConn) {
	buf := make([]byte, 65536)
	for {
		n, _, err := c.ReadFromUDPAddrPort(buf)
		if err != nil {
			return
		}
		b := append([]byte(nil), buf[:n]...)
		l.mu.Lock()
		if classify(b) == classRTCP {
			l.control(b)
		} else {
			l.media(b)
		}
		l.mu.Unlock()
	}
}

func (l *phoneLine) control(b []byte) {
	if l.decCtl != nil {
		var err error
		if b, err = l.decCtl(b); err != nil {
			l.t.Errorf("SRTCP: %v", err)
			return
		}
	}
	l.raw = append(l.raw, b)
	packets, err := rtcp.Unmarshal(b)
	if err != nil {
		l.t.Errorf("RTCP: %v", err)
	}
	l.reports = append(l.reports, packets...)
}

func (l *phoneLine) media(b []byte) {
	if l.decrypt != nil {
		var err error
		if b, err = l.decrypt(b); err != nil {
			l.t.Errorf("SRTP: %v", err)
			return
		}
	}
	var p rtp.Packet
	if err := p.Unmarshal(b); err != nil {
		l.t.Errorf("RTP: %v", err)
		return
	}
	l.packets, l.at = append(l.packets, &p), append(l.at, time.Now())
}

// received returns the RTP packets so far.
func (l *phoneLine) received() []*rtp.Packet {
	l.mu.Lock()
	defer l.mu.Unlock()
	return append([]*rtp.Packet(nil), l.packets...)
}

// control packets of one type so far.
func controls[T rtcp.Packet](l *phoneLine) (list []T) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, p := range l.reports {
		if x, ok := p.(T); ok {
			list = append(list, x)
		}
	}
	return list
}

// receptionReports are those in sender and receiver reports so far.
func receptionReports(l *phoneLine) (list []rtcp.ReceptionReport) {
	for _, sr := range controls[*rtcp.SenderReport](l) {
		list = append(list, sr.Reports...)
	}
	for _, rr := range controls[*rtcp.ReceiverReport](l) {
		list = append(list, rr.Reports...)
	}
	return list
}

// send sends one RTP packet.
func (l *phoneLine) send(ts uint32, marker bool, payload []byte) {
	l.sendFrom(l.rtp, ts, marker, payload)
}

func (l *phoneLine) sendFrom(c *net.UDPConn, ts uint32, marker bool, payload []byte) {
	l.t.Helper()
	p := rtp.Packet{Header: rtp.Header{Version: 2, PayloadType: l.pt, SequenceNumber: l.seq, Timestamp: ts,
		SSRC: l.ssrc, Marker: marker}, Payload: payload}
	l.seq++
	b, err := p.Marshal()
	if err == nil && l.encrypt != nil {
		b, err = l.encrypt(b)
	}
	if err != nil {
		l.t.Fatal(err)
	}
	if _, err := c.WriteToUDPAddrPort(b, l.to); err != nil {
		l.t.Fatal(err)
	}
}

func (l *phoneLine) sendControl(packets ...rtcp.Packet) {
	l.t.Helper()
	b, err := rtcp.Marshal(packets)
	if err != nil {
		l.t.Fatal(err)
	}
	if _, err := l.rtcp.WriteToUDPAddrPort(b, l.toCtl); err != nil {
		l.t.Fatal(err)
	}
}

// offer is an SDP with the phone's ports in place of AUDIO, AUDIOCTL, VIDEO
// and VIDEOCTL.
func (p *phone) offer(lines ...string) []byte {
	body := "v=0\r\no=- 1 1 IN IP4 127.0.0.1\r\ns=-\r\nc=IN IP4 127.0.0.1\r\nt=0 0\r\n" +
		strings.Join(lines, "\r\n") + "\r\n"
	for i, l := range p.lines {
		name := []string{"AUDIO", "VIDEO"}[i]
		body = strings.ReplaceAll(body, name+"CTL", strconv.Itoa(port(l.rtcp)))
		body = strings.ReplaceAll(body, name, strconv.Itoa(port(l.rtp)))
	}
	return []byte(body)
}

const (
	audioLine = "m=audio AUDIO RTP/AVP 0 8 101\r\na=rtcp:AUDIOCTL\r\na=rtpmap:101 telephone-event/8000\r\na=fmtp:101 0-15"
	videoLine = "m=video VIDEO RTP/AVPF 96\r\na=rtcp:VIDEOCTL\r\na=rtpmap:96 H264/90000\r\n" +
		"a=fmtp:96 profile-level-id=42E01F;packetization-mode=1\r\n" +
		"a=rtcp-fb:96 nack\r\na=rtcp-fb:96 nack pli\r\na=rtcp-fb:96 ccm fir"
)

var mLine = regexp.MustCompile(`(?m)^m=(audio|video) (\d+) `)

// connect takes the ports of the session's SDP.
func (p *phone) connect(body []byte) {
	p.t.Helper()
	found := mLine.FindAllStringSubmatch(string(body), -1)
	if len(found) != len(p.lines) {
		p.t.Fatalf("%d m-lines in\n%s", len(found), body)
	}
	for i, m := range found {
		n, err := strconv.Atoi(m[2])
		if err != nil {
			p.t.Fatal(err)
		}
		p.lines[i].to = netip.AddrPortFrom(loopback, uint16(n))
		p.lines[i].toCtl = netip.AddrPortFrom(loopback, uint16(n+1))
	}
}

// call answers an offer of the phone with a new session.
func (p *phone) call(s *Session, lines ...string) []byte {
	p.t.Helper()
	if s.Ports == nil {
		s.Ports = testPorts
	}
	p.t.Cleanup(func() { _ = s.Close() })
	body, err := s.Answer(p.t.Context(), p.offer(lines...))
	if err != nil {
		p.t.Fatal(err)
	}
	p.connect(body)
	return body
}

// eventually waits for a condition, 5 s at most.
func eventually(t *testing.T, what string, ok func() bool) {
	t.Helper()
	for end := time.Now().Add(5 * time.Second); !ok(); {
		if time.Now().After(end) {
			t.Fatalf("in vain: %s", what)
		}
		time.Sleep(2 * time.Millisecond)
	}
}

// A small real H.264 stream: 320x240 Constrained Baseline.
var (
	testSPS = []byte{0x67, 0x42, 0xc0, 0x0d, 0xda, 0x05, 0x07, 0xec, 0x04, 0x40, 0x00, 0x00, 0x03, 0x00, 0x40, 0x00, 0x00, 0x0c, 0x83, 0xc5, 0x0a, 0xa8}
	testPPS = []byte{0x68, 0xce, 0x0f, 0xc8}
)

func stapA(nals ...[]byte) []byte {
	b := []byte{24 | 0x60}
	for _, n := range nals {
		b = append(b, byte(len(n)>>8), byte(len(n)))
		b = append(b, n...)
	}
	return b
}

// picture sends one access unit in one or two packets.
func (l *phoneLine) picture(ts uint32, key bool) {
	l.t.Helper()
	if key {
		l.send(ts, false, stapA(testSPS, testPPS))
		l.send(ts, true, nalUnit(200, 0x65, 0x88, 0x84))
		return
	}
	l.send(ts, true, nalUnit(100, 0x41, 0x9a))
}

func describe(f *media.Frame) string {
	return fmt.Sprintf("%s %v key %v %d bytes", f.Track.Codec, f.PTS, f.Key, f.Size())
}

var errRefused = errors.New("refused")

type packet = rtp.Packet

var cryptoKey = regexp.MustCompile(`a=crypto:\d+ AES_CM_128_HMAC_SHA1_80 inline:([A-Za-z0-9+/=]+)`)

func sdpCrypto(key []byte) string {
	return "crypto:1 AES_CM_128_HMAC_SHA1_80 inline:" + base64.StdEncoding.EncodeToString(key)
}

func answerKey(t *testing.T, body []byte) []byte {
	t.Helper()
	m := cryptoKey.FindSubmatch(body)
	if m == nil {
		t.Fatalf("no key in\n%s", body)
	}
	key, err := base64.StdEncoding.DecodeString(string(m[1]))
	if err != nil {
		t.Fatal(err)
	}
	return key
}
