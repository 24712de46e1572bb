package inject_test

import (
	"context"
	"errors"
	"math"
	"testing"
	"testing/synctest"
	"time"

	"github.com/trunkcast/trunkcast/inject"
	"github.com/trunkcast/trunkcast/media"
	"github.com/trunkcast/trunkcast/media/g711"
	"github.com/trunkcast/trunkcast/media/opus"
)

// tone makes L16 frames of 20 ms of a sine.
type tone struct {
	hz, amplitude  float64
	rate, channels int
	at             time.Duration
}

func (g *tone) next() *media.Frame {
	track := &media.Track{Codec: inject.L16, ClockRate: g.rate, Channels: g.channels}
	var b []byte
	for i := range g.rate / 50 {
		t := g.at.Seconds() + float64(i)/float64(g.rate)
		s := int16(32767 * g.amplitude * math.Sin(2*math.Pi*g.hz*t))
		for range g.channels {
			b = append(b, byte(s>>8), byte(s))
		}
	}
	f := &media.Frame{Track: track, PTS: g.at, DTS: g.at, Data: [][]byte{b}}
	g.at += 20 * time.Millisecond
	return f
}

// write writes frames in real time.
func (g *tone) write(t *testing.T, to media.Sink, length time.Duration) {
	t.Helper()
	for end := g.at + length; g.at < end; time.Sleep(20 * time.Millisecond) {
		if err := to.WriteFrame(t.Context(), g.next()); err != nil {
			t.Error(err)
			return
		}
	}
}

// heardMix decodes what a sink got of mu-law from a time on.
func heardMix(t *testing.T, frames []got, from, to time.Duration) (pcm []float32) {
	t.Helper()
	d, err := g711.ULaw{}.NewDecoder(&media.Track{Codec: media.PCMU, ClockRate: 8000, Channels: 1})
	if err != nil {
		t.Fatal(err)
	}
	for _, g := range frames {
		if g.frame.PTS < from || g.frame.PTS >= to {
			continue
		}
		if pcm, err = d.Decode(pcm, g.frame.Data[0]); err != nil {
			t.Fatal(err)
		}
	}
	return pcm
}

// amplitude is that of a tone in sound at 8 kHz.
func amplitude(pcm []float32, hz float64) float64 {
	var re, im float64
	for i, v := range pcm {
		a := 2 * math.Pi * hz * float64(i) / 8000
		re += float64(v) * math.Cos(a)
		im += float64(v) * math.Sin(a)
	}
	return 2 * math.Hypot(re, im) / float64(max(len(pcm), 1))
}

func mixing(t *testing.T) (*inject.Mixer, *sink, [2]*inject.MixerInput) {
	t.Helper()
	s := newSink()
	m := &inject.Mixer{Sink: s, Audio: []media.Codec{media.PCMU}, Codecs: []media.AudioCodec{g711.ULaw{}, opus.Codec{}}}
	var in [2]*inject.MixerInput
	for i := range in {
		var err error
		if in[i], err = m.Input(); err != nil {
			t.Fatal(err)
		}
	}
	return m, s, in
}

// TestMixer adds two tones of different rates and channels; the second one
// comes a second later and ends a second earlier.
func TestMixer(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m, s, in := mixing(t)
		low := &tone{hz: 400, amplitude: 0.3, rate: 8000, channels: 1, at: 10 * time.Second}
		high := &tone{hz: 1500, amplitude: 0.2, rate: 44100, channels: 2}
		done := make(chan struct{})
		go func() {
			defer close(done)
			low.write(t, in[0], 4*time.Second)
		}()
		time.Sleep(time.Second)
		high.at = 11 * time.Second
		high.write(t, in[1], 2*time.Second)
		<-done
		synctest.Wait()
		if err := m.Close(); err != nil {
			t.Error(err)
		}
		frames := s.all()
		for _, c := range []struct {
			from, to  time.Duration
			low, high float64
		}{
			{10200, 10800, 0.3, 0}, {11200, 12800, 0.3, 0.2}, {13200, 13800, 0.3, 0},
		} {
			pcm := heardMix(t, frames, c.from*time.Millisecond, c.to*time.Millisecond)
			if a := amplitude(pcm, 400); math.Abs(a-c.low) > 0.03 {
				t.Errorf("from %d ms: 400 Hz at %.3f, want %.2f", c.from, a, c.low)
			}
			if a := amplitude(pcm, 1500); math.Abs(a-c.high) > 0.03 {
				t.Errorf("from %d ms: 1500 Hz at %.3f, want %.2f", c.from, a, c.high)
			}
		}
		checkSteps(t, frames)
		if n := len(frames); n < 198 || n > 201 {
			t.Errorf("%d frames of 4 s", n)
		}
		if at := frames[0].frame.PTS; (at - 10*time.Second).Abs() > time.Millisecond {
			t.Errorf("begins at %v", at)
		}
	})
}

