package media_test

import (
	"fmt"
	"math"
	"testing"
	"testing/synctest"
	"time"

	"github.com/trunkcast/trunkcast/media"
	"github.com/trunkcast/trunkcast/media/mediatest"
)

// TestClockSkew has a caller whose clock is wrong: his frames of 20 ms come
// each 20 ms plus ppm, and the timeline says so.
func TestClockSkew(t *testing.T) {
	g711 := &media.Track{Codec: media.PCMU, ClockRate: 8000, Channels: 1}
	opus := &media.Track{Codec: media.Opus, ClockRate: 48000, Channels: 1}
	for _, c := range []struct {
		ppm  float64
		from *media.Track
		rate int
	}{{200, g711, 8000}, {-200, g711, 8000}, {900, g711, 8000}, {-900, opus, 48000}, {400, opus, 8000}, {-400, g711, 48000}} {
		t.Run(fmt.Sprintf("%s to %d Hz, %g ppm", c.from.Codec, c.rate, c.ppm), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				length := 15 * time.Second
				if c.rate == 8000 {
					length = 30 * time.Second
				}
				frames := mediatest.Merge(length, &mediatest.Audio{Track: c.from})
				for _, f := range frames {
					f.PTS += time.Duration(float64(f.PTS) * c.ppm * 1e-6)
					f.DTS = f.PTS
				}
				sink, st := transcode(t, frames, []media.AudioCodec{
					&mediatest.PCM{Name: media.PCMU}, &mediatest.PCM{Name: media.Opus},
					&mediatest.PCM{Name: media.AAC, Rate: c.rate, Delay: 340},
				})
				got := sink.Frames()
				checkSteady(t, got, 20*ms)
				if r := st.Renditions[0]; r.Concealed+r.Silence+r.Cut != 0 {
					t.Errorf("something was made up: %+v", r)
				}
				// The tone itself tells the time of the sender.
				pcm := soundOf(t, got, c.rate)
				if off := worstOffset(pcm, c.rate, c.ppm); off > 4*ms {
					t.Errorf("audio is up to %v from its time", off)
				}
			})
		})
	}
}

// worstOffset follows the phase of a tone of 440 Hz and returns how far it is,
// at most, from where the sender's clock says.
func worstOffset(pcm []float32, rate int, ppm float64) (worst time.Duration) {
	window, hz := rate/10, float64(rate)
	turns, last := 0.0, 0.0
	for at := window; at+window < len(pcm); at += window {
		re, im := 0.0, 0.0
		for i := range window {
			p := 2 * math.Pi * 440 * float64(at+i) / hz
			re += float64(pcm[at+i]) * math.Sin(p)
			im += float64(pcm[at+i]) * math.Cos(p)
		}
		phase := math.Atan2(im, re) / (2 * math.Pi)
		turns += math.Remainder(phase-last, 1)
		last = phase
		middle := float64(at+window/2) / hz
		sender := middle / (1 + ppm*1e-6)
		ours := middle + turns/440
		worst = max(worst, time.Duration(math.Abs(ours-sender)*1e9))
	}
	return worst
}

// TestSlewedTimes has a timeline that was corrected by 15 ms within a second.
func TestSlewedTimes(t *testing.T) {
	for _, step := range []time.Duration{15 * ms, -15 * ms} {
		t.Run(step.String(), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				frames := mediatest.Merge(30*time.Second, &mediatest.Audio{})
				for _, f := range frames {
					f.PTS += min(max(f.PTS-2*time.Second, 0), time.Second) * step / time.Second
					f.DTS = f.PTS
				}
				sink, st := transcode(t, frames, toSlow())
				got := sink.Frames()
				checkSteady(t, got, 20*ms)
				if r := st.Renditions[0]; r.Concealed+r.Silence+r.Cut != 0 {
					t.Errorf("something was made up: %+v", r)
				}
				last := frames[len(frames)-1]
				if e := toneError(soundOf(t, got, 8000), 8000, 100*ms, 1900*ms); e > 0.003 {
					t.Errorf("before, the tone is off by %g", e)
				}
				end := got[len(got)-1].PTS + 20*ms
				if d := end - last.PTS - 20*ms; d < -2*ms || d > 25*ms+45*ms {
					t.Errorf("ends %v after the last frame", d)
				}
			})
		})
	}
}

// TestMillisecondTimes has a source that rounds, as RTMP does.
func TestMillisecondTimes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		frames := mediatest.Merge(10*time.Second, &mediatest.Audio{Track: &media.Track{Codec: media.Opus, ClockRate: 48000, Channels: 1}, Samples: 1024})
		for _, f := range frames {
			f.PTS = f.PTS.Truncate(ms)
			f.DTS = f.PTS
		}
		sink, st := transcode(t, frames, toAAC(nil))
		checkSteady(t, sink.Frames(), 1024*time.Second/48000)
		if e := toneError(soundOf(t, sink.Frames(), 48000), 48000, 100*ms, 9900*ms); e > 0.003 {
			t.Errorf("the tone is off by %g: rounding is no drift", e)
		}
		if r := st.Renditions[0]; r.Concealed+r.Silence+r.Cut != 0 {
			t.Errorf("something was made up: %+v", r)
		}
	})
}
