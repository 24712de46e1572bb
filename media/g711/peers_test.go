//go:build peers

package g711

import (
	"bytes"
	"testing"

	"github.com/trunkcast/trunkcast/internal/plc/plctest"
	"github.com/trunkcast/trunkcast/media"
)

var raw = map[media.Codec]string{media.PCMA: "alaw", media.PCMU: "mulaw"}

// TestPeerDecodes has ffmpeg decode all octets: the same samples as ours. And a
// voice that we encoded.
func TestPeerDecodes(t *testing.T) {
	var all []byte
	for i := range 256 {
		all = append(all, byte(i))
	}
	for _, c := range codecs {
		data := append(bytes.Clone(all), encodeAll(t, c, plctest.Voice(rate, 2))...)
		out := plctest.FFmpeg(t, data, []string{"-f", raw[c.Codec()], "-ar", "8000", "-ac", "1"}, []string{"-f", "s16le"})
		d, _ := c.NewDecoder(trackOf(c))
		pcm, err := d.Decode(nil, data)
		if err != nil || !bytes.Equal(plctest.S16(pcm), out) {
			t.Errorf("%s: ffmpeg decodes to other samples; %v", c.Codec(), err)
		}
	}
}

// TestPeerEncodes decodes what ffmpeg encoded. It puts samples half-way between
// two levels elsewhere, so that not all octets are those that we choose.
func TestPeerEncodes(t *testing.T) {
	voice := plctest.Voice(rate, 2)
	for _, c := range codecs {
		theirs := plctest.FFmpeg(t, plctest.S16(voice), []string{"-f", "s16le", "-ar", "8000", "-ac", "1"},
			[]string{"-f", raw[c.Codec()]})
		d, _ := c.NewDecoder(trackOf(c))
		pcm, err := d.Decode(nil, theirs)
		if err != nil || len(pcm) != len(voice) {
			t.Fatalf("%s: %d samples, %v", c.Codec(), len(pcm), err)
		}
		ours := encodeAll(t, c, voice)
		same := 0
		for i := range ours {
			if ours[i] == theirs[i] {
				same++
			}
		}
		t.Logf("%s: SNR %.1f dB, %.1f %% of the octets are ours", c.Codec(), plctest.SNR(voice, pcm), 100*float64(same)/float64(len(ours)))
		if snr := plctest.SNR(voice, pcm); snr < 35 || same < len(ours)*9/10 {
			t.Errorf("%s: SNR %.1f dB, %d of %d octets as ours", c.Codec(), snr, same, len(ours))
		}
	}
}
