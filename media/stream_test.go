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

// attach attaches or fails the test.
func attach(t *testing.T, s *media.Stream, sink media.Sink, o media.SinkOptions) *media.Subscription {
	t.Helper()
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

// TestSlowSinks has one sink that is too slow and one that never returns. A
// third one must not notice.
func TestSlowSinks(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var asked atomic.Int32
		s := &media.Stream{NeedKeyFrame: func() { asked.Add(1) }}
		var good mediatest.Recorder
		slow := mediatest.Recorder{Before: func(ctx context.Context, _ *media.Frame) error {
			time.Sleep(60 * ms) // of 13 ms that there are for a frame
			return nil
		}}
		release := make(chan struct{})
		dead := mediatest.Recorder{Before: func(context.Context, *media.Frame) error {
			<-release
			return errors.New("late")
		}}
		attach(t, s, &good, media.SinkOptions{Name: "good"})
		slowSub := attach(t, s, &slow, media.SinkOptions{Name: "slow"})
		deadSub := attach(t, s, &dead, media.SinkOptions{Name: "dead", MaxQueue: 10_000})
		began := time.Now()
		frames := mediatest.Merge(20*time.Second, &mediatest.Video{GOP: 25, KeySize: 2000, Size: 500}, &mediatest.Audio{})
		play(t, s, frames)
		if d := time.Since(began); d > 20*time.Second {
			t.Errorf("the writer took %v", d)
		}
		if st := deadSub.Stats(); st.Queued > 10_000 || st.Dropped < 1000 || st.Frames != 0 {
			t.Errorf("dead sink: %+v", st)
		}
		if asked.Load() != 0 { // they come each second, and the dead one cannot use any
			t.Errorf("asked for %d key frames", asked.Load())
		}
		_ = s.CloseWrite()
		if d := time.Since(began); d > 23*time.Second {
			t.Errorf("CloseWrite took until %v", d)
		}
		if got := good.Frames(); !slices.Equal(got, frames) {
			t.Errorf("the good sink got %d of %d frames", len(got), len(frames))
		}
		for i, at := range good.Times() {
			if late := at.Sub(began) - frames[i].DTS; late != 0 {
				t.Fatalf("frame %d came %v late to the good sink", i, late)
			}
		}
		checkWholeGroups(t, frames, slow.Frames())
		st := slowSub.Stats()
		if st.Dropped == 0 || st.Frames != uint64(len(slow.Frames())) || st.Frames+st.Dropped != uint64(len(frames)) || st.Queued != 0 {
			t.Errorf("slow sink: %+v of %d", st, len(frames))
		}
		for i, at := range slow.Times() {
			late := at.Sub(began) - slow.Frames()[i].DTS
			if at.Sub(began) < 20*time.Second && late > 2100*ms {
				t.Fatalf("frame %d waited %v", i, late)
			}
		}
		if err := slowSub.Err(); !errors.Is(err, media.ErrClosed) {
			t.Errorf("the slow one ended with %v", err)
		}
		if err := deadSub.Err(); !errors.Is(err, media.ErrAbandoned) {
			t.Errorf("the dead one ended with %v", err)
		}
		if st := s.Stats(); st.Abandoned != 1 {
			t.Errorf("stats %+v", st)
		}
		close(release)
		synctest.Wait()
		if closes, _ := dead.Closed(); closes != 1 {
			t.Errorf("the dead sink was closed %d times when it came back", closes)
		}
	})
}

// checkWholeGroups checks that what is missing in got begins anywhere and ends
// before a key frame, as far as video is concerned.
func checkWholeGroups(t *testing.T, all, got []*media.Frame) {
	t.Helper()
	video := mediatest.Of(true, all)
	gaps, i := 0, 0
	for _, f := range mediatest.Of(true, got) {
		if f != video[i] {
			gaps++
			for f != video[i] {
				i++
			}
			if !f.Key {
				t.Errorf("video goes on at %v without a key frame", f.DTS)
			}
		}
		i++
	}
	if gaps == 0 {
		t.Error("no video was lost: nothing is tested")
	}
	if err := mediatest.Check(got, mediatest.Checks{Reorder: ms}); err != nil {
		t.Error(err)
	}
}

