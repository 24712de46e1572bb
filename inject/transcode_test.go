package inject_test

import (
	"context"
	"errors"
	"io"
	"testing"
	"testing/synctest"
	"time"

	"github.com/trunkcast/trunkcast/inject"
	"github.com/trunkcast/trunkcast/internal/democlip"
	"github.com/trunkcast/trunkcast/media"
	"github.com/trunkcast/trunkcast/media/g711"
)

// TestTranscode plays a WAV file to a sink that takes mu-law.
func TestTranscode(t *testing.T) {
	file := load(t, "pcm16.wav")
	synctest.Test(t, func(t *testing.T) {
		s := newSink()
		i := &inject.Injector{
			Source: mustOpen(t, file, inject.FileOptions{}), Sink: s, Loop: true,
			Audio: []media.Codec{media.PCMU}, Codecs: []media.AudioCodec{g711.ULaw{}},
		}
		defer i.Close()
		start(t, i)
		time.Sleep(3 * time.Second)
		synctest.Wait()
		frames := s.all()
		checkOrder(t, frames)
		if n := len(frames); n < 145 || n > 151 {
			t.Errorf("%d frames in 3 s", n)
		}
		decoder, err := g711.ULaw{}.NewDecoder(&media.Track{Codec: media.PCMU, ClockRate: 8000, Channels: 1})
		if err != nil {
			t.Fatal(err)
		}
		for n, g := range frames {
			if g.frame.Track.Codec != media.PCMU || g.frame.Size() != 160 {
				t.Fatalf("frame %d is %d bytes of %s", n, g.frame.Size(), g.frame.Track.Codec)
			}
			if late := g.at - g.frame.DTS; late.Abs() > 50*time.Millisecond {
				t.Fatalf("frame %d of time %v came at %v", n, g.frame.DTS, g.at)
			}
			pcm, err := decoder.Decode(nil, g.frame.Data[0])
			if err != nil {
				t.Fatal(err)
			}
			crossings := 0
			for k := 1; k < len(pcm); k++ {
				if (pcm[k] >= 0) != (pcm[k-1] >= 0) {
					crossings++
				}
			}
			// 440 Hz cross zero 17.6 times in 20 ms.
			if n > 1 && (crossings < 16 || crossings > 19) {
				t.Errorf("frame %d is no tone of 440 Hz: %d crossings", n, crossings)
			}
		}
	})
}

// TestTranscodePause resumes after 5 s: they are not made up for by silence,
// which would all be sent at once.
func TestTranscodePause(t *testing.T) {
	file := load(t, "pcm16.wav")
	synctest.Test(t, func(t *testing.T) {
		s := newSink()
		i := &inject.Injector{
			Source: mustOpen(t, file, inject.FileOptions{Loop: true}), Sink: s,
			Audio: []media.Codec{media.PCMA}, Codecs: []media.AudioCodec{g711.ALaw{}},
		}
		defer i.Close()
		start(t, i)
		time.Sleep(time.Second)
		i.Pause()
		synctest.Wait()
		s.mu.Lock()
		if n := len(s.frames); n < 50 || n > 51 {
			t.Errorf("%d frames in the second before the pause", n)
		}
		s.mu.Unlock()
		time.Sleep(5 * time.Second)
		i.Resume()
		time.Sleep(time.Second)
		synctest.Wait()
		frames := s.all()
		checkOrder(t, frames)
		if n := len(frames); n < 92 || n > 102 {
			t.Errorf("%d frames in two seconds", n)
		}
		for n, g := range frames {
			if late := g.at - g.frame.DTS; late.Abs() > 50*time.Millisecond {
				t.Fatalf("frame %d of time %v came at %v", n, g.frame.DTS, g.at)
			}
		}
	})
}

// stalled is a source that hangs once.
type stalled struct {
	media.Source
	after int
}

func (s *stalled) ReadFrame(ctx context.Context) (*media.Frame, error) {
	if s.after--; s.after == 0 {
		time.Sleep(4 * time.Second)
	}
	return s.Source.ReadFrame(ctx)
}

