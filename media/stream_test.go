package media_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/goleak"

	"github.com/trunkcast/trunkcast/media"
	"github.com/trunkcast/trunkcast/media/mediatest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// inline makes attach attach direct sinks.
var inline bool

// attach attaches or fails the test.
func attach(t *testing.T, s *media.Stream, sink media.Sink, o media.SinkOptions) *media.Subscription {
	t.Helper()
	if r, ok := sink.(*mediatest.Recorder); ok {
		r.Inline = inline
	}
	sub, err := s.Attach(sink, o)
	if err != nil {
		t.Fatal(err)
	}
	return sub
}

func play(t *testing.T, s *media.Stream, frames []*media.Frame) {
	t.Helper()
	if err := mediatest.Play(ctx, s, frames); err != nil {
		t.Fatal(err)
	}
}

// call is what a call with audio and video brings.
func call(end time.Duration) []*media.Frame {
	return mediatest.Merge(end, &mediatest.Video{}, &mediatest.Audio{})
}

func TestPassesEverythingToAllSinks(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &media.Stream{}
		var sinks [3]mediatest.Recorder
		attach(t, s, &sinks[0], media.SinkOptions{})
		attach(t, s, &sinks[1], media.SinkOptions{NoAudio: true})
		attach(t, s, &sinks[2], media.SinkOptions{NoVideo: true})
		frames := call(3 * time.Second)
		play(t, s, frames)
		if err := s.CloseWrite(); err != nil {
			t.Error(err)
		}
		for i, want := range [][]*media.Frame{frames, mediatest.Of(true, frames), mediatest.Of(false, frames)} {
			if got := sinks[i].Frames(); !slices.Equal(got, want) {
				t.Errorf("sink %d got %d frames, want the %d that were written", i, len(got), len(want))
			}
			if closes, after := sinks[i].Closed(); closes != 1 || after != 0 {
				t.Errorf("sink %d: %d closes, %d frames after", i, closes, after)
			}
		}
		for _, at := range sinks[2].Times()[1:] {
			if at.Equal(sinks[2].Times()[0]) {
				t.Fatal("audio without video was held")
			}
		}
		if err := s.WriteFrame(ctx, frames[0]); !errors.Is(err, media.ErrClosed) {
			t.Errorf("WriteFrame after CloseWrite: %v", err)
		}
		if sub, err := s.Attach(&sinks[0], media.SinkOptions{}); sub != nil || !errors.Is(err, media.ErrClosed) {
			t.Errorf("Attach after CloseWrite: %v, %v", sub, err)
		}
		if err := errors.Join(s.Close(), s.CloseWrite(), s.Close()); err != nil {
			t.Error(err)
		}
		st := s.Stats()
		if st.Frames != uint64(len(frames)) || st.KeyFrames != 2 || len(st.Tracks) != 2 || len(st.Sinks) != 0 {
			t.Errorf("stats %+v", st)
		}
	})
}

func TestBadFramesAreRefused(t *testing.T) {
	s := &media.Stream{}
	for _, f := range []*media.Frame{nil, {}, {Track: &media.Track{}}} {
		if err := s.WriteFrame(ctx, f); err == nil {
			t.Errorf("%+v was taken", f)
		}
	}
	if _, err := s.Attach(nil, media.SinkOptions{}); err == nil {
		t.Error("no sink was attached")
	}
	_ = s.Close()
}

func TestStartsOnKeyFrame(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var asked atomic.Int32
		video := &mediatest.Video{GOP: -1}
		s := &media.Stream{}
		s.NeedKeyFrame = func() {
			asked.Add(1)
			_ = s.Tracks() // no lock is held
		}
		frames := mediatest.Merge(1005*ms, video, &mediatest.Audio{})
		play(t, s, frames) // nobody listens
		var first, second mediatest.Recorder
		attach(t, s, &first, media.SinkOptions{})
		attach(t, s, &second, media.SinkOptions{})
		if asked.Load() != 1 {
			t.Errorf("a key frame was asked for %d times by two new sinks", asked.Load())
		}
		audio := &mediatest.Audio{At: 1020 * ms}
		play(t, s, mediatest.Merge(1500*ms, video, audio))
		synctest.Wait()
		if n := len(first.Frames()); n != 0 {
			t.Errorf("%d frames before the first key frame", n)
		}
		video.AskKey()
		play(t, s, mediatest.Merge(3*time.Second, video, audio))
		_ = s.CloseWrite()
		for _, r := range []*mediatest.Recorder{&first, &second} {
			got := r.Frames()
			if err := mediatest.Check(got, mediatest.Checks{MaxGap: 40 * ms, Reorder: ms}); err != nil {
				t.Error(err)
			}
			if !got[0].Key || got[0].DTS < 1480*ms || got[1].DTS < got[0].DTS {
				t.Errorf("begins with %v key %v, then %v", got[0].DTS, got[0].Key, got[1].DTS)
			}
		}
		if asked.Load() != 1 {
			t.Errorf("a key frame was asked for %d times", asked.Load())
		}
		if st := s.Stats(); st.KeyRequests != 1 {
			t.Errorf("stats %+v", st)
		}
	})
}