// TestLossWithoutKeyFrames has a sink that falls behind when key frames come
// on demand only.
func TestLossWithoutKeyFrames(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var asked atomic.Int32
		video := &mediatest.Video{GOP: -1}
		audio := &mediatest.Audio{}
		s := &media.Stream{NeedKeyFrame: func() { asked.Add(1); video.AskKey() }}
		stuck := make(chan struct{})
		sink := mediatest.Recorder{Before: func(_ context.Context, f *media.Frame) error {
			if f.DTS > time.Second {
				<-stuck
			}
			return nil
		}}
		attach(t, s, &sink, media.SinkOptions{})
		var all []*media.Frame
		step := func(to time.Duration) {
			for video.At < to {
				frames := mediatest.Merge(video.At+40*ms, video, audio)
				all = append(all, frames...)
				play(t, s, frames)
				time.Sleep(40*ms - frames[len(frames)-1].DTS + frames[0].DTS)
			}
		}
		step(4 * time.Second)
		if n := asked.Load(); n != 0 {
			t.Errorf("asked %d times for a key frame, though the sink is stuck", n)
		}
		close(stuck)
		step(6 * time.Second)
		_ = s.CloseWrite()
		if n := asked.Load(); n != 1 {
			t.Errorf("asked %d times for a key frame", n)
		}
		checkWholeGroups(t, all, sink.Frames())
	})
}

// TestSlowAudio sees that audio alone is lost in pieces, not frame by frame.
func TestSlowAudio(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &media.Stream{}
		sink := mediatest.Recorder{Before: func(context.Context, *media.Frame) error { time.Sleep(30 * ms); return nil }}
		sub := attach(t, s, &sink, media.SinkOptions{NoVideo: true, MaxDelay: time.Second})
		play(t, s, mediatest.Merge(20*time.Second, &mediatest.Audio{}))
		_ = s.CloseWrite()
		gaps := 0
		for i, f := range sink.Frames()[1:] {
			if f.DTS-sink.Frames()[i].DTS > 20*ms {
				gaps++
			}
		}
		if st := sub.Stats(); st.Dropped < 200 || gaps == 0 || gaps > 20 {
			t.Errorf("%d frames lost in %d gaps", st.Dropped, gaps)
		}
	})
}

func TestOversizedFrame(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &media.Stream{}
		var sink mediatest.Recorder
		attach(t, s, &sink, media.SinkOptions{MaxQueue: 1000})
		play(t, s, mediatest.Merge(time.Second, &mediatest.Video{KeySize: 5000, GOP: 5}))
		_ = s.CloseWrite()
		if n := len(sink.Frames()); n != 25 {
			t.Errorf("%d of 25 frames; one that is larger than the queue must not be the end", n)
		}
	})
}

func TestFailingSinks(t *testing.T) {
	boom := errors.New("boom")
	bad := errors.New("bad close")
	for _, c := range []struct {
		name string
		sink *mediatest.Recorder
		want []error
	}{
		{"error", &mediatest.Recorder{Before: func(_ context.Context, f *media.Frame) error {
			if f.DTS > 500*ms {
				return boom
			}
			return nil
		}}, []error{boom}},
		{"panic", &mediatest.Recorder{Before: func(context.Context, *media.Frame) error { panic("argh") }}, []error{media.ErrPanic}},
		{"close fails", &mediatest.Recorder{OnClose: func() error { return bad }}, []error{media.ErrClosed, bad}},
		{"close panics", &mediatest.Recorder{OnClose: func() error { panic("argh") }}, []error{media.ErrClosed, media.ErrPanic}},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s := &media.Stream{}
				var good mediatest.Recorder
				attach(t, s, &good, media.SinkOptions{})
				sub := attach(t, s, c.sink, media.SinkOptions{Name: "bad"})
				frames := call(time.Second)
				play(t, s, frames[:len(frames)-1])
				if c.sink.Before != nil {
					synctest.Wait()
					select {
					case <-sub.Done():
					default:
						t.Error("not done after its error")
					}
					if st := s.Stats(); len(st.Sinks) != 1 {
						t.Errorf("stats %+v", st)
					}
				} else if sub.Err() != nil {
					t.Errorf("error while it runs: %v", sub.Err())
				}
				play(t, s, frames[len(frames)-1:])
				_ = s.CloseWrite()
				for _, want := range c.want {
					if err := sub.Err(); !errors.Is(err, want) {
						t.Errorf("ended with %v, want %v", err, want)
					}
				}
				if closes, after := c.sink.Closed(); closes != 1 || after != 0 {
					t.Errorf("%d closes, %d frames after", closes, after)
				}
				if !slices.Equal(good.Frames(), frames) {
					t.Error("the other sink lost frames")
				}
			})
		})
	}
}

// TestFailureFreesTheQueue has a sink fail while frames wait.
func TestFailureFreesTheQueue(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &media.Stream{}
		fail := make(chan struct{})
		sink := mediatest.Recorder{Before: func(context.Context, *media.Frame) error { <-fail; return errors.New("full") }}
		sub := attach(t, s, &sink, media.SinkOptions{})
		play(t, s, call(time.Second))
		close(fail)
		<-sub.Done()
		if st := sub.Stats(); st.Queued != 0 || st.Dropped != 74 || st.Frames != 0 {
			t.Errorf("%+v", st)
		}
		_ = s.Close()
	})
}

