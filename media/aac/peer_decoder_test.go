//go:build peers

package aac

import (
	"fmt"
	"testing"
)

// splitADTS takes a stream apart into frames.
func splitADTS(t *testing.T, stream []byte) (frames [][]byte) {
	t.Helper()
	for len(stream) > 0 {
		if len(stream) < adtsHeader || stream[0] != 0xff || stream[1]&0xf6 != 0xf0 {
			t.Fatalf("no ADTS header after %d frames", len(frames))
		}
		length := int(stream[3]&3)<<11 | int(stream[4])<<3 | int(stream[5])>>5
		header := adtsHeader
		if stream[1]&1 == 0 {
			header += 2 // CRC
		}
		frames = append(frames, stream[header:length])
		stream = stream[length:]
	}
	return frames
}

// toolsSeen counts what the frames of a stream made use of.
type toolsSeen struct {
	books                  [16]int
	tns, middleSide, short int
	groups                 int
}

func (s *toolsSeen) count(d *decoder) {
	for i := range d.channels {
		info := &d.channels[i].info
		for _, book := range info.book[:info.groups*info.perGroup] {
			s.books[book]++
		}
		if info.tns.present {
			s.tns++
		}
		if info.sequence == eightShort {
			s.short++
			s.groups = max(s.groups, info.groups)
		}
	}
	if d.stereo.mask != maskNone {
		s.middleSide++
	}
}

// TestPeerEncoderDecoded decodes what ffmpeg's coders make at all rates, and
// compares with ffmpeg's decoder. Noise substitution is off, as its noise is
// random.
func TestPeerEncoderDecoded(t *testing.T) {
	var seen toolsSeen
	for _, rate := range samplingRates {
		for channels := 1; channels <= 2; channels++ {
			for i, options := range [][]string{
				{"-aac_coder", "fast", "-b:a", fmt.Sprint(rate * channels)},
				{"-aac_coder", "twoloop", "-b:a", fmt.Sprint(2 * rate * channels)},
			} {
				t.Run(fmt.Sprintf("%dHz/%d/%d", rate, channels, i), func(t *testing.T) {
					pcm := fromFloats(allSignals(rate, channels, 16))
					args := append([]string{"-v", "error", "-f", "f32le", "-ar", fmt.Sprint(rate), "-ac", fmt.Sprint(channels), "-i", "pipe:0",
						"-c:a", "aac", "-aac_pns", "0"}, options...)
					stream := ffmpeg(t, pcm, append(args, "-f", "adts", "pipe:1")...)
					compareWithFFmpeg(t, stream, Config{SampleRate: rate, Channels: channels}, &seen)
				})
			}
		}
	}
	t.Logf("seen: %+v", seen)
	for book := 1; book <= bookEscape; book++ {
		if seen.books[book] == 0 {
			t.Errorf("book %d was not used", book)
		}
	}
	if seen.books[bookInPhase] == 0 || seen.tns == 0 || seen.middleSide == 0 || seen.short == 0 || seen.groups < 2 {
		t.Errorf("not all tools were used: %+v", seen)
	}
}

func compareWithFFmpeg(t *testing.T, stream []byte, c Config, seen *toolsSeen) {
	t.Helper()
	want := toFloats(ffmpeg(t, stream, "-f", "aac", "-i", "pipe:0", "-f", "f32le", "pipe:1"))
	d, err := newDecoder(c)
	if err != nil {
		t.Fatal(err)
	}
	defer d.Close()
	var got []float32
	for i, frame := range splitADTS(t, stream) {
		if got, err = d.Decode(got, frame); err != nil {
			t.Fatalf("frame %d: %v", i, err)
		}
		seen.count(d.(*decoder))
	}
	if len(want) != len(got) {
		t.Errorf("ffmpeg decodes %d samples, we %d", len(want), len(got))
	}
	if agreement := signalToNoise(want, got, 0); agreement < 80 {
		t.Errorf("decoders agree within %.1f dB, want 80", agreement)
	}
}