func TestAsksOncePerSecond(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var asked []time.Time
		s := &media.Stream{NeedKeyFrame: func() { asked = append(asked, time.Now()) }}
		video := &mediatest.Video{GOP: -1}
		play(t, s, mediatest.Merge(100*ms, video))
		var sink mediatest.Recorder
		sub := attach(t, s, &sink, media.SinkOptions{})
		play(t, s, mediatest.Merge(5*time.Second, video))
		if n := len(asked); n < 4 || n > 5 {
			t.Errorf("asked %d times in 5 s", n)
		}
		for i, at := range asked[1:] {
			if at.Sub(asked[i]) < time.Second {
				t.Errorf("asked again after %v", at.Sub(asked[i]))
			}
		}
		if st := sub.Stats(); st.Dropped != 0 || st.Frames != 0 {
			t.Errorf("what was before the first key frame counts as dropped: %+v", st)
		}
		_ = s.Close()
	})
}

func TestNeedKeyFramePanics(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &media.Stream{NeedKeyFrame: func() { panic("no") }}
		var sink mediatest.Recorder
		attach(t, s, &sink, media.SinkOptions{})
		video := &mediatest.Video{}
		video.Next()
		play(t, s, mediatest.Merge(5*time.Second, video))
		_ = s.CloseWrite()
		if len(sink.Frames()) == 0 {
			t.Error("nothing came")
		}
	})
}

// TestAudioStart has the cases in which audio does not wait for a key frame.
func TestAudioStart(t *testing.T) {
	t.Run("audio only, from the first frame on", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			s := &media.Stream{}
			var early, late mediatest.Recorder
			attach(t, s, &early, media.SinkOptions{})
			frames := mediatest.Merge(3*time.Second, &mediatest.Audio{})
			play(t, s, frames[:75])
			synctest.Wait()
			if n := len(early.Frames()); n != 75 {
				t.Errorf("%d of 75 frames, though no video came for a second", n)
			}
			attach(t, s, &late, media.SinkOptions{})
			play(t, s, frames[75:80])
			synctest.Wait()
			if n := len(late.Frames()); n != 5 {
				t.Errorf("a sink of a stream known to have no video got %d of 5 frames at once", n)
			}
			play(t, s, frames[80:])
			_ = s.CloseWrite()
			if !slices.Equal(early.Frames(), frames) {
				t.Error("audio was lost while it was not clear whether there is video")
			}
		})
	})
	t.Run("audio only, as the writer knows", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			s := &media.Stream{}
			var before, after mediatest.Recorder
			attach(t, s, &before, media.SinkOptions{})
			frames := mediatest.Merge(time.Second, &mediatest.Audio{})
			play(t, s, frames[:10])
			s.ExpectVideo(false)
			attach(t, s, &after, media.SinkOptions{})
			play(t, s, frames[10:20])
			synctest.Wait()
			if a, b := len(before.Frames()), len(after.Frames()); a != 20 || b != 10 {
				t.Errorf("%d of 20 and %d of 10 frames", a, b)
			}
			s.ExpectVideo(true) // what has begun goes on
			play(t, s, mediatest.Merge(2*time.Second, &mediatest.Video{At: 400 * ms}, &mediatest.Audio{At: 400 * ms}))
			_ = s.CloseWrite()
			if err := mediatest.Check(before.Frames(), mediatest.Checks{MaxGap: 40 * ms, Reorder: ms}); err != nil {
				t.Error(err)
			}
			if n := len(mediatest.Of(true, before.Frames())); n != 40 {
				t.Errorf("%d video frames", n)
			}
		})
	})
	t.Run("short, audio only", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			s := &media.Stream{}
			var sink mediatest.Recorder
			attach(t, s, &sink, media.SinkOptions{})
			frames := mediatest.Merge(300*ms, &mediatest.Audio{})
			play(t, s, frames)
			_ = s.CloseWrite()
			if !slices.Equal(sink.Frames(), frames) {
				t.Errorf("%d of %d frames", len(sink.Frames()), len(frames))
			}
		})
	})
	t.Run("video without a key frame", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			s := &media.Stream{}
			video := &mediatest.Video{GOP: -1}
			play(t, s, mediatest.Merge(100*ms, video))
			var sink mediatest.Recorder
			attach(t, s, &sink, media.SinkOptions{})
			audio := &mediatest.Audio{At: 120 * ms}
			play(t, s, mediatest.Merge(1100*ms, video, audio))
			if n := len(sink.Frames()); n != 0 {
				t.Errorf("%d frames before a second has passed", n)
			}
			play(t, s, mediatest.Merge(2*time.Second, video, audio))
			video.AskKey()
			play(t, s, mediatest.Merge(3*time.Second, video, audio))
			_ = s.CloseWrite()
			got := sink.Frames()
			if err := mediatest.Check(got, mediatest.Checks{MaxGap: 40 * ms}); err != nil {
				t.Error(err)
			}
			if got[0].DTS != 120*ms {
				t.Errorf("audio begins at %v: what came while it was held is lost", got[0].DTS)
			}
			if n := len(mediatest.Of(true, got)); n != 25 {
				t.Errorf("%d video frames", n)
			}
		})
	})
	t.Run("video comes later", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			s := &media.Stream{}
			var sink mediatest.Recorder
			attach(t, s, &sink, media.SinkOptions{})
			play(t, s, mediatest.Merge(2*time.Second, &mediatest.Video{At: 500 * ms}, &mediatest.Audio{}))
			_ = s.CloseWrite()
			got := sink.Frames()
			if err := mediatest.Check(got, mediatest.Checks{Reorder: ms}); err != nil {
				t.Error(err)
			}
			if !got[0].Key {
				t.Errorf("begins with %s at %v", got[0].Track.Codec, got[0].DTS)
			}
		})
	})
}

