//go:build linux

package peertest

import (
	"bytes"
	"encoding/binary"
	"os"
	"path/filepath"
	"strconv"
	"testing"
	"time"

	"github.com/pion/rtp"
	"github.com/pion/rtp/codecs"
)

// PCMA makes raw G.711 A-law, 8 kHz, of a sound file, for SIPp's rtp_stream.
func PCMA(t testing.TB, file string) string {
	t.Helper()
	out := filepath.Join(t.TempDir(), "sound.al")
	ffmpeg(t, "-i", file, "-ac", "1", "-ar", "8000", "-f", "alaw", out)
	return out
}

// VideoPcap makes a capture of the video as RTP with the payload type, for
// SIPp's play_pcap_video. SIPp sends it to where the call's video goes.
func VideoPcap(t testing.TB, file string, frameRate int, payloadType uint8) string {
	t.Helper()
	folder := t.TempDir()
	raw := filepath.Join(folder, "video.264")
	// A delimiter before each picture tells where the next one begins.
	ffmpeg(t, "-i", file, "-an", "-c:v", "copy", "-bsf:v", "h264_mp4toannexb,h264_metadata=aud=insert", "-f", "h264", raw)
	b, err := os.ReadFile(raw)
	if err != nil {
		t.Fatal(err)
	}
	out := pcapHeader()
	p := rtp.NewPacketizer(1200, payloadType, 0x53495050, &codecs.H264Payloader{}, rtp.NewFixedSequencer(1), 90000)
	delimiter := []byte{0, 0, 0, 1, 9}
	for i, picture := range bytes.Split(b, delimiter) {
		if len(picture) < 2 {
			continue
		}
		at := time.Duration(i) * time.Second / time.Duration(frameRate)
		for _, packet := range p.Packetize(picture[1:], uint32(90000/frameRate)) { // without the delimiter's payload
			payload, err := packet.Marshal()
			if err != nil {
				t.Fatal(err)
			}
			out = appendPcap(out, at, payload)
		}
	}
	path := filepath.Join(folder, "video-"+strconv.Itoa(int(payloadType))+".pcap")
	if err := os.WriteFile(path, out, 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

// pcapHeader begins a capture of Ethernet frames with times in microseconds.
func pcapHeader() []byte {
	const (
		magic    = 0xa1b2c3d4
		ethernet = 1
		snapLen  = 65535
	)
	h := binary.LittleEndian.AppendUint32(nil, magic)
	h = binary.LittleEndian.AppendUint16(h, 2) // version 2.4
	h = binary.LittleEndian.AppendUint16(h, 4)
	h = append(h, make([]byte, 8)...) // time zone and accuracy
	h = binary.LittleEndian.AppendUint32(h, snapLen)
	return binary.LittleEndian.AppendUint32(h, ethernet)
}

// appendPcap adds a UDP datagram between two addresses on loopback, which
// SIPp replaces by its own.
func appendPcap(out []byte, at time.Duration, payload []byte) []byte {
	const ethernet, ipv4, udp = 14, 20, 8
	size := uint32(ethernet + ipv4 + udp + len(payload))
	out = binary.LittleEndian.AppendUint32(out, uint32(at/time.Second))
	out = binary.LittleEndian.AppendUint32(out, uint32(at%time.Second/time.Microsecond))
	out = binary.LittleEndian.AppendUint32(out, size)
	out = binary.LittleEndian.AppendUint32(out, size)
	out = append(out, make([]byte, 12)...)
	out = append(out, 0x08, 0x00) // IPv4
	out = append(out, 0x45, 0)
	out = binary.BigEndian.AppendUint16(out, uint16(ipv4+udp+len(payload)))
	out = append(out, 0, 0, 0, 0, 64, 17, 0, 0, 127, 0, 0, 1, 127, 0, 0, 1) // 64 hops, UDP
	out = append(out, 0x27, 0x10, 0x27, 0x10)                               // ports 10000
	out = binary.BigEndian.AppendUint16(out, uint16(udp+len(payload)))
	out = append(out, 0, 0)
	return append(out, payload...)
}
