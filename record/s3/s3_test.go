package s3

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/minio/minio-go/v7"

	"github.com/trunkcast/trunkcast/record"
	"github.com/trunkcast/trunkcast/record/s3/s3test"
)

const patience = 30 * time.Second

func uploaderOf(s *s3test.Server) *Uploader {
	return &Uploader{Endpoint: s.URL, Bucket: "calls", Region: "us-east-1", AccessKey: "key", SecretKey: "secret"}
}

// job makes a file with a job.
func job(t *testing.T, id string, size int) (record.Job, []byte) {
	t.Helper()
	folder := t.TempDir()
	path := filepath.Join(folder, "day", "call 1.mp4")
	data := bytes.Repeat([]byte("0123456789abcdef"), size/16+1)[:size]
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, data, 0o600); err != nil {
		t.Fatal(err)
	}
	return record.Job{ID: id, Folder: folder, Path: path}, data
}

func TestUpload(t *testing.T) {
	for _, size := range []int{1, 1 << 20, 12 << 20} {
		t.Run(fmt.Sprint(size), func(t *testing.T) {
			s := s3test.New(t)
			u := uploaderOf(s)
			u.Prefix, u.PartSize = "/a/b/", minPartSize
			j, data := job(t, "ONE", size)
			url, err := u.Upload(t.Context(), j)
			if err != nil {
				t.Fatal(err)
			}
			if want := "s3://calls/a/b/day/call%201.mp4"; url != want {
				t.Errorf("url %q, want %q", url, want)
			}
			o, ok := s.Get("a/b/day/call 1.mp4")
			if !ok || !bytes.Equal(o.Data, data) {
				t.Errorf("object %v of %d bytes, want %d", ok, len(o.Data), len(data))
			}
			if got := o.Head.Get("Content-Type"); got != "video/mp4" {
				t.Errorf("content type %q", got)
			}
		})
	}
}

// TestUploadTwice loses the answer to an upload, and meets an object of
// somebody else's.
func TestUploadTwice(t *testing.T) {
	s := s3test.New(t)
	u := uploaderOf(s)
	one, _ := job(t, "ONE", 10)
	for range 2 {
		if url, err := u.Upload(t.Context(), one); err != nil || url != "s3://calls/day/call%201.mp4" {
			t.Fatal(url, err)
		}
	}
	if s.Puts() != 1 {
		t.Errorf("%d uploads of one job", s.Puts())
	}
	two, data := job(t, "TWO", 20)
	url, err := u.Upload(t.Context(), two)
	if err != nil || url != "s3://calls/day/call%201_2.mp4" {
		t.Fatal(url, err)
	}
	if o, _ := s.Get("day/call 1_2.mp4"); !bytes.Equal(o.Data, data) {
		t.Errorf("%d bytes", len(o.Data))
	}
	if o, _ := s.Get("day/call 1.mp4"); len(o.Data) != 10 {
		t.Error("the first object was overwritten")
	}
}

// TestUploadOnly has rights to write, not to look.
func TestUploadOnly(t *testing.T) {
	s := s3test.New(t)
	s.Put("day/call 1.mp4", []byte("other"))
	s.SetFail(func(w http.ResponseWriter, r *http.Request) bool {
		if r.Method == http.MethodHead {
			w.WriteHeader(http.StatusForbidden)
			return true
		}
		return false
	})
	j, _ := job(t, "ONE", 10)
	if url, err := uploaderOf(s).Upload(t.Context(), j); err != nil || url != "s3://calls/day/call%201_2.mp4" {
		t.Fatal(url, err)
	}
	if o, _ := s.Get("day/call 1.mp4"); string(o.Data) != "other" {
		t.Error("overwritten")
	}
}

// TestUnconditional meets a server that knows no conditions.
func TestUnconditional(t *testing.T) {
	s := s3test.New(t)
	s.SetFail(func(w http.ResponseWriter, r *http.Request) bool {
		if r.Header.Get("If-None-Match") != "" {
			_, _ = io.Copy(io.Discard, r.Body)
			s3test.Refuse(w, http.StatusNotImplemented, "NotImplemented")
			return true
		}
		return false
	})
	j, _ := job(t, "ONE", 10)
	if _, err := uploaderOf(s).Upload(t.Context(), j); err != nil {
		t.Fatal(err)
	}
	if _, ok := s.Get("day/call 1.mp4"); !ok {
		t.Error("no object")
	}
}

func TestUploadErrors(t *testing.T) {
	s := s3test.New(t)
	j, _ := job(t, "ONE", 10)
	gone := j
	gone.Path += ".gone"
	wrong := uploaderOf(s)
	wrong.AccessKey = "other"
	missing := uploaderOf(s)
	missing.Bucket = "missing"
	for _, c := range []struct {
		name string
		u    *Uploader
		j    record.Job
		want func(error) bool
	}{
		{"no file", uploaderOf(s), gone, func(err error) bool { return errors.Is(err, fs.ErrNotExist) }},
		{"wrong key", wrong, j, func(err error) bool { return code(err) == minio.AccessDenied }},
		{"no bucket", missing, j, func(err error) bool { return code(err) == "NoSuchBucket" }},
	} {
		t.Run(c.name, func(t *testing.T) {
			if _, err := c.u.Upload(t.Context(), c.j); !c.want(err) {
				t.Errorf("error %v", err)
			}
		})
	}
}

