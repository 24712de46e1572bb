package aac

import (
	"math"
	"os"
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

// check sees that each book and tool was used.
func (s *toolsSeen) check(t *testing.T) {
	t.Helper()
	for book := 1; book <= bookEscape; book++ {
		if s.books[book] == 0 {
			t.Errorf("book %d was not used", book)
		}
	}
	if s.books[bookInPhase] == 0 || s.tns == 0 || s.middleSide == 0 || s.short == 0 || s.groups < 2 {
		t.Errorf("not all tools were used: %+v", s)
	}
}

// goldenFrames are how many frames of each signal the streams in testdata
// hold, one signal after the other.
const goldenFrames = 10

var goldenSignals = []string{"speech", "clicks", "music"}

// goldens are streams that ffmpeg 5.1 made of goldenSignals, with the
// signal-to-noise ratio in dB that its own decoder gets from them, and the
// tools that make them worth keeping. TestPeerGoldens makes them again.
var goldens = []struct {
	name           string
	rate, channels int
	options        []string
	signalToNoise  float64
}{
	{"intensity", 48000, 2, []string{"-b:a", "48000"}, 7.26},
	{"ms", 44100, 2, []string{"-aac_coder", "fast", "-aac_is", "0", "-b:a", "96000"}, 12.62},
	{"mono24", 24000, 1, []string{"-aac_coder", "fast", "-b:a", "32000"}, 10.96},
	{"mono96", 96000, 1, []string{"-b:a", "96000"}, 12.44},
	{"mono8", 8000, 1, []string{"-aac_coder", "fast", "-b:a", "24000"}, 12.63},
}

func goldenFile(name string) string { return "testdata/ffmpeg-" + name + ".aac" }

func goldenSource(rate, channels int) (pcm []float32) {
	for _, name := range goldenSignals {
		pcm = append(pcm, render(name, rate, channels, goldenFrames)...)
	}
	return pcm
}

// TestGoldens decodes streams of another encoder and compares with what that
// one encoded.
func TestGoldens(t *testing.T) {
	var seen toolsSeen
	for _, g := range goldens {
		stream, err := os.ReadFile(goldenFile(g.name))
		if err != nil {
			t.Fatal(err)
		}
		d := newDecoder(g.channels)
		d.reset(Config{SampleRate: g.rate, Channels: g.channels})
		var got []float32
		for i, frame := range splitADTS(t, stream) {
			if got, err = d.decode(got, frame); err != nil {
				t.Fatalf("%s, frame %d: %v", g.name, i, err)
			}
			seen.count(d)
		}
		snr := signalToNoise(goldenSource(g.rate, g.channels), got, frameSize*g.channels)
		if math.Abs(snr-g.signalToNoise) > .02 {
			t.Errorf("%s: %.2f dB, want %.2f", g.name, snr, g.signalToNoise)
		}
	}
	seen.check(t)
}
