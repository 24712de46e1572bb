package media_test

import (
	"context"
	"fmt"
	"math"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/trunkcast/trunkcast/media"
	"github.com/trunkcast/trunkcast/media/mediatest"
)

const ms = time.Millisecond

var ctx = context.Background()

// toAAC are codecs with frames like those of AAC: 1024 samples at 48 kHz and a
// long delay.
func toAAC(onConceal func(int, []byte)) []media.AudioCodec {
	return []media.AudioCodec{
		&mediatest.PCM{Name: media.PCMU, Rate: 8000, OnConceal: onConceal},
		&mediatest.PCM{Name: media.Opus, Rate: 48000, OnConceal: onConceal},
		&mediatest.PCM{Name: media.AAC, Rate: 48000, FrameSize: 1024, Delay: 2048},
	}
}

// toSlow are codecs that take little time in long tests: 160 samples at 8 kHz.
func toSlow() []media.AudioCodec {
	return []media.AudioCodec{
		&mediatest.PCM{Name: media.PCMU, Rate: 8000},
		&mediatest.PCM{Name: media.AAC, Rate: 8000, FrameSize: 160, Delay: 340},
	}
}

// transcode plays frames in real time into a stream with one sink that wants
// AAC, and returns what came and the counters.
func transcode(t *testing.T, frames []*media.Frame, codecs []media.AudioCodec) (*mediatest.Recorder, media.StreamStats) {
	t.Helper()
	var sink mediatest.Recorder
	s := &media.Stream{Codecs: codecs}
	attach(t, s, &sink, media.SinkOptions{Name: "sink", Audio: []media.Codec{media.AAC}})
	if err := mediatest.Play(ctx, s, frames); err != nil {
		t.Fatal(err)
	}
	_ = s.CloseWrite()
	for _, c := range codecs {
		if n := c.(*mediatest.PCM).Open(); n != 0 {
			t.Errorf("%d codecs of %s were not closed", n, c.Codec())
		}
	}
	return &sink, s.Stats()
}

// soundOf puts the samples of the audio frames where their times say, less the
// silence of a PCM encoder's start: sample i is that of the moment i/rate.
func soundOf(t *testing.T, frames []*media.Frame, rate int) []float32 {
	t.Helper()
	var pcm []float32
	for _, f := range mediatest.Of(false, frames) {
		at := int(math.Round(f.PTS.Seconds() * float64(rate)))
		if at < len(pcm)-1 {
			t.Fatalf("audio at %v overlaps the one before by %d samples", f.PTS, len(pcm)-at)
		}
		for len(pcm) < at {
			pcm = append(pcm, float32(math.NaN()))
		}
		pcm = append(pcm[:at], mediatest.Samples(f)...)
	}
	return pcm
}

// toneError is how far samples are from the tone of mediatest.Audio between
// two times, as the root of the mean square.
func toneError(pcm []float32, rate int, from, to time.Duration) float64 {
	a, b := int(from.Seconds()*float64(rate)), min(int(to.Seconds()*float64(rate)), len(pcm))
	sum := 0.0
	for i := a; i < b; i++ {
		d := float64(pcm[i]) - 0.5*math.Sin(2*math.Pi*440*float64(i)/float64(rate))
		sum += d * d
	}
	return math.Sqrt(sum / float64(b-a))
}

