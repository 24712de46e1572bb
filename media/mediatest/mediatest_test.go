package mediatest_test

import (
	"context"
	"errors"
	"io"
	"math"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/bluenviron/mediacommon/v2/pkg/codecs/h264"
	"go.uber.org/goleak"

	"github.com/trunkcast/trunkcast/media"
	"github.com/trunkcast/trunkcast/media/mediatest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

var ctx = context.Background()

func TestH264Track(t *testing.T) {
	for _, size := range [][2]int{{16, 16}, {320, 240}, {1280, 720}, {1920, 1080}, {176, 144}, {854, 480}} {
		track := mediatest.H264Track(size[0], size[1])
		var sps h264.SPS
		if err := sps.Unmarshal(track.Config[0]); err != nil {
			t.Errorf("%v: %v", size, err)
			continue
		}
		if sps.Width() != size[0] || sps.Height() != size[1] || sps.ProfileIdc != 66 {
			t.Errorf("%v: SPS says %dx%d, profile %d", size, sps.Width(), sps.Height(), sps.ProfileIdc)
		}
		if len(track.Config) != 2 || h264.NALUType(track.Config[1][0]&0x1f) != h264.NALUTypePPS {
			t.Errorf("%v: no PPS", size)
		}
	}
}

func TestVideo(t *testing.T) {
	v := &mediatest.Video{GOP: 10, KeySize: 5000, Size: 600, Interval: 20 * time.Millisecond}
	frames := mediatest.Merge(time.Second, v)
	if err := mediatest.Check(frames, mediatest.Checks{MaxGap: 20 * time.Millisecond}); err != nil {
		t.Fatal(err)
	}
	for i, f := range frames {
		want := 600
		if i%10 == 0 {
			want = 5000
		}
		if f.Key != (i%10 == 0) || f.Size() != want || h264.IsRandomAccess(f.Data) != f.Key {
			t.Errorf("frame %d: key %v, %d bytes", i, f.Key, f.Size())
		}
	}
	v.Next()
	v.Track = mediatest.H264Track(640, 480)
	if f := v.Next(); !f.Key || f.Track != v.Track {
		t.Error("a new track does not begin with a key frame")
	}
	v.AskKey()
	if a, b := v.Next(), v.Next(); !a.Key || b.Key {
		t.Error("AskKey does not give one key frame")
	}
	if only := mediatest.Merge(10*time.Second, &mediatest.Video{GOP: -1}); only[0].Key == false || only[60].Key {
		t.Error("a negative GOP has one key frame only")
	}
}

// TestPCM sees that a tone comes back from encoder and decoder at its time.
func TestPCM(t *testing.T) {
	c := &mediatest.PCM{Name: media.AAC, Rate: 8000, Delay: 40}
	e, err := c.NewEncoder(&media.Track{}, media.EncoderOptions{})
	if err != nil {
		t.Fatal(err)
	}
	d, _ := c.NewDecoder(e.Track())
	a := &mediatest.Audio{Amplitude: 1, Hz: 100}
	var out []float32
	for range 10 {
		pcm := mediatest.Samples(a.Next())
		data, err := e.Encode(nil, pcm)
		if err != nil {
			t.Fatal(err)
		}
		if out, err = d.Decode(out, data); err != nil {
			t.Fatal(err)
		}
	}
	for i, s := range out[40:] {
		if want := math.Sin(2 * math.Pi * 100 * float64(i) / 8000); math.Abs(float64(s)-want) > 1e-3 {
			t.Fatalf("sample %d is %g, want %g", i, s, want)
		}
	}
	if _, err := d.Decode(nil, mediatest.Bad); err == nil {
		t.Error("a bad frame was decoded")
	}
	if _, err := e.Encode(nil, make([]float32, 7)); err == nil {
		t.Error("a part of a frame was encoded")
	}
	if c.Open() != 2 {
		t.Errorf("%d open", c.Open())
	}
	e.Close()
	d.Close()
	if c.Open() != 0 {
		t.Errorf("%d open", c.Open())
	}
}

// TestCheck breaks each rule.
func TestCheck(t *testing.T) {
	const ms = time.Millisecond
	good := func() []*media.Frame { return mediatest.Merge(time.Second, &mediatest.Video{}, &mediatest.Audio{}) }
	all := mediatest.Checks{Reorder: ms, MaxGap: 40 * ms, SameTracks: true}
	if err := mediatest.Check(good(), all); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		want  string
		spoil func(f []*media.Frame) []*media.Frame
	}{
		{"no frame", func(f []*media.Frame) []*media.Frame { return append(f, nil) }},
		{"no data", func(f []*media.Frame) []*media.Frame { f[3].Data = nil; return f }},
		{"negative", func(f []*media.Frame) []*media.Frame { f[0].DTS = -1; return f }},
		{"elements", func(f []*media.Frame) []*media.Frame { f[1].Data = append(f[1].Data, []byte{1}); return f }},
		{"clock rate", func(f []*media.Frame) []*media.Frame { f[1].Track = &media.Track{Codec: media.PCMU}; return f }},
		{"configuration", func(f []*media.Frame) []*media.Frame { f[0].Track.Config = f[0].Track.Config[:1]; return f }},
		{"empty", func(f []*media.Frame) []*media.Frame { f[0].Track.Config[0] = nil; return f }},
		{"key frame", func(f []*media.Frame) []*media.Frame { return f[1:] }},
		{"after", func(f []*media.Frame) []*media.Frame { f[20].DTS = f[20].DTS - 100*ms; return f }},
		{"gap", func(f []*media.Frame) []*media.Frame { return append(f[:20], f[30:]...) }},
		{"behind", func(f []*media.Frame) []*media.Frame { f[2], f[4] = f[4], f[2]; return f }},
		{"changed", func(f []*media.Frame) []*media.Frame {
			f[1].Track = &media.Track{Codec: media.PCMA, ClockRate: 8000, Channels: 1}
			return f
		}},
	} {
		if err := mediatest.Check(c.spoil(good()), all); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("want an error with %q, got %v", c.want, err)
		}
	}
}

