package s3_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/trunkcast/trunkcast/inject"
	"github.com/trunkcast/trunkcast/inject/httpfile"
	"github.com/trunkcast/trunkcast/inject/s3"
)

// TestOpen plays an object of a server that takes signed requests only.
func TestOpen(t *testing.T) {
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		q := r.URL.Query()
		switch {
		case q.Get("X-Amz-Algorithm") != "AWS4-HMAC-SHA256" || !strings.HasPrefix(q.Get("X-Amz-Credential"), "key/") || len(q.Get("X-Amz-Signature")) != 64:
			w.WriteHeader(http.StatusForbidden)
		case r.URL.Path == "/bucket/a film/clip.mp4":
			http.ServeFile(w, r, "../../internal/democlip/clip.mp4")
		case r.URL.Path == "/bucket/denied.mp4":
			w.WriteHeader(http.StatusForbidden)
		default:
			http.NotFound(w, r)
		}
	}))
	defer server.Close()
	o := &s3.Opener{Endpoint: server.URL, Region: "eu-1", AccessKey: "key", SecretKey: "a secret", PathStyle: true}
	defer o.CloseIdleConnections()
	for _, url := range []string{"s3://bucket/a%20film/clip.mp4", "vod://s3/bucket/a film/clip.mp4"} {
		source, err := o.Open(t.Context(), url)
		if err != nil {
			t.Fatalf("%s: %v", url, err)
		}
		n := 0
		for err == nil {
			_, err = source.ReadFrame(t.Context())
			n++
		}
		if !errors.Is(err, io.EOF) || n < 300 {
			t.Errorf("%s: %d frames, then %v", url, n, err)
		}
		_ = source.Close()
	}
	for _, url := range []string{"s3://bucket/none.mp4", "s3://bucket", "s3:///x", "vod://s3/", "s3://bucket/%zz"} {
		if _, err := o.Open(t.Context(), url); !errors.Is(err, inject.ErrNoSource) {
			t.Errorf("%s: %v", url, err)
		}
	}
	var status *httpfile.StatusError
	if _, err := o.Open(t.Context(), "s3://bucket/denied.mp4"); !errors.As(err, &status) || status.Code != 403 || strings.Contains(err.Error(), "Signature") {
		t.Errorf("denied: %v", err)
	}
	if text := fmt.Sprint(o) + fmt.Sprint(o.LogValue()); strings.Contains(text, "secret") {
		t.Errorf("tells its secret: %s", text)
	}
}

func TestBadEndpoint(t *testing.T) {
	for _, endpoint := range []string{"ftp://host", "http://", "https://host/path", "%"} {
		o := &s3.Opener{Endpoint: endpoint, AccessKey: "key", SecretKey: "secret"}
		if _, err := o.Open(context.Background(), "s3://bucket/key"); err == nil {
			t.Errorf("%s: no error", endpoint)
		}
	}
}
