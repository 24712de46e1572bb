package record

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/trunkcast/trunkcast/media"
	"github.com/trunkcast/trunkcast/media/mediatest"
)

// badDisk is a disk that can be full, or hang.
type badDisk struct {
	osDisk
	mu    sync.Mutex
	left  int64 // bytes that can be written; negative: any
	space int64 // what free tells; negative: unknown
	hang  chan struct{}
}

func (d *badDisk) set(fn func()) {
	d.mu.Lock()
	defer d.mu.Unlock()
	fn()
}

func (d *badDisk) create(path string) (file, error) {
	f, err := d.osDisk.create(path)
	if err != nil {
		return nil, err
	}
	return &badFile{f, d}, nil
}

func (d *badDisk) free(string) (int64, bool) {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.space, d.space >= 0
}

type badFile struct {
	file
	disk *badDisk
}

// WriteAt writes as much as there is room for, as a full disk does.
func (f *badFile) WriteAt(b []byte, at int64) (int, error) {
	f.disk.mu.Lock()
	hang := f.disk.hang
	n := len(b)
	if f.disk.left >= 0 {
		n = int(min(int64(n), f.disk.left))
		f.disk.left -= int64(n)
	}
	f.disk.mu.Unlock()
	if hang != nil {
		<-hang
	}
	done, err := f.file.WriteAt(b[:n], at)
	if err == nil && n < len(b) {
		err = &os.PathError{Op: "write", Path: "x", Err: syscall.ENOSPC}
	}
	return done, err
}

// TestFullDisk fills a disk within a fragment, makes room again, and looks at
// both files.
func TestFullDisk(t *testing.T) {
	for _, format := range []Format{MP4, MPEGTS} {
		t.Run(format.String(), func(t *testing.T) {
			r, l := testRecorder(t)
			d := &badDisk{left: 300000, space: -1}
			r.disk, r.Format, r.Retry = d, format, time.Millisecond
			rec, err := r.Record(Info{Stream: "s"}, Options{})
			if err != nil {
				t.Fatal(err)
			}
			video := &mediatest.Video{GOP: 25, Size: 1000, KeySize: 4000}
			feed(t, rec, mediatest.Merge(4*time.Second, video, aacAudio()))
			paused := l.wait(t, Paused, 1)[0]
			if !errors.Is(paused.Err, ErrDiskFull) {
				t.Errorf("paused by %v", paused.Err)
			}
			first := l.wait(t, PartFinished, 1)[0]
			d.set(func() { d.left = -1 })
			time.Sleep(2 * time.Millisecond)
			video.At = 10 * time.Second
			video.AskKey()
			audio := aacAudio()
			audio.At = 10 * time.Second
			more := mediatest.Merge(13*time.Second, video, audio)
			feed(t, rec, more)
			l.wait(t, Resumed, 1)
			if err := rec.Close(); err != nil {
				t.Fatal(err)
			}
			second := l.wait(t, PartFinished, 2)[1]
			if second.Part <= first.Part || second.Path == first.Path {
				t.Errorf("parts %d %s and %d %s", first.Part, first.Path, second.Part, second.Path)
			}
			if rec.Stats().Lost == 0 || rec.Stats().Paused {
				t.Errorf("stats %+v", rec.Stats())
			}
			if format != MP4 {
				return
			}
			if _, list := readFragmented(t, readAll(t, first.Path)); len(list) < 20 {
				t.Errorf("%d frames before the disk was full", len(list))
			}
			_, list := readFragmented(t, readAll(t, second.Path))
			if err := compareFrames(list, wantedOf(more, 10*time.Second)); err != nil {
				t.Error(err)
			}
		})
	}
}

// TestReserve pauses while less than the reserve is free, and warns before.
func TestReserve(t *testing.T) {
	t.Parallel()
	r, l := testRecorder(t)
	d := &badDisk{left: -1, space: 2000}
	r.disk, r.Reserve, r.Warn, r.Retry = d, 1000, 1500, time.Millisecond
	rec, err := r.Record(Info{Stream: "s"}, Options{})
	if err != nil {
		t.Fatal(err)
	}
	video := &mediatest.Video{GOP: 5}
	write := func(until time.Duration) { feed(t, rec, mediatest.Merge(until, video)) }
	write(3 * time.Second)
	l.wait(t, PartStarted, 1)
	if list := l.of(DiskLow, Paused); len(list) > 0 {
		t.Errorf("events %v", list)
	}
	until := 3 * time.Second
	writeTill := func(typ EventType, n int) Event {
		t.Helper()
		eventually(t, typ.String(), func() bool {
			until += 200 * time.Millisecond
			write(until)
			return len(l.of(typ)) >= n
		})
		return l.of(typ)[n-1]
	}
	d.set(func() { d.space = 1400 })
	if e := writeTill(DiskLow, 1); e.Free != 1400 {
		t.Errorf("%d bytes free", e.Free)
	}
	d.set(func() { d.space = 900 })
	if e := writeTill(Paused, 1); !errors.Is(e.Err, ErrDiskFull) {
		t.Errorf("paused by %v", e.Err)
	}
	before := len(l.of(PartStarted))
	d.set(func() { d.space = 1100 }) // above the reserve, but not enough to begin
	lost := rec.Stats().Lost
	until += 2 * time.Second
	write(until)
	eventually(t, "frames are lost", func() bool { return rec.Stats().Lost >= lost+40 })
	if !rec.Stats().Paused || len(l.of(Resumed)) > 0 {
		t.Error("resumed without room")
	}
	d.set(func() { d.space = 3000 })
	writeTill(Resumed, 1)
	writeTill(PartStarted, before+1)
	if n := len(l.of(PartStarted)); n != before+1 || len(l.of(Paused)) != 1 || len(l.of(DiskLow)) != 1 {
		t.Errorf("%d parts, %d pauses, %d warnings", n, len(l.of(Paused)), len(l.of(DiskLow)))
	}
}

