package aac

import (
	"bytes"
	"testing"

	"github.com/trunkcast/trunkcast/media"
)

// TestQuietPeak: no band of any rate is heard of lines that are as large as
// those of quietPeak can be: 8 n^2 times its square together in a block of n.
func TestQuietPeak(t *testing.T) {
	for index, rate := range samplingRates {
		ear := earModelOf(index)
		for _, test := range []struct {
			bands  []earBand
			energy float32
		}{
			{ear.long, 8 * frameSize * frameSize * quietPeak * quietPeak},
			{ear.short, shortWindows * 8 * shortSize * shortSize * quietPeak * quietPeak},
		} {
			for b, band := range test.bands {
				if band.quiet <= test.energy {
					t.Errorf("%d Hz, band %d: %g is heard, there may be %g", rate, b, band.quiet, test.energy)
				}
			}
		}
	}
}

// TestQuiet: samples just below quietPeak, for which nothing is analysed, make
// the same frames as ones just above it.
func TestQuiet(t *testing.T) {
	for channels := 1; channels <= 2; channels++ {
		var streams [2][][]byte
		for i, size := range []float64{.99, 1.01} {
			e := mustEncoder(t, Codec{}, 48000, channels, media.EncoderOptions{})
			tail := make([]float32, 12*frameSize*channels)
			for i := 4 * frameSize * channels; i < len(tail); i++ {
				tail[i] = float32(size * quietPeak / sampleScale * float64(1-i%3))
			}
			pcm := append(render("speech", 48000, channels, 20), tail...)
			streams[i] = encodeAll(t, e, append(pcm, render("tone", 48000, channels, 4)...))
			e.Close()
		}
		for i, frame := range streams[0] {
			if !bytes.Equal(frame, streams[1][i]) {
				t.Errorf("%d channel(s): frame %d is %x, should be %x", channels, i, frame, streams[1][i])
			}
		}
	}
}
