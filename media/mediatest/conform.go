package mediatest

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"runtime/debug"
	"slices"
	"time"

	"github.com/trunkcast/trunkcast/media"
)

// patience is how long a call may take that is to return soon, on a machine
// that has other things to do.
const patience = 10 * time.Second

// TestSink writes two seconds of H.264 and audio of the codec to a sink, as
// fast as it takes them, and tells what it does against the contract of
// media.Sink: it must take the frames, leave them as they are, return soon
// after its context is done, and, if it is an io.Closer, close twice without
// harm and refuse frames afterwards. Whether the frames arrive is up to the
// caller to see.
func TestSink(sink media.Sink, audio *media.Track) error {
	frames := Merge(2*time.Second, &Video{}, &Audio{Track: audio})
	copies := snapshot(frames)
	if err := inTime("WriteFrame", func() error { return Feed(context.Background(), sink, frames) }); err != nil {
		return err
	}
	if !slices.Equal(copies, snapshot(frames)) {
		return errors.New("the sink changed a frame: they are immutable")
	}
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	late := &media.Frame{Track: frames[0].Track, PTS: 2 * time.Second, DTS: 2 * time.Second, Data: frames[0].Data}
	// It may take the frame or give the context's error, but not wait.
	err := inTime("WriteFrame with a context that is done", func() error { return sink.WriteFrame(ctx, late) })
	if err != nil && !errors.Is(err, context.Canceled) {
		return fmt.Errorf("WriteFrame with a context that is done: %w", err)
	}
	c, ok := sink.(io.Closer)
	if !ok {
		return nil
	}
	for _, name := range []string{"Close", "a second Close"} {
		if err := inTime(name, c.Close); err != nil {
			return fmt.Errorf("%s: %w", name, err)
		}
	}
	if err := inTime("WriteFrame after Close", func() error {
		if sink.WriteFrame(context.Background(), late) == nil {
			return errors.New("WriteFrame after Close: no error")
		}
		return nil
	}); err != nil {
		return err
	}
	return nil
}

// snapshot describes frames by their content.
func snapshot(frames []*media.Frame) []string {
	list := make([]string, len(frames))
	for i, f := range frames {
		list[i] = fmt.Sprintf("%p %v %v %v %x", f.Track, f.PTS, f.DTS, f.Key, bytes.Join(f.Data, []byte{0}))
	}
	return list
}

// TestSource reads a source that has an end, and tells what it does against the
// contract of media.Source: frames in the order of their DTS (within reorder,
// 0 for any, across tracks) that pass Check, io.EOF at the end and from then
// on. open is called three times: for a source to read, one to close while
// ReadFrame waits, if it waits, and one to cancel.
func TestSource(open func() (media.Source, error), reorder time.Duration) error {
	for _, test := range []func(media.Source) error{
		func(s media.Source) error { return readsToEnd(s, reorder) }, closesWhileReading, cancels,
	} {
		s, err := open()
		if err != nil {
			return fmt.Errorf("open: %w", err)
		}
		err = test(s)
		for _, name := range []string{"Close", "a second Close"} {
			if cerr := inTime(name, s.Close); cerr != nil {
				err = errors.Join(err, fmt.Errorf("%s: %w", name, cerr))
			}
		}
		if err != nil {
			return err
		}
	}
	return nil
}

func readsToEnd(s media.Source, reorder time.Duration) error {
	ctx, cancel := context.WithTimeout(context.Background(), 6*patience)
	defer cancel()
	frames, err := ReadAll(ctx, s)
	if err != nil {
		return fmt.Errorf("after %d frames: %w", len(frames), err)
	}
	if len(frames) == 0 {
		return errors.New("no frames")
	}
	if _, err := s.ReadFrame(ctx); !errors.Is(err, io.EOF) {
		return fmt.Errorf("ReadFrame after the end: %v", err)
	}
	return Check(frames, Checks{Reorder: reorder})
}

func closesWhileReading(s media.Source) error {
	return inTime("ReadFrame after Close", func() error {
		result := make(chan error, 1)
		go func() {
			for {
				if _, err := s.ReadFrame(context.Background()); err != nil {
					result <- err
					return
				}
			}
		}()
		err := s.Close()
		<-result
		return err
	})
}

func cancels(s media.Source) error {
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	return inTime("ReadFrame with a context that is done", func() error {
		for {
			if _, err := s.ReadFrame(ctx); err != nil {
				return nil
			}
		}
	})
}

// inTime runs fn, and gives up when it does not return. A panic is an error.
func inTime(what string, fn func() error) error {
	result := make(chan error, 1)
	go func() {
		defer func() {
			if v := recover(); v != nil {
				result <- fmt.Errorf("%s panicked: %v\n%s", what, v, debug.Stack())
			}
		}()
		result <- fn()
	}()
	t := time.NewTimer(patience)
	defer t.Stop()
	select {
	case err := <-result:
		return err
	case <-t.C:
		return fmt.Errorf("%s did not return in %v", what, patience)
	}
}
