//go:build peers

package aac

import (
	"fmt"
	"math"
	"os"
	"sync"
	"testing"

	"github.com/trunkcast/trunkcast/media"
)

// TestPeerEncoderDecoded decodes what ffmpeg's coders make at all rates, and
// compares with ffmpeg's decoder. Noise substitution is off, as its noise is
// random.
func TestPeerEncoderDecoded(t *testing.T) {
	var seen toolsSeen
	var mu sync.Mutex
	t.Run("rates", func(t *testing.T) {
		for i, rate := range samplingRates {
			for channels := 1; channels <= 2; channels++ {
				t.Run(fmt.Sprintf("%dHz/%d", rate, channels), func(t *testing.T) {
					t.Parallel()
					// The slow coder has its turn at every other rate.
					coder, bitRate := "fast", rate*channels
					if i%2 == 1 {
						coder, bitRate = "twoloop", 2*rate*channels
					}
					stream := ffmpegEncode(t, allSignals(rate, channels, 10), rate, channels,
						"-aac_coder", coder, "-b:a", fmt.Sprint(bitRate), "-aac_pns", "0")
					var one toolsSeen
					compareWithFFmpeg(t, stream, Config{SampleRate: rate, Channels: channels}, &one)
					mu.Lock()
					defer mu.Unlock()
					seen.add(&one)
				})
			}
		}
	})
	seen.check(t)
}

// add adds what was counted elsewhere.
func (s *toolsSeen) add(other *toolsSeen) {
	for book, n := range other.books {
		s.books[book] += n
	}
	s.tns += other.tns
	s.middleSide += other.middleSide
	s.short += other.short
	s.groups = max(s.groups, other.groups)
}

// ffmpegEncode encodes by ffmpeg into ADTS.
func ffmpegEncode(t *testing.T, pcm []float32, rate, channels int, options ...string) []byte {
	t.Helper()
	args := []string{"-v", "error", "-f", "f32le", "-ar", fmt.Sprint(rate), "-ac", fmt.Sprint(channels), "-i", "pipe:0", "-c:a", "aac"}
	return ffmpeg(t, fromFloats(pcm), append(append(args, options...), "-f", "adts", "pipe:1")...)
}

// ffmpegDecodeADTS decodes a stream by ffmpeg.
func ffmpegDecodeADTS(t *testing.T, stream []byte) []float32 {
	t.Helper()
	return toFloats(ffmpeg(t, stream, "-f", "aac", "-i", "pipe:0", "-f", "f32le", "pipe:1"))
}

// compareWithFFmpeg returns what our decoder makes of a stream.
func compareWithFFmpeg(t *testing.T, stream []byte, c Config, seen *toolsSeen) []float32 {
	t.Helper()
	want := ffmpegDecodeADTS(t, stream)
	d := newDecoder(c.Channels)
	d.reset(c)
	var got []float32
	for i, frame := range splitADTS(t, stream) {
		var err error
		if got, err = d.decode(got, frame); err != nil {
			t.Fatalf("frame %d: %v", i, err)
		}
		seen.count(d)
	}
	if len(want) != len(got) {
		t.Errorf("ffmpeg decodes %d samples, we %d", len(want), len(got))
	}
	if agreement := signalToNoise(want, got, 0); agreement < 80 {
		t.Errorf("decoders agree within %.1f dB, want 80", agreement)
	}
	return got
}

// TestPeerGoldens sees that the streams in testdata are what is said of them:
// ffmpeg decodes them to the ratio noted. With UPDATE set in the environment
// it makes them.
func TestPeerGoldens(t *testing.T) {
	for _, g := range goldens {
		source := goldenSource(g.rate, g.channels)
		if os.Getenv("UPDATE") != "" {
			stream := ffmpegEncode(t, source, g.rate, g.channels, append(g.options, "-aac_pns", "0")...)
			if err := os.WriteFile(goldenFile(g.name), stream, 0o644); err != nil {
				t.Fatal(err)
			}
		}
		stream, err := os.ReadFile(goldenFile(g.name))
		if err != nil {
			t.Fatal(err)
		}
		snr := signalToNoise(source, ffmpegDecodeADTS(t, stream), frameSize*g.channels)
		if math.Abs(snr-g.signalToNoise) > .01 {
			t.Errorf("%s: %.2f dB, noted are %.2f", g.name, snr, g.signalToNoise)
		}
	}
}

// TestPeerNoise compares the loudness of substituted noise, which is all that
// two decoders have in common of it: of our encoder's, and of ffmpeg's.
func TestPeerNoise(t *testing.T) {
	const rate, channels = 48000, 2
	source := render("noise", rate, channels, 60)
	stream := ffmpegEncode(t, source, rate, channels, "-b:a", "48000", "-aac_pns", "1")
	e := mustEncoder(t, Codec{}, rate, channels, media.EncoderOptions{BitRate: 48000})
	for name, frames := range map[string][][]byte{"ffmpeg": splitADTS(t, stream), "ours": encodeAll(t, e, source)} {
		d := mustDecoder(t, e.Track()).(*pooledDecoder).decoder
		var got []float32
		var seen toolsSeen
		for _, frame := range frames {
			var err error
			if got, err = d.decode(got, frame); err != nil {
				t.Fatal(err)
			}
			seen.count(d)
		}
		want := ffmpegDecode(t, Config{SampleRate: rate, Channels: channels}, frames)
		ratio := 10 * math.Log10(power(got)/power(want))
		t.Logf("%s: %d bands of noise, %.2f dB apart", name, seen.books[bookNoise], ratio)
		if seen.books[bookNoise] == 0 || math.Abs(ratio) > .2 {
			t.Errorf("%s: %d bands of noise, %.2f dB louder than by ffmpeg", name, seen.books[bookNoise], ratio)
		}
	}
}