// TestTranscodeStall goes on after a source that hung, as after a pause.
func TestTranscodeStall(t *testing.T) {
	file := load(t, "pcm16.wav")
	synctest.Test(t, func(t *testing.T) {
		s := newSink()
		i := &inject.Injector{
			Source: &stalled{mustOpen(t, file, inject.FileOptions{Loop: true}), 50}, Sink: s,
			Audio: []media.Codec{media.PCMA}, Codecs: []media.AudioCodec{g711.ALaw{}},
		}
		defer i.Close()
		start(t, i)
		time.Sleep(6 * time.Second)
		synctest.Wait()
		frames := s.all()
		checkOrder(t, frames)
		if n := len(frames); n < 95 || n > 102 || i.Status().Moved != 1 {
			t.Errorf("%d frames in two seconds, %+v", n, i.Status())
		}
	})
}

// TestTranscodeEnd gives the sink all sound before the end is told.
func TestTranscodeEnd(t *testing.T) {
	file := load(t, "pcm16.wav")
	synctest.Test(t, func(t *testing.T) {
		s := newSink()
		i := &inject.Injector{
			Source: mustOpen(t, file, inject.FileOptions{}), Sink: s,
			Audio: []media.Codec{media.PCMA}, Codecs: []media.AudioCodec{g711.ALaw{}},
		}
		start(t, i)
		<-i.Done()
		if n := len(s.all()); n != 25 || i.Err() != io.EOF {
			t.Errorf("%d frames, then %v", n, i.Err())
		}
	})
}

// TestTranscodeSinkFails ends the injection with the error of a sink that is
// written to by the stream.
func TestTranscodeSinkFails(t *testing.T) {
	file := load(t, "pcm16.wav")
	synctest.Test(t, func(t *testing.T) {
		broken := errors.New("broken")
		s := newSink()
		s.hook = func(*media.Frame) error { return broken }
		i := &inject.Injector{
			Source: mustOpen(t, file, inject.FileOptions{Loop: true}), Sink: s,
			Audio: []media.Codec{media.PCMA}, Codecs: []media.AudioCodec{g711.ALaw{}},
		}
		start(t, i)
		<-i.Done()
		if err := i.Err(); !errors.Is(err, broken) {
			t.Errorf("it ended by %v", err)
		}
	})
}

// TestNoCodec plays on without the sound where there is a picture.
func TestNoCodec(t *testing.T) {
	file := load(t, "pcm16.wav")
	synctest.Test(t, func(t *testing.T) {
		var events []inject.Event
		s := newSink()
		i := &inject.Injector{
			Source: democlip.Open(), Sink: s, Audio: []media.Codec{media.G722},
			OnEvent: func(e inject.Event) { events = append(events, e) },
		}
		start(t, i)
		time.Sleep(time.Second)
		i.Close()
		var none *media.ErrNoEncoder
		if len(events) != 3 || events[1].Type != inject.NoAudioCodec || !errors.As(events[1].Err, &none) ||
			none.From != media.Opus || none.To != media.G722 {
			t.Errorf("events %+v", events)
		}
		frames := s.all()
		for _, g := range frames {
			if !g.frame.Track.Codec.Video() {
				t.Errorf("%s in it", g.frame.Track.Codec)
			}
		}
		if n := len(frames); n < 24 {
			t.Errorf("%d pictures", n)
		}
		i = &inject.Injector{Source: mustOpen(t, file, inject.FileOptions{}), Sink: s, Audio: []media.Codec{media.G722}}
		start(t, i)
		<-i.Done()
		if err := i.Err(); !errors.As(err, &none) {
			t.Errorf("sound alone that cannot be transcoded ends by %v", err)
		}
	})
}

// movie is a source of pictures with a key frame each 10 s.
type movie struct {
	track *media.Track
	n     int
}

func (m *movie) Tracks() []*media.Track { return []*media.Track{m.track} }
func (m *movie) Close() error           { return nil }

func (m *movie) ReadFrame(ctx context.Context) (*media.Frame, error) {
	at := time.Duration(m.n) * 40 * time.Millisecond
	f := &media.Frame{Track: m.track, PTS: at, DTS: at, Key: m.n%250 == 0, Data: [][]byte{{1}}}
	m.n++
	return f, ctx.Err()
}

func (m *movie) Seek(at time.Duration) (time.Duration, error) {
	m.n = int(at/(10*time.Second)) * 250
	return at.Truncate(10 * time.Second), nil
}

func (m *movie) NextKeyFrame(after time.Duration) (time.Duration, bool) {
	return after.Truncate(10*time.Second) + 10*time.Second, true
}

