package rtpio

import (
	"bytes"
	"errors"
	"slices"
	"testing"
	"time"

	"github.com/bluenviron/gortsplib/v4/pkg/format/rtph264"
	"github.com/pion/rtcp"

	"github.com/trunkcast/trunkcast/media"
)

// writeVideo writes pictures as an injector would.
func writeVideo(t *testing.T, s *Session, track *media.Track, n, size int) (want [][]byte) {
	t.Helper()
	for i := range n {
		f := &media.Frame{Track: track, PTS: time.Duration(i) * 40 * time.Millisecond, Key: i == 0,
			Data: [][]byte{nalUnit(size, 0x41)}}
		f.DTS = f.PTS
		if i == 0 {
			f.Data[0][0] = 0x65
			want = append(want, track.Config...)
		}
		want = append(want, f.Data...)
		if err := s.WriteFrame(t.Context(), f); err != nil {
			t.Fatal(err)
		}
	}
	return want
}

func TestWriteVideo(t *testing.T) {
	t.Parallel()
	p := newPhone(t, 2)
	s := &Session{}
	p.call(s, audioLine, videoLine)
	track := &media.Track{Codec: media.H264, ClockRate: 90000, Config: [][]byte{testSPS, testPPS}}
	want := writeVideo(t, s, track, 3, 200_000) // 163 packets each
	l := p.lines[1]
	total := int(s.Stats().Lines[1].Sent.Packets)
	eventually(t, "all packets", func() bool { return len(l.received()) >= total })
	dec := rtph264.Decoder{PacketizationMode: 1}
	if err := dec.Init(); err != nil {
		t.Fatal(err)
	}
	var got [][]byte
	packets := l.received()
	slices.SortStableFunc(packets, func(a, b *packet) int { return int(int16(a.SequenceNumber - b.SequenceNumber)) })
	for i, pkt := range packets {
		if i > 0 && pkt.SequenceNumber != packets[i-1].SequenceNumber+1 {
			t.Fatalf("packet %d: number %d after %d", i, pkt.SequenceNumber, packets[i-1].SequenceNumber)
		}
		if n := pkt.MarshalSize(); n > defaultMTU-48 {
			t.Fatalf("packet of %d bytes", n)
		}
		au, err := dec.Decode(pkt)
		if err != nil && !errors.Is(err, rtph264.ErrMorePacketsNeeded) {
			t.Fatal(err)
		}
		got = append(got, au...)
	}
	if !slices.EqualFunc(got, want, bytes.Equal) {
		t.Errorf("%d NAL units came of %d", len(got), len(want))
	}
	if d := packets[len(packets)-1].Timestamp - packets[0].Timestamp; d != 2*3600 {
		t.Errorf("timestamps over 80 ms: %d ticks", d)
	}
	eventually(t, "a sender report", func() bool { return len(controls[*rtcp.SenderReport](l)) > 0 })
	sr := controls[*rtcp.SenderReport](l)[0]
	if sr.SSRC != packets[0].SSRC || int(sr.PacketCount) != total {
		t.Errorf("report %+v of %d packets", sr, total)
	}
	at := time.Unix(int64(sr.NTPTime>>32)-ntpEpoch, 0)
	if time.Since(at) > 5*time.Second || time.Until(at) > time.Second {
		t.Errorf("NTP time %v", at)
	}

	// What the caller lost is sent again, unchanged.
	lost := packets[total-3]
	l.sendControl(&rtcp.ReceiverReport{SSRC: 1}, &rtcp.TransportLayerNack{SenderSSRC: 1, MediaSSRC: lost.SSRC,
		Nacks: []rtcp.NackPair{{PacketID: lost.SequenceNumber, LostPackets: 1}}})
	eventually(t, "two packets again", func() bool { return len(l.received()) >= total+2 })
	if again := l.received()[total]; again.SequenceNumber != lost.SequenceNumber || !bytes.Equal(again.Payload, lost.Payload) {
		t.Errorf("got %d again, want %d", again.SequenceNumber, lost.SequenceNumber)
	}
}

// TestPacing: pictures of 165 packets do not leave at line speed. Who reads them
// late, on a busy machine, sees them come together: one of some tries tells.
func TestPacing(t *testing.T) {
	t.Parallel()
	p := newPhone(t, 2)
	s := &Session{}
	p.call(s, audioLine, videoLine)
	track := &media.Track{Codec: media.H264, ClockRate: 90000, Config: [][]byte{testSPS, testPPS}}
	l := p.lines[1]
	for try := 0; ; try++ {
		before := int(s.Stats().Lines[1].Sent.Packets)
		writeVideo(t, s, track, 3, 200_000)
		total := int(s.Stats().Lines[1].Sent.Packets)
		eventually(t, "all packets", func() bool { return len(l.received()) >= total })
		l.mu.Lock()
		spread := l.at[total-1].Sub(l.at[before])
		l.mu.Unlock()
		if spread >= 8*time.Millisecond {
			return
		}
		if try == 20 {
			t.Fatalf("%d packets left in %v", total-before, spread)
		}
	}
}

func TestWriteAudio(t *testing.T) {
	t.Parallel()
	p := newPhone(t, 1)
	s := &Session{}
	p.call(s, audioLine)
	l := p.lines[0]
	eventually(t, "silence", func() bool { return len(l.received()) > 0 })
	if got := l.received()[0]; got.PayloadType != 0 || !bytes.Equal(got.Payload, silence(media.PCMU)) {
		t.Errorf("first packet %v", got)
	}
	track := &media.Track{Codec: media.PCMA, ClockRate: 8000, Channels: 1}
	sound := bytes.Repeat([]byte{0x12}, 160)
	for i := range 10 {
		f := &media.Frame{Track: track, PTS: time.Duration(i) * 20 * time.Millisecond, Data: [][]byte{sound}}
		if err := s.WriteFrame(t.Context(), f); err != nil {
			t.Fatal(err)
		}
	}
	sounds := func() (list []*packet) {
		for _, pkt := range l.received() {
			if pkt.PayloadType == 8 {
				list = append(list, pkt)
			}
		}
		return list
	}
	eventually(t, "sound", func() bool { return len(sounds()) == 10 })
	list := sounds()
	for i := 1; i < len(list); i++ {
		if list[i].SequenceNumber != list[i-1].SequenceNumber+1 || list[i].Timestamp != list[i-1].Timestamp+160 || list[i].Marker {
			t.Errorf("%v after %v", list[i].Header, list[i-1].Header)
		}
	}
	// A long frame is cut.
	long := &media.Frame{Track: track, PTS: 200 * time.Millisecond, Data: [][]byte{bytes.Repeat([]byte{0x34}, 1000)}}
	if err := s.WriteFrame(t.Context(), long); err != nil {
		t.Fatal(err)
	}
	eventually(t, "three packets more", func() bool { return len(sounds()) == 13 })

	var codec *CodecError
	err := s.WriteFrame(t.Context(), &media.Frame{Track: &media.Track{Codec: media.Opus}, Data: [][]byte{{1}}})
	if !errors.As(err, &codec) || !slices.Equal(codec.Accepted, []media.Codec{media.PCMU, media.PCMA}) &&
		!slices.Equal(codec.Accepted, []media.Codec{media.PCMA, media.PCMU}) {
		t.Errorf("a codec that was not agreed: %v", err)
	}
	err = s.WriteFrame(t.Context(), &media.Frame{Track: &media.Track{Codec: media.H264}, Data: [][]byte{{1}}})
	if !errors.As(err, &codec) || len(codec.Accepted) != 0 {
		t.Errorf("video in an audio call: %v", err)
	}
}
