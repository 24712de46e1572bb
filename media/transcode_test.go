package media_test

import (
	"context"
	"math"
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

// transcode plays frames in real time into a stream with one sink that wants
// AAC, and returns what came and the counters.
func transcode(t *testing.T, frames []*media.Frame, codecs []media.AudioCodec) (*mediatest.Recorder, media.StreamStats) {
	t.Helper()
	var sink mediatest.Recorder
	s := &media.Stream{Codecs: codecs}
	if _, err := s.Attach(&sink, media.SinkOptions{Name: "sink", Audio: []media.Codec{media.AAC}}); err != nil {
		t.Fatal(err)
	}
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
