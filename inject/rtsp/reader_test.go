package rtsp

import (
	"testing"
	"time"

	"github.com/bluenviron/gortsplib/v4/pkg/format"
	"github.com/bluenviron/mediacommon/v2/pkg/codecs/mpeg4audio"
	"github.com/pion/rtp"
)

// FuzzReaders gives payloads of a server to the readers of every codec: the
// bytes are cut into packets of the length that stands before each. No frame
// is empty, and none is larger than all that came.
func FuzzReaders(f *testing.F) {
	f.Add(uint8(0), []byte("\x02\x67\x42\x03\x68\xce\x3c\x05\x65\x88\x84\x00\x10"))
	f.Add(uint8(0), []byte("\x03\x7c\x85\x88\x03\x7c\x45\x88"))
	f.Add(uint8(1), []byte("\x04\x26\x01\xaf\x10\x04\x62\x01\x93\xaf"))
	f.Add(uint8(2), []byte("\x06\x00\x10\x00\x10\x21\x10"))
	f.Add(uint8(3), []byte("\x02\xf8\xff"))
	f.Add(uint8(4), []byte("\x04\xd5\xd5\xd5\xd5"))
	f.Fuzz(func(t *testing.T, codec uint8, b []byte) {
		formats := []format.Format{
			&format.H264{PayloadTyp: 96, PacketizationMode: 1}, &format.H265{PayloadTyp: 96},
			&format.MPEG4Audio{PayloadTyp: 96, SizeLength: 13, IndexLength: 3, IndexDeltaLength: 3,
				Config: &mpeg4audio.AudioSpecificConfig{Type: mpeg4audio.ObjectTypeAACLC, SampleRate: 48000, ChannelConfig: 1}},
			&format.Opus{PayloadTyp: 96, ChannelCount: 2}, &format.G711{PayloadTyp: 8, SampleRate: 8000, ChannelCount: 1},
		}
		r, err := newReader(formats[int(codec)%len(formats)])
		if err != nil {
			t.Fatal(err)
		}
		total := 0
		for n := 0; len(b) > 0; n++ {
			size := min(int(b[0]), len(b)-1)
			p := &rtp.Packet{Header: rtp.Header{SequenceNumber: uint16(n), Marker: size%2 == 0}, Payload: b[1 : 1+size]}
			b = b[1+size:]
			total += size
			frames, _ := r.read(p, time.Duration(n)*20*time.Millisecond)
			for _, frame := range frames {
				if frame.Track == nil || frame.Size() == 0 || frame.Size() > total || frame.DTS > frame.PTS {
					t.Fatalf("frame of %d bytes of %d, DTS %v, PTS %v", frame.Size(), total, frame.DTS, frame.PTS)
				}
			}
		}
	})
}
