//go:build peers

package g722

import (
	"testing"

	"github.com/trunkcast/trunkcast/internal/plc/plctest"
)

// TestPeerDecodes has ffmpeg decode what we encoded, loud signals among it.
func TestPeerDecodes(t *testing.T) {
	for name, pcm := range map[string][]float32{
		"voice": plctest.Voice(rate, 2),
		"loud":  plctest.Sine(rate, 1, 1000, 1),
	} {
		data := encodeAll(t, pcm)
		theirs := plctest.FromS16(plctest.FFmpeg(t, data, []string{"-f", "g722"}, []string{"-f", "s16le"}))
		ours := decodeAll(t, data)
		if len(theirs) != len(ours) {
			t.Fatalf("%s: ffmpeg has %d samples, we have %d", name, len(theirs), len(ours))
		}
		if snr := plctest.SNR(ours, theirs); snr < 60 {
			t.Errorf("%s: ffmpeg differs from us by an SNR of %.1f dB", name, snr)
		}
	}
}

// TestPeerEncodes decodes what ffmpeg encoded.
func TestPeerEncodes(t *testing.T) {
	voice := plctest.Voice(rate, 2)
	data := plctest.FFmpeg(t, plctest.S16(voice), []string{"-f", "s16le", "-ar", "16000", "-ac", "1"}, []string{"-f", "g722"})
	got := decodeAll(t, data)
	lag := plctest.Lag(voice, got, 100)
	n := min(len(voice), len(got)-lag)
	if snr := plctest.SNR(voice[:n], got[lag:]); snr < 30 || lag > delay {
		t.Errorf("SNR %.1f dB, %d samples behind", snr, lag)
	}
}