func TestTranscodeContiguous(t *testing.T) {
	for _, c := range []struct {
		name  string
		track *media.Track
	}{
		{"G.711", &media.Track{Codec: media.PCMU, ClockRate: 8000, Channels: 1}},
		{"Opus", &media.Track{Codec: media.Opus, ClockRate: 48000, Channels: 1}},
		{"stereo", &media.Track{Codec: media.Opus, ClockRate: 48000, Channels: 2}},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				sink, st := transcode(t, mediatest.Merge(4*time.Second, &mediatest.Video{}, &mediatest.Audio{Track: c.track}), toAAC(nil))
				frames := sink.Frames()
				if err := mediatest.Check(frames, mediatest.Checks{SameTracks: true, Reorder: time.Millisecond}); err != nil {
					t.Error(err)
				}
				audio := mediatest.Of(false, frames)
				for i, f := range audio[1:] {
					if d := (f.PTS - audio[i].PTS - 1024*time.Second/48000).Abs(); d > time.Microsecond {
						t.Fatalf("frame %d at %v after %v", i+1, f.PTS, audio[i].PTS)
					}
				}
				pcm := soundOf(t, frames, 48000)
				if e := toneError(pcm, 48000, 100*ms, 3990*ms); e > 0.003 {
					t.Errorf("the tone is off by %g: not at its time", e)
				}
				if len(mediatest.Of(true, frames)) != 100 {
					t.Errorf("%d video frames", len(mediatest.Of(true, frames)))
				}
				r := st.Renditions[0]
				if r.Concealed != 0 || r.Silence != 0 || r.Cut != 0 || r.DecodeErrors+r.EncodeErrors+r.Dropped != 0 {
					t.Errorf("something was made up: %+v", r)
				}
			})
		})
	}
}

// gapTest is a stream from which audio frames are missing.
type gapTest struct {
	name               string
	lost               func(f *media.Frame) bool
	video              bool
	concealed, silence time.Duration
	calls              string // of Conceal: samples, and n where the next frame was given
}

func between(from, to time.Duration) func(*media.Frame) bool {
	return func(f *media.Frame) bool { return f.PTS >= from && f.PTS < to }
}

func TestTranscodeGaps(t *testing.T) {
	for _, c := range []gapTest{
		{"one frame", between(time.Second, 1020*ms), true, 20 * ms, 0, "160n"},
		{"one frame without video", between(time.Second, 1020*ms), false, 20 * ms, 0, "160n"},
		{"three frames", between(time.Second, 1060*ms), true, 60 * ms, 0, "320 160n"},
		{"every other frame", func(f *media.Frame) bool { return f.PTS%(40*ms) == 20*ms && f.PTS < 100*ms }, true,
			40 * ms, 0, "160n 160n"},
		{"comfort noise", between(time.Second, 1400*ms), true, 160 * ms, 240 * ms, "1280"},
		{"hold", between(time.Second, 6*time.Second), true, 160 * ms, 4840 * ms, "*"},
		{"hold without video", between(time.Second, 6*time.Second), false, 160 * ms, 4840 * ms, "1280"},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) { testGap(t, c) })
		})
	}
}

func testGap(t *testing.T, c gapTest) {
	end := 3 * time.Second
	if c.silence > time.Second {
		end = 8 * time.Second
	}
	generators := []mediatest.Generator{&mediatest.Audio{}}
	if c.video {
		generators = append(generators, &mediatest.Video{})
	}
	frames := mediatest.Merge(end, generators...)
	kept := slices.DeleteFunc(slices.Clone(frames), func(f *media.Frame) bool { return f.Track.Codec.Audio() && c.lost(f) })
	var calls []string
	sink, st := transcode(t, kept, toAAC(func(n int, next []byte) {
		call := fmt.Sprint(n)
		if next != nil {
			call += "n"
		}
		calls = append(calls, call)
	}))
	got := sink.Frames()
	if err := mediatest.Check(got, mediatest.Checks{SameTracks: true}); err != nil {
		t.Error(err)
	}
	checkSteady(t, got, 1024*time.Second/48000)
	r := st.Renditions[0]
	if r.Concealed != c.concealed || r.Silence != c.silence || r.Cut != 0 {
		t.Errorf("concealed %v, silence %v, cut %v", r.Concealed, r.Silence, r.Cut)
	}
	if s := strings.Join(calls, " "); c.calls != "*" && s != c.calls {
		t.Errorf("calls of Conceal: %s, want %s", s, c.calls)
	}
	pcm := soundOf(t, got, 48000)
	if e := toneError(pcm, 48000, 100*ms, 990*ms); c.lost(&media.Frame{PTS: 20 * ms}) == false && e > 0.003 {
		t.Errorf("before the gap the tone is off by %g", e)
	}
	if e := toneError(pcm, 48000, end-1500*ms, end-50*ms); e > 0.003 {
		t.Errorf("after the gap the tone is off by %g", e)
	}
	if c.silence > time.Second {
		for i, s := range pcm[48*1200 : 48*5900] {
			if s != 0 {
				t.Fatalf("sample %d in the hold is %g", i, s)
			}
		}
	}
}

