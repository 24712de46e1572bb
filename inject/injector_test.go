package inject_test

import (
	"context"
	"errors"
	"io"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/trunkcast/trunkcast/inject"
	"github.com/trunkcast/trunkcast/internal/democlip"
	"github.com/trunkcast/trunkcast/media"
)

// got is a frame as a sink saw it.
type got struct {
	frame *media.Frame
	at    time.Duration // since the sink was made
}

// sink records frames.
type sink struct {
	began time.Time
	hook  func(*media.Frame) error

	mu     sync.Mutex
	frames []got
}

func newSink() *sink { return &sink{began: time.Now()} }

func (s *sink) WriteFrame(_ context.Context, f *media.Frame) error {
	if s.hook != nil {
		if err := s.hook(f); err != nil {
			return err
		}
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.frames = append(s.frames, got{f, time.Since(s.began)})
	return nil
}

// all returns what came, and forgets it.
func (s *sink) all() []got {
	s.mu.Lock()
	defer s.mu.Unlock()
	all := s.frames
	s.frames = nil
	return all
}

// checkOrder fails if the times of a kind of media go back.
func checkOrder(t *testing.T, frames []got) {
	t.Helper()
	last := map[bool]time.Duration{true: -1, false: -1}
	for i, g := range frames {
		video := g.frame.Track.Codec.Video()
		if g.frame.DTS <= last[video] {
			t.Fatalf("frame %d (video %v): DTS %v after %v", i, video, g.frame.DTS, last[video])
		}
		last[video] = g.frame.DTS
	}
}

func start(t *testing.T, i *inject.Injector) {
	t.Helper()
	if err := i.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
}

// TestPace plays a clip for 5 minutes: every frame comes when it is due, to the
// last round.
func TestPace(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newSink()
		i := &inject.Injector{Source: democlip.Open(), Sink: s}
		defer i.Close()
		start(t, i)
		time.Sleep(5*time.Minute - time.Millisecond)
		synctest.Wait()
		frames := s.all()
		// 25 pictures and 50 packets a second.
		if n := len(frames); n < 75*300-2 || n > 75*300+3 {
			t.Errorf("%d frames", n)
		}
		checkOrder(t, frames)
		for n, g := range frames {
			if late := g.at - g.frame.DTS; late < 0 || late > time.Millisecond {
				t.Fatalf("frame %d of time %v came at %v", n, g.frame.DTS, g.at)
			}
		}
		if st := i.Status(); st.Moved != 0 || st.Rounds != 24 {
			t.Errorf("status is %+v", st)
		}
	})
}

// TestPause holds the clip for 10 s: nothing comes meanwhile, and nothing is
// made up for or lost.
func TestPause(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newSink()
		i := &inject.Injector{Source: democlip.Open(), Sink: s}
		defer i.Close()
		start(t, i)
		time.Sleep(2500 * time.Millisecond)
		i.Pause()
		synctest.Wait()
		before := s.all()
		time.Sleep(10 * time.Second)
		synctest.Wait()
		if n := len(s.all()); n != 0 {
			t.Errorf("%d frames during the pause", n)
		}
		if !i.Status().Paused {
			t.Error("Status tells nothing of the pause")
		}
		i.Resume()
		time.Sleep(time.Second)
		synctest.Wait()
		after := s.all()
		checkOrder(t, append(before, after...))
		if n := len(after); n < 74 || n > 77 {
			t.Errorf("%d frames in the second after the pause", n)
		}
		if gap := after[0].frame.DTS - before[len(before)-1].frame.DTS; gap < 10*time.Second || gap > 10050*time.Millisecond {
			t.Errorf("the pause is %v long for the sink", gap)
		}
		if p := i.Status().Position; (p - 3500*time.Millisecond).Abs() > 50*time.Millisecond {
			t.Errorf("position %v", p)
		}
	})
}

// TestSeek jumps forward and back; the sink sees neither, but the key frame.
func TestSeek(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newSink()
		i := &inject.Injector{Source: democlip.Open(), Sink: s}
		defer i.Close()
		start(t, i)
		for _, to := range []time.Duration{7300 * time.Millisecond, 500 * time.Millisecond, time.Hour, -time.Second} {
			time.Sleep(1300 * time.Millisecond)
			before := s.all()
			if err := i.Seek(to); err != nil {
				t.Fatal(err)
			}
			time.Sleep(300 * time.Millisecond)
			synctest.Wait()
			after := s.all()
			checkOrder(t, append(before, after...))
			n := slices.IndexFunc(after, func(g got) bool { return g.frame.Track.Codec.Video() })
			if n < 0 || !after[n].frame.Key {
				t.Fatalf("after the jump to %v the first picture is none to begin with", to)
			}
			if gap := after[0].at - before[len(before)-1].at; gap > 50*time.Millisecond {
				t.Errorf("the jump to %v took %v", to, gap)
			}
			want := min(max(to.Truncate(time.Second), 0), 11*time.Second) + 300*time.Millisecond
			if p := i.Status().Position; (p - want).Abs() > 60*time.Millisecond {
				t.Errorf("after the jump to %v: position %v", to, p)
			}
		}
	})
}

