package inject_test

import (
	"context"
	"errors"
	"io"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/trunkcast/trunkcast/inject"
	"github.com/trunkcast/trunkcast/internal/democlip"
	"github.com/trunkcast/trunkcast/media"
	"github.com/trunkcast/trunkcast/media/g711"
	"github.com/trunkcast/trunkcast/media/opus"
)

// counting counts what is open.
type counting struct {
	*inject.File
	open *atomic.Int32
	once sync.Once
}

func (c *counting) Close() error {
	c.once.Do(func() { c.open.Add(-1) })
	return c.File.Close()
}

// TestShared has a hundred readers of one file: it is opened once, each gets
// pictures from a key frame on, and it is closed after the last; then it is
// opened anew.
func TestShared(t *testing.T) {
	var opened, open atomic.Int32
	s := &inject.Shared{Opener: inject.OpenerFunc(func(context.Context, string) (media.Source, error) {
		opened.Add(1)
		open.Add(1)
		return &counting{File: democlip.Open(), open: &open}, nil
	})}
	for round := range 2 {
		var wg sync.WaitGroup
		var ready sync.WaitGroup
		ready.Add(100)
		for range 100 {
			wg.Go(func() {
				source, err := s.Open(t.Context(), "vod-live://clip")
				ready.Done()
				if err != nil {
					t.Error(err)
					return
				}
				defer source.Close()
				ready.Wait() // so that all read the same
				first := true
				for n := 0; n < 20; {
					f, err := source.ReadFrame(t.Context())
					if err != nil {
						t.Error(err)
						return
					}
					if !f.Track.Codec.Video() {
						continue
					}
					if first && !f.Key {
						t.Error("the first picture is no key frame")
					}
					first = false
					n++
				}
			})
		}
		wg.Wait()
		if n := opened.Load(); n != int32(round+1) {
			t.Errorf("round %d: opened %d times", round, n)
		}
		if n := open.Load(); n != 0 {
			t.Errorf("round %d: %d are open", round, n)
		}
	}
}

// TestSharedEnd plays a source once: its readers see the end, and who comes
// later gets a new reading. A source that is not there is asked for again.
func TestSharedEnd(t *testing.T) {
	missing := true
	s := &inject.Shared{Once: true, Opener: inject.OpenerFunc(func(context.Context, string) (media.Source, error) {
		if missing {
			return nil, inject.ErrNoSource
		}
		f := democlip.Open()
		f.SetLoop(false)
		_, err := f.Seek(11500 * time.Millisecond)
		return f, err
	})}
	if _, err := s.Open(t.Context(), "x"); !errors.Is(err, inject.ErrNoSource) {
		t.Errorf("missing: %v", err)
	}
	missing = false
	for range 2 {
		source, err := s.Open(t.Context(), "x")
		if err != nil {
			t.Fatal(err)
		}
		n := 0
		for err == nil {
			if _, err = source.ReadFrame(t.Context()); err == nil {
				n++
			}
		}
		if !errors.Is(err, io.EOF) || n < 20 {
			t.Errorf("%d frames, then %v", n, err)
		}
		_ = source.Close()
	}
}

// countingCodec counts the encoders that are made.
type countingCodec struct {
	media.AudioCodec
	encoders *atomic.Int32
}

func (c countingCodec) NewEncoder(t *media.Track, o media.EncoderOptions) (media.AudioEncoder, error) {
	c.encoders.Add(1)
	return c.AudioCodec.NewEncoder(t, o)
}

// TestSharedSound has readers who take other sound than the file's: it is
// transcoded once for all who want the same.
func TestSharedSound(t *testing.T) {
	var encoders atomic.Int32
	s := &inject.Shared{
		Opener: inject.OpenerFunc(func(context.Context, string) (media.Source, error) { return democlip.Open(), nil }),
		Codecs: []media.AudioCodec{opus.Codec{}, countingCodec{g711.ULaw{}, &encoders}},
	}
	var wg sync.WaitGroup
	for i := range 20 {
		want, ctx := media.Opus, t.Context() // of the file
		if i > 0 {
			want = media.PCMU
			ctx = inject.WithAudio(ctx, []media.Codec{media.PCMU})
		}
		source, err := s.Open(ctx, "vod-live://clip")
		if err != nil {
			t.Fatal(err)
		}
		wg.Go(func() {
			defer source.Close()
			pictures := false
			for n := 0; n < 20 || !pictures; {
				f, err := source.ReadFrame(t.Context())
				if err != nil {
					t.Error(err)
					return
				}
				switch {
				case f.Track.Codec.Video():
					pictures = true
				case f.Track.Codec != want:
					t.Errorf("reader %d gets %s", i, f.Track.Codec)
					return
				default:
					n++
				}
			}
		})
	}
	wg.Wait()
	if n := encoders.Load(); n != 1 {
		t.Errorf("%d encoders for all", n)
	}
}