// checkSteady checks that audio frames follow each other without a gap.
func checkSteady(t *testing.T, frames []*media.Frame, length time.Duration) {
	t.Helper()
	audio := mediatest.Of(false, frames)
	if len(audio) < 2 {
		t.Fatalf("%d audio frames", len(audio))
	}
	for i, f := range audio[1:] {
		if d := f.PTS - audio[i].PTS; (d - length).Abs() > time.Microsecond {
			t.Fatalf("audio at %v after %v: %v in between", f.PTS, audio[i].PTS, d)
		}
	}
}

// TestSilenceKeepsStep has a caller who is put on hold: video goes on, and
// sinks must get audio all the time.
func TestSilenceKeepsStep(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		frames := mediatest.Merge(10*time.Second, &mediatest.Audio{}, &mediatest.Video{})
		frames = slices.DeleteFunc(frames, func(f *media.Frame) bool { return f.Track.Codec.Audio() && f.PTS >= time.Second })
		sink, st := transcode(t, frames, toAAC(nil))
		got := sink.Frames()
		checkSteady(t, got, 1024*time.Second/48000)
		var audio, worst time.Duration
		var maxDelay time.Duration
		for i, f := range got {
			if f.Track.Codec.Audio() {
				audio = f.PTS
			} else {
				worst = max(worst, f.DTS-audio)
				maxDelay = max(maxDelay, sink.Times()[i].Sub(sink.Times()[0])-(f.DTS-got[0].DTS))
			}
		}
		// 500 ms until it counts as absent, 43 ms delay of the encoder, frames
		// of 21, 20 and 40 ms, less the 120 ms that video waits.
		if worst > 640*ms {
			t.Errorf("audio is up to %v behind video", worst)
		}
		if maxDelay > 130*ms {
			t.Errorf("video was held for up to %v", maxDelay)
		}
		if r := st.Renditions[0]; r.Silence < 8*time.Second || r.Silence > 9*time.Second {
			t.Errorf("%v of silence", r.Silence)
		}
	})
}

// TestSilenceForLateSinks has a sink that comes when the caller is on hold.
func TestSilenceForLateSinks(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &media.Stream{Codecs: toAAC(nil)}
		audio, video := &mediatest.Audio{}, &mediatest.Video{}
		play(t, s, mediatest.Merge(time.Second, audio, video))
		play(t, s, mediatest.Merge(5*time.Second, video))
		var sink mediatest.Recorder
		attach(t, s, &sink, media.SinkOptions{Audio: []media.Codec{media.AAC}})
		play(t, s, mediatest.Merge(10*time.Second, video))
		audio.At = 10 * time.Second
		play(t, s, mediatest.Merge(12*time.Second, audio, video))
		_ = s.CloseWrite()
		got := sink.Frames()
		checkSteady(t, got, 1024*time.Second/48000)
		if err := mediatest.Check(got, mediatest.Checks{}); err != nil {
			t.Error(err)
		}
		if e := toneError(soundOf(t, got, 48000), 48000, 10050*ms, 11950*ms); e > 0.003 {
			t.Errorf("the tone is off by %g", e)
		}
		if first := mediatest.Of(false, got)[0].PTS; first < 6*time.Second || first > 6*time.Second+22*ms {
			t.Errorf("audio begins at %v", first)
		}
	})
}

// TestVeryLongGap is not filled: the times jump.
func TestVeryLongGap(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		frames := mediatest.Merge(time.Second, &mediatest.Audio{})
		frames = append(frames, mediatest.Merge(time.Hour+time.Second, &mediatest.Audio{At: time.Hour})...)
		sink, st := transcode(t, frames, toAAC(nil))
		got := sink.Frames()
		if err := mediatest.Check(got, mediatest.Checks{}); err != nil {
			t.Error(err)
		}
		if n := len(got); n > 110 {
			t.Errorf("%d frames for two seconds", n)
		}
		var after []float32
		for _, f := range got {
			if f.PTS >= time.Hour {
				if len(after) == 0 && f.PTS > time.Hour+22*ms {
					t.Errorf("goes on at %v", f.PTS)
				}
				after = append(after, mediatest.Samples(f)...)
			}
		}
		last := got[len(got)-1]
		if end := last.PTS + 1024*time.Second/48000; end < time.Hour+time.Second {
			t.Errorf("ends at %v", end)
		}
		if level(after[4800:40000]) < 0.3 {
			t.Error("no tone after the gap")
		}
		if r := st.Renditions[0]; r.Silence != 0 {
			t.Errorf("%+v", r)
		}
	})
}

