package record

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/trunkcast/trunkcast/media"
	"github.com/trunkcast/trunkcast/media/mediatest"
)

// uploader is an Uploader that does as it is told.
type uploader struct {
	mu   sync.Mutex
	errs []error // of the next uploads
	jobs []Job
	hang chan struct{}
}

func (u *uploader) Upload(ctx context.Context, j Job) (string, error) {
	u.mu.Lock()
	u.jobs = append(u.jobs, j)
	var err error
	if len(u.errs) > 0 {
		err, u.errs = u.errs[0], u.errs[1:]
	}
	hang := u.hang
	u.mu.Unlock()
	if hang != nil {
		select {
		case <-hang:
		case <-ctx.Done():
			return "", ctx.Err()
		}
	}
	return "x://" + j.Key(), err
}

func (u *uploader) keys() (list []string) {
	u.mu.Lock()
	defer u.mu.Unlock()
	for _, j := range u.jobs {
		list = append(list, j.Key())
	}
	return list
}

func shortCall() []*media.Frame {
	return mediatest.Merge(time.Second, &mediatest.Video{}, aacAudio())
}

// finisherRecorder is a recorder with a finisher, which is closed before it.
func finisherRecorder(t *testing.T, f *Finisher) (*Recorder, *events) {
	t.Helper()
	r, l := testRecorder(t)
	f.OnEvent, r.Finisher = l.add, f
	t.Cleanup(func() { _ = f.Close() })
	return r, l
}

func TestUploadAndRemove(t *testing.T) {
	u := &uploader{errs: []error{errors.New("once"), errors.New("twice")}}
	f := &Finisher{Uploader: u, RemoveLocal: true, Retry: time.Millisecond}
	r, l := finisherRecorder(t, f)
	r.Template = "{number}/{stream}"
	paths := record(t, r, l, Options{}, shortCall())
	e := l.wait(t, Uploaded, 1)[0]
	if e.URL != "x://_/s.mp4" || e.Attempts != 2 || len(l.of(UploadRetry)) != 2 {
		t.Errorf("%+v after %d tries", e, len(l.of(UploadRetry)))
	}
	l.wait(t, Removed, 1)
	if _, err := os.Stat(filepath.Dir(paths[0])); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("the folder is there: %v", err)
	}
	if err := f.Shutdown(t.Context()); err != nil {
		t.Error(err)
	}
	if err := f.Close(); err != nil {
		t.Errorf("a second Close: %v", err)
	}
}

func TestBackoff(t *testing.T) {
	f := &Finisher{Retry: time.Second, MaxRetry: 5 * time.Second}
	for attempts, want := range map[int]time.Duration{1: 1, 2: 2, 3: 4, 4: 5, 1000: 5} {
		if got := f.backoff(attempts); got != want*time.Second {
			t.Errorf("after %d: %v, want %d s", attempts, got, want)
		}
	}
	if got := (&Finisher{}).backoff(1000); got != defaultMaxRetry {
		t.Errorf("default %v", got)
	}
}

type permanent struct{ error }

func (permanent) Permanent() bool { return true }

func TestUploadGivenUp(t *testing.T) {
	for _, c := range []struct {
		name string
		f    *Finisher
		err  error
	}{
		{"permanent", &Finisher{}, permanent{errors.New("never")}},
		{"gone", &Finisher{}, fmt.Errorf("x: %w", fs.ErrNotExist)},
		{"too long", &Finisher{GiveUp: time.Millisecond, Retry: 2 * time.Millisecond}, errors.New("not now")},
	} {
		t.Run(c.name, func(t *testing.T) {
			u := &uploader{errs: []error{c.err, c.err}}
			c.f.Uploader, c.f.RemoveLocal = u, true
			r, l := finisherRecorder(t, c.f)
			paths := record(t, r, l, Options{}, shortCall())
			if e := l.wait(t, UploadFailed, 1)[0]; !errors.Is(e.Err, c.err) {
				t.Errorf("error %v", e.Err)
			}
			if err := c.f.Shutdown(t.Context()); err != nil {
				t.Error(err)
			}
			if _, err := os.Stat(paths[0]); err != nil {
				t.Errorf("the local file: %v", err)
			}
		})
	}
}

