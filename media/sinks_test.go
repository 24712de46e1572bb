package media_test

import (
	"context"
	"errors"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/trunkcast/trunkcast/media"
	"github.com/trunkcast/trunkcast/media/mediatest"
)

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
