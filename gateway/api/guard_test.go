package api

import (
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/trunkcast/trunkcast"
)

func TestGuard(t *testing.T) {
	server := httptest.NewServer(New(&trunkcast.Bridge{}, nil))
	defer server.Close()
	for name, c := range map[string]struct {
		headers map[string]string
		host    string
		body    string
		want    int
	}{
		"a client":               {headers: map[string]string{"Content-Type": "application/json"}, body: "{}", want: 404},
		"a client, charset":      {headers: map[string]string{"Content-Type": "application/json; charset=utf-8"}, body: "{}", want: 404},
		"no body":                {want: 404},
		"a form":                 {headers: map[string]string{"Content-Type": "text/plain"}, body: "{}", want: 415},
		"no type":                {body: "{}", want: 415},
		"a page of another host": {headers: map[string]string{"Origin": "https://evil.example"}, want: 403},
		"a rebound name":         {host: "evil.example", want: 403},
		"localhost":              {host: "localhost:8081", want: 404},
	} {
		t.Run(name, func(t *testing.T) {
			req, err := http.NewRequest(http.MethodPost, server.URL+Prefix+"/call/find_all", strings.NewReader(c.body))
			if err != nil {
				t.Fatal(err)
			}
			for k, v := range c.headers {
				req.Header.Set(k, v)
			}
			if c.host != "" {
				req.Host = c.host
			}
			res, err := http.DefaultClient.Do(req)
			if err != nil {
				t.Fatal(err)
			}
			defer res.Body.Close()
			if res.StatusCode != c.want {
				t.Errorf("status %d, want %d", res.StatusCode, c.want)
			}
		})
	}
}

func TestWithoutCredentials(t *testing.T) {
	message := "INVITE sip:1@x SIP/2.0\r\nauthorization: Digest username=\"a\",\r\n response=\"secret\"\r\n" +
		"Proxy-Authorization: Digest secret\r\nCall-ID: 1\r\n\r\nbody"
	got := withoutCredentials(message)
	if strings.Contains(got, "secret") || !strings.Contains(got, "\r\nCall-ID: 1\r\n\r\nbody") || strings.Count(got, "(hidden)") != 2 {
		t.Errorf("%q", got)
	}
}
