package rtpio

import (
	"encoding/binary"
	"net/netip"
	"runtime"
	"testing"
	"time"

	"github.com/pion/rtcp"
	"github.com/pion/rtp"

	"github.com/trunkcast/trunkcast/media"
)

const (
	staticAudio = "m=audio 9 RTP/AVP 0 101\r\na=rtpmap:101 telephone-event/8000\r\n"
	staticVideo = "m=video 9 RTP/AVPF 96\r\na=rtpmap:96 H264/90000\r\na=fmtp:96 profile-level-id=42E01F;packetization-mode=1\r\n" +
		"a=rtcp-fb:96 nack\r\na=rtcp-fb:96 nack pli\r\n"
)

// answered is a session in a call from addr, and readers of its lines beside
// those that wait on the sockets.
func answered(t testing.TB, addr netip.AddrPort, lines string) (*Session, []*reader) {
	t.Helper()
	s := &Session{Ports: testPorts, NoSilence: true, MediaTimeout: -1}
	t.Cleanup(func() { _ = s.Close() })
	offer := "v=0\r\no=- 1 1 IN IP4 127.0.0.1\r\ns=-\r\nc=IN IP4 " + addr.Addr().String() + "\r\nt=0 0\r\n" + lines
	if _, err := s.Answer(t.Context(), []byte(offer)); err != nil {
		t.Fatal(err)
	}
	var readers []*reader
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, l := range s.lines {
		// Where packets come from is where packets go to.
		l.latch.signal(addr, netip.AddrPortFrom(addr.Addr(), addr.Port()+1), false, true, time.Now())
		readers = append(readers, &reader{l: l})
	}
	return s, readers
}

func FuzzDatagrams(f *testing.F) {
	datagrams := func(list ...[]byte) (in []byte) {
		for _, b := range list {
			in = append(binary.BigEndian.AppendUint16(in, uint16(len(b))), b...)
		}
		return in
	}
	marshal := func(packets ...rtcp.Packet) []byte {
		b, err := rtcp.Marshal(packets)
		if err != nil {
			f.Fatal(err)
		}
		return b
	}
	packet := func(pt uint8, seq uint16, payload ...byte) []byte {
		b, err := (&rtp.Packet{Header: rtp.Header{Version: 2, PayloadType: pt, SequenceNumber: seq, SSRC: 5}, Payload: payload}).Marshal()
		if err != nil {
			f.Fatal(err)
		}
		return b
	}
	f.Add(datagrams(packet(0, 1, 1, 2, 3), packet(0, 2, 4, 5), packet(101, 3, 1, 0x8a, 0, 80)))
	f.Add(datagrams(packet(96, 1, stapA(testSPS, testPPS)...), packet(96, 2, 0x7c, 0x85, 1, 2), packet(96, 3, 0x7c, 0x45, 3)))
	f.Add(datagrams(
		marshal(&rtcp.SenderReport{SSRC: 5, NTPTime: 1 << 40, RTPTime: 9, Reports: []rtcp.ReceptionReport{{SSRC: 1}}}, rtcp.NewCNAMESourceDescription(5, "a@b")),
		marshal(&rtcp.TransportLayerNack{Nacks: []rtcp.NackPair{{PacketID: 3, LostPackets: 0xffff}}}),
		marshal(&rtcp.ReceiverEstimatedMaximumBitrate{Bitrate: 1e18, SSRCs: []uint32{1}}),
		marshal(&rtcp.FullIntraRequest{FIR: []rtcp.FIREntry{{SSRC: 1}}}, &rtcp.Goodbye{Sources: []uint32{5}}),
		tmmb(fmtTMMBR, 5, 1, 1000)))
	f.Fuzz(func(t *testing.T, in []byte) {
		from := netip.MustParseAddrPort("127.0.0.1:9")
		s, readers := answered(t, from, staticAudio+staticVideo)
		now := time.Now()
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		n := 0
		var buf [maxDatagram]byte
		for rest := in; len(rest) >= 2 && n < 64; n++ {
			size := min(int(binary.BigEndian.Uint16(rest)), len(rest)-2, maxDatagram)
			r := readers[n%len(readers)]
			copy(buf[:], rest[2:2+size])
			r.datagram(buf[:size], from, now)
			now, rest = now.Add(5*time.Millisecond), rest[2+size:]
		}
		runtime.ReadMemStats(&after)
		if got, budget := after.TotalAlloc-before.TotalAlloc, uint64(1<<20+64*len(in)); got > budget {
			t.Errorf("%d bytes in %d datagrams: %d bytes allocated", len(in), n, got)
		}
		_ = s.Stats()
	})
}

func BenchmarkReadAudio(b *testing.B) {
	from := netip.MustParseAddrPort("127.0.0.1:9")
	_, readers := answered(b, from, staticAudio)
	pkt := rtp.Packet{Header: rtp.Header{Version: 2, SSRC: 5}, Payload: make([]byte, 160)}
	raw, err := pkt.Marshal()
	if err != nil {
		b.Fatal(err)
	}
	r := readers[0]
	now := time.Now()
	var buf [maxDatagram]byte
	var seq uint16
	b.ReportAllocs()
	for b.Loop() {
		seq++
		binary.BigEndian.PutUint16(raw[2:], seq)
		binary.BigEndian.PutUint32(raw[4:], uint32(seq)*160)
		copy(buf[:], raw)
		now = now.Add(20 * time.Millisecond)
		r.datagram(buf[:len(raw)], from, now)
	}
}

// benchWrite writes frames to a socket that nobody reads.
func benchWrite(b *testing.B, lines string, f *media.Frame) {
	s, _ := answered(b, netip.MustParseAddrPort("127.0.0.1:9"), lines)
	ctx := b.Context()
	frame := *f
	b.ReportAllocs()
	for b.Loop() {
		unhurried(s)
		frame.PTS += 20 * time.Millisecond
		if err := s.WriteFrame(ctx, &frame); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkWriteAudio(b *testing.B) {
	benchWrite(b, staticAudio, &media.Frame{Track: &media.Track{Codec: media.PCMU}, Data: [][]byte{make([]byte, 160)}})
}

// BenchmarkWriteVideo is a picture of eight packets.
func BenchmarkWriteVideo(b *testing.B) {
	benchWrite(b, staticAudio+staticVideo, &media.Frame{Track: &media.Track{Codec: media.H264}, Data: [][]byte{nalUnit(9000, 0x41)}})
}

// BenchmarkSRTP is the encryption of a packet of sound and its decryption.
func BenchmarkSRTP(b *testing.B) {
	for _, suite := range []string{"AES_CM_128_HMAC_SHA1_80", "AEAD_AES_128_GCM"} {
		b.Run(suite, func(b *testing.B) { benchSRTP(b, suite) })
	}
}
