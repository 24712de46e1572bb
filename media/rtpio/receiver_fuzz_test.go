package rtpio

import (
	"bytes"
	"math/rand/v2"
	"runtime"
	"slices"
	"testing"
	"time"

	"github.com/pion/rtp"

	"github.com/trunkcast/trunkcast/media"
	"github.com/trunkcast/trunkcast/media/sdp"
)

// FuzzReceiver: whatever packets come, frames leave in order (lab.emit looks),
// memory is bounded and nothing panics.
func FuzzReceiver(f *testing.F) {
	f.Add([]byte{0, 0, 160, 4, 1, 2, 3, 4, 0, 0, 160, 4, 1, 2, 3, 4})
	f.Add([]byte{1, 0, 0, 3, 0x65, 0x88, 0x84, 0x81, 0x10, 16, 3, 0x41, 0x9a, 0, 0x41, 200, 9, 3, 0x7c, 0x85, 0})
	f.Add([]byte{0x81, 7, 7, 2, 9, 9, 0xc1, 0xff, 0xff, 4, 1, 1, 1, 1, 0x3f, 1, 1, 4, 5, 0x8a, 1, 0})
	f.Fuzz(func(t *testing.T, in []byte) {
		l := newLab(t, &Session{PassDamaged: len(in)%2 == 1, MaxFreeze: time.Duration(len(in)%5) * 50 * ms})
		l.nack = len(in)%3 == 0
		streams := [2]rtp.Header{{SSRC: 1, SequenceNumber: 65530, Version: 2}, {SSRC: 2, SequenceNumber: 9, Version: 2}}
		config := stapA(testSPS, testPPS)
		now := time.Duration(0)
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		packets := 0
		for rest := in; len(rest) >= 4 && packets < 400; packets++ {
			op, a, b, n := rest[0], rest[1], rest[2], int(rest[3])
			payload := rest[4:min(4+n, len(rest))]
			rest = rest[4+len(payload):]
			line := int(op & 1)
			h := &streams[line]
			h.SequenceNumber++
			h.Marker = op&2 != 0
			h.PayloadType = []uint8{0, 96, 111, 97, 101, 96, 8, 13}[op>>1&6|op&1]
			h.Timestamp += uint32(b) * 20
			switch op >> 5 {
			case 1:
				h.SequenceNumber += uint16(a)
			case 2:
				h.SequenceNumber -= uint16(a)
			case 3:
				h.Timestamp += uint32(a) << 24
			case 4:
				h.SSRC = uint32(a % 3)
			case 5:
				l.r.SenderReport(line, h.SSRC, uint64(a)<<56|uint64(b)<<40, h.Timestamp, l.start.Add(now))
				l.r.SetRTT(time.Duration(a) * ms)
			case 6:
				payload = config
			case 7:
				l.r.Bye(line, h.SSRC, l.start.Add(now))
				if a > 240 {
					l.r.setFormats(line, sdp.Audio+sdp.Kind(line), nil, now)
				} else if a > 200 {
					l.r.setFormats(line, sdp.Audio+sdp.Kind(line), []formatList{soundFormats, pictureFormats}[line], now)
				}
			}
			now += time.Duration(a%32) * ms
			l.until(now)
			l.r.Packet(line, &rtp.Packet{Header: *h, Payload: payload}, l.start.Add(now))
		}
		l.until(now + time.Second)
		l.r.Flush(l.emit(now))
		runtime.ReadMemStats(&after)
		if got, budget := after.TotalAlloc-before.TotalAlloc, uint64(1<<20+4096*packets+64*len(in)); got > budget {
			t.Errorf("%d packets, %d bytes: %d bytes allocated", packets, len(in), got)
		}
		for i := range 2 {
			st := l.stats(i)
			if st.Frames > st.Packets {
				t.Errorf("%d frames of %d packets", st.Frames, st.Packets)
			}
			l.r.ReceptionReports(i, l.start.Add(now))
		}
	})
}