// TestConcurrentUse has everything called at the same time, for the race
// detector.
func TestConcurrentUse(t *testing.T) {
	for round := range 20 {
		s := &media.Stream{Codecs: toAAC(nil), NeedKeyFrame: func() {}, DrainTimeout: 10 * time.Second}
		frames := call(2 * time.Second)
		var wg sync.WaitGroup
		wg.Go(func() {
			for _, f := range frames {
				if err := s.WriteFrame(ctx, f); err != nil && !errors.Is(err, media.ErrClosed) {
					t.Error(err)
				}
			}
		})
		var mu sync.Mutex
		var sinks []*mediatest.Recorder
		for i := range 4 {
			wg.Go(func() {
				for k := range 5 {
					sink := &mediatest.Recorder{Inline: i%2 == 0}
					o := media.SinkOptions{Name: fmt.Sprint(i, k)}
					if k%2 == 0 {
						o.Audio = []media.Codec{media.AAC}
					}
					sub, err := s.Attach(sink, o)
					if err != nil {
						if !errors.Is(err, media.ErrClosed) {
							t.Error(err)
						}
						return
					}
					mu.Lock()
					sinks = append(sinks, sink)
					mu.Unlock()
					_, _, _ = sub.Stats(), s.Stats(), sub.AudioErr()
					if k%3 == 0 {
						_ = sub.Close()
					}
				}
			})
		}
		wg.Go(func() {
			src, err := s.Source(media.SinkOptions{Audio: []media.Codec{media.AAC}})
			if err == nil {
				_ = src.Tracks()
				_, _ = mediatest.ReadAll(ctx, src)
				_ = src.Close()
			}
		})
		if round%2 == 0 {
			wg.Go(func() { _ = s.Close() })
		}
		wg.Go(func() { _ = s.CloseWrite() })
		wg.Wait()
		for _, sink := range sinks {
			if closes, after := sink.Closed(); closes != 1 || after != 0 {
				t.Errorf("%d closes, %d frames after", closes, after)
			}
			if err := mediatest.Check(sink.Frames(), mediatest.Checks{}); err != nil {
				t.Error(err)
			}
		}
		for _, c := range s.Codecs {
			if n := c.(*mediatest.PCM).Open(); n != 0 {
				t.Errorf("%d codecs of %s were not closed", n, c.Codec())
			}
		}
	}
}

// discard is a sink without memory.
var discard = media.SinkFunc(func(context.Context, *media.Frame) error { return nil })

func TestWriteFrameAllocatesNothing(t *testing.T) {
	s := &media.Stream{}
	for range 4 {
		attach(t, s, discard, media.SinkOptions{})
	}
	frames := call(time.Second)
	_ = mediatest.Feed(ctx, s, frames)
	i := 0
	if n := testing.AllocsPerRun(2000, func() {
		_ = s.WriteFrame(ctx, frames[i%len(frames)])
		i++
	}); n > 0.1 {
		t.Errorf("%g allocations a frame", n)
	}
	_ = s.Close()
}

func BenchmarkWriteFrame(b *testing.B) {
	for _, sinks := range []int{0, 1, 10} {
		b.Run(fmt.Sprintf("sinks=%d", sinks), func(b *testing.B) {
			s := &media.Stream{}
			for range sinks {
				if _, err := s.Attach(discard, media.SinkOptions{}); err != nil {
					b.Fatal(err)
				}
			}
			frames := call(10 * time.Second)
			b.ReportAllocs()
			i := 0
			for b.Loop() {
				_ = s.WriteFrame(ctx, frames[i%len(frames)])
				i++
			}
			_ = s.Close()
		})
	}
}

func TestErrNoEncoderNamesTheWayOut(t *testing.T) {
	err := error(&media.ErrNoEncoder{From: media.PCMU, To: media.AAC})
	if !strings.Contains(err.Error(), "media/aac") {
		t.Error(err)
	}
}
