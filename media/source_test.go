package media_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/trunkcast/trunkcast/media"
	"github.com/trunkcast/trunkcast/media/mediatest"
)

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