func level(pcm []float32) float64 {
	sum := 0.0
	for _, s := range pcm {
		sum += float64(s) * float64(s)
	}
	return math.Sqrt(sum / float64(len(pcm)))
}

// TestCodecChange has a re-INVITE in the middle.
func TestCodecChange(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		opus := &media.Track{Codec: media.Opus, ClockRate: 48000, Channels: 2}
		audio := &mediatest.Audio{Track: opus}
		frames := mediatest.Merge(2*time.Second, audio)
		audio.Track = &media.Track{Codec: media.PCMU, ClockRate: 8000, Channels: 1}
		frames = append(frames, mediatest.Merge(4*time.Second, audio)...)
		audio.Track = &media.Track{Codec: media.G722, ClockRate: 16000, Channels: 1} // nobody decodes it
		frames = append(frames, mediatest.Merge(5*time.Second, audio)...)
		audio.Track = opus
		frames = append(frames, mediatest.Merge(6*time.Second, audio)...)
		sink, st := transcode(t, frames, toAAC(nil))
		got := sink.Frames()
		checkSteady(t, got, 1024*time.Second/48000)
		for _, f := range got {
			if f.Track != got[0].Track {
				t.Fatal("another output track")
			}
		}
		pcm := soundOf(t, got, 48000)
		for from := 100 * ms; from < 6*time.Second; from += 100 * ms {
			if from > 3900*ms && from < 5100*ms {
				continue
			}
			if e := toneError(pcm, 48000, from, from+90*ms); e > 0.004 {
				t.Errorf("from %v on the tone is off by %g", from, e)
			}
		}
		// A step between the two decoders is heard as a click.
		for i, s := range pcm[48*100 : 48*3900] {
			if d := math.Abs(float64(s - pcm[48*100+i+1])); d > 0.05 {
				t.Fatalf("a step of %g at sample %d", d, i)
			}
		}
		r := st.Renditions[0]
		if r.DecodeErrors != 50 || r.Silence != time.Second || r.Concealed != 0 {
			t.Errorf("%+v", r)
		}
	})
}

func TestDecodeErrors(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		frames := mediatest.Merge(2*time.Second, &mediatest.Audio{}, &mediatest.Video{})
		bad := 0
		for _, f := range frames {
			if f.Track.Codec.Audio() && f.PTS >= time.Second && f.PTS < 1200*ms {
				f.Data = [][]byte{mediatest.Bad}
				bad++
			}
		}
		sink, st := transcode(t, frames, toAAC(nil))
		checkSteady(t, sink.Frames(), 1024*time.Second/48000)
		if r := st.Renditions[0]; r.DecodeErrors != uint64(bad) || r.Concealed != 200*ms || r.Silence != 0 {
			t.Errorf("%d bad frames: %+v", bad, r)
		}
		if e := toneError(soundOf(t, sink.Frames(), 48000), 48000, 1250*ms, 1950*ms); e > 0.003 {
			t.Errorf("after them the tone is off by %g", e)
		}
	})
}

// TestLateAudio has audio that comes a second after the video of its time, as
// some sources interleave. It must be heard, after a while.
func TestLateAudio(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		frames := mediatest.Merge(20*time.Second, &mediatest.Audio{}, &mediatest.Video{})
		late := func(f *media.Frame) time.Duration {
			if f.Track.Codec.Audio() && f.PTS > 2*time.Second {
				return f.DTS + time.Second
			}
			return f.DTS
		}
		slices.SortStableFunc(frames, func(a, b *media.Frame) int { return int(late(a) - late(b)) })
		sink, st := transcode(t, frames, toSlow())
		checkSteady(t, sink.Frames(), 20*ms)
		if e := toneError(soundOf(t, sink.Frames(), 8000), 8000, 4*time.Second, 18*time.Second); e > 0.003 {
			t.Errorf("the tone is off by %g", e)
		}
		if r := st.Renditions[0]; r.Cut > time.Second {
			t.Errorf("%+v", r)
		}
	})
}

