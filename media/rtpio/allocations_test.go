package rtpio

import (
	"encoding/binary"
	"net/netip"
	"testing"
	"time"

	"github.com/pion/rtp"

	"github.com/trunkcast/trunkcast/media"
	"github.com/trunkcast/trunkcast/media/sdp"
)

// packetsOfPicture is a picture of many packets, as they are on the wire.
func packetsOfPicture(t testing.TB) (list [][]byte) {
	t.Helper()
	cam := &camera{t: t, format: h264Format(1), ssrc: 7, limit: 1000}
	for _, p := range cam.picture(0, h264Picture(testTrack, true, 39000)) {
		p.Version, p.PayloadType = 2, 96
		b, err := p.Marshal()
		if err != nil {
			t.Fatal(err)
		}
		list = append(list, b)
	}
	return list
}

// TestPathAllocates holds the way of a datagram to its frame to what it may
// allocate: nothing for a packet, one piece of memory for a frame's data. That
// of a sound's frame holds the frame too; a picture has another one for it.
func TestPathAllocates(t *testing.T) {
	from := netip.MustParseAddrPort("127.0.0.1:9")
	sound, err := (&rtp.Packet{Header: rtp.Header{Version: 2, SSRC: 5}, Payload: make([]byte, 160)}).Marshal()
	if err != nil {
		t.Fatal(err)
	}
	for _, suite := range []sdp.CryptoSuite{"", sdp.AESCM128SHA80, "AEAD_AES_128_GCM"} {
		for _, c := range []struct {
			name    string
			line    int
			packets [][]byte
			step    uint32
			most    float64 // allocations a frame
		}{
			{"sound", 0, [][]byte{sound}, 160, 1},
			{"picture", 1, packetsOfPicture(t), 1800, 2},
		} {
			t.Run(c.name+" "+string(suite), func(t *testing.T) {
				s, readers := answered(t, from, staticAudio+staticVideo)
				r, out := readers[c.line], (*cipher)(nil)
				if suite != "" {
					config := *r.l.agreed.Load()
					config.secure = true
					out, config.in = cipherPair(t, suite, nil)
					r.l.agreed.Store(&config)
				}
				var seq uint16
				var ts uint32
				var header rtp.Header
				var buf [maxDatagram]byte
				failed := 0
				now := time.Now()
				frame := func() {
					for _, p := range c.packets {
						b := buf[:copy(buf[:], p)]
						binary.BigEndian.PutUint16(b[2:], seq)
						binary.BigEndian.PutUint32(b[4:], ts)
						seq++
						if out != nil {
							if b, err = out.encryptRTP(b, &header); err != nil {
								failed++
							}
						}
						r.datagram(b, from, now)
					}
					ts += c.step
					now = now.Add(20 * time.Millisecond)
					s.mu.Lock()
					s.receiver.Pop(now, func(*media.Frame) {})
					s.mu.Unlock()
				}
				for range 50 {
					frame()
				}
				// The play-out goroutine and others allocate now and then, too.
				n := testing.AllocsPerRun(200, frame)
				t.Logf("%v allocations a frame of %d packets", n, len(c.packets))
				if n > c.most && !(raceDetector && suite == sdp.AESCM128SHA80) { // its HMAC is from a pool
					t.Errorf("%v allocations a frame of %d packets, want %v", n, len(c.packets), c.most)
				}
				if st := s.Stats(); failed > 0 || st.Lines[c.line].Received.Frames < 200 || st.Unauthentic > 0 {
					t.Errorf("%d packets not encrypted, %+v", failed, st)
				}
			})
		}
	}
}

// unhurried lets sound be written faster than its time passes: what was sent
// does not crowd what follows.
func unhurried(s *Session) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.lines[0].send.begun = false
}

// TestWriteAllocates: what goes to the caller allocates nothing.
func TestWriteAllocates(t *testing.T) {
	for name, f := range map[string]*media.Frame{
		"sound":   {Track: &media.Track{Codec: media.PCMU}, Data: [][]byte{make([]byte, 160)}},
		"picture": {Track: &media.Track{Codec: media.H264}, Data: [][]byte{nalUnit(9000, 0x41)}},
	} {
		t.Run(name, func(t *testing.T) {
			s, _ := answered(t, netip.MustParseAddrPort("127.0.0.1:9"), staticAudio+staticVideo)
			frame := *f
			write := func() {
				unhurried(s)
				frame.PTS += 20 * time.Millisecond
				if err := s.WriteFrame(t.Context(), &frame); err != nil {
					t.Error(err)
				}
			}
			for range historySize { // the memory of the packets that may be asked again
				write()
			}
			if n := testing.AllocsPerRun(200, write); n > 0 {
				t.Errorf("%v allocations a frame", n)
			}
			sent := uint64(0)
			for _, l := range s.Stats().Lines {
				sent += l.Sent.Packets
			}
			if sent < historySize+200 {
				t.Errorf("%d packets were sent: %+v", sent, s.Stats())
			}
		})
	}
}