func TestDetach(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &media.Stream{}
		hold := make(chan struct{})
		sink := mediatest.Recorder{Before: func(context.Context, *media.Frame) error { <-hold; return nil }}
		sub := attach(t, s, &sink, media.SinkOptions{Name: "a"})
		frames := call(time.Second)
		play(t, s, frames[:30])
		go func() { time.Sleep(ms); close(hold) }()
		var wg sync.WaitGroup
		for range 3 {
			wg.Go(func() { _ = sub.Close() })
		}
		wg.Wait()
		if n := len(sink.Frames()); n != 30 {
			t.Errorf("%d of 30 frames that were queued", n)
		}
		if closes, _ := sink.Closed(); closes != 1 || !errors.Is(sub.Err(), media.ErrClosed) || sub.Name() != "a" {
			t.Errorf("%d closes, %v", closes, sub.Err())
		}
		play(t, s, frames[30:])
		_ = s.CloseWrite()
		if n := len(sink.Frames()); n != 30 {
			t.Errorf("%d frames after Close", n-30)
		}
	})
}

// TestCloseTimes has a sink that takes its time, and ways to end it.
func TestCloseTimes(t *testing.T) {
	obeys := func(ctx context.Context, _ *media.Frame) error { <-ctx.Done(); return ctx.Err() }
	for _, c := range []struct {
		name      string
		before    func(context.Context, *media.Frame) error
		onClose   func() error
		end       func(*media.Stream) error
		want      time.Duration // until it returns
		closes    int
		abandoned uint64
	}{
		{"CloseWrite drains", func(context.Context, *media.Frame) error { time.Sleep(10 * ms); return nil }, nil,
			(*media.Stream).CloseWrite, 500 * ms, 1, 0},
		{"CloseWrite gives up", obeys, nil, (*media.Stream).CloseWrite, 700 * ms, 1, 0},
		{"CloseWrite abandons", nil, nil, (*media.Stream).CloseWrite, 1200 * ms, 0, 1},
		{"Close", obeys, nil, (*media.Stream).Close, 0, 1, 0},
		{"Close abandons", nil, nil, (*media.Stream).Close, 700 * ms, 0, 1},
		{"slow Close of the sink", obeys, func() error { time.Sleep(1100 * ms); return nil }, (*media.Stream).Close, 1100 * ms, 1, 0},
		{"hanging Close of the sink", obeys, func() error { time.Sleep(time.Hour); return nil }, (*media.Stream).Close, 1200 * ms, 1, 1},
		{"Close during CloseWrite", obeys, nil, func(s *media.Stream) error {
			time.AfterFunc(300*ms, func() { _ = s.Close() })
			return s.CloseWrite()
		}, 300 * ms, 1, 0},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s := &media.Stream{DrainTimeout: 700 * ms}
				never := make(chan struct{})
				sink := mediatest.Recorder{Before: c.before, OnClose: c.onClose}
				if c.before == nil {
					sink.Before = func(context.Context, *media.Frame) error { <-never; return nil }
				}
				sub := attach(t, s, &sink, media.SinkOptions{})
				if err := mediatest.Feed(ctx, s, mediatest.Merge(2*time.Second, &mediatest.Video{})); err != nil {
					t.Fatal(err)
				}
				synctest.Wait()
				began := time.Now()
				if err := c.end(s); err != nil {
					t.Error(err)
				}
				if d := time.Since(began); d != c.want {
					t.Errorf("took %v, want %v", d, c.want)
				}
				if closes, _ := sink.Closed(); closes != c.closes {
					t.Errorf("%d closes", closes)
				}
				if st := s.Stats(); st.Abandoned != c.abandoned || (c.abandoned > 0) != errors.Is(sub.Err(), media.ErrAbandoned) {
					t.Errorf("%d abandoned, %v", st.Abandoned, sub.Err())
				}
				select {
				case <-s.Done():
				default:
					t.Error("not Done")
				}
				close(never)
				time.Sleep(2 * time.Hour) // until everything has come back
			})
		})
	}
}

