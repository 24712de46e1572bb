package httpfile_test

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"runtime"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/trunkcast/trunkcast/inject"
	"github.com/trunkcast/trunkcast/inject/httpfile"
	"github.com/trunkcast/trunkcast/media"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const clip = "../../internal/democlip/clip.mp4"

func read(t testing.TB) []byte {
	t.Helper()
	b, err := os.ReadFile(clip)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// frames reads a source to its end.
func frames(t testing.TB, source media.Source) (n int) {
	t.Helper()
	defer source.Close()
	for {
		_, err := source.ReadFrame(t.Context())
		if err == io.EOF {
			return n
		}
		if err != nil {
			t.Fatalf("after %d frames: %v", n, err)
		}
		n++
	}
}

func local(t testing.TB) int {
	t.Helper()
	b := read(t)
	f, err := inject.Open(t.Context(), bytes.NewReader(b), int64(len(b)), inject.FileOptions{})
	if err != nil {
		t.Fatal(err)
	}
	return frames(t, f)
}

// serve runs a server of one file until the end of the test.
func serve(t testing.TB, h http.HandlerFunc) (*httpfile.Opener, string) {
	t.Helper()
	s := httptest.NewServer(h)
	o := &httpfile.Opener{StallTimeout: 5 * time.Second}
	t.Cleanup(func() {
		o.CloseIdleConnections()
		s.CloseClientConnections()
		s.Close()
	})
	return o, s.URL + "/clip.mp4"
}

func content(b []byte) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		http.ServeContent(w, r, "clip.mp4", time.Unix(1, 0), bytes.NewReader(b))
	}
}

// indexLast moves the index of an MP4 file to its end, as encoders write it
// that do not know it before.
func indexLast(t testing.TB, b []byte) []byte {
	t.Helper()
	type box struct {
		kind string
		data []byte
	}
	var boxes []box
	for rest := b; len(rest) >= 8; {
		n := int(binary.BigEndian.Uint32(rest))
		boxes = append(boxes, box{string(rest[4:8]), rest[:n]})
		rest = rest[n:]
	}
	var out, index []byte
	moved := 0
	for _, x := range boxes {
		switch {
		case x.kind == "moov":
			index, moved = bytes.Clone(x.data), len(x.data)
		default:
			out = append(out, x.data...)
		}
	}
	if index == nil || boxes[len(boxes)-1].kind == "moov" {
		t.Fatal("the clip has no index before its end")
	}
	// The places of the chunks are less by what stood before them.
	for at := 0; ; {
		i := bytes.Index(index[at:], []byte("stco"))
		if i < 0 {
			break
		}
		at += i + 4
		for n := range int(binary.BigEndian.Uint32(index[at+4:])) {
			p := index[at+8+4*n:]
			binary.BigEndian.PutUint32(p, binary.BigEndian.Uint32(p)-uint32(moved))
		}
	}
	return append(out, index...)
}

// TestServers plays the same file from servers of several kinds.
func TestServers(t *testing.T) {
	want := local(t)
	b := read(t)
	last := indexLast(t, b)
	var broken atomic.Int32
	for name, h := range map[string]http.HandlerFunc{
		"ranges":     content(b),
		"index last": content(last),
		"without ranges": func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Length", strconv.Itoa(len(b)))
			w.Write(b)
		},
		"index last, without ranges": func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Length", strconv.Itoa(len(last)))
			w.Write(last)
		},
		"redirect": func(w http.ResponseWriter, r *http.Request) {
			if r.URL.Query().Get("again") == "" {
				http.Redirect(w, r, "/clip.mp4?again=1", http.StatusFound)
				return
			}
			content(b)(w, r)
		},
		"breaks off": func(w http.ResponseWriter, r *http.Request) {
			if broken.Add(1)%2 == 1 {
				http.ServeContent(&short{w, 100_000}, r, "clip.mp4", time.Unix(1, 0), bytes.NewReader(b))
				return
			}
			content(b)(w, r)
		},
	} {
		t.Run(name, func(t *testing.T) {
			o, url := serve(t, h)
			source, err := o.Open(t.Context(), url)
			if err != nil {
				t.Fatal(err)
			}
			if n := frames(t, source); n != want {
				t.Errorf("%d frames, want %d", n, want)
			}
		})
	}
}

// short breaks a response off.
type short struct {
	http.ResponseWriter
	left int
}

func (s *short) Write(b []byte) (int, error) {
	if s.left <= 0 {
		panic(http.ErrAbortHandler)
	}
	n, err := s.ResponseWriter.Write(b[:min(len(b), s.left)])
	s.left -= n
	return n, err
}

// TestRefusals has servers that give no file.
func TestRefusals(t *testing.T) {
	for name, c := range map[string]struct {
		h    http.HandlerFunc
		want func(error) bool
	}{
		"missing":   {http.NotFound, func(err error) bool { return errors.Is(err, inject.ErrNoSource) }},
		"forbidden": {func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(403) }, isStatus(403)},
		"broken":    {func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(500) }, isStatus(500)},
		"a page":    {func(w http.ResponseWriter, _ *http.Request) { w.Write([]byte("<html>no film here</html>")) }, isErr(inject.ErrNotMedia)},
		"no end":    {func(w http.ResponseWriter, _ *http.Request) { w.(http.Flusher).Flush(); w.Write([]byte("live")) }, func(err error) bool { return err != nil }},
		"other range": {func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Range", "bytes 5-9/10")
			w.WriteHeader(206)
		}, func(err error) bool { return err != nil }},
		"loop": {func(w http.ResponseWriter, r *http.Request) { http.Redirect(w, r, r.URL.Path, http.StatusFound) }, func(err error) bool { return err != nil }},
	} {
		t.Run(name, func(t *testing.T) {
			o, url := serve(t, c.h)
			source, err := o.Open(t.Context(), url+"?secret=word")
			if source != nil || !c.want(err) {
				t.Errorf("%v", err)
			}
			if err != nil && strings.Contains(err.Error(), "secret") {
				t.Errorf("the error tells the URL: %v", err)
			}
		})
	}
	o := &httpfile.Opener{}
	for _, url := range []string{"", "ftp://host/x", "http://", "http:///x", "%"} {
		if _, err := o.Open(t.Context(), url); !errors.Is(err, inject.ErrNoSource) {
			t.Errorf("%q: %v", url, err)
		}
	}
}

