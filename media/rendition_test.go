package media_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/trunkcast/trunkcast/media"
	"github.com/trunkcast/trunkcast/media/mediatest"
)

// countedCodec counts and can be made to fail.
type countedCodec struct {
	mediatest.PCM
	encoders, decoders atomic.Int32
	encoderErr         error
	decoderErr         error
	encode             func() error // before each Encode
}

func (c *countedCodec) NewDecoder(t *media.Track) (media.AudioDecoder, error) {
	c.decoders.Add(1)
	if c.decoderErr != nil {
		return nil, c.decoderErr
	}
	return c.PCM.NewDecoder(t)
}

func (c *countedCodec) NewEncoder(t *media.Track, o media.EncoderOptions) (media.AudioEncoder, error) {
	c.encoders.Add(1)
	if c.encoderErr != nil {
		return nil, c.encoderErr
	}
	e, err := c.PCM.NewEncoder(t, o)
	return &countedEncoder{e, c}, err
}

type countedEncoder struct {
	media.AudioEncoder
	codec *countedCodec
}

func (e *countedEncoder) Encode(dst []byte, pcm []float32) ([]byte, error) {
	if e.codec.encode != nil {
		if err := e.codec.encode(); err != nil {
			return dst, err
		}
	}
	return e.AudioEncoder.Encode(dst, pcm)
}

func counted() (in, out *countedCodec, s *media.Stream) {
	in = &countedCodec{PCM: mediatest.PCM{Name: media.PCMU, Rate: 8000}}
	out = &countedCodec{PCM: mediatest.PCM{Name: media.AAC, Rate: 16000}}
	return in, out, &media.Stream{Codecs: []media.AudioCodec{nil, in, out}}
}

var wantsAAC = media.SinkOptions{Name: "aac", Audio: []media.Codec{media.AAC}}

func TestOneEncoderForAll(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		in, out, s := counted()
		var sinks [4]mediatest.Recorder
		var subs [4]*media.Subscription
		other := wantsAAC
		other.Encoder.BitRate = 32000
		for i, o := range []media.SinkOptions{wantsAAC, wantsAAC, other, {Audio: []media.Codec{media.AAC, media.PCMU}}} {
			subs[i] = attach(t, s, &sinks[i], o)
		}
		audio, video := &mediatest.Audio{}, &mediatest.Video{}
		if n := out.encoders.Load(); n != 0 {
			t.Errorf("%d encoders before there is audio", n)
		}
		play(t, s, mediatest.Merge(2*time.Second, audio, video))
		synctest.Wait()
		if e, d := out.encoders.Load(), in.decoders.Load(); e != 2 || d != 2 {
			t.Errorf("%d encoders and %d decoders for two kinds of output", e, d)
		}
		if st := s.Stats(); len(st.Renditions) != 2 || !st.Renditions[0].Running || st.Renditions[0].Track.Codec != media.AAC {
			t.Errorf("renditions %+v", st.Renditions)
		}
		_ = subs[0].Close()
		synctest.Wait()
		if out.Open() != 2 {
			t.Error("an encoder was closed that somebody needs")
		}
		_ = subs[1].Close()
		synctest.Wait()
		if out.Open() != 1 || in.Open() != 1 {
			t.Errorf("%d encoders for one sink", out.Open())
		}
		var again mediatest.Recorder
		attach(t, s, &again, wantsAAC)
		play(t, s, mediatest.Merge(4*time.Second, audio, video))
		_ = s.CloseWrite()
		if out.encoders.Load() != 3 || out.Open()+in.Open() != 0 {
			t.Errorf("%d encoders made, %d open", out.encoders.Load(), out.Open())
		}
		for i, r := range []*mediatest.Recorder{&sinks[0], &sinks[1], &sinks[2], &sinks[3], &again} {
			got := r.Frames()
			if err := mediatest.Check(got, mediatest.Checks{SameTracks: true, Reorder: ms, MaxGap: 40 * ms}); err != nil {
				t.Errorf("sink %d: %v", i, err)
			}
			want := media.AAC
			if i == 3 {
				want = media.PCMU
			}
			if c := mediatest.Of(false, got)[0].Track.Codec; c != want {
				t.Errorf("sink %d got %s", i, c)
			}
		}
		a, b := mediatest.Of(false, sinks[0].Frames()), mediatest.Of(false, sinks[1].Frames())
		if a[10] != b[10] {
			t.Error("two sinks of one encoder got different frames")
		}
		if st := s.Stats(); len(st.Renditions) != 2 || st.Renditions[0].Running || st.Renditions[0].Frames+st.Renditions[1].Frames < 190+190 {
			t.Errorf("renditions after the end %+v", st.Renditions)
		}
	})
}

