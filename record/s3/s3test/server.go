// Package s3test is a server in memory that speaks as much of S3 as an upload
// needs, for tests.
package s3test

import (
	"bytes"
	"encoding/xml"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"
)

// Server has the bucket "calls" for the access key "key".
type Server struct {
	*httptest.Server

	fail func(w http.ResponseWriter, r *http.Request) bool

	mu      sync.Mutex
	objects map[string]Object
	parts   map[string]map[string][]byte // upload -> part number -> content
	heads   map[string]http.Header       // upload -> of its begin
	puts    int
}

// Object is what was put, and the header of its request.
type Object struct {
	Data []byte
	Head http.Header
}

// New runs a server until the end of the test.
func New(t testing.TB) *Server {
	s := &Server{objects: map[string]Object{}, parts: map[string]map[string][]byte{}, heads: map[string]http.Header{}}
	s.Server = httptest.NewServer(s)
	t.Cleanup(func() {
		s.CloseClientConnections()
		s.Close()
	})
	return s
}

// ServeHTTP answers one request.
func (s *Server) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	s.mu.Lock()
	fail := s.fail
	s.mu.Unlock()
	if fail != nil && fail(w, r) {
		return
	}
	body, err := readBody(r)
	if err != nil {
		Refuse(w, http.StatusBadRequest, "IncompleteBody")
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	q := r.URL.Query()
	bucket, key, _ := strings.Cut(strings.TrimPrefix(r.URL.Path, "/"), "/")
	switch {
	case bucket != "calls":
		Refuse(w, http.StatusNotFound, "NoSuchBucket")
	case !strings.Contains(r.Header.Get("Authorization"), "Credential=key/"):
		Refuse(w, http.StatusForbidden, "AccessDenied")
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
		Refuse(w, http.StatusNotImplemented, "NotImplemented")
	}
}

// Refuse answers with an error of S3.
func Refuse(w http.ResponseWriter, status int, code string) {
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

func (s *Server) head(w http.ResponseWriter, key string) {
	o, ok := s.objects[key]
	if !ok {
		w.WriteHeader(http.StatusNotFound)
		return
	}
	for name, v := range o.Head {
		if strings.HasPrefix(name, "X-Amz-Meta-") {
			w.Header()[name] = v
		}
	}
	w.Header().Set("Content-Length", fmt.Sprint(len(o.Data)))
	w.Header().Set("Last-Modified", time.Now().UTC().Format(http.TimeFormat))
	w.Header().Set("ETag", `"x"`)
}

func (s *Server) put(w http.ResponseWriter, key string, body []byte, head http.Header) {
	s.puts++
	if _, ok := s.objects[key]; ok && head.Get("If-None-Match") == "*" {
		Refuse(w, http.StatusPreconditionFailed, "PreconditionFailed")
		return
	}
	s.objects[key] = Object{body, head}
	w.Header().Set("ETag", `"x"`)
}

func (s *Server) complete(w http.ResponseWriter, key, id string, body []byte) {
	var list struct {
		Part []struct{ PartNumber string }
	}
	if err := xml.Unmarshal(body, &list); err != nil {
		Refuse(w, http.StatusBadRequest, "MalformedXML")
		return
	}
	var data []byte
	for _, p := range list.Part {
		data = append(data, s.parts[id][p.PartNumber]...)
	}
	s.objects[key] = Object{data, s.heads[id]}
	delete(s.parts, id)
	_, _ = fmt.Fprintf(w, "<CompleteMultipartUploadResult><Bucket>calls</Bucket><Key>%s</Key><ETag>x</ETag></CompleteMultipartUploadResult>", key)
}

// Get returns an object.
func (s *Server) Get(key string) (Object, bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	o, ok := s.objects[key]
	return o, ok
}

// SetFail sets what is asked first and may answer a request; nil: nothing.
func (s *Server) SetFail(fn func(w http.ResponseWriter, r *http.Request) bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.fail = fn
}

// Put puts an object as if somebody else had uploaded it.
func (s *Server) Put(key string, data []byte) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.objects[key] = Object{Data: data}
}

// Puts is how many objects were put in one piece.
func (s *Server) Puts() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.puts
}