// FuzzLossless: a network that turns packets around and repeats them, within
// what the jitter buffer covers, changes no byte and no time.
func FuzzLossless(f *testing.F) {
	for seed := range uint64(8) {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, seed uint64) {
		r := rand.New(rand.NewPCG(seed, 1))
		l := newLab(t, &Session{JitterMin: 100 * ms})
		format, track := h264Format(r.IntN(2)), testTrack
		slice, keySlice := []byte{0x41, 0x9a}, []byte{0x65, 0x88, 0x84}
		h265 := r.IntN(2) == 0
		if h265 {
			format = h265Format()
			track = &media.Track{Codec: media.H265, Config: [][]byte{testVPS265, testSPS265, testPPS265}}
			slice, keySlice = []byte{0x02, 0x01, 0xd0}, []byte{0x26, 0x01, 0xaf}
		}
		l.r.setFormats(1, sdp.Video, formatList{format}, 0)
		cam := &camera{t: t, format: format, ssrc: 5, seq: uint16(r.Uint32()), limit: 300 + r.IntN(1000)}
		v := &voice{ssrc: 6, seq: uint16(r.Uint32()), ts: r.Uint32()}
		base := r.Uint32()
		send := func(line int, at time.Duration, p rtp.Packet) {
			l.send(line, at+time.Duration(r.IntN(50))*ms, p)
			if r.IntN(10) == 0 {
				l.send(line, at+time.Duration(r.IntN(90))*ms, p)
			}
		}
		var want [][][]byte
		for i := range 60 {
			pic := &media.Frame{Track: track, Key: i%20 == 0}
			for range 1 + r.IntN(6) {
				header := slice
				if pic.Key {
					header = keySlice
				}
				size := 10 + r.IntN(4000)
				if !h265 && format.H264.PacketizationMode == 0 {
					size = 10 + r.IntN(280)
				}
				pic.Data = append(pic.Data, nalUnit(size, header...))
			}
			want = append(want, pic.Data)
			at := time.Duration(i) * 40 * ms
			for _, p := range cam.picture(base+uint32(i)*3600, pic) {
				send(1, at, p)
			}
			send(0, at, v.packet(160, byte(i)))
			send(0, at+20*ms, v.packet(160, byte(i)))
		}
		l.run()
		pictures, voices := l.of(true), l.of(false)
		if len(pictures) != len(want) || len(voices) != 120 {
			t.Fatalf("%d pictures of %d, %d frames of sound", len(pictures), len(want), len(voices))
		}
		for i, p := range pictures {
			if !slices.EqualFunc(p.Data, want[i], bytes.Equal) || p.Key != (i%20 == 0) {
				t.Fatalf("picture %d differs", i)
			}
			if i > 0 && (p.PTS-pictures[i-1].PTS-40*ms).Abs() > ms {
				t.Fatalf("picture %d: %v after %v", i, p.PTS, pictures[i-1].PTS)
			}
		}
		for i, s := range voices {
			if s.Data[0][0] != byte(i/2) || i > 0 && s.PTS != voices[i-1].PTS+20*ms {
				t.Fatalf("sound %d: %s", i, describe(s))
			}
		}
	})
}

// allocations counts those of a second of a line's packets, frames taken out.
func allocations(t *testing.T, line int, packets []rtp.Packet, step uint32) float64 {
	t.Helper()
	l := newLab(t, &Session{})
	now := time.Duration(0)
	discard := func(*media.Frame) {}
	var seq uint16
	var ts uint32
	second := func() {
		for range 50 {
			for _, p := range packets {
				p.SequenceNumber, p.Timestamp = seq, ts
				seq++
				l.r.Packet(line, &p, l.start.Add(now))
				l.r.Next()
			}
			now += 20 * ms
			ts += step
			l.r.Pop(l.start.Add(now), discard)
		}
	}
	second()
	return testing.AllocsPerRun(20, second) / 50
}

func TestAllocations(t *testing.T) {
	sound := &voice{ssrc: 1}
	if n := allocations(t, 0, []rtp.Packet{sound.packet(160, 0)}, 160); n > 1 {
		t.Errorf("sound: %v allocations a packet", n)
	}
	cam := &camera{t: t, format: h264Format(1), ssrc: 2, limit: 500}
	list := cam.picture(0, h264Picture(testTrack, true, 12000))
	if len(list) < 24 {
		t.Fatal("too few packets")
	}
	if n := allocations(t, 1, list, 1800); n > 2 {
		t.Errorf("picture of %d packets: %v allocations", len(list), n)
	}
	// Turned around, every packet waits for the first.
	slices.Reverse(list[:8])
	if n := allocations(t, 1, list, 1800); n > 2 {
		t.Errorf("picture out of order: %v allocations", n)
	}
}

func benchReceiver(b *testing.B, line int, packets []rtp.Packet, step uint32) {
	l := newLab(b, &Session{})
	now := time.Duration(0)
	discard := func(*media.Frame) {}
	var seq uint16
	var ts uint32
	b.ReportAllocs()
	for b.Loop() {
		for i := range packets {
			p := &packets[i]
			p.SequenceNumber, p.Timestamp = seq, ts
			seq++
			l.r.Packet(line, p, l.start.Add(now))
			l.r.Next()
		}
		now += 20 * ms
		ts += step
		l.r.Pop(l.start.Add(now), discard)
	}
}

func BenchmarkReceiveSound(b *testing.B) {
	benchReceiver(b, 0, []rtp.Packet{(&voice{ssrc: 1}).packet(160, 0)}, 160)
}

// BenchmarkReceivePicture is a picture of ten packets.
func BenchmarkReceivePicture(b *testing.B) {
	cam := &camera{t: b, format: h264Format(1), ssrc: 2, limit: 1200}
	benchReceiver(b, 1, cam.picture(0, h264Picture(testTrack, true, 11000)), 1800)
}