func TestRecorder(t *testing.T) {
	var r mediatest.Recorder
	frames := mediatest.Merge(time.Second, &mediatest.Audio{})
	var wg sync.WaitGroup
	wg.Go(func() {
		if err := r.Wait(ctx, func(f []*media.Frame, closes int) bool { return len(f) == 50 && closes == 1 }); err != nil {
			t.Error(err)
		}
	})
	if err := mediatest.Feed(ctx, &r, frames); err != nil {
		t.Fatal(err)
	}
	_ = r.Close()
	wg.Wait()
	if err := mediatest.Feed(ctx, &r, frames); !errors.Is(err, media.ErrClosed) {
		t.Errorf("written after Close: %v", err)
	}
	if closes, after := r.Closed(); closes != 1 || after != 1 {
		t.Errorf("%d closes, %d frames after", closes, after)
	}
	canceled, cancel := context.WithCancel(ctx)
	cancel()
	if err := r.Wait(canceled, func([]*media.Frame, int) bool { return false }); !errors.Is(err, context.Canceled) {
		t.Error(err)
	}
}

func TestPlay(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var r mediatest.Recorder
		began := time.Now()
		frames := mediatest.Merge(2*time.Second, &mediatest.Audio{At: time.Second})
		if err := mediatest.Play(ctx, &r, frames); err != nil {
			t.Fatal(err)
		}
		if d := time.Since(began); d != 980*time.Millisecond {
			t.Errorf("took %v", d)
		}
		canceled, cancel := context.WithCancel(ctx)
		cancel()
		if err := mediatest.Play(canceled, &r, frames); !errors.Is(err, context.Canceled) {
			t.Error(err)
		}
	})
}

// spoiled is a sink that breaks one rule.
type spoiled struct {
	mediatest.Recorder
	write func(ctx context.Context, f *media.Frame) error
	close func() error
}

