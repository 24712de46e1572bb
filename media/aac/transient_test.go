package aac

import (
	"fmt"
	"testing"

	"github.com/trunkcast/trunkcast/media"
)

// TestAttackWindows sees which windows a knock gets, by its place in the newest
// samples: with look-ahead always short ones that hold it, without it, if it
// is not too late.
func TestAttackWindows(t *testing.T) {
	const frame = 4 // that brings the knock
	for _, test := range []struct {
		lowDelay  bool
		at        int
		short     int // frame that has short windows, -1: none
		beginning int // sample of the newest ones at which its first one begins
	}{
		{false, 100, frame + 1, slopeStart - lookAhead},
		{false, 500, frame + 1, slopeStart - lookAhead},
		{false, 900, frame + 1, slopeStart - lookAhead},
		{true, 200, -1, 0},
		{true, 520, frame + 1, slopeStart},
		{true, 700, frame + 1, slopeStart},
		{true, 1000, frame + 1, slopeStart},
	} {
		t.Run(fmt.Sprintf("%t/%d", test.lowDelay, test.at), func(t *testing.T) {
			e := newEncoder(1)
			e.reset(Codec{LowDelay: test.lowDelay}, Config{SampleRate: 48000, Channels: 1}, media.EncoderOptions{})
			pcm := make([]float32, 8*frameSize)
			for i := range 60 {
				pcm[frame*frameSize+test.at+i] = float32(white(i, 0)) / 2
			}
			short := -1 // the first frame with short windows
			for i := range 8 {
				if _, err := e.encode(nil, pcm[i*frameSize:(i+1)*frameSize]); err != nil {
					t.Fatal(err)
				}
				if e.layout.sequence != eightShort || short >= 0 {
					continue
				}
				short = i
				// The group of two windows around the attack, each twice as
				// long as the step between them.
				first := 0
				if e.layout.groups == 3 || e.layout.windows[0] != 2 {
					first = e.layout.windows[0]
				}
				begin := test.beginning + first*shortSize
				if test.at < begin || test.at >= begin+3*shortSize {
					t.Errorf("windows around %d to %d", begin, begin+3*shortSize)
				}
			}
			if short != test.short {
				t.Errorf("short windows in frame %d, want %d", short, test.short)
			}
		})
	}
}

// TestEndWindows: at low rates a tone that ends gets short windows, too.
func TestEndWindows(t *testing.T) {
	for _, test := range []struct{ rate, short int }{{16000, 5}, {32000, 5}, {48000, -1}} {
		e := newEncoder(1)
		e.reset(Codec{}, Config{SampleRate: test.rate, Channels: 1}, media.EncoderOptions{})
		pcm := render("tone", test.rate, 1, 8)
		clear(pcm[4*frameSize+500:])
		short := -1
		for i := range 8 {
			if _, err := e.encode(nil, pcm[i*frameSize:(i+1)*frameSize]); err != nil {
				t.Fatal(err)
			}
			if i > 1 && short < 0 && e.layout.sequence == eightShort {
				short = i
			}
		}
		if short != test.short {
			t.Errorf("%d Hz: short windows in frame %d, want %d", test.rate, short, test.short)
		}
	}
}