func TestSource(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &media.Stream{}
		all, err := s.Source(media.SinkOptions{})
		if err != nil || len(all.Tracks()) != 0 {
			t.Fatal(err, all.Tracks())
		}
		idle, _ := s.Source(media.SinkOptions{MaxQueue: 1000}) // nobody reads it
		left, _ := s.Source(media.SinkOptions{NoVideo: true})
		frames := call(time.Second)
		var got []*media.Frame
		var wg sync.WaitGroup
		wg.Go(func() {
			if got, err = mediatest.ReadAll(ctx, all); err != nil {
				t.Error(err)
			}
		})
		wg.Go(func() {
			_, _ = left.ReadFrame(ctx)
			for {
				if _, err := left.ReadFrame(ctx); err != nil {
					if !errors.Is(err, media.ErrClosed) {
						t.Errorf("ReadFrame after Close: %v", err)
					}
					return
				}
			}
		})
		play(t, s, frames)
		if n := len(all.Tracks()); n != 2 {
			t.Errorf("%d tracks", n)
		}
		if tracks := left.Tracks(); len(tracks) != 1 || tracks[0].Codec != media.PCMU {
			t.Errorf("tracks %v", tracks)
		}
		if err := errors.Join(left.Close(), left.Close()); err != nil {
			t.Error(err)
		}
		began := time.Now()
		_ = s.CloseWrite()
		if d := time.Since(began); d != 0 {
			t.Errorf("CloseWrite waited %v for a source that nobody reads", d)
		}
		wg.Wait()
		if !slices.Equal(got, frames) {
			t.Errorf("%d of %d frames", len(got), len(frames))
		}
		canceled, cancel := context.WithCancel(ctx)
		cancel()
		if _, err := idle.ReadFrame(canceled); !errors.Is(err, context.Canceled) {
			t.Errorf("ReadFrame with a context that is done: %v", err)
		}
		if _, err := s.Source(media.SinkOptions{}); !errors.Is(err, media.ErrClosed) {
			t.Errorf("Source after the end: %v", err)
		}
	})
}

// TestSourceKeepsTheContract gives the sources of streams to the checks that
// every source has to pass.
func TestSourceKeepsTheContract(t *testing.T) {
	for _, o := range []media.SinkOptions{{}, wantsAAC} {
		var streams []*media.Stream
		err := mediatest.TestSource(func() (media.Source, error) {
			s := &media.Stream{Codecs: toAAC(nil)}
			src, err := s.Source(o)
			if err == nil {
				err = mediatest.Feed(ctx, s, call(time.Second))
			}
			streams = append(streams, s)
			return src, errors.Join(err, s.CloseWrite())
		}, ms)
		if err != nil {
			t.Errorf("%+v: %v", o, err)
		}
		for _, s := range streams {
			_ = s.Close()
		}
	}
}

func TestSourceOfClosedStream(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &media.Stream{}
		src, _ := s.Source(media.SinkOptions{})
		go func() { time.Sleep(ms); _ = s.Close() }()
		if _, err := src.ReadFrame(ctx); !errors.Is(err, media.ErrClosed) {
			t.Errorf("ReadFrame: %v", err)
		}
	})
}

func TestDirectory(t *testing.T) {
	var d media.Directory
	a, b := &media.Stream{Name: "a"}, &media.Stream{}
	if err := errors.Join(d.Add("b", b), d.Add("a", a), d.Add("c", a)); err != nil {
		t.Fatal(err)
	}
	if err := d.Add("a", b); !errors.Is(err, media.ErrNameTaken) {
		t.Errorf("a name twice: %v", err)
	}
	if got := fmt.Sprint(d.Names()); got != "[a b c]" || d.Get("a") != a || d.Get("x") != nil {
		t.Errorf("names %v", got)
	}
	d.Remove("a", b)
	d.Remove("x", nil)
	if d.Get("a") != a {
		t.Error("another stream's entry was removed")
	}
	_ = a.CloseWrite()
	if got := fmt.Sprint(d.Names()); got != "[b]" {
		t.Errorf("names after the end of a: %v", got)
	}
	if err := d.Add("a", a); !errors.Is(err, media.ErrClosed) {
		t.Errorf("a stream that is done: %v", err)
	}
	d.Remove("b", b)
	if err := d.Add("b", a); !errors.Is(err, media.ErrClosed) || len(d.Names()) != 0 {
		t.Errorf("names %v", d.Names())
	}
	_ = b.Close()
}

// TestDirectoryUnderLoad has streams come and go by the same names.
func TestDirectoryUnderLoad(t *testing.T) {
	var d media.Directory
	var wg sync.WaitGroup
	for i := range 8 {
		wg.Go(func() {
			for k := range 200 {
				s := &media.Stream{}
				name := fmt.Sprint((i + k) % 5)
				if d.Add(name, s) == nil && d.Get(name) != s {
					t.Error("another stream by that name")
				}
				_ = d.Names()
				_ = s.Close()
			}
		})
	}
	wg.Wait()
	if len(d.Names()) != 0 {
		t.Errorf("left: %v", d.Names())
	}
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
					sink := &mediatest.Recorder{}
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