func (s *spoiled) WriteFrame(ctx context.Context, f *media.Frame) error {
	if s.write != nil {
		return s.write(ctx, f)
	}
	return s.Recorder.WriteFrame(ctx, f)
}

func (s *spoiled) Close() error {
	if s.close != nil {
		return s.close()
	}
	return s.Recorder.Close()
}

func TestTestSink(t *testing.T) {
	// The last one leaves a goroutine behind, which is let go afterwards.
	hang := make(chan struct{})
	for _, c := range []struct {
		name, want string
		sink       media.Sink
	}{
		{"good", "", &mediatest.Recorder{}},
		{"without Close", "", media.SinkFunc(func(context.Context, *media.Frame) error { return nil })},
		{"fails", "broken", &spoiled{write: func(context.Context, *media.Frame) error { return errors.New("broken") }}},
		{"panics", "panicked", &spoiled{write: func(context.Context, *media.Frame) error { panic("no") }}},
		{"changes", "immutable", &spoiled{write: func(_ context.Context, f *media.Frame) error { f.Data[0][0]++; return nil }}},
		{"takes all", "after Close", &spoiled{write: func(context.Context, *media.Frame) error { return nil }}},
		{"close fails", "Close: EOF", &spoiled{close: func() error { return io.EOF }}},
		{"hangs", "did not return", &spoiled{write: func(ctx context.Context, _ *media.Frame) error {
			if ctx.Err() != nil {
				<-hang
			}
			return nil
		}}},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				if c.name == "hangs" {
					hang = make(chan struct{}) // of this bubble
					defer close(hang)
				}
				err := mediatest.TestSink(c.sink, nil)
				if (err == nil) != (c.want == "") || err != nil && !strings.Contains(err.Error(), c.want) {
					t.Errorf("got %v, want %q", err, c.want)
				}
			})
		})
	}
}

// sliceSource gives frames, without waiting.
type sliceSource struct {
	frames []*media.Frame
	ignore bool // the context and Close
	again  bool // no error at the end but once
	mu     sync.Mutex
	closed bool
}

func (s *sliceSource) Tracks() []*media.Track { return nil }

func (s *sliceSource) ReadFrame(ctx context.Context) (*media.Frame, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	switch {
	case ctx.Err() != nil && !s.ignore:
		return nil, ctx.Err()
	case s.closed && !s.ignore:
		return nil, media.ErrClosed
	case len(s.frames) == 0 && s.again:
		s.again = false
		return nil, io.EOF
	case len(s.frames) == 0 && s.ignore:
		return nil, errors.New("something else")
	case len(s.frames) == 0:
		return nil, io.EOF
	}
	f := s.frames[0]
	s.frames = s.frames[1:]
	return f, nil
}

func (s *sliceSource) Close() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.closed = true
	return nil
}

func TestTestSource(t *testing.T) {
	frames := mediatest.Merge(time.Second, &mediatest.Video{}, &mediatest.Audio{})
	for _, c := range []struct {
		name, want string
		source     *sliceSource
	}{
		{"good", "", &sliceSource{frames: frames}},
		{"empty", "no frames", &sliceSource{}},
		{"fails", "something else", &sliceSource{frames: frames, ignore: true}},
		{"one EOF", "after the end", &sliceSource{frames: frames, ignore: true, again: true}},
		{"out of order", "after", &sliceSource{frames: append(mediatest.Merge(time.Second, &mediatest.Video{At: 500 * time.Millisecond}), frames...)}},
	} {
		err := mediatest.TestSource(func() (media.Source, error) {
			return &sliceSource{frames: c.source.frames, ignore: c.source.ignore, again: c.source.again}, nil
		}, time.Millisecond)
		if (err == nil) != (c.want == "") || err != nil && !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: got %v, want %q", c.name, err, c.want)
		}
	}
	if err := mediatest.TestSource(func() (media.Source, error) { return nil, io.ErrUnexpectedEOF }, 0); !errors.Is(err, io.ErrUnexpectedEOF) {
		t.Error(err)
	}
}
