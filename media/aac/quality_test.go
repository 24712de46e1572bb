//go:build peers && bench

package aac

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/trunkcast/trunkcast/media"
)

// voices of espeak-ng. The settings of the encoder were found with other ones;
// whoever changes settings by these should choose new ones afterwards.
var voices = []string{"es+m5", "it+f1", "pl+m2", "en-us+m4"}

const spoken = "The quick brown fox jumps over the lazy dog, while seven wizards exchange six boxing jugs. " +
	"Please hold the line; you are number three in the queue. Pack my box with five dozen liquor jugs."

// A coder is one way to make a stream, decoded by ffmpeg.
type coder struct {
	name string
	run  func(t *testing.T, pcm []float32, rate, channels, bitRate int) (frames [][]byte, delay int)
}

var coders = append([]coder{
	{"own", ownCoder(Codec{})},
	{"own, average", ownCoder(Codec{Rate: AverageRate})},
	{"own, low delay", ownCoder(Codec{LowDelay: true})},
	{"ffmpeg twoloop", ffmpegCoder("twoloop")},
	{"ffmpeg fast", ffmpegCoder("fast")},
}, otherCoders()...)

func otherCoders() (all []coder) {
	for _, o := range otherEncoders {
		all = append(all, coder{o.name, o.coder()})
	}
	return all
}

func ownCoder(k Codec) func(*testing.T, []float32, int, int, int) ([][]byte, int) {
	return func(t *testing.T, pcm []float32, rate, channels, bitRate int) ([][]byte, int) {
		e := mustEncoder(t, k, rate, channels, media.EncoderOptions{BitRate: bitRate})
		defer e.Close()
		return encodeAll(t, e, pcm), e.Delay()
	}
}

func ffmpegCoder(name string) func(*testing.T, []float32, int, int, int) ([][]byte, int) {
	return func(t *testing.T, pcm []float32, rate, channels, bitRate int) ([][]byte, int) {
		return splitADTS(t, ffmpegEncode(t, pcm, rate, channels, "-aac_coder", name, "-b:a", fmt.Sprint(bitRate))), frameSize
	}
}

// TestBenchQuality prints tables of noise-to-mask ratios: a row for each
// signal, a column for each coder. MATERIAL in the environment names a
// directory with more sound files.
func TestBenchQuality(t *testing.T) {
	for _, format := range []struct{ rate, channels, bitRate int }{
		{48000, 1, 64000}, {48000, 2, 96000}, {44100, 2, 128000}, {32000, 1, 48000}, {24000, 1, 32000}, {16000, 1, 24000},
	} {
		var table strings.Builder
		fmt.Fprintf(&table, "\n%d Hz, %d channel(s), %d kbit/s:\n| signal |", format.rate, format.channels, format.bitRate/1000)
		for _, c := range coders {
			fmt.Fprintf(&table, " %s |", c.name)
		}
		fmt.Fprintf(&table, "\n|---|%s\n", strings.Repeat("---|", len(coders)))
		for _, m := range materials(t, format.rate, format.channels) {
			fmt.Fprintf(&table, "| %s |", m.name)
			for _, c := range coders {
				if format.rate < 44100 && strings.HasPrefix(c.name, "go-aac") {
					table.WriteString(" - |") // it has no such rates
					continue
				}
				frames, delay := c.run(t, m.pcm, format.rate, format.channels, format.bitRate)
				got := ffmpegDecode(t, Config{SampleRate: format.rate, Channels: format.channels}, frames)
				result := judge(m.pcm, got[min(delay*format.channels, len(got)):], format.rate, format.channels)
				bits := float64(sum(frameBits(frames))) / float64(len(frames)) * float64(format.rate) / frameSize / 1000
				fmt.Fprintf(&table, " %.1f (%.0f %%, %.0fk) |", result.ratio, 100*result.disturbed, bits)
			}
			table.WriteByte('\n')
		}
		fmt.Println(table.String())
	}
}

// judge returns the ratio of the worse channel, in blocks of about 43 ms.
func judge(reference, test []float32, rate, channels int) nmrResult {
	size := 2048
	if rate <= 24000 {
		size = 1024
	}
	var worst nmrResult
	for c := range channels {
		result := newEar(rate, size).noiseToMask(channel(reference, c, channels), channel(test, c, channels))
		if c == 0 || result.ratio > worst.ratio {
			worst = result
		}
	}
	return worst
}

func channel(pcm []float32, c, channels int) (one []float32) {
	for i := c; i < len(pcm); i += channels {
		one = append(one, pcm[i])
	}
	return one
}

type material struct {
	name string
	pcm  []float32
}

// materials returns the signals at a rate.
func materials(t *testing.T, rate, channels int) (all []material) {
	t.Helper()
	for i, voice := range voices {
		file := filepath.Join(t.TempDir(), "voice.wav")
		if err := exec.Command("espeak-ng", "-v", voice, "-w", file, spoken).Run(); err != nil {
			t.Fatalf("apt-get install espeak-ng: %v", err)
		}
		// Every other voice speaks in a noisy room, as digital silence flatters.
		room := ""
		if i%2 == 1 {
			room = ", noise"
		}
		all = append(all, material{voice + room, load(t, file, rate, channels, i%2 == 1)})
	}
	files, _ := filepath.Glob(filepath.Join(os.Getenv("MATERIAL"), "*.wav"))
	for _, file := range files {
		all = append(all, material{strings.TrimSuffix(filepath.Base(file), ".wav"), load(t, file, rate, channels, false)})
	}
	// These served to find settings, too.
	for _, name := range []string{"music", "clicks", "dtmf", "noise", "clipped"} {
		all = append(all, material{name, render(name, rate, channels, 200)})
	}
	return all
}

// load reads a file at a rate, at most 20 s of it; a second channel is what
// a room would make of it.
func load(t *testing.T, file string, rate, channels int, noisy bool) []float32 {
	t.Helper()
	mono := toFloats(ffmpeg(t, nil, "-v", "error", "-i", file, "-t", "20", "-ac", "1", "-ar", fmt.Sprint(rate), "-f", "f32le", "pipe:1"))
	pcm := make([]float32, 0, len(mono)*channels)
	pink := make([]float32, channels)
	for i, v := range mono {
		for c := range channels {
			x := v
			if c == 1 && i > rate/500 {
				x = .5*v + .4*mono[i-rate/500]
			}
			if noisy {
				pink[c] = .95*pink[c] + .0015*float32(white(i, c))
				x += pink[c]
			}
			pcm = append(pcm, x)
		}
	}
	return pcm[:len(pcm)/(frameSize*channels)*frameSize*channels]
}
