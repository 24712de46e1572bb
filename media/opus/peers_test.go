//go:build peers

package opus

import (
	"bytes"
	"errors"
	"io"
	"testing"

	"github.com/thesyncim/gopus/container/ogg"

	"github.com/trunkcast/trunkcast/internal/plc/plctest"
	"github.com/trunkcast/trunkcast/media"
)

func pack(t *testing.T, channels int, frames [][]byte) []byte {
	t.Helper()
	var file bytes.Buffer
	w, err := ogg.NewWriter(&file, rate, uint8(channels))
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range frames {
		if err := w.WritePacket(f, frameSize); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return file.Bytes()
}

func unpack(t *testing.T, file []byte) (frames [][]byte) {
	t.Helper()
	r, err := ogg.NewReader(bytes.NewReader(file))
	if err != nil {
		t.Fatal(err)
	}
	for {
		packet, _, err := r.ReadPacket()
		if errors.Is(err, io.EOF) {
			return frames
		}
		if err != nil {
			t.Fatal(err)
		}
		frames = append(frames, bytes.Clone(packet))
	}
}

// TestPeerDecodes has libopus, in ffmpeg, decode what we encoded: as we do.
func TestPeerDecodes(t *testing.T) {
	voice := plctest.Voice(rate, 1)
	stereo := plctest.Stereo(voice, plctest.Sine(rate, 1, 1500, 0.2))
	for _, x := range []struct {
		codec    Codec
		channels int
		pcm      []float32
	}{{Codec{}, 1, voice}, {Codec{}, 2, stereo}, {Codec{Loss: 20}, 1, voice}, {Codec{Complexity: 10}, 1, voice}} {
		frames := encodeAll(t, x.codec, x.channels, media.EncoderOptions{}, x.pcm)
		theirs := plctest.FromS16(plctest.FFmpeg(t, pack(t, x.channels, frames),
			[]string{"-c:a", "libopus"}, []string{"-f", "s16le"}))
		// ffmpeg leaves out the encoder's delay.
		ours := decodeAll(t, x.channels, frames)[312*x.channels:]
		if d := len(ours) - len(theirs); d < -x.channels*frameSize || d > x.channels*frameSize {
			t.Errorf("%+v, %d channels: ffmpeg has %d samples, we have %d", x.codec, x.channels, len(theirs), len(ours))
		}
		if snr := plctest.SNR(ours, theirs); snr < 55 {
			t.Errorf("%+v, %d channels: ffmpeg differs from us by an SNR of %.1f dB", x.codec, x.channels, snr)
		}
	}
}

// TestPeerEncodes decodes what libopus encoded, in frames of other lengths too.
func TestPeerEncodes(t *testing.T) {
	voice := plctest.Voice(rate, 1)
	for _, options := range [][]string{
		{"-b:a", "64k"},
		{"-b:a", "48k", "-application", "lowdelay", "-frame_duration", "2.5"},
		{"-b:a", "64k", "-frame_duration", "60"},
		{"-b:a", "24k", "-application", "voip", "-frame_duration", "60"},
	} {
		output := append(append([]string{"-c:a", "libopus"}, options...), "-f", "ogg")
		file := plctest.FFmpeg(t, plctest.S16(voice), []string{"-f", "s16le", "-ar", "48000", "-ac", "1"}, output)
		got := decodeAll(t, 1, unpack(t, file))
		lag := plctest.Lag(voice, got, 500)
		n := min(len(voice), len(got)-lag)
		if snr := plctest.SNR(voice[:n], got[lag:]); snr < 6 || n < len(voice)-frameSize {
			t.Errorf("%q: SNR %.1f dB, %d samples, %d behind", options, snr, n, lag)
		}
	}
}