// TestTimesGoBack has a writer that breaks the rules.
func TestTimesGoBack(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &media.Stream{Codecs: toSlow()}
		var sink mediatest.Recorder
		attach(t, s, &sink, media.SinkOptions{Audio: []media.Codec{media.AAC}})
		audio := &mediatest.Audio{At: time.Hour}
		play(t, s, mediatest.Merge(time.Hour+2*time.Second, audio))
		audio.At = 0
		play(t, s, mediatest.Merge(5*time.Second, audio))
		audio.At += time.Second // a gap is one as before
		play(t, s, mediatest.Merge(10*time.Second, audio))
		_ = s.CloseWrite()
		checkSteady(t, sink.Frames(), 20*ms)
		if n := len(sink.Frames()); n < 12*50 {
			t.Errorf("%d frames for 12 s", n)
		}
	})
}

// TestLossBesideDrift has a frame lost while the clocks are 2 ms apart: a
// codec is asked for a whole frame, and the distance is left to steering.
func TestLossBesideDrift(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		frames := mediatest.Merge(2*time.Second, &mediatest.Audio{})
		for _, f := range frames[20:] {
			f.PTS += 2 * ms
			f.DTS = f.PTS
		}
		var calls []int
		transcode(t, slices.Delete(frames, 30, 31), toAAC(func(n int, _ []byte) { calls = append(calls, n) }))
		if len(calls) != 1 || calls[0] != 160 {
			t.Errorf("concealed %v samples, want 160", calls)
		}
	})
}

// TestEncoderDelay sees that what an encoder makes before the first sample is
// left out, wherever on the timeline that is, and that nothing is missing at
// the end.
func TestEncoderDelay(t *testing.T) {
	const length = 1024 * time.Second / 48000
	for _, from := range []time.Duration{0, 5 * time.Second} {
		synctest.Test(t, func(t *testing.T) {
			codecs := toAAC(nil)
			codecs[2].(*mediatest.PCM).Delay = 2500
			sink, _ := transcode(t, mediatest.Merge(from+time.Second, &mediatest.Audio{At: from}), codecs)
			got := sink.Frames()
			if err := mediatest.Check(got, mediatest.Checks{MaxGap: 22 * ms}); err != nil {
				t.Error(err)
			}
			if first := got[0].PTS; first <= from-length || first > from+length {
				t.Errorf("audio that begins at %v begins at %v", from, first)
			}
			if end := got[len(got)-1].PTS + length; end < from+time.Second || end >= from+time.Second+length {
				t.Errorf("audio that ends at %v ends at %v", from+time.Second, end)
			}
			if e := toneError(soundOf(t, got, 48000), 48000, from+100*ms, from+980*ms); e > 0.003 {
				t.Errorf("the tone is off by %g", e)
			}
		})
	}
}

func TestFastPacket(t *testing.T) {
	f := &media.Frame{Track: &media.Track{Codec: media.PCMU, ClockRate: 8000, Channels: 1}, Data: [][]byte{make([]byte, 64<<10)}}
	synctest.Test(t, func(t *testing.T) {
		s := &media.Stream{Codecs: toAAC(nil)}
		var sink mediatest.Recorder
		attach(t, s, &sink, media.SinkOptions{Audio: []media.Codec{media.AAC}})
		for range 2000 { // more than a queue takes, all at the same moment
			if err := s.WriteFrame(ctx, f); err != nil {
				t.Fatal(err)
			}
		}
		_ = s.CloseWrite()
		if r := s.Stats().Renditions[0]; r.Dropped == 0 || r.DecodeErrors+r.Dropped != 2000 {
			t.Errorf("%+v", r)
		}
	})
}
