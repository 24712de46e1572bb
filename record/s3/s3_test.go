package s3

import (
	"bytes"
	"context"
	"encoding/xml"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/minio/minio-go/v7"

	"github.com/trunkcast/trunkcast/record"
)

const patience = 30 * time.Second

// server speaks as much of S3 as an upload needs.
type server struct {
	*httptest.Server
	// fail is asked first and may answer.
	fail func(w http.ResponseWriter, r *http.Request) bool

	mu      sync.Mutex
	objects map[string]object
	parts   map[string]map[string][]byte // upload -> part number -> content
	heads   map[string]http.Header       // upload -> of its begin
	puts    int
}

type object struct {
	data []byte
	head http.Header
}

func newServer(t *testing.T) *server {
	s := &server{objects: map[string]object{}, parts: map[string]map[string][]byte{}, heads: map[string]http.Header{}}
	s.Server = httptest.NewServer(s)
	t.Cleanup(func() {
		s.CloseClientConnections()
		s.Close()
	})
	return s
}

func (s *server) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	s.mu.Lock()
	fail := s.fail
	s.mu.Unlock()
	if fail != nil && fail(w, r) {
		return
	}
	body, err := readBody(r)
	if err != nil {
		refuse(w, http.StatusBadRequest, "IncompleteBody")
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	q := r.URL.Query()
	bucket, key, _ := strings.Cut(strings.TrimPrefix(r.URL.Path, "/"), "/")
	switch {
	case bucket != "calls":
		refuse(w, http.StatusNotFound, "NoSuchBucket")
	case !strings.Contains(r.Header.Get("Authorization"), "Credential=key/"):
		refuse(w, http.StatusForbidden, "AccessDenied")
	case q.Has("location"):
		_, _ = io.WriteString(w, `<LocationConstraint xmlns="http://s3.amazonaws.com/doc/2006-03-01/"></LocationConstraint>`)
	case r.Method == http.MethodHead:
		s.head(w, key)
	case r.Method == http.MethodPut && q.Has("partNumber"):
		s.parts[q.Get("uploadId")][q.Get("partNumber")] = body
		w.Header().Set("ETag", `"`+q.Get("partNumber")+`"`)
	case r.Method == http.MethodPut:
		s.put(w, key, body, r.Header)
	case r.Method == http.MethodPost && q.Has("uploads"):
		id := fmt.Sprintf("upload%d", len(s.parts))
		s.parts[id], s.heads[id] = map[string][]byte{}, r.Header
		_, _ = fmt.Fprintf(w, "<InitiateMultipartUploadResult><Bucket>calls</Bucket><Key>%s</Key><UploadId>%s</UploadId></InitiateMultipartUploadResult>", key, id)
	case r.Method == http.MethodPost && q.Has("uploadId"):
		s.complete(w, key, q.Get("uploadId"), body)
	case r.Method == http.MethodDelete && q.Has("uploadId"):
		delete(s.parts, q.Get("uploadId"))
		w.WriteHeader(http.StatusNoContent)
	default:
		refuse(w, http.StatusNotImplemented, "NotImplemented")
	}
}

func refuse(w http.ResponseWriter, status int, code string) {
	w.Header().Set("Content-Type", "application/xml")
	w.WriteHeader(status)
	_, _ = fmt.Fprintf(w, "<Error><Code>%s</Code><Message>%s</Message></Error>", code, code)
}

// readBody reads a body, which may be in signed chunks.
func readBody(r *http.Request) ([]byte, error) {
	b, err := io.ReadAll(r.Body)
	if err != nil || !strings.HasPrefix(r.Header.Get("X-Amz-Content-Sha256"), "STREAMING-") {
		return b, err
	}
	var out []byte
	for {
		head, rest, ok := bytes.Cut(b, []byte("\r\n"))
		var n int
		if _, err := fmt.Sscanf(string(head), "%x", &n); !ok || err != nil || n+2 > len(rest) && n > 0 {
			return nil, errors.New("bad chunk")
		}
		if n == 0 {
			return out, nil
		}
		out = append(out, rest[:n]...)
		b = rest[n+2:]
	}
}

func (s *server) head(w http.ResponseWriter, key string) {
	o, ok := s.objects[key]
	if !ok {
		w.WriteHeader(http.StatusNotFound)
		return
	}
	for name, v := range o.head {
		if strings.HasPrefix(name, "X-Amz-Meta-") {
			w.Header()[name] = v
		}
	}
	w.Header().Set("Content-Length", fmt.Sprint(len(o.data)))
	w.Header().Set("Last-Modified", time.Now().UTC().Format(http.TimeFormat))
	w.Header().Set("ETag", `"x"`)
}

func (s *server) put(w http.ResponseWriter, key string, body []byte, head http.Header) {
	s.puts++
	if _, ok := s.objects[key]; ok && head.Get("If-None-Match") == "*" {
		refuse(w, http.StatusPreconditionFailed, "PreconditionFailed")
		return
	}
	s.objects[key] = object{body, head}
	w.Header().Set("ETag", `"x"`)
}

func (s *server) complete(w http.ResponseWriter, key, id string, body []byte) {
	var list struct {
		Part []struct{ PartNumber string }
	}
	if err := xml.Unmarshal(body, &list); err != nil {
		refuse(w, http.StatusBadRequest, "MalformedXML")
		return
	}
	var data []byte
	for _, p := range list.Part {
		data = append(data, s.parts[id][p.PartNumber]...)
	}
	s.objects[key] = object{data, s.heads[id]}
	delete(s.parts, id)
	_, _ = fmt.Fprintf(w, "<CompleteMultipartUploadResult><Bucket>calls</Bucket><Key>%s</Key><ETag>x</ETag></CompleteMultipartUploadResult>", key)
}

