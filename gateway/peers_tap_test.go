//go:build peers && linux

package gateway_test

import (
	"encoding/binary"
	"fmt"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/trunkcast/trunkcast"
	"github.com/trunkcast/trunkcast/internal/peertest"
	"github.com/trunkcast/trunkcast/media"
	"github.com/trunkcast/trunkcast/media/sdp"
)

// tap sees on the loopback interface what the gateway sends to a softphone,
// and lets ffmpeg judge it: softphones record no pictures.
type tap struct {
	t     testing.TB
	fd    int
	lines []*tapLine
	ended chan struct{}

	mu    sync.Mutex
	conn  *net.UDPConn // to ffmpeg, nil while it does not run
	count int          // RTP packets
}

// tapLine is one m-line of the call.
type tapLine struct {
	kind   sdp.Kind
	format *sdp.Format
	rtp    uint16 // the softphone's ports
	rtcp   uint16
	report []byte // the last sender report
	begun  bool   // ffmpeg gets this line: from a key frame on
	to     netip.AddrPort
}

// startTap listens to a call that has been answered.
func startTap(t testing.TB, s *trunkcast.Session) *tap {
	t.Helper()
	p := &tap{t: t, ended: make(chan struct{})}
	for _, kind := range []sdp.Kind{sdp.Audio, sdp.Video} {
		if l := s.Agreed().Line(kind); l != nil {
			p.lines = append(p.lines, &tapLine{kind: kind, format: l.Send.First(), rtp: l.RTP.Port(), rtcp: l.RTCP.Port()})
		}
	}
	const all = 0x0300 // ETH_P_ALL in network order
	var err error
	if p.fd, err = unix.Socket(unix.AF_PACKET, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, all); err != nil {
		t.Fatalf("packet socket: %v", err)
	}
	lo, err := net.InterfaceByName("lo")
	if err != nil {
		t.Fatal(err)
	}
	if err := unix.Bind(p.fd, &unix.SockaddrLinklayer{Protocol: all, Ifindex: lo.Index}); err != nil {
		t.Fatal(err)
	}
	_ = unix.SetsockoptInt(p.fd, unix.SOL_SOCKET, unix.SO_RCVBUF, 8<<20)
	_ = unix.SetsockoptTimeval(p.fd, unix.SOL_SOCKET, unix.SO_RCVTIMEO, &unix.Timeval{Usec: 100_000})
	stop := make(chan struct{})
	go p.run(stop)
	t.Cleanup(func() {
		close(stop)
		<-p.ended
		_ = unix.Close(p.fd)
	})
	return p
}

func (p *tap) run(stop chan struct{}) {
	defer close(p.ended)
	b := make([]byte, 64<<10)
	for {
		select {
		case <-stop:
			return
		default:
		}
		n, from, err := unix.Recvfrom(p.fd, b, 0)
		if err != nil {
			continue // the time-out
		}
		if l, ok := from.(*unix.SockaddrLinklayer); ok && l.Pkttype == unix.PACKET_HOST {
			p.packet(b[:n])
		}
	}
}

// packet takes an IPv4 packet.
func (p *tap) packet(b []byte) {
	const ipv4, udp = 20, 8
	if len(b) < ipv4+udp || b[0] != 0x45 || b[9] != unix.IPPROTO_UDP {
		return
	}
	port, payload := binary.BigEndian.Uint16(b[ipv4+2:]), b[ipv4+udp:]
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, l := range p.lines {
		switch {
		case port == l.rtp && len(payload) > 12 && (payload[1] < 192 || payload[1] > 223): // RFC 5761 section 4
			p.count++
			// In slices that fit packets the parameter sets come alone.
			l.begun = l.begun || p.conn != nil && (l.kind == sdp.Audio || payload[12]&0x1f == 7 || payload[12]&0x1f == 24)
			if l.begun {
				p.forward(payload, l.to)
			}
		case port == l.rtcp && len(payload) > 28 && payload[1] == 200: // RFC 3550 section 6.4.1
			l.report = append(l.report[:0], payload...)
			p.forward(payload, netip.AddrPortFrom(l.to.Addr(), l.to.Port()+1))
		}
	}
}

func (p *tap) forward(payload []byte, to netip.AddrPort) {
	if p.conn != nil {
		_, _ = p.conn.WriteToUDPAddrPort(payload, to)
	}
}

// watch measures what the softphone gets for a while. What plays needs to run:
// it waits for the sender reports that tell how sound and picture belong
// together.
func (p *tap) watch(length time.Duration) *peertest.Measured {
	p.t.Helper()
	eventually(p.t, "sender reports", func() bool {
		p.mu.Lock()
		defer p.mu.Unlock()
		for _, l := range p.lines {
			if l.report == nil {
				return false
			}
		}
		return true
	})
	folder := p.t.TempDir()
	description := filepath.Join(folder, "call.sdp")
	if err := os.WriteFile(description, []byte(p.describe()), 0o600); err != nil {
		p.t.Fatal(err)
	}
	file := filepath.Join(folder, "heard.mkv")
	ffmpeg := peertest.Start(p.t, "ffmpeg", "-v", "warning", "-nostdin", "-y", "-protocol_whitelist", "file,udp,rtp",
		"-buffer_size", "4194304", "-reorder_queue_size", "0", "-analyzeduration", "3000000", "-i", description, "-c", "copy", "-ss", "1.5", "-t", fmt.Sprintf("%.1f", length.Seconds()), file)
	conn, err := net.ListenUDP("udp4", &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1)})
	if err != nil {
		p.t.Fatal(err)
	}
	defer conn.Close()
	time.Sleep(time.Second) // until it listens
	p.mu.Lock()
	for _, l := range p.lines {
		_, _ = conn.WriteToUDPAddrPort(l.report, netip.AddrPortFrom(l.to.Addr(), l.to.Port()+1))
	}
	p.mu.Unlock()
	time.Sleep(200 * time.Millisecond)
	p.mu.Lock()
	p.conn = conn
	p.mu.Unlock()
	if err := ffmpeg.Wait(length + 20*time.Second); err != nil {
		p.t.Errorf("ffmpeg: %v", err)
	}
	p.mu.Lock()
	p.conn = nil
	for _, l := range p.lines {
		l.begun = false
	}
	p.mu.Unlock()
	return peertest.MeasureFile(p.t, file)
}

// describe is the call as an SDP for ffmpeg, which listens on ports of its
// own.
func (p *tap) describe() string {
	p.mu.Lock()
	defer p.mu.Unlock()
	var b strings.Builder
	b.WriteString("v=0\no=- 1 1 IN IP4 127.0.0.1\ns=-\nc=IN IP4 127.0.0.1\nt=0 0\n")
	for _, l := range p.lines {
		port := peertest.Ports(p.t, 2)
		l.to = netip.AddrPortFrom(netip.MustParseAddr("127.0.0.1"), uint16(port))
		f := l.format
		fmt.Fprintf(&b, "m=%s %d RTP/AVP %d\na=rtpmap:%d %s/%d", l.kind, port, f.PayloadType, f.PayloadType, f.Name, f.ClockRate)
		if f.Codec == media.Opus {
			b.WriteString("/2")
		}
		b.WriteString("\n")
		if f.Codec == media.H264 {
			fmt.Fprintf(&b, "a=fmtp:%d packetization-mode=1\n", f.PayloadType)
		}
	}
	return b.String()
}

// packets is how many RTP packets went to the softphone so far.
func (p *tap) packets() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.count
}