func TestNoEncoder(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &media.Stream{Codecs: []media.AudioCodec{&mediatest.PCM{Name: media.PCMU}}}
		var early, late mediatest.Recorder
		sub := attach(t, s, &early, wantsAAC) // nobody knows yet
		video, audio := &mediatest.Video{GOP: 10}, &mediatest.Audio{}
		play(t, s, mediatest.Merge(time.Second, video, audio))
		var missing *media.ErrNoEncoder
		if err := sub.AudioErr(); !errors.As(err, &missing) || missing.From != media.PCMU || missing.To != media.AAC {
			t.Errorf("AudioErr is %v", err)
		}
		second, err := s.Attach(&late, wantsAAC)
		if !errors.As(err, &missing) || second == nil {
			t.Fatalf("Attach returned %v, %v", second, err)
		}
		src, err := s.Source(wantsAAC)
		if !errors.As(err, &missing) || src == nil || len(src.Tracks()) != 1 {
			t.Fatalf("Source returned %v, %v", src, err)
		}
		play(t, s, mediatest.Merge(2*time.Second, video, audio))
		_ = s.CloseWrite()
		for i, n := range []int{50, 20} {
			got := []*mediatest.Recorder{&early, &late}[i].Frames()
			if len(got) < n || len(mediatest.Of(false, got)) != 0 {
				t.Errorf("sink %d: %d frames, %d of audio", i, len(got), len(mediatest.Of(false, got)))
			}
		}
	})
}

// TestCodecsFail has codecs that refuse, fail and panic. The video goes on.
func TestCodecsFail(t *testing.T) {
	no := errors.New("no")
	calls := 0
	for _, c := range []struct {
		name  string
		spoil func(in, out *countedCodec)
		want  error
		audio bool // there is some
		check func(r media.RenditionStats) bool
	}{
		{"no encoder", func(_, out *countedCodec) { out.encoderErr = no }, no, false, nil},
		{"no decoder", func(in, _ *countedCodec) { in.decoderErr = no }, nil, true,
			func(r media.RenditionStats) bool { return r.DecodeErrors == 150 && r.Silence > 2*time.Second }},
		{"panic", func(_, out *countedCodec) { out.encode = func() error { panic("argh") } }, media.ErrPanic, false, nil},
		{"some frames", func(_, out *countedCodec) {
			out.encode = func() error {
				if calls++; calls%10 == 0 {
					return no
				}
				return nil
			}
		}, nil, true, func(r media.RenditionStats) bool { return r.EncodeErrors == 15 && r.Frames > 130 }},
		{"rate", func(_, out *countedCodec) { out.Rate = 192000 }, errAny, false, nil},
		{"channels", func(_, out *countedCodec) { out.Channels = 6 }, errAny, false, nil},
		{"frame size", func(_, out *countedCodec) { out.FrameSize = 1 << 30 }, errAny, false, nil},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				in, out, s := counted()
				c.spoil(in, out)
				var sink mediatest.Recorder
				sub := attach(t, s, &sink, wantsAAC)
				play(t, s, call(3*time.Second))
				synctest.Wait()
				if err := sub.AudioErr(); !errors.Is(err, c.want) && (c.want != errAny || err == nil) {
					t.Errorf("AudioErr is %v, want %v", err, c.want)
				}
				_ = s.CloseWrite()
				got := sink.Frames()
				if err := mediatest.Check(got, mediatest.Checks{}); err != nil {
					t.Error(err)
				}
				if n := len(mediatest.Of(true, got)); n != 75 {
					t.Errorf("%d of 75 video frames", n)
				}
				if n := len(mediatest.Of(false, got)); n > 0 != c.audio {
					t.Errorf("%d audio frames", n)
				}
				if r := s.Stats().Renditions[0]; c.check != nil && !c.check(r) {
					t.Errorf("%+v", r)
				}
				if in.Open()+out.Open() != 0 {
					t.Errorf("%d decoders and %d encoders not closed", in.Open(), out.Open())
				}
			})
		})
	}
}

var errAny = errors.New("any")

