package media_test

import (
	"context"
	"errors"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/trunkcast/trunkcast/media"
	"github.com/trunkcast/trunkcast/media/mediatest"
)

// TestDirectSinks has direct sinks do what those with goroutines do.
func TestDirectSinks(t *testing.T) {
	inline = true
	defer func() { inline = false }()
	for _, c := range []struct {
		name string
		test func(*testing.T)
	}{
		{"passes everything", TestPassesEverythingToAllSinks},
		{"starts on a key frame", TestStartsOnKeyFrame},
		{"audio start", TestAudioStart},
		{"failing", TestFailingSinks},
		{"one encoder for all", TestOneEncoderForAll},
		{"no encoder", TestNoEncoder},
		{"codecs fail", TestCodecsFail},
		{"pass, then transcode", TestPassThenTranscode},
		{"transcoded", TestTranscodeContiguous},
		{"gaps", TestTranscodeGaps},
		{"late audio", TestLateAudio},
	} {
		t.Run(c.name, c.test)
	}
}

// TestDirectSinkIsCalledByTheWriter: a frame is there when WriteFrame returns.
func TestDirectSinkIsCalledByTheWriter(t *testing.T) {
	s := &media.Stream{}
	sink := mediatest.Recorder{Inline: true}
	attachDirect(t, s, &sink)
	for i, f := range call(3 * time.Second) {
		if err := s.WriteFrame(ctx, f); err != nil {
			t.Fatal(err)
		}
		if n := len(sink.Frames()); n != i+1 {
			t.Fatalf("%d frames after %d", n, i+1)
		}
	}
	_ = s.Close()
}

func attachDirect(t *testing.T, s *media.Stream, sink *mediatest.Recorder) *media.Subscription {
	t.Helper()
	sub, err := s.Attach(sink, media.SinkOptions{})
	if err != nil {
		t.Fatal(err)
	}
	return sub
}

// TestDirectSinkBreaksItsWord hangs in WriteFrame: the end of the stream is
// not held up by it.
func TestDirectSinkBreaksItsWord(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &media.Stream{}
		hang := make(chan struct{})
		sink := mediatest.Recorder{Inline: true, Before: func(context.Context, *media.Frame) error { <-hang; return nil }}
		sub := attachDirect(t, s, &sink)
		go func() { _ = s.WriteFrame(ctx, call(time.Second)[0]) }()
		synctest.Wait()
		began := time.Now()
		_ = s.CloseWrite()
		if d := time.Since(began); d > 3*time.Second {
			t.Errorf("CloseWrite took %v", d)
		}
		if err := sub.Err(); !errors.Is(err, media.ErrAbandoned) {
			t.Errorf("ended with %v", err)
		}
		close(hang)
	})
}

// TestDirectSinkAsksTheStream uses the stream from within WriteFrame.
func TestDirectSinkAsksTheStream(t *testing.T) {
	var asked atomic.Int32
	s := &media.Stream{}
	sink := mediatest.Recorder{Inline: true, Before: func(context.Context, *media.Frame) error {
		asked.Add(1)
		_ = s.Stats() // takes the stream's mutex
		return nil
	}}
	sub := attachDirect(t, s, &sink)
	frames := call(time.Second)
	for _, f := range frames {
		_ = s.WriteFrame(ctx, f)
	}
	if n := asked.Load(); int(n) != len(frames) || sub.Stats().Frames != uint64(n) {
		t.Errorf("%d calls for %d frames", n, len(frames))
	}
	_ = s.CloseWrite()
	if err := sub.Err(); !errors.Is(err, media.ErrClosed) {
		t.Errorf("ended with %v", err)
	}
}
