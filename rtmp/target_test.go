package rtmp

import (
	"strings"
	"testing"
)

func TestTarget(t *testing.T) {
	for _, tt := range []struct {
		url, name, app                    string
		addr, gotApp, stream, tcURL, show string
	}{
		{"rtmp://host/live/key", "", "", "host:1935", "live", "key", "rtmp://host/live", "rtmp://host/live/***"},
		{"rtmp://host:19/live", "rtmp_100", "", "host:19", "live", "rtmp_100", "rtmp://host:19/live", "rtmp://host:19/live/rtmp_100"},
		{"rtmp://host/live/", "rtmp_100", "", "host:1935", "live", "rtmp_100", "rtmp://host/live", "rtmp://host/live/rtmp_100"},
		{"rtmp://host/live/key?token=a/b&x=%2F", "", "", "host:1935", "live", "key?token=a/b&x=%2F", "rtmp://host/live", "rtmp://host/live/***"},
		{"rtmp://host/live?token=a/b", "n", "", "host:1935", "live", "n?token=a/b", "rtmp://host/live", "rtmp://host/live/n"},
		{"rtmp://host/live/room", "n?a=1", "", "host:1935", "live", "room/n?a=1", "rtmp://host/live", "rtmp://host/live/***/n"},
		{"rtmps://u%40x:p:w%2F@host/app/inst/s", "", "app/inst", "host:443", "app/inst", "s", "rtmps://host/app/inst", "rtmps://host/app/inst/***"},
		{"RTMP://[::1]:5/live/a%zz#b", "", "", "[::1]:5", "live", "a%zz#b", "rtmp://[::1]:5/live", "rtmp://[::1]:5/live/***"},
	} {
		g, err := parseTarget(tt.url, tt.name, tt.app)
		if err != nil {
			t.Errorf("%s: %v", tt.url, err)
			continue
		}
		if g.addr != tt.addr || g.app != tt.gotApp || g.stream != tt.stream || g.tcURL != tt.tcURL || g.shown != tt.show {
			t.Errorf("%s:\n got %q %q %q %q %q\nwant %q %q %q %q %q", tt.url, g.addr, g.app, g.stream, g.tcURL, g.shown,
				tt.addr, tt.gotApp, tt.stream, tt.tcURL, tt.show)
		}
	}
	g, err := parseTarget("rtmps://u%40x:p:w%2F@host/app/s", "", "")
	if err != nil || g.user != "u@x" || g.password != "p:w/" || !g.tls || g.host != "host" {
		t.Errorf("credentials: %+v, %v", g, err)
	}
	for _, bad := range []string{
		"", "http://h/a/b", "rtmp://", "rtmp:///live/x", "rtmp://host", "rtmp://host/", "rtmp://host/live", "rtmp://h?x=/a/b",
		"rtmp://h:port/a/b", "rtmp://h/a/b\r\nx", "rtmp://u:%zz@h/a/b",
	} {
		if g, err := parseTarget(bad, "", ""); err == nil {
			t.Errorf("%q: taken as %+v", bad, g)
		} else if strings.Contains(err.Error(), "%zz") {
			t.Errorf("%q: the error shows the password: %v", bad, err)
		}
	}
	if _, err := parseTarget("rtmp://h/live2/x", "", "live"); err == nil {
		t.Error("application that is only a prefix of an element")
	}
}

func TestSecretsStayHidden(t *testing.T) {
	p := &Publisher{URL: "rtmp://user:secretpw@host/live/secretkey?token=secrettoken"}
	for _, s := range []string{p.String(), p.LogValue().String()} {
		if strings.Contains(s, "secret") {
			t.Errorf("shown: %s", s)
		}
	}
	g, err := parseTarget(p.URL, "", "")
	if err != nil {
		t.Fatal(err)
	}
	if s := g.scrub("no: secretkey?token=secrettoken by secretpw"); strings.Contains(s, "secret") {
		t.Errorf("scrubbed: %s", s)
	}
}

func FuzzTarget(f *testing.F) {
	f.Add("rtmp://u:p@host:1935/live/key?token=a/b", "rtmp_1", "live")
	f.Add("rtmps://[::1]/a/b", "", "")
	f.Fuzz(func(t *testing.T, url, name, app string) {
		g, err := parseTarget(url, name, app)
		if err != nil {
			return
		}
		if g.app == "" || g.stream == "" || strings.ContainsFunc(g.stream+g.app, isControl) {
			t.Errorf("%q %q %q: %+v", url, name, app, g)
		}
		if len(g.password) > 3 && strings.Contains(g.tcURL, g.password) && !strings.Contains(g.app+g.host, g.password) {
			t.Errorf("password in %q", g.tcURL)
		}
	})
}
