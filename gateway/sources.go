package gateway

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"net/url"
	"strings"

	"github.com/trunkcast/trunkcast/inject"
	"github.com/trunkcast/trunkcast/inject/httpfile"
	"github.com/trunkcast/trunkcast/inject/rtsp"
	"github.com/trunkcast/trunkcast/inject/s3"
	"github.com/trunkcast/trunkcast/media"
	"github.com/trunkcast/trunkcast/rtmp"
)

// sources opens what is played into calls: files of the media folder, of web
// servers and of S3, streams of the embedded server by their names, and those
// of other servers.
func (g *Gateway) sources() inject.Opener {
	reach := g.reach()
	files := inject.FolderOpener{Dir: g.cfg.MediaFolder}
	web := &httpfile.Opener{Dial: reach.DialContext}
	cameras := &rtsp.Opener{Dial: reach.DialContext, Logger: g.log}
	// The endpoint is of the configuration, not of the URL.
	objects := &s3.Opener{
		Endpoint: g.cfg.S3.Endpoint, Region: g.cfg.S3.Region, AccessKey: g.cfg.S3.AccessKey,
		SecretKey: string(g.cfg.S3.SecretKey), PathStyle: g.cfg.S3.PathStyle,
	}
	streams := inject.OpenerFunc(func(_ context.Context, url string) (media.Source, error) {
		return &rtmp.Player{URL: url, TLS: g.Bridge.TLS, Dial: reach.DialContext, Logger: g.log}, nil
	})
	vod := inject.OpenerFunc(func(ctx context.Context, url string) (media.Source, error) {
		if _, rest, _ := strings.Cut(url, "://"); strings.HasPrefix(rest, "s3/") {
			return objects.Open(ctx, url)
		}
		return files.Open(ctx, url)
	})
	mux := inject.Mux{
		"vod": vod, "vod-live": &inject.Shared{Opener: vod, Codecs: Codecs(), Logger: g.log}, "s3": objects,
		"http": web, "https": web, "rtmp": streams, "rtmps": streams, "rtsp": cameras, "rtsps": cameras,
	}
	maps.Copy(mux, g.opts.Sources)
	g.closers = append(g.closers, web.CloseIdleConnections, objects.CloseIdleConnections)
	return inject.OpenerFunc(func(ctx context.Context, url string) (media.Source, error) {
		if !strings.Contains(url, "://") {
			return g.openNamed(url)
		}
		return mux.Open(ctx, url)
	})
}

// reach is where URLs may lead: anywhere while only this host can ask for it,
// else to public addresses and to the servers that calls are published to.
func (g *Gateway) reach() *inject.Reach {
	r := &inject.Reach{Anywhere: g.cfg.HTTPListen == "off" || loopback(g.cfg.HTTPListen), Hosts: g.cfg.SourceHosts}
	for _, t := range g.trunks {
		if u, err := url.Parse(t.URL); err == nil && u.Hostname() != "" {
			r.Hosts = append(r.Hosts, u.Hostname())
		}
	}
	return r
}

// openNamed reads a stream of the embedded server: its name, with or without
// the application.
func (g *Gateway) openNamed(name string) (media.Source, error) {
	if g.RTMP == nil {
		return nil, fmt.Errorf("%w: no stream %q: the embedded RTMP server is off (rtmpListen)", inject.ErrNoSource, name)
	}
	for _, n := range []string{name, defaultApplication + "/" + name} {
		source, err := g.RTMP.Source(n)
		if err == nil {
			return source, nil
		}
		if !errors.Is(err, rtmp.ErrNoStream) {
			return nil, err
		}
	}
	return nil, fmt.Errorf("%w: no stream %q", inject.ErrNoSource, name)
}
