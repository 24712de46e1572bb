package api

import "testing"

func TestApplication(t *testing.T) {
	for _, c := range []struct{ url, stream, want string }{
		{"rtmp://h/live/rtmp_100", "rtmp_100", "rtmp://h/live"},
		{"rtmps://h:444/a/b/rtmp_100?token=***", "rtmp_100", "rtmps://h:444/a/b?token=***"},
		{"rtmp://h/live/other", "rtmp_100", "rtmp://h/live/other"},
		{"", "rtmp_100", ""},
	} {
		if got := application(c.url, c.stream); got != c.want {
			t.Errorf("%s: %s, want %s", c.url, got, c.want)
		}
	}
}