func (s *server) get(key string) (object, bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	o, ok := s.objects[key]
	return o, ok
}

func (s *server) setFail(fn func(w http.ResponseWriter, r *http.Request) bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.fail = fn
}

func (s *server) uploader() *Uploader {
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
			s := newServer(t)
			u := s.uploader()
			u.Prefix, u.PartSize = "/a/b/", minPartSize
			j, data := job(t, "ONE", size)
			url, err := u.Upload(t.Context(), j)
			if err != nil {
				t.Fatal(err)
			}
			if want := "s3://calls/a/b/day/call%201.mp4"; url != want {
				t.Errorf("url %q, want %q", url, want)
			}
			o, ok := s.get("a/b/day/call 1.mp4")
			if !ok || !bytes.Equal(o.data, data) {
				t.Errorf("object %v of %d bytes, want %d", ok, len(o.data), len(data))
			}
			if got := o.head.Get("Content-Type"); got != "video/mp4" {
				t.Errorf("content type %q", got)
			}
		})
	}
}

// TestUploadTwice loses the answer to an upload, and meets an object of
// somebody else's.
func TestUploadTwice(t *testing.T) {
	s := newServer(t)
	u := s.uploader()
	one, _ := job(t, "ONE", 10)
	for range 2 {
		if url, err := u.Upload(t.Context(), one); err != nil || url != "s3://calls/day/call%201.mp4" {
			t.Fatal(url, err)
		}
	}
	if s.puts != 1 {
		t.Errorf("%d uploads of one job", s.puts)
	}
	two, data := job(t, "TWO", 20)
	url, err := u.Upload(t.Context(), two)
	if err != nil || url != "s3://calls/day/call%201_2.mp4" {
		t.Fatal(url, err)
	}
	if o, _ := s.get("day/call 1_2.mp4"); !bytes.Equal(o.data, data) {
		t.Errorf("%d bytes", len(o.data))
	}
	if o, _ := s.get("day/call 1.mp4"); len(o.data) != 10 {
		t.Error("the first object was overwritten")
	}
}

// TestUploadOnly has rights to write, not to look.
func TestUploadOnly(t *testing.T) {
	s := newServer(t)
	s.objects["day/call 1.mp4"] = object{data: []byte("other")}
	s.setFail(func(w http.ResponseWriter, r *http.Request) bool {
		if r.Method == http.MethodHead {
			w.WriteHeader(http.StatusForbidden)
			return true
		}
		return false
	})
	j, _ := job(t, "ONE", 10)
	if url, err := s.uploader().Upload(t.Context(), j); err != nil || url != "s3://calls/day/call%201_2.mp4" {
		t.Fatal(url, err)
	}
	if o, _ := s.get("day/call 1.mp4"); string(o.data) != "other" {
		t.Error("overwritten")
	}
}

// TestUnconditional meets a server that knows no conditions.
func TestUnconditional(t *testing.T) {
	s := newServer(t)
	s.setFail(func(w http.ResponseWriter, r *http.Request) bool {
		if r.Header.Get("If-None-Match") != "" {
			_, _ = io.Copy(io.Discard, r.Body)
			refuse(w, http.StatusNotImplemented, "NotImplemented")
			return true
		}
		return false
	})
	j, _ := job(t, "ONE", 10)
	if _, err := s.uploader().Upload(t.Context(), j); err != nil {
		t.Fatal(err)
	}
	if _, ok := s.get("day/call 1.mp4"); !ok {
		t.Error("no object")
	}
}

func TestUploadErrors(t *testing.T) {
	s := newServer(t)
	j, _ := job(t, "ONE", 10)
	gone := j
	gone.Path += ".gone"
	wrong := s.uploader()
	wrong.AccessKey = "other"
	missing := s.uploader()
	missing.Bucket = "missing"
	for _, c := range []struct {
		name string
		u    *Uploader
		j    record.Job
		want func(error) bool
	}{
		{"no file", s.uploader(), gone, func(err error) bool { return errors.Is(err, fs.ErrNotExist) }},
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
	s := newServer(t)
	quit := make(chan struct{})
	defer close(quit)
	s.setFail(func(w http.ResponseWriter, r *http.Request) bool {
		if r.Method == http.MethodPut {
			<-quit
			return true
		}
		return false
	})
	u := s.uploader()
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
	s := newServer(t)
	s.setFail(func(w http.ResponseWriter, r *http.Request) bool {
		if r.Method == http.MethodPut {
			refuse(w, http.StatusForbidden, "AccessDenied")
			return true
		}
		return false
	})
	folder := t.TempDir()
	recorder, events := &record.Recorder{Folder: filepath.Join(folder, "records"), Format: record.MPEGTS}, &list{}
	recorder.Finisher = s.finisher(folder, events)
	writeCall(t, recorder)
	events.wait(t, record.UploadRetry)
	events.wait(t, record.UploadRetry)
	if err := recorder.Finisher.Close(); !errors.Is(err, record.ErrPending) {
		t.Errorf("Close with a job left: %v", err)
	}
	s.setFail(nil)
	again := s.finisher(folder, events)
	if err := again.Start(); err != nil {
		t.Fatal(err)
	}
	e := events.wait(t, record.Uploaded)
	if _, ok := s.get("call.ts"); !ok || e.URL != "s3://calls/call.ts" {
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

func (s *server) finisher(folder string, l *list) *record.Finisher {
	return &record.Finisher{Uploader: s.uploader(), Journal: filepath.Join(folder, "jobs"), RemoveLocal: true,
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