// TestKeyFrame asks for key frames in a film that has few.
func TestKeyFrame(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newSink()
		m := &movie{track: &media.Track{Codec: media.H264, ClockRate: media.VideoClockRate}}
		i := &inject.Injector{Source: m, Sink: s}
		defer i.Close()
		start(t, i)
		keys := func(after time.Duration) (n int) {
			time.Sleep(after)
			synctest.Wait()
			frames := s.all()
			checkOrder(t, frames)
			for _, g := range frames {
				if g.frame.Key {
					n++
				}
			}
			return n
		}
		if n := keys(4*time.Second + time.Millisecond); n != 1 {
			t.Errorf("%d key frames at the start", n)
		}
		i.RequestKeyFrame()
		if n := keys(100 * time.Millisecond); n != 1 {
			t.Errorf("%d key frames soon after one was asked for", n)
		}
		for range 20 { // the receiver is not content
			i.RequestKeyFrame()
			if n := keys(100 * time.Millisecond); n != 0 {
				t.Error("it went back a second time")
			}
		}
		if st := i.Status(); st.KeyFrameJumps != 1 || (st.Position-2*time.Second).Abs() > 200*time.Millisecond {
			t.Errorf("status %+v", st)
		}
		if n := keys(7200 * time.Millisecond); n != 0 { // at 9.3 s
			t.Errorf("%d key frames before the next one", n)
		}
		i.RequestKeyFrame()
		if n := keys(900 * time.Millisecond); n != 1 || i.Status().KeyFrameJumps != 1 {
			t.Errorf("%d key frames, status %+v: the next one was near", n, i.Status())
		}
		keys(3 * time.Second)
		i.RequestKeyFrame()
		if n := keys(100 * time.Millisecond); n != 1 || i.Status().KeyFrameJumps != 2 {
			t.Errorf("%d key frames in the second group, status %+v", n, i.Status())
		}
	})
}

// live is a source that gives what comes, when it comes.
type live struct {
	frames   chan *media.Frame
	requests chan struct{}
}

func (l *live) Tracks() []*media.Track { return nil }
func (l *live) Close() error           { return nil }
func (l *live) RequestKeyFrame()       { l.requests <- struct{}{} }

func (l *live) ReadFrame(ctx context.Context) (*media.Frame, error) {
	select {
	case f, ok := <-l.frames:
		if !ok {
			return nil, io.EOF
		}
		return f, nil
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

// TestLive passes frames on as they come, and asks the sender for key frames.
func TestLive(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newSink()
		track := &media.Track{Codec: media.H264, ClockRate: media.VideoClockRate}
		l := &live{make(chan *media.Frame), make(chan struct{}, 10)}
		i := &inject.Injector{Source: l, Sink: s, Live: true}
		if err := i.Seek(0); !errors.Is(err, inject.ErrNotSeekable) {
			t.Errorf("Seek: %v", err)
		}
		start(t, i)
		send := func(n int, key bool) {
			at := time.Duration(n) * 40 * time.Millisecond
			l.frames <- &media.Frame{Track: track, PTS: at, DTS: at, Key: key, Data: [][]byte{{1}}}
			synctest.Wait()
		}
		// A group at once, as servers give it to a new player, then in time.
		for n := range 20 {
			send(n, n == 0)
		}
		if n := len(s.all()); n != 20 {
			t.Errorf("%d frames at once", n)
		}
		i.Pause()
		send(20, false)
		i.Resume()
		send(21, false)
		if n := len(s.all()); n != 0 {
			t.Errorf("%d frames that nothing can be made of", n)
		}
		if len(l.requests) != 1 {
			t.Errorf("%d key frames asked for", len(l.requests))
		}
		send(22, true)
		i.RequestKeyFrame()
		send(23, false)
		frames := s.all()
		if checkOrder(t, frames); len(frames) != 2 || len(l.requests) != 2 {
			t.Errorf("%d frames, %d key frames asked for", len(frames), len(l.requests))
		}
		close(l.frames)
		<-i.Done()
		if i.Err() != io.EOF {
			t.Errorf("it ended by %v", i.Err())
		}
		looped := &inject.Injector{Source: l, Sink: s, Loop: true}
		if err := looped.Start(t.Context()); !errors.Is(err, inject.ErrNotSeekable) {
			t.Errorf("Loop of a live source: %v", err)
		}
	})
}