func isErr(want error) func(error) bool { return func(err error) bool { return errors.Is(err, want) } }

func isStatus(code int) func(error) bool {
	return func(err error) bool {
		var s *httpfile.StatusError
		return errors.As(err, &s) && s.Code == code
	}
}

// TestStall has a server that stops in mid-file: a clear error, in time; and
// one whose file becomes another.
func TestStall(t *testing.T) {
	b := read(t)
	stop := make(chan struct{})
	o, url := serve(t, func(w http.ResponseWriter, r *http.Request) {
		http.ServeContent(&stalling{w, 140_000, stop}, r, "clip.mp4", time.Unix(1, 0), bytes.NewReader(b))
	})
	defer close(stop)
	o.StallTimeout = 300 * time.Millisecond
	source, err := o.Open(t.Context(), url)
	if err != nil {
		t.Fatal(err)
	}
	defer source.Close()
	begun := time.Now()
	for err == nil {
		_, err = source.ReadFrame(t.Context())
	}
	if !errors.Is(err, httpfile.ErrStalled) {
		t.Errorf("%v", err)
	}
	if d := time.Since(begun); d > 10*time.Second {
		t.Errorf("told after %v", d)
	}
}

// TestClose closes a file while a read of it hangs.
func TestClose(t *testing.T) {
	b := read(t)
	stop := make(chan struct{})
	o, url := serve(t, func(w http.ResponseWriter, r *http.Request) {
		http.ServeContent(&stalling{w, 140_000, stop}, r, "clip.mp4", time.Unix(1, 0), bytes.NewReader(b))
	})
	defer close(stop)
	o.StallTimeout = time.Hour
	source, err := o.Open(t.Context(), url)
	if err != nil {
		t.Fatal(err)
	}
	ended := make(chan error)
	go func() {
		var err error
		for err == nil {
			_, err = source.ReadFrame(context.Background())
		}
		ended <- err
	}()
	time.Sleep(200 * time.Millisecond)
	_ = source.Close()
	select {
	case err := <-ended:
		if !errors.Is(err, media.ErrClosed) {
			t.Errorf("%v", err)
		}
	case <-time.After(10 * time.Second):
		t.Fatal("the read does not end")
	}
}

// stalling hangs after some bytes.
type stalling struct {
	http.ResponseWriter
	left int
	stop chan struct{}
}

func (s *stalling) Write(b []byte) (int, error) {
	n, err := s.ResponseWriter.Write(b[:min(len(b), s.left)])
	if s.left -= n; err == nil && n < len(b) {
		s.ResponseWriter.(http.Flusher).Flush()
		<-s.stop
		return n, errors.New("stopped")
	}
	return n, err
}

// TestChanged has a file that becomes another one.
func TestChanged(t *testing.T) {
	b := read(t)
	var asked atomic.Int32
	o, url := serve(t, func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("ETag", `"`+strconv.Itoa(int(asked.Add(1)))+`"`)
		http.ServeContent(&short{w, 100_000}, r, "clip.mp4", time.Unix(1, 0), bytes.NewReader(indexLast(t, b)))
	})
	if _, err := o.Open(t.Context(), url); !errors.Is(err, httpfile.ErrChanged) {
		t.Errorf("%v", err)
	}
}

// TestMemory plays a file that is ten times larger than what is kept of it.
func TestMemory(t *testing.T) {
	b := read(t)
	const padding = 40 << 20
	// A box of padding between the index and the media would be skipped: what
	// is read through instead is a server without ranges.
	big := append(bytes.Clone(b[:boxEnd(b, "ftyp")]), make([]byte, padding)...)
	binary.BigEndian.PutUint32(big[boxEnd(b, "ftyp"):], padding)
	copy(big[boxEnd(b, "ftyp")+4:], "free")
	big = append(big, indexLast(t, b)[boxEnd(b, "ftyp"):]...)
	// The places of the chunks are wrong now: only the way to the index counts.
	o, url := serve(t, func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Length", strconv.Itoa(len(big)))
		w.Write(big)
	})
	var before, after runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&before)
	source, err := o.Open(t.Context(), url)
	if err != nil {
		t.Fatal(err)
	}
	defer source.Close()
	runtime.GC()
	runtime.ReadMemStats(&after)
	if grown := int64(after.HeapAlloc) - int64(before.HeapAlloc); grown > 12<<20 {
		t.Errorf("%d MiB are kept of the file", grown>>20)
	}
}

func boxEnd(b []byte, kind string) int {
	for at := 0; at+8 <= len(b); {
		n := int(binary.BigEndian.Uint32(b[at:]))
		if string(b[at+4:at+8]) == kind {
			return at + n
		}
		at += n
	}
	return 0
}