// TestCodecHangs has an encoder that never returns.
func TestCodecHangs(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		_, out, s := counted()
		never := make(chan struct{})
		out.encode = func() error { <-never; return nil }
		var sink mediatest.Recorder
		sub := attach(t, s, &sink, wantsAAC)
		play(t, s, call(3*time.Second))
		began := time.Now()
		_ = s.CloseWrite()
		if d := time.Since(began); d > 2600*ms {
			t.Errorf("CloseWrite took %v", d)
		}
		if n := len(mediatest.Of(true, sink.Frames())); n < 70 {
			t.Errorf("%d video frames", n)
		}
		if !errors.Is(sub.AudioErr(), media.ErrAbandoned) {
			t.Errorf("AudioErr is %v", sub.AudioErr())
		}
		close(never)
		synctest.Wait()
		if out.Open() != 0 {
			t.Error("not closed when it came back")
		}
	})
}

// TestPassThenTranscode has a sink that takes G.711 as it is, until the caller
// changes to Opus.
func TestPassThenTranscode(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		codecs := toAAC(nil)
		// The first frame with sound begins before the last one of G.711.
		codecs[2].(*mediatest.PCM).Delay = 1000
		s := &media.Stream{Codecs: codecs}
		var sink mediatest.Recorder
		attach(t, s, &sink, media.SinkOptions{Audio: []media.Codec{media.AAC, media.PCMU}})
		audio := &mediatest.Audio{}
		play(t, s, mediatest.Merge(2*time.Second, audio))
		g711 := audio.Track
		audio.Track = &media.Track{Codec: media.Opus, ClockRate: 48000, Channels: 1}
		play(t, s, mediatest.Merge(4*time.Second, audio))
		audio.Track = g711
		play(t, s, mediatest.Merge(6*time.Second, audio))
		_ = s.CloseWrite()
		got := sink.Frames()
		if err := mediatest.Check(got, mediatest.Checks{MaxGap: 45 * ms}); err != nil {
			t.Error(err)
		}
		tracks := slices.CompactFunc(got, func(a, b *media.Frame) bool { return a.Track == b.Track })
		if len(tracks) != 2 || tracks[1].Track.Codec != media.AAC {
			t.Errorf("%d tracks one after the other", len(tracks))
		}
	})
}

// TestSameTrackAnew sees that a track with the same content is no change, nor
// worth a line in the log, whether its codec is known or not.
func TestSameTrackAnew(t *testing.T) {
	for _, c := range []struct {
		from     media.Codec
		decoders int32
		lines    int
	}{{media.PCMU, 1, 0}, {media.G722, 0, 1}} {
		synctest.Test(t, func(t *testing.T) {
			in, _, s := counted()
			var log lines
			s.Logger = slog.New(slog.NewTextHandler(&log, nil))
			var sink mediatest.Recorder
			attach(t, s, &sink, wantsAAC)
			frames := mediatest.Merge(time.Second, &mediatest.Audio{Track: &media.Track{Codec: c.from, ClockRate: 8000, Channels: 1}})
			for _, f := range frames {
				track := *f.Track
				f.Track = &track
			}
			play(t, s, frames)
			_ = s.CloseWrite()
			synctest.Wait()
			if n := in.decoders.Load(); n != c.decoders {
				t.Errorf("%s: %d decoders", c.from, n)
			}
			if n := log.count.Load(); int(n) != c.lines {
				t.Errorf("%s: %d lines in the log", c.from, n)
			}
		})
	}
}

// lines counts the writes of a log.
type lines struct{ count atomic.Int32 }

func (l *lines) Write(p []byte) (int, error) {
	l.count.Add(1)
	return len(p), nil
}

func TestTranscodedSource(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		in, out, s := counted()
		src, err := s.Source(wantsAAC)
		if err != nil {
			t.Fatal(err)
		}
		done := make(chan []*media.Frame)
		go func() {
			got, err := mediatest.ReadAll(ctx, src)
			if err != nil {
				t.Error(err)
			}
			done <- got
		}()
		play(t, s, call(2*time.Second))
		if tracks := src.Tracks(); len(tracks) != 2 || tracks[1].Codec != media.AAC {
			t.Errorf("tracks %v", tracks)
		}
		_ = s.CloseWrite()
		got := <-done
		if err := mediatest.Check(got, mediatest.Checks{Reorder: ms, MaxGap: 40 * ms}); err != nil {
			t.Error(err)
		}
		if n := len(mediatest.Of(false, got)); n != 100 {
			t.Errorf("%d audio frames", n)
		}
		if in.Open()+out.Open() != 0 {
			t.Error("codecs not closed")
		}
	})
}

