//go:build linux

package peertest

import (
	"encoding/xml"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"testing"
	"time"
)

// Nginx is an nginx with its RTMP module: the applications "live" (anybody
// publishes and plays), "denied" (nobody publishes).
type Nginx struct {
	RTMPURL string // rtmp://127.0.0.1:PORT, without an application
	Addr    string // 127.0.0.1:PORT
	StatURL string

	t      testing.TB
	config string
	folder string
	p      *Process
}

const nginxConfig = `
load_module /usr/lib/nginx/modules/ngx_rtmp_module.so;
daemon off;
master_process off;
user root;
pid ${DIR}/nginx.pid;
error_log ${DIR}/error.log notice;
events { worker_connections 1024; }
rtmp {
	server {
		listen 127.0.0.1:${RTMP};
		chunk_size 4096;
		application live { live on; record off; wait_key on; drop_idle_publisher 20s; }
		application denied { live on; deny publish all; }
	}
}
http {
	access_log off;
	client_body_temp_path ${DIR}/b; proxy_temp_path ${DIR}/p; fastcgi_temp_path ${DIR}/f;
	uwsgi_temp_path ${DIR}/u; scgi_temp_path ${DIR}/s;
	server { listen 127.0.0.1:${HTTP}; location /stat { rtmp_stat all; } }
}
`

// StartNginx starts an nginx-rtmp.
func StartNginx(t testing.TB) *Nginx {
	t.Helper()
	rtmp, http := Port(t), Port(t)
	n := &Nginx{
		t: t, folder: t.TempDir(),
		Addr:    Loopback(rtmp),
		RTMPURL: fmt.Sprintf("rtmp://127.0.0.1:%d", rtmp),
		StatURL: fmt.Sprintf("http://127.0.0.1:%d/stat", http),
	}
	n.config = write(t, n.folder, "nginx.conf", expand(nginxConfig,
		"DIR", n.folder, "RTMP", strconv.Itoa(rtmp), "HTTP", strconv.Itoa(http)))
	n.Restart()
	return n
}

// Stop ends the server; [Nginx.Restart] brings it back on the same ports.
func (n *Nginx) Stop() { n.p.Kill() }

// Restart starts the server again after Stop.
func (n *Nginx) Restart() {
	n.t.Helper()
	n.p = Start(n.t, "nginx", "-c", n.config, "-p", n.folder)
	waitListening(n.t, n.p, n.Addr)
}

// NginxStream is what the statistics page says of a stream.
type NginxStream struct {
	Name    string `xml:"name"`
	BytesIn int64  `xml:"bytes_in"`
	Meta    struct {
		Video struct {
			Width     int     `xml:"width"`
			Height    int     `xml:"height"`
			FrameRate float64 `xml:"frame_rate"`
			Codec     string  `xml:"codec"`
		} `xml:"video"`
		Audio struct {
			Codec      string `xml:"codec"`
			SampleRate int    `xml:"sample_rate"`
			Channels   int    `xml:"channels"`
		} `xml:"audio"`
	} `xml:"meta"`
	Clients []struct {
		Publishing *struct{} `xml:"publishing"`
		Dropped    int       `xml:"dropped"`
	} `xml:"client"`
}

// Publishing tells whether somebody publishes the stream now.
func (s *NginxStream) Publishing() bool {
	if s == nil {
		return false
	}
	for _, c := range s.Clients {
		if c.Publishing != nil {
			return true
		}
	}
	return false
}

// Streams returns the streams that the statistics page shows, all
// applications together.
func (n *Nginx) Streams() []NginxStream {
	n.t.Helper()
	client := http.Client{Timeout: 5 * time.Second}
	res, err := client.Get(n.StatURL)
	if err != nil {
		n.t.Logf("nginx statistics: %v", err)
		return nil
	}
	defer func() { _ = res.Body.Close() }()
	body, err := io.ReadAll(io.LimitReader(res.Body, 8<<20))
	if err != nil {
		n.t.Logf("nginx statistics: %v", err)
		return nil
	}
	var page struct {
		Applications []struct {
			Streams []NginxStream `xml:"live>stream"`
		} `xml:"server>application"`
	}
	if err := xml.Unmarshal(body, &page); err != nil {
		n.t.Fatalf("nginx statistics: %v\n%s", err, body)
	}
	var all []NginxStream
	for _, a := range page.Applications {
		all = append(all, a.Streams...)
	}
	return all
}

// Stream returns the stream with that name, nil if there is none.
func (n *Nginx) Stream(name string) *NginxStream {
	n.t.Helper()
	for _, s := range n.Streams() {
		if s.Name == name {
			return &s
		}
	}
	return nil
}

// WaitStream returns when the stream is published.
func (n *Nginx) WaitStream(name string, limit time.Duration) {
	n.t.Helper()
	Eventually(n.t, limit, "stream "+name+" is published", func() bool { return n.Stream(name).Publishing() })
}

// WaitGone returns when nobody publishes the stream any more.
func (n *Nginx) WaitGone(name string, limit time.Duration) {
	n.t.Helper()
	Eventually(n.t, limit, "stream "+name+" has ended", func() bool { return !n.Stream(name).Publishing() })
}