// TestEnd plays a file once.
func TestEnd(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newSink()
		f := democlip.Open()
		f.SetLoop(false)
		var events []inject.Event
		i := &inject.Injector{Source: f, Sink: s, OnEvent: func(e inject.Event) { events = append(events, e) }}
		start(t, i)
		if i.Err() != nil {
			t.Error("an error while it runs")
		}
		<-i.Done()
		if i.Err() != io.EOF {
			t.Errorf("it ended by %v", i.Err())
		}
		if n := len(s.all()); n != 900 {
			t.Errorf("%d frames", n)
		}
		if at := time.Since(s.began); at < 11900*time.Millisecond || at > 12*time.Second {
			t.Errorf("it took %v", at)
		}
		if len(events) != 2 || events[0].Type != inject.Started || events[1].Type != inject.Ended || events[1].Err != io.EOF {
			t.Errorf("events %+v", events)
		}
		if _, err := f.ReadFrame(t.Context()); !errors.Is(err, media.ErrClosed) {
			t.Errorf("the source was not closed: %v", err)
		}
		if i.Close() != nil || i.Err() != io.EOF {
			t.Error("Close changes the reason")
		}
	})
}

// TestSlowSink blocks for a while: a short time is made up for, a long one
// moves the schedule, and nothing is lost.
func TestSlowSink(t *testing.T) {
	for _, c := range []struct {
		hold  time.Duration
		moved uint64
	}{{150 * time.Millisecond, 0}, {3 * time.Second, 1}} {
		synctest.Test(t, func(t *testing.T) {
			s := newSink()
			held := false
			s.hook = func(f *media.Frame) error {
				if !held && f.DTS > time.Second {
					held = true
					time.Sleep(c.hold)
				}
				return nil
			}
			i := &inject.Injector{Source: democlip.Open(), Sink: s}
			defer i.Close()
			start(t, i)
			time.Sleep(5*time.Second + time.Duration(c.moved)*c.hold)
			synctest.Wait()
			frames := s.all()
			checkOrder(t, frames)
			if n := len(frames); n < 370 || n > 380 {
				t.Errorf("held for %v: %d frames", c.hold, n)
			}
			if st := i.Status(); st.Moved != c.moved {
				t.Errorf("held for %v: status %+v", c.hold, st)
			}
		})
	}
}

// TestClose ends an injection in every order.
func TestClose(t *testing.T) {
	newInjector := func() *inject.Injector {
		return &inject.Injector{Source: democlip.Open(), Sink: newSink()}
	}
	cases := map[string]func(*testing.T, *inject.Injector) error{
		"before Start": func(t *testing.T, i *inject.Injector) error {
			i.Close()
			if err := i.Start(t.Context()); !errors.Is(err, media.ErrClosed) {
				t.Errorf("Start after Close: %v", err)
			}
			return media.ErrClosed
		},
		"at once": func(t *testing.T, i *inject.Injector) error {
			start(t, i)
			i.Close()
			return media.ErrClosed
		},
		"twice at once": func(t *testing.T, i *inject.Injector) error {
			start(t, i)
			time.Sleep(time.Second)
			var wg sync.WaitGroup
			for range 2 {
				wg.Go(func() { i.Close() })
			}
			wg.Wait()
			return media.ErrClosed
		},
		"paused": func(t *testing.T, i *inject.Injector) error {
			start(t, i)
			i.Pause()
			time.Sleep(time.Second)
			i.Close()
			return media.ErrClosed
		},
		"context": func(t *testing.T, i *inject.Injector) error {
			ctx, cancel := context.WithCancel(t.Context())
			if err := i.Start(ctx); err != nil {
				t.Fatal(err)
			}
			time.Sleep(time.Second)
			cancel()
			<-i.Done()
			return context.Canceled
		},
		"from an event": func(t *testing.T, i *inject.Injector) error {
			i.OnEvent = func(e inject.Event) { i.Stop() }
			start(t, i)
			<-i.Done()
			return media.ErrClosed
		},
		"sink fails": func(t *testing.T, i *inject.Injector) error {
			broken := errors.New("broken")
			i.Sink.(*sink).hook = func(f *media.Frame) error {
				if f.DTS > time.Second {
					return broken
				}
				return nil
			}
			start(t, i)
			<-i.Done()
			return broken
		},
		"source closed": func(t *testing.T, i *inject.Injector) error {
			start(t, i)
			time.Sleep(time.Second)
			i.Source.Close()
			<-i.Done()
			return media.ErrClosed
		},
	}
	for name, run := range cases {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				i := newInjector()
				want := run(t, i)
				if err := i.Err(); !errors.Is(err, want) {
					t.Errorf("it ended by %v, want %v", err, want)
				}
				i.Close()
				i.Pause()
				i.RequestKeyFrame()
				if err := i.Seek(0); !errors.Is(err, media.ErrClosed) {
					t.Errorf("Seek after the end: %v", err)
				}
			})
		})
	}
}

// TestPanic contains what a sink does.
func TestPanic(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newSink()
		s.hook = func(*media.Frame) error { panic("sink") }
		i := &inject.Injector{Source: democlip.Open(), Sink: s}
		start(t, i)
		<-i.Done()
		if err := i.Err(); err == nil || errors.Is(err, media.ErrClosed) {
			t.Errorf("it ended by %v", err)
		}
	})
}

// TestKinds leaves a kind of media away.
func TestKinds(t *testing.T) {
	for _, video := range []bool{true, false} {
		synctest.Test(t, func(t *testing.T) {
			s := newSink()
			i := &inject.Injector{Source: democlip.Open(), Sink: s, NoAudio: video, NoVideo: !video}
			defer i.Close()
			start(t, i)
			time.Sleep(2 * time.Second)
			synctest.Wait()
			frames := s.all()
			if len(frames) < 49 {
				t.Errorf("%d frames", len(frames))
			}
			for _, g := range frames {
				if g.frame.Track.Codec.Video() != video {
					t.Fatalf("%s in it", g.frame.Track.Codec)
				}
			}
		})
	}
}
