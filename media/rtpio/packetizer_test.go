package rtpio

import (
	"bytes"
	"errors"
	"slices"
	"testing"

	"github.com/bluenviron/gortsplib/v4/pkg/format/rtph264"
	"github.com/bluenviron/gortsplib/v4/pkg/format/rtph265"
	"github.com/pion/rtp"

	"github.com/trunkcast/trunkcast/media"
	"github.com/trunkcast/trunkcast/media/sdp"
)

// nalUnit is a NAL unit with that header and size, of bytes that differ.
func nalUnit(size int, header ...byte) []byte {
	b := make([]byte, size)
	for i := range b {
		b[i] = byte(i*7 + size)
	}
	copy(b, header)
	return b
}

func h264Format(mode int) *sdp.Format {
	return &sdp.Format{PayloadType: 96, Codec: media.H264, ClockRate: 90000,
		H264: &sdp.H264Params{PacketizationMode: mode}}
}

func h265Format() *sdp.Format {
	return &sdp.Format{PayloadType: 97, Codec: media.H265, ClockRate: 90000}
}

// cut packetizes a frame and checks what holds for every payload.
func cut(t *testing.T, p *packetizer, format *sdp.Format, f *media.Frame, limit int) []*rtp.Packet {
	t.Helper()
	if err := p.start(format, f, limit, false); err != nil {
		t.Fatal(err)
	}
	var packets []*rtp.Packet
	estimate := p.packets()
	for !p.done() {
		b := p.next(nil)
		if len(b) > limit || len(b) == 0 {
			t.Fatalf("payload of %d bytes, limit %d", len(b), limit)
		}
		packets = append(packets, &rtp.Packet{
			Header:  rtp.Header{Version: 2, Marker: p.done(), SequenceNumber: uint16(len(packets))},
			Payload: b,
		})
	}
	if len(packets) > estimate {
		t.Errorf("%d packets, estimated %d", len(packets), estimate)
	}
	return packets
}

func TestPacketizerH264(t *testing.T) {
	t.Parallel()
	sps, pps := nalUnit(20, 0x67), nalUnit(4, 0x68)
	for name, c := range map[string]struct {
		key  bool
		data [][]byte
		want int // packets in mode 1
	}{
		"one small slice":        {data: [][]byte{nalUnit(100, 0x41)}, want: 1},
		"several slices":         {data: [][]byte{nalUnit(900, 0x41), nalUnit(800, 0x41), nalUnit(100, 0x41)}, want: 2},
		"key frame":              {key: true, data: [][]byte{nalUnit(900, 0x65)}, want: 1},
		"large key frame":        {key: true, data: [][]byte{nalUnit(5000, 0x65)}, want: 1 + 6},
		"exactly at the limit":   {data: [][]byte{nalUnit(1000, 0x41)}, want: 1},
		"one above the limit":    {data: [][]byte{nalUnit(1001, 0x41)}, want: 2},
		"an empty NAL unit":      {data: [][]byte{{}, nalUnit(10, 0x41), {0x41}}, want: 1},
		"fragment ends on limit": {data: [][]byte{nalUnit(1+2*998, 0x65)}, want: 2},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			f := &media.Frame{Track: &media.Track{Codec: media.H264, Config: [][]byte{sps, pps}}, Key: c.key, Data: c.data}
			want := slices.DeleteFunc(slices.Clone(c.data), func(b []byte) bool { return len(b) < 2 })
			if c.key {
				want = append([][]byte{sps, pps}, want...)
			}
			var p packetizer
			packets := cut(t, &p, h264Format(1), f, 1000)
			if len(packets) != c.want {
				t.Errorf("%d packets, want %d", len(packets), c.want)
			}
			dec := rtph264.Decoder{PacketizationMode: 1}
			if err := dec.Init(); err != nil {
				t.Fatal(err)
			}
			var got [][]byte
			for _, pkt := range packets {
				au, err := dec.Decode(pkt)
				if err != nil && !errors.Is(err, rtph264.ErrMorePacketsNeeded) {
					t.Fatal(err)
				}
				got = append(got, au...)
			}
			if !slices.EqualFunc(got, want, bytes.Equal) {
				t.Errorf("gortsplib reads %d NAL units, want %d", len(got), len(want))
			}
		})
	}
}