// checkSteps wants frames of sound end to end, at most 150 ms late.
func checkSteps(t *testing.T, frames []got) {
	t.Helper()
	if len(frames) == 0 {
		t.Fatal("nothing came")
	}
	lag := frames[0].at - frames[0].frame.PTS
	for i := 1; i < len(frames); i++ {
		if d := frames[i].frame.PTS - frames[i-1].frame.PTS; (d - 20*time.Millisecond).Abs() > time.Millisecond {
			t.Errorf("frame %d is %v after the one before", i, d)
		}
		if late := frames[i].at - frames[i].frame.PTS - lag; late > 150*time.Millisecond {
			t.Fatalf("frame %d comes %v later than the first", i, late)
		}
	}
}

// TestMixerPause has both inputs pause: nothing is made up for that time, and
// the times of what follows are right.
func TestMixerPause(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m, s, in := mixing(t)
		defer m.Close()
		low := &tone{hz: 400, amplitude: 0.3, rate: 16000, channels: 1}
		low.write(t, in[0], time.Second)
		time.Sleep(5 * time.Second)
		low.at += 5 * time.Second
		before := len(s.all())
		low.write(t, in[0], time.Second)
		synctest.Wait()
		if before < 44 || before > 51 {
			t.Errorf("%d frames in the first second", before)
		}
		after := s.all()
		if n := len(after); n < 44 || n > 52 {
			t.Errorf("%d frames in the second after the pause", n)
		}
		if a := amplitude(heardMix(t, after, 6200*time.Millisecond, 6800*time.Millisecond), 400); math.Abs(a-0.3) > 0.03 {
			t.Errorf("400 Hz at %.3f after the pause", a)
		}
	})
}

// TestMixerLoud adds sounds to more than full scale: the sum is bent, not cut.
func TestMixerLoud(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m, s, in := mixing(t)
		a := &tone{hz: 400, amplitude: 0.9, rate: 8000, channels: 1}
		b := &tone{hz: 400, amplitude: 0.9, rate: 8000, channels: 1}
		for range 50 {
			if err := errors.Join(in[0].WriteFrame(t.Context(), a.next()), in[1].WriteFrame(t.Context(), b.next())); err != nil {
				t.Fatal(err)
			}
			time.Sleep(20 * time.Millisecond)
		}
		_ = m.Close()
		pcm := heardMix(t, s.all(), 100*time.Millisecond, 900*time.Millisecond)
		most := float32(0)
		for _, v := range pcm {
			most = max(most, v)
		}
		if most < 0.9 || most > 1 {
			t.Errorf("at most %.3f", most)
		}
	})
}

// TestMixerErrors: what cannot be done is refused, and what ends the sink ends
// the writers.
func TestMixerErrors(t *testing.T) {
	var none *media.ErrNoEncoder
	m := &inject.Mixer{Sink: newSink(), Audio: []media.Codec{media.G722}, Codecs: []media.AudioCodec{g711.ULaw{}}}
	if _, err := m.Input(); !errors.As(err, &none) || none.To != media.G722 {
		t.Errorf("no encoder: %v", err)
	}
	synctest.Test(t, func(t *testing.T) {
		broken := errors.New("broken")
		m := &inject.Mixer{
			Sink:  media.SinkFunc(func(context.Context, *media.Frame) error { return broken }),
			Audio: []media.Codec{media.PCMU}, Codecs: []media.AudioCodec{g711.ULaw{}},
		}
		in, err := m.Input()
		if err != nil {
			t.Fatal(err)
		}
		aac := &media.Frame{Track: &media.Track{Codec: media.AAC, ClockRate: 48000, Channels: 1}, Data: [][]byte{{1}}}
		if err := in.WriteFrame(t.Context(), aac); !errors.As(err, &none) || none.From != media.AAC {
			t.Errorf("no decoder: %v", err)
		}
		g := &tone{hz: 400, amplitude: 0.1, rate: 8000, channels: 1}
		for range 50 {
			if err = in.WriteFrame(t.Context(), g.next()); err != nil {
				break
			}
			time.Sleep(20 * time.Millisecond)
		}
		if !errors.Is(err, broken) {
			t.Errorf("a broken sink: %v", err)
		}
		_ = m.Close()
		if err := in.WriteFrame(t.Context(), g.next()); !errors.Is(err, media.ErrClosed) {
			t.Errorf("closed: %v", err)
		}
		if _, err := m.Input(); !errors.Is(err, media.ErrClosed) {
			t.Errorf("closed: %v", err)
		}
	})
}