// FuzzTranscode has times and sizes of all kinds, and looks that the audio
// that comes out goes on without a gap or jumps forward, and that it does not
// become endless.
func FuzzTranscode(f *testing.F) {
	f.Add([]byte{0, 20, 160, 0, 20, 160, 3, 40, 0, 0, 20, 160, 1, 20, 160})
	f.Add([]byte{3, 0, 0, 3, 250, 0, 3, 250, 0, 3, 250, 0, 3, 250, 0, 0, 1, 160})
	f.Add([]byte{0, 20, 160, 4, 255, 160, 0, 20, 160, 5, 255, 160, 0, 20, 160})
	f.Add([]byte{2, 20, 160, 1, 20, 160, 2, 20, 161, 0, 20, 3, 0, 0, 0, 6, 10, 10})
	tracks := [3]*media.Track{
		{Codec: media.PCMU, ClockRate: 8000, Channels: 1},
		{Codec: media.Opus, ClockRate: 48000, Channels: 2},
		{Codec: media.G722, ClockRate: 16000, Channels: 1}, // no codec
	}
	video := mediatest.H264Track(64, 64)
	f.Fuzz(func(t *testing.T, script []byte) {
		script = script[:min(len(script), 300)]
		synctest.Test(t, func(t *testing.T) {
			s := &media.Stream{Codecs: toAAC(nil)}
			var sink mediatest.Recorder
			attach(t, s, &sink, wantsAAC)
			at, most := time.Duration(0), 2*time.Second
			for ; len(script) >= 3; script = script[3:] {
				step := time.Duration(script[1]) * ms
				frame := &media.Frame{Track: tracks[min(script[0]%8, 2)], Data: [][]byte{make([]byte, 2*int(script[2]))}}
				switch script[0] % 8 {
				case 3:
					frame.Track, frame.Key = video, script[2] == 0
				case 4:
					step *= 100
				case 5:
					step = -step * 100
				case 6:
					frame.Data = nil
				case 7:
					frame.Data = [][]byte{mediatest.Bad}
				}
				at += step
				frame.PTS, frame.DTS = at, at
				most += max(step, 0) + 300*ms
				if err := s.WriteFrame(ctx, frame); err != nil {
					t.Fatal(err)
				}
				time.Sleep(ms)
			}
			_ = s.CloseWrite()
			const length = 1024 * time.Second / 48000
			audio := mediatest.Of(false, sink.Frames())
			for i, f := range audio {
				if len(f.Data) != 1 || len(f.Data[0]) != 2048 {
					t.Fatalf("frame %d has a wrong size", i)
				}
				if i == 0 {
					continue
				}
				if d := f.PTS - audio[i-1].PTS; (d-length).Abs() > time.Microsecond && d < 9*time.Second {
					t.Fatalf("audio at %v after %v", f.PTS, audio[i-1].PTS)
				}
			}
			if d := time.Duration(len(audio)) * length; d > most {
				t.Fatalf("%v of audio, at most %v came in", d, most)
			}
		})
	})
}

func BenchmarkTranscode(b *testing.B) {
	for _, c := range []struct {
		rate  int
		track media.Track
	}{
		{48000, media.Track{Codec: media.PCMU, ClockRate: 8000, Channels: 1}},
		{48000, media.Track{Codec: media.Opus, ClockRate: 48000, Channels: 1}},
	} {
		b.Run(fmt.Sprintf("%s-%d", c.track.Codec, c.rate), func(b *testing.B) {
			s := &media.Stream{Codecs: toAAC(nil)}
			last := make(chan time.Duration, 1)
			_, err := s.Attach(media.SinkFunc(func(_ context.Context, f *media.Frame) error { last <- f.PTS; return nil }), wantsAAC)
			if err != nil {
				b.Fatal(err)
			}
			audio := &mediatest.Audio{Track: &c.track}
			data := audio.Next().Data
			b.ReportAllocs()
			at, done := 20*ms, time.Duration(0)
			for b.Loop() {
				f := &media.Frame{Track: &c.track, PTS: at, DTS: at, Data: data}
				_ = s.WriteFrame(ctx, f)
				at += 20 * ms
				for at > 3*time.Second && done < at-time.Second { // never more waiting than it holds
					done = <-last
				}
			}
			go func() {
				for range last {
				}
			}()
			_ = s.Close()
			close(last)
		})
	}
}
