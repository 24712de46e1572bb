package record

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/trunkcast/trunkcast/media"
	"github.com/trunkcast/trunkcast/media/mediatest"
)

func TestQueue(t *testing.T) {
	var q queue
	q.init()
	frame := func(n int) *media.Frame { return &media.Frame{Track: aacTrack, Data: [][]byte{make([]byte, n)}} }
	next := 1
	for size := 1; size < 5000; size++ { // never empty, and never more than it holds
		if ok, err := q.push(frame(size)); !ok || err != nil {
			t.Fatal(ok, err)
		}
		if size > 100 {
			if f, _ := q.pop(); f.Size() != next {
				t.Fatalf("frame %d, want %d", f.Size(), next)
			}
			next++
		}
	}
	if cap(q.frames) > 1024 {
		t.Errorf("room for %d frames where 100 wait", cap(q.frames))
	}
	for n := 0; ; n++ {
		ok, _ := q.push(frame(1))
		if !ok && n < maxFrames-200 || ok && n > maxFrames {
			t.Fatalf("%v after %d frames", ok, n)
		}
		if !ok {
			break
		}
	}
	q.end()
	if _, err := q.push(frame(1)); !errors.Is(err, media.ErrClosed) {
		t.Errorf("push after the end: %v", err)
	}
	for n := 0; ; n++ {
		if f, ended := q.pop(); f == nil {
			if !ended || n != maxFrames {
				t.Errorf("ended %v after %d", ended, n)
			}
			break
		}
	}
	q = queue{}
	q.init()
	if ok, err := q.push(frame(2 * maxQueued)); !ok || err != nil { // a large one alone
		t.Error(ok, err)
	}
	if ok, _ := q.push(frame(1)); ok {
		t.Error("more than the limit")
	}
}

// TestConformance holds a Recording to the contract of a Sink.
func TestConformance(t *testing.T) {
	for _, format := range []Format{MP4, MPEGTS} {
		r, _ := testRecorder(t)
		rec, err := r.Record(Info{Stream: "s"}, Options{Format: &format})
		if err != nil {
			t.Fatal(err)
		}
		if err := mediatest.TestSink(rec, aacTrack); err != nil {
			t.Error(err)
		}
		if err := rec.Err(); !errors.Is(err, media.ErrClosed) {
			t.Errorf("Err %v", err)
		}
	}
}

// TestAllocations holds the cost of a frame: what it needs comes with the
// fragments.
func TestAllocations(t *testing.T) {
	r, _ := testRecorder(t)
	rec, err := newRecording(r, Info{}, Options{})
	if err == nil {
		err = r.init()
	}
	if err != nil {
		t.Fatal(err)
	}
	video, audio := &mediatest.Video{}, aacAudio()
	frames := mediatest.Merge(60*time.Second, video, audio)
	i := 0
	one := func() {
		if ok, err := rec.queue.push(frames[i]); !ok || err != nil {
			t.Fatal(ok, err)
		}
		f, _ := rec.queue.pop()
		rec.take(f)
		i++
	}
	for range 500 {
		one()
	}
	if n := testing.AllocsPerRun(2000, one); n > 1 { // the fragments, spread over their frames
		t.Errorf("%v allocations a frame", n)
	}
	rec.finish()
}

func BenchmarkFrame(b *testing.B) {
	folder := b.TempDir()
	r := &Recorder{Folder: folder, CloseTimeout: patience}
	rec, err := r.Record(Info{Stream: "s"}, Options{})
	if err != nil {
		b.Fatal(err)
	}
	video, audio := &mediatest.Video{Size: 3000, KeySize: 30000}, aacAudio()
	frames := mediatest.Merge(10*time.Second, video, audio)
	b.ReportAllocs()
	i, shift := 0, time.Duration(0)
	for b.Loop() {
		if i == len(frames) {
			i, shift = 0, shift+10*time.Second
		}
		f := *frames[i]
		f.PTS, f.DTS = f.PTS+shift, f.DTS+shift
		i++
		if err := rec.WriteFrame(context.Background(), &f); err != nil {
			b.Fatal(err)
		}
	}
	b.StopTimer()
	if err := r.Close(); err != nil {
		b.Fatal(err)
	}
}
