package record

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/trunkcast/trunkcast/media"
	"github.com/trunkcast/trunkcast/media/mediatest"
)

// TestMain sees to it that nothing runs on after the tests.
func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func TestSettings(t *testing.T) {
	for _, r := range []*Recorder{
		{Template: "{x}"}, {Rotation: Rotation{Size: 1}}, {Rotation: Rotation{Duration: -1}}, {PartDuration: time.Millisecond},
		{PartDuration: time.Hour}, {Format: 7}, {Retention: Retention{Age: 1}}, {Retention: Retention{Size: -1}},
		{Finisher: &Finisher{Retry: -1}},
	} {
		r.Folder = t.TempDir()
		_, err := r.Record(Info{}, Options{})
		if !errors.Is(err, ErrOptions) && !errors.Is(err, ErrTemplate) && !errors.Is(err, ErrRotation) {
			t.Errorf("%+v: %v", r.Rotation, err)
		}
		if err := r.Close(); err != nil {
			t.Errorf("Close: %v", err)
		}
	}
	r, _ := testRecorder(t)
	bad := Format(9)
	for _, o := range []Options{{Template: "a//b"}, {Rotation: &Rotation{Size: 5}}, {Format: &bad}} {
		if _, err := r.Record(Info{}, o); err == nil {
			t.Errorf("%+v: no error", o)
		}
	}
	if len(r.Recordings()) != 0 {
		t.Error("a recording that was refused is listed")
	}
}

// TestZeroValue records with no setting at all.
func TestZeroValue(t *testing.T) {
	t.Chdir(t.TempDir())
	var r Recorder
	rec, err := r.Record(Info{Stream: "rtmp_100"}, Options{})
	if err != nil {
		t.Fatal(err)
	}
	feed(t, rec, shortCall())
	if list := r.Recordings(); len(list) != 1 || list[0] != rec || list[0].Info().Stream != "rtmp_100" {
		t.Errorf("recordings %v", list)
	}
	if err := r.Close(); err != nil {
		t.Fatal(err)
	}
	if list, err := filepath.Glob("records/rtmp_100-*Z.mp4"); len(list) != 1 {
		t.Errorf("files %v %v", list, err)
	}
	if _, err := r.Record(Info{}, Options{}); !errors.Is(err, media.ErrClosed) {
		t.Errorf("Record after Close: %v", err)
	}
}

// TestLocation names files in a zone that comes with the program.
func TestLocation(t *testing.T) {
	r, l := testRecorder(t)
	zone, err := time.LoadLocation("Asia/Kolkata")
	if err != nil {
		t.Fatal(err)
	}
	r.Location, r.Template = zone, "{start}-{end}"
	p := record(t, r, l, Options{}, shortCall())[0]
	if n := strings.Count(p, "+0530"); n != 2 {
		t.Errorf("name %s", p)
	}
}

// TestQuietEnd writes what came although nothing follows: a call on hold.
func TestQuietEnd(t *testing.T) {
	r, l := testRecorder(t)
	r.PartDuration = 100 * time.Millisecond
	rec, err := r.Record(Info{Stream: "s"}, Options{})
	if err != nil {
		t.Fatal(err)
	}
	frames := mediatest.Merge(200*time.Millisecond, &mediatest.Video{})
	feed(t, rec, frames)
	l.wait(t, PartStarted, 1)
	var list []got
	eventually(t, "all but the last frame is in the file", func() bool {
		b := readAll(t, rec.Stats().Path)
		if len(b) == 0 {
			return false
		}
		_, list = readFragmented(t, b)
		return len(list) == len(frames)-1
	})
	if err := compareFrames(list, wantedOf(frames[:len(list)], 0)); err != nil {
		t.Error(err)
	}
}

// TestConcurrency closes from several goroutines what others write.
func TestConcurrency(t *testing.T) {
	folder := t.TempDir()
	l := &events{}
	f := &Finisher{OnEvent: l.add, Journal: filepath.Join(folder, "jobs"), Uploader: &uploader{}, RemoveLocal: true}
	r := &Recorder{Folder: filepath.Join(folder, "records"), Template: "{stream}", Finisher: f, OnEvent: l.add,
		Logger: slog.New(slog.DiscardHandler), Reserve: -1, CloseTimeout: patience, Retention: Retention{Size: 1 << 30}}
	var wg sync.WaitGroup
	const calls = 10
	for i := range calls {
		rec, err := r.Record(Info{Stream: fmt.Sprint("call", i%3)}, Options{})
		if err != nil {
			t.Fatal(err)
		}
		stream := &media.Stream{DrainTimeout: patience}
		if _, err := stream.Attach(rec, r.SinkOptions()); err != nil {
			t.Fatal(err)
		}
		wg.Go(func() {
			for _, f := range mediatest.Merge(3*time.Second, &mediatest.Video{}, aacAudio()) {
				_ = stream.WriteFrame(context.Background(), f)
				_ = rec.Stats()
			}
			_ = stream.CloseWrite()
		})
		wg.Go(func() {
			<-rec.Done()
			_ = rec.Close()
		})
	}
	wg.Wait()
	for range 2 {
		wg.Go(func() { _ = r.Close() })
	}
	wg.Wait()
	for range 2 {
		wg.Go(func() {
			if err := f.Shutdown(context.Background()); err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	if n := len(l.of(Removed)); n != calls {
		t.Errorf("%d of %d calls were uploaded and removed: %v", n, calls, l.of(UploadFailed, Paused))
	}
	if list, err := os.ReadDir(filepath.Join(folder, "records")); err != nil || len(list) != 0 {
		t.Errorf("left: %v %v", list, err)
	}
}

// TestEventPanics contains what OnEvent does.
func TestEventPanics(t *testing.T) {
	r := &Recorder{Folder: t.TempDir(), OnEvent: func(Event) { panic("x") }}
	rec, err := r.Record(Info{Stream: "s"}, Options{})
	if err != nil {
		t.Fatal(err)
	}
	feed(t, rec, shortCall())
	if err := r.Close(); err != nil {
		t.Error(err)
	}
	if st := rec.Stats(); st.Parts != 1 || st.Lost != 0 {
		t.Errorf("%+v", st)
	}
}