func code(err error) string {
	var e minio.ErrorResponse
	errors.As(err, &e)
	return e.Code
}

func TestStall(t *testing.T) {
	s := s3test.New(t)
	quit := make(chan struct{})
	defer close(quit)
	s.SetFail(func(w http.ResponseWriter, r *http.Request) bool {
		if r.Method == http.MethodPut {
			<-quit
			return true
		}
		return false
	})
	u := uploaderOf(s)
	u.StallTimeout = 300 * time.Millisecond
	j, _ := job(t, "ONE", 10)
	start := time.Now()
	if _, err := u.Upload(t.Context(), j); !errors.Is(err, ErrStalled) {
		t.Errorf("error %v", err)
	}
	if d := time.Since(start); d > patience {
		t.Errorf("ended after %v", d)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := u.Upload(ctx, j); !errors.Is(err, context.Canceled) {
		t.Errorf("error %v", err)
	}
}

func TestSettings(t *testing.T) {
	for _, u := range []*Uploader{
		{}, {Bucket: "b", Endpoint: "ftp://x"}, {Bucket: "b", Endpoint: "http://x/path"}, {Bucket: "b", Endpoint: "http://u:p@x"},
		{Bucket: "b", PartSize: 1}, {Bucket: "b", StallTimeout: -1}, {Bucket: "b", SecretKey: "s"}, {Bucket: "b", Endpoint: "http://%zz"},
	} {
		err := u.Check()
		var p interface{ Permanent() bool }
		if !errors.Is(err, ErrSettings) || !errors.As(err, &p) || !p.Permanent() {
			t.Errorf("%v: %v", u, err)
		}
		if err != nil && strings.Contains(err.Error(), ":p@") {
			t.Errorf("password in %v", err)
		}
	}
	u := &Uploader{Bucket: "b", AccessKey: "key", SecretKey: "hidden"}
	if err := u.Check(); err != nil {
		t.Error(err)
	}
	var b bytes.Buffer
	slog.New(slog.NewTextHandler(&b, nil)).Info("x", "uploader", u)
	if text := b.String() + fmt.Sprint(u); strings.Contains(text, "hidden") {
		t.Errorf("secret in %s", text)
	}
}

// TestFinisher retries an upload that fails, after a restart too, and removes
// the file then.
func TestFinisher(t *testing.T) {
	s := s3test.New(t)
	s.SetFail(func(w http.ResponseWriter, r *http.Request) bool {
		if r.Method == http.MethodPut {
			s3test.Refuse(w, http.StatusForbidden, "AccessDenied")
			return true
		}
		return false
	})
	folder := t.TempDir()
	recorder, events := &record.Recorder{Folder: filepath.Join(folder, "records"), Format: record.MPEGTS}, &list{}
	recorder.Finisher = finisherOf(s, folder, events)
	writeCall(t, recorder)
	events.wait(t, record.UploadRetry)
	events.wait(t, record.UploadRetry)
	if err := recorder.Finisher.Close(); !errors.Is(err, record.ErrPending) {
		t.Errorf("Close with a job left: %v", err)
	}
	s.SetFail(nil)
	again := finisherOf(s, folder, events)
	if err := again.Start(); err != nil {
		t.Fatal(err)
	}
	e := events.wait(t, record.Uploaded)
	if _, ok := s.Get("call.ts"); !ok || e.URL != "s3://calls/call.ts" {
		t.Errorf("uploaded %v to %q", ok, e.URL)
	}
	events.wait(t, record.Removed)
	if err := again.Close(); err != nil {
		t.Error(err)
	}
	if _, err := os.Stat(filepath.Join(folder, "records", "call.ts")); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("local file: %v", err)
	}
	if left, _ := filepath.Glob(filepath.Join(folder, "jobs", "*.json")); len(left) > 0 {
		t.Errorf("journal holds %v", left)
	}
}

func finisherOf(s *s3test.Server, folder string, l *list) *record.Finisher {
	return &record.Finisher{Uploader: uploaderOf(s), Journal: filepath.Join(folder, "jobs"), RemoveLocal: true,
		Retry: 10 * time.Millisecond, OnEvent: l.add}
}

// list keeps events until they are waited for.
type list struct {
	mu   sync.Mutex
	list []record.Event
}

func (l *list) add(e record.Event) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.list = append(l.list, e)
}

func (l *list) wait(t *testing.T, typ record.EventType) record.Event {
	t.Helper()
	for end := time.Now().Add(patience); time.Now().Before(end); time.Sleep(5 * time.Millisecond) {
		l.mu.Lock()
		i := slices.IndexFunc(l.list, func(e record.Event) bool { return e.Type == typ })
		if i >= 0 {
			e := l.list[i]
			l.list = slices.Delete(l.list, i, i+1)
			l.mu.Unlock()
			return e
		}
		l.mu.Unlock()
	}
	t.Fatalf("no event %v", typ)
	return record.Event{}
}
