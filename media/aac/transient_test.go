package aac

import (
	"fmt"
	"testing"

	"github.com/trunkcast/trunkcast/media"
)

// TestAttackWindows sees which windows a sudden noise gets, by its place in the newest
// samples: with look-ahead always short ones that hold its start, without it, if it
// is not too late.
func TestAttackWindows(t *testing.T) {
	const frame = 4 // in which it starts
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
			for i := frame*frameSize + test.at; i < len(pcm); i++ {
				pcm[i] = float32(white(i, 0)) / 2
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

// TestEndWindows: a tone that is cut off gets short windows, at low rates also
// one that gets much softer.
func TestEndWindows(t *testing.T) {
	for _, test := range []struct {
		rate  int
		after float32 // what is left of it
		short int
	}{{16000, .1, 5}, {32000, .1, 5}, {48000, .1, -1}, {16000, .6, -1}, {48000, 0, 5}} {
		e := newEncoder(1)
		e.reset(Codec{}, Config{SampleRate: test.rate, Channels: 1}, media.EncoderOptions{})
		pcm := render("tone", test.rate, 1, 8)
		for i := 4*frameSize + 500; i < len(pcm); i++ {
			pcm[i] *= test.after
		}
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
			t.Errorf("%d Hz, %g: short windows in frame %d, want %d", test.rate, test.after, short, test.short)
		}
	}
}