func TestPacketizerH265(t *testing.T) {
	t.Parallel()
	config := [][]byte{nalUnit(24, 0x40, 1), nalUnit(40, 0x42, 1), nalUnit(8, 0x44, 1)}
	f := &media.Frame{Track: &media.Track{Codec: media.H265, Config: config}, Key: true,
		Data: [][]byte{nalUnit(30, 0x4e, 1), nalUnit(4000, 0x26, 1)}}
	var p packetizer
	packets := cut(t, &p, h265Format(), f, 1000)
	if len(packets) != 1+5 {
		t.Errorf("%d packets", len(packets))
	}
	var dec rtph265.Decoder
	if err := dec.Init(); err != nil {
		t.Fatal(err)
	}
	var got [][]byte
	for _, pkt := range packets {
		au, err := dec.Decode(pkt)
		if err != nil && !errors.Is(err, rtph265.ErrMorePacketsNeeded) {
			t.Fatal(err)
		}
		got = append(got, au...)
	}
	if want := append(slices.Clone(config), f.Data...); !slices.EqualFunc(got, want, bytes.Equal) {
		t.Errorf("gortsplib reads %d NAL units, want %d", len(got), len(want))
	}
}

func TestPacketizerMode0(t *testing.T) {
	t.Parallel()
	track := &media.Track{Codec: media.H264, Config: [][]byte{nalUnit(20, 0x67), nalUnit(4, 0x68)}}
	for _, format := range []*sdp.Format{h264Format(0), {Codec: media.H264, ClockRate: 90000}} {
		var p packetizer
		f := &media.Frame{Track: track, Key: true, Data: [][]byte{nalUnit(900, 0x65), nalUnit(50, 0x65)}}
		packets := cut(t, &p, format, f, 1000)
		if len(packets) != 4 || !bytes.Equal(packets[2].Payload, f.Data[0]) {
			t.Errorf("%d packets, want a NAL unit each", len(packets))
		}
		var large *NALTooLargeError
		err := p.start(format, &media.Frame{Track: track, Data: [][]byte{nalUnit(1001, 0x41)}}, 1000, false)
		if !errors.As(err, &large) || large.Size != 1001 || large.Limit != 1000 {
			t.Errorf("a NAL unit above the limit: %v", err)
		}
		if err := p.start(format, &media.Frame{Track: track, Data: [][]byte{nalUnit(1001, 0x41)}}, 1000, true); err != nil {
			t.Fatalf("by force: %v", err)
		}
		for n := 1; !p.done(); n++ {
			if b := p.next(nil); n > 2 || len(b) > 1000 || b[0]&0x1f != h264FUA {
				t.Errorf("by force: packet %d of %d bytes, type %d", n, len(b), b[0]&0x1f)
			}
		}
	}
}

func FuzzPacketizer(f *testing.F) {
	f.Add([]byte{0x67, 1, 2, 0xff, 0x65, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16, 17}, uint8(12), false)
	f.Add(bytes.Repeat([]byte{0x26, 1, 9}, 50), uint8(30), true)
	f.Fuzz(func(t *testing.T, in []byte, limit uint8, h265 bool) {
		nals := bytes.Split(in, []byte{0xff})
		format := h264Format(1)
		if h265 {
			format = h265Format()
		}
		var p packetizer
		bound := int(limit)%64 + 8
		packets := cut(t, &p, format, &media.Frame{Track: &media.Track{Codec: format.Codec}, Data: nals}, bound)
		if len(packets) > len(in)+1 {
			t.Errorf("%d packets of %d bytes", len(packets), len(in))
		}
	})
}

func BenchmarkPacketizer(b *testing.B) {
	f := &media.Frame{Track: &media.Track{Codec: media.H264}, Data: [][]byte{nalUnit(12000, 0x41)}}
	var p packetizer
	format := h264Format(1)
	buf := make([]byte, 0, 1500)
	b.ReportAllocs()
	b.SetBytes(12000)
	for b.Loop() {
		if err := p.start(format, f, 1200, false); err != nil {
			b.Fatal(err)
		}
		for !p.done() {
			buf = p.next(buf[:0])
		}
	}
}