// TestHangingDisk takes frames through a Stream to a disk that does not
// respond, and then does.
func TestHangingDisk(t *testing.T) {
	t.Parallel()
	r, l := testRecorder(t)
	hang := make(chan struct{})
	d := &badDisk{left: -1, space: -1, hang: hang}
	r.disk, r.CloseTimeout = d, 50*time.Millisecond
	rec, err := r.Record(Info{Stream: "s"}, Options{})
	if err != nil {
		t.Fatal(err)
	}
	stream := &media.Stream{DrainTimeout: 50 * time.Millisecond}
	sub, err := stream.Attach(rec, r.SinkOptions())
	if err != nil {
		t.Fatal(err)
	}
	video := &mediatest.Video{Size: 100000, KeySize: 100000}
	start := time.Now()
	for _, f := range mediatest.Merge(20*time.Second, video) {
		if err := stream.WriteFrame(context.Background(), f); err != nil {
			t.Fatal(err)
		}
	}
	if d := time.Since(start); d > patience/2 {
		t.Errorf("the stream was held up for %v", d)
	}
	l.wait(t, Stalled, 1)
	eventually(t, "frames are dropped", func() bool { return sub.Stats().Dropped > 0 })
	if err := stream.Close(); err != nil {
		t.Fatal(err)
	}
	if err := rec.Close(); !errors.Is(err, ErrStalled) {
		t.Errorf("Close: %v", err)
	}
	close(hang)
	d.set(func() { d.hang = nil })
	select {
	case <-rec.Done():
	case <-time.After(patience):
		t.Fatal("the recording does not end")
	}
	e := l.wait(t, PartFinished, 1)[0]
	if _, list := readFragmented(t, readAll(t, e.Path)); len(list) == 0 || e.Err != nil {
		t.Errorf("%d frames, %v", len(list), e.Err)
	}
	if err := rec.Close(); err != nil {
		t.Errorf("Close again: %v", err)
	}
}

// TestSlowDisk lets WriteFrame wait, and go on with the disk.
func TestSlowDisk(t *testing.T) {
	t.Parallel()
	r, l := testRecorder(t)
	hang := make(chan struct{})
	d := &badDisk{left: -1, space: -1, hang: hang}
	r.disk = d
	rec, err := r.Record(Info{Stream: "s"}, Options{})
	if err != nil {
		t.Fatal(err)
	}
	frames := numbered(mediatest.Merge(6*time.Second, &mediatest.Video{Size: 100000, KeySize: 100000}))
	done := make(chan error, 1)
	go func() { done <- mediatest.Feed(context.Background(), rec, frames) }()
	select {
	case err := <-done:
		t.Fatalf("15 MB were taken by a disk that hangs: %v", err)
	case <-time.After(300 * time.Millisecond):
	}
	d.set(func() { d.hang = nil })
	close(hang)
	select {
	case err := <-done:
		if err != nil {
			t.Error(err)
		}
	case <-time.After(patience):
		t.Fatal("WriteFrame still waits")
	}
	if err := rec.Close(); err != nil {
		t.Fatal(err)
	}
	exactlyOnce(t, []string{l.wait(t, PartFinished, 1)[0].Path}, frames)
}

// TestNoFolder begins when the folder can be made.
func TestNoFolder(t *testing.T) {
	r, l := testRecorder(t)
	r.Retry = time.Millisecond
	if err := os.WriteFile(r.Folder, nil, 0o600); err != nil { // a file where the folder is to be
		t.Fatal(err)
	}
	rec, err := r.Record(Info{Stream: "s"}, Options{})
	if err != nil {
		t.Fatal(err)
	}
	video := &mediatest.Video{GOP: 5}
	feed(t, rec, mediatest.Merge(3*time.Second, video))
	l.wait(t, Paused, 1)
	if err := os.Remove(r.Folder); err != nil {
		t.Fatal(err)
	}
	until := 3 * time.Second
	eventually(t, "resumed", func() bool {
		until += time.Second
		feed(t, rec, mediatest.Merge(until, video))
		return len(l.of(Resumed)) > 0
	})
	if err := rec.Close(); err != nil {
		t.Fatal(err)
	}
	if e := l.wait(t, PartFinished, 1)[0]; e.Err != nil || filepath.Dir(e.Path) != r.folder || e.Part != 1 {
		t.Errorf("event %+v", e)
	}
}

func TestFreeSpace(t *testing.T) {
	n, ok := osDisk{}.free(filepath.Join(t.TempDir(), "not", "there"))
	if !ok || n <= 0 {
		t.Errorf("free %d %v", n, ok)
	}
}