// TestRestart closes a finisher in an upload, and lets another one go on.
func TestRestart(t *testing.T) {
	journal := t.TempDir()
	u := &uploader{hang: make(chan struct{})}
	f := &Finisher{Uploader: u, Journal: journal}
	r, l := finisherRecorder(t, f)
	record(t, r, l, Options{}, shortCall())
	eventually(t, "the upload begins", func() bool { return len(u.keys()) == 1 })
	other := &Finisher{Journal: journal}
	if err := other.Start(); !errors.Is(err, ErrJournalInUse) {
		t.Errorf("a second program: %v", err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := f.Shutdown(ctx); !errors.Is(err, ErrPending) {
		t.Errorf("Shutdown: %v", err)
	}
	if len(l.of(UploadRetry, UploadFailed)) > 0 {
		t.Error("an upload that Close ended counts as failed")
	}
	if err := os.WriteFile(filepath.Join(journal, "BAD.job.json"), []byte("{"), 0o600); err != nil {
		t.Fatal(err)
	}
	again := &events{}
	f = &Finisher{Uploader: &uploader{}, Journal: journal, OnEvent: again.add}
	if err := f.Start(); err != nil {
		t.Fatal(err)
	}
	if e := again.wait(t, Uploaded, 1)[0]; e.Info.Stream != "s" || e.URL != "x://s.mp4" {
		t.Errorf("%+v", e)
	}
	if err := f.Shutdown(t.Context()); err != nil {
		t.Error(err)
	}
	if left, _ := filepath.Glob(filepath.Join(journal, "*.json")); len(left) != 1 { // the bad one
		t.Errorf("left in the journal: %v", left)
	}
}

// TestRecovery finishes files as a killed program leaves them.
func TestRecovery(t *testing.T) {
	for _, finalize := range []bool{false, true} {
		for _, cut := range []int{0, 1, 5000} {
			t.Run(fmt.Sprint(finalize, cut), func(t *testing.T) {
				journal := t.TempDir()
				hang := make(chan struct{})
				f := &Finisher{Journal: journal}
				r, l := finisherRecorder(t, f)
				d := &badDisk{left: -1, space: -1}
				r.disk, r.Finalize, r.Template = d, finalize, "{stream}-{end}"
				rec, err := r.Record(Info{Stream: "s"}, Options{})
				if err != nil {
					t.Fatal(err)
				}
				frames := mediatest.Merge(4*time.Second, &mediatest.Video{}, aacAudio())
				feed(t, rec, frames)
				eventually(t, "three fragments", func() bool {
					return len(l.of(PartStarted)) > 0 && rec.Stats().Frames == uint64(len(frames))
				})
				d.set(func() { d.hang = hang }) // nothing more comes to the disk
				path := rec.Stats().Path
				left := t.TempDir()
				file := copyOf(t, path, filepath.Join(left, filepath.Base(path)), cut)
				jobs := copyJobs(t, journal, path, file)
				close(hang)
				d.set(func() { d.hang = nil })

				again := &events{}
				f2 := &Finisher{Journal: jobs, OnEvent: again.add}
				if err := f2.Start(); err != nil {
					t.Fatal(err)
				}
				e := again.wait(t, PartFinished, 1)[0]
				if err := f2.Shutdown(t.Context()); err != nil {
					t.Error(err)
				}
				if e.Err != nil || !e.Recovered || strings.Contains(e.Path, unknown) || e.Duration < time.Second {
					t.Errorf("%+v", e)
				}
				var list []got
				if finalize {
					_, list = readPlain(t, readAll(t, e.Path))
				} else {
					_, list = readFragmented(t, readAll(t, e.Path))
				}
				want := wantedOf(frames, 0)
				v, a := ofKind(list, true), ofKind(list, false)
				if len(v) < 25 || len(a) < 40 {
					t.Fatalf("%d pictures, %d frames of sound", len(v), len(a))
				}
				if err := compareFrames(list, append(ofKind(want, true)[:len(v)], ofKind(want, false)[:len(a)]...)); err != nil {
					t.Error(err)
				}
				if left, _ := filepath.Glob(filepath.Join(filepath.Dir(e.Path), "*")); len(left) != 1 {
					t.Errorf("files %v", left)
				}
			})
		}
	}
}

// copyOf copies a file without its last bytes.
func copyOf(t *testing.T, from, to string, cut int) string {
	t.Helper()
	b := readAll(t, from)
	if err := os.WriteFile(to, b[:len(b)-cut], 0o600); err != nil {
		t.Fatal(err)
	}
	return to
}

// copyJobs copies a journal as one of a file elsewhere.
func copyJobs(t *testing.T, from, path, file string) string {
	t.Helper()
	to := t.TempDir()
	list, err := filepath.Glob(filepath.Join(from, "*.json"))
	if err != nil || len(list) != 1 {
		t.Fatalf("journal %v %v", list, err)
	}
	j, err := readJob(list[0])
	if err != nil || j.Path != path || j.Stage != stageRecording {
		t.Fatalf("job %+v %v", j, err)
	}
	j.Path, j.Folder = file, filepath.Dir(file)
	if err := (&journal{folder: to}).put(j); err != nil {
		t.Fatal(err)
	}
	return to
}

// TestFolderGone starts before the disk with the files is mounted.
func TestFolderGone(t *testing.T) {
	r, l := testRecorder(t)
	path := record(t, r, l, Options{}, shortCall())[0]
	away := r.folder + ".away"
	if err := os.Rename(r.folder, away); err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	j := &Job{ID: "A", Info: Info{Stream: "s"}, Part: 1, Folder: r.folder, Path: path, Template: "{stream}", Zone: "UTC",
		Start: time.Now(), Stage: stageRecording}
	if err := (&journal{folder: dir}).put(j); err != nil {
		t.Fatal(err)
	}
	again := &events{}
	f := &Finisher{Journal: dir, Uploader: &uploader{}, Retry: time.Millisecond, MaxRetry: time.Millisecond, OnEvent: again.add}
	if err := f.Start(); err != nil {
		t.Fatal(err)
	}
	eventually(t, "some tries", func() bool { return f.Pending()[0].Attempts > 2 })
	if err := os.Rename(away, r.folder); err != nil {
		t.Fatal(err)
	}
	if e := again.wait(t, Uploaded, 1)[0]; e.Path != path || e.Attempts != 0 {
		t.Errorf("%+v", e)
	}
	if err := f.Shutdown(t.Context()); err != nil {
		t.Error(err)
	}
}

// TestInterruptedFinalize repeats the steps that a kill may have left half
// done.
func TestInterruptedFinalize(t *testing.T) {
	for _, template := range []string{"{stream}", "{stream}-{end}"} {
		folder := t.TempDir()
		r, l := testRecorder(t)
		r.Folder = folder
		fragmented := record(t, r, l, Options{Template: "x"}, shortCall())[0]
		j := &Job{ID: "A", Folder: folder, Path: fragmented, Template: template, Zone: "UTC", Format: MP4, Finalize: true,
			Info: Info{Stream: "s"}, Part: 1, Start: time.Now(), Stage: stageSettle}
		if err := claim(j); err != nil {
			t.Fatal(err)
		}
		first := *j
		for i := range 3 { // as if the journal had not been written after it
			again := first
			if err := settle(t.Context(), &again); err != nil {
				t.Fatalf("%s, try %d: %v", template, i, err)
			}
			if _, list := readPlain(t, readAll(t, again.Path)); len(list) == 0 {
				t.Errorf("%s, try %d: no frames", template, i)
			}
		}
	}
}

// TestFinalizeGivenUp ends in the middle, at a shutdown, and is done later.
func TestFinalizeGivenUp(t *testing.T) {
	r, l := testRecorder(t)
	fragmented := record(t, r, l, Options{Template: "x"}, shortCall())[0]
	j := &Job{ID: "A", Folder: r.Folder, Path: fragmented, Template: "{stream}-{end}", Zone: "UTC", Format: MP4, Finalize: true,
		Info: Info{Stream: "s"}, Part: 1, Start: time.Now(), Stage: stageSettle}
	if err := claim(j); err != nil {
		t.Fatal(err)
	}
	first := *j
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := settle(ctx, j); !errors.Is(err, context.Canceled) {
		t.Fatalf("settled with %v", err)
	}
	again := first
	if err := settle(t.Context(), &again); err != nil {
		t.Fatal(err)
	}
	if _, list := readPlain(t, readAll(t, again.Path)); len(list) == 0 {
		t.Error("no frames in the plain file")
	}
}

// TestRetentionSparesTheJournal: what waits for its upload since before a
// restart stays.
func TestRetentionSparesTheJournal(t *testing.T) {
	u := &uploader{hang: make(chan struct{})}
	journal := t.TempDir()
	first := &Finisher{Uploader: u, Journal: journal}
	r, l := finisherRecorder(t, first)
	record(t, r, l, Options{}, shortCall())
	eventually(t, "the upload begins", func() bool { return len(u.keys()) == 1 })
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	_ = r.Close()
	_ = first.Shutdown(ctx)
	for range 20 {
		removed := &events{}
		second := &Finisher{Uploader: u, Journal: journal, OnEvent: removed.add}
		next := &Recorder{Folder: r.Folder, Finisher: second, Retention: Retention{Size: 1}, OnEvent: removed.add}
		if err := next.Start(); err != nil {
			t.Fatal(err)
		}
		next.sweeper.hurry()
		time.Sleep(5 * time.Millisecond)
		_ = next.Close()
		_ = second.Shutdown(ctx)
		if n := len(removed.of(Removed)); n > 0 {
			t.Fatalf("%d files removed before their upload", n)
		}
	}
	close(u.hang)
}

// TestFinalizeWithoutRoom leaves the file as it is.
func TestFinalizeWithoutRoom(t *testing.T) {
	r, l := testRecorder(t)
	r.Template = "{stream}-{end}"
	r.Finalize, r.Reserve = true, 1<<60
	r.disk = &badDisk{left: -1, space: -1}
	rec, err := r.Record(Info{Stream: "s"}, Options{})
	if err != nil {
		t.Fatal(err)
	}
	feed(t, rec, shortCall())
	if err := rec.Close(); err != nil {
		t.Fatal(err)
	}
	e := l.wait(t, PartFinished, 1)[0]
	if !errors.Is(e.Err, ErrDiskFull) {
		t.Errorf("error %v", e.Err)
	}
	if _, list := readFragmented(t, readAll(t, e.Path)); len(list) == 0 || strings.Contains(e.Path, unknown) {
		t.Errorf("%d frames in %s", len(list), e.Path)
	}
}

// TestShutdownWaits lets jobs end that are under way.
func TestShutdownWaits(t *testing.T) {
	var done atomic.Int32
	slow := uploadFunc(func(context.Context, Job) (string, error) {
		time.Sleep(20 * time.Millisecond)
		done.Add(1)
		return "", nil
	})
	f := &Finisher{Uploader: slow, Workers: 1}
	r, l := finisherRecorder(t, f)
	for range 3 {
		record(t, r, l, Options{}, shortCall())
	}
	if err := f.Shutdown(t.Context()); err != nil || done.Load() != 3 {
		t.Errorf("%d uploads, %v", done.Load(), err)
	}
}

type uploadFunc func(context.Context, Job) (string, error)

func (fn uploadFunc) Upload(ctx context.Context, j Job) (string, error) { return fn(ctx, j) }

func TestPanics(t *testing.T) {
	f := &Finisher{Uploader: uploadFunc(func(context.Context, Job) (string, error) { panic("x") })}
	r, l := finisherRecorder(t, f)
	record(t, r, l, Options{}, shortCall())
	if e := l.wait(t, UploadFailed, 1)[0]; !errors.Is(e.Err, ErrPanic) {
		t.Errorf("error %v", e.Err)
	}
	if err := f.Shutdown(t.Context()); err != nil {
		t.Error(err)
	}
}

func TestRetention(t *testing.T) {
	now := time.Now()
	old := func(r *Recorder, name string, size int, age time.Duration) string {
		path := filepath.Join(r.Folder, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, make([]byte, size), 0o600); err != nil {
			t.Fatal(err)
		}
		if err := os.Chtimes(path, now.Add(-age), now.Add(-age)); err != nil {
			t.Fatal(err)
		}
		return path
	}
	for _, c := range []struct {
		name string
		r    Retention
		gone []string
	}{
		{"none", Retention{}, nil},
		{"age", Retention{Age: 2 * time.Hour}, []string{"day/a.mp4", "b.ts"}},
		{"size", Retention{Size: 250}, []string{"day/a.mp4", "b.ts"}},
		{"both", Retention{Age: 30 * time.Minute, Size: 1000}, []string{"day/a.mp4", "b.ts", "c.mp4"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			r, l := testRecorder(t)
			r.Retention = c.r
			all := []string{
				old(r, "day/a.mp4", 100, 4*time.Hour), old(r, "b.ts", 100, 3*time.Hour),
				old(r, "c.mp4", 100, time.Hour), old(r, "d.mp4", 100, time.Minute),
			}
			other := old(r, "notes.txt", 100, 1000*time.Hour)
			if err := r.Start(); err != nil {
				t.Fatal(err)
			}
			l.wait(t, Removed, len(c.gone))
			if err := r.Close(); err != nil {
				t.Fatal(err)
			}
			for _, p := range append(all, other) {
				_, err := os.Stat(p)
				rel, _ := filepath.Rel(r.Folder, p)
				if want := slices.Contains(c.gone, filepath.ToSlash(rel)); errors.Is(err, fs.ErrNotExist) != want {
					t.Errorf("%s: %v", rel, err)
				}
			}
			if _, err := os.Stat(filepath.Join(r.Folder, "day")); errors.Is(err, fs.ErrNotExist) != (c.gone != nil) {
				t.Errorf("empty folder: %v", err)
			}
		})
	}
}

// TestRetentionSpares keeps what is being written or uploaded.
func TestRetentionSpares(t *testing.T) {
	u := &uploader{hang: make(chan struct{})}
	f := &Finisher{Uploader: u}
	r, l := finisherRecorder(t, f)
	r.Retention = Retention{Size: 1}
	record(t, r, l, Options{}, shortCall())
	eventually(t, "the upload begins", func() bool { return len(u.keys()) == 1 })
	r.sweeper.hurry()
	time.Sleep(20 * time.Millisecond)
	if n := len(l.of(Removed)); n > 0 {
		t.Errorf("%d files removed before their upload", n)
	}
	close(u.hang)
	l.wait(t, Uploaded, 1)
	eventually(t, "removed", func() bool { r.sweeper.hurry(); return len(l.of(Removed)) == 1 })
}

func FuzzJob(f *testing.F) {
	f.Add([]byte(`{"id":"A","part":1,"folder":"/a","path":"/a/b","stage":"upload"}`))
	f.Add([]byte(`{"id":"../A"}`))
	f.Fuzz(func(t *testing.T, b []byte) {
		j, err := parseJob(b)
		if err != nil {
			return
		}
		if !validID(j.ID) || !filepath.IsLocal(j.Key()) {
			t.Errorf("job %+v, key %q", j, j.Key())
		}
	})
}
