package gateway

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/trunkcast/trunkcast/inject"
	"github.com/trunkcast/trunkcast/media"
	"github.com/trunkcast/trunkcast/rtmp"
)

// sources opens what is played into calls: files of the media folder, streams
// of the embedded server by their names, and whatever URLs may point to.
func (g *Gateway) sources() inject.Opener {
	files := inject.FolderOpener{Dir: g.cfg.MediaFolder}
	remote := inject.OpenerFunc(g.openRTMP)
	mux := inject.Mux{"vod": files, "rtmp": remote, "rtmps": remote}
	return inject.OpenerFunc(func(ctx context.Context, url string) (media.Source, error) {
		if !strings.Contains(url, "://") {
			return g.openNamed(url)
		}
		return mux.Open(ctx, url)
	})
}

// openNamed reads a stream of the embedded server: its name, with or without
// the application.
func (g *Gateway) openNamed(name string) (media.Source, error) {
	if g.RTMP == nil {
		return nil, fmt.Errorf("%w: no stream %q", inject.ErrNoSource, name)
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

func (g *Gateway) openRTMP(_ context.Context, url string) (media.Source, error) {
	return &rtmp.Player{URL: url, TLS: g.Bridge.TLS, Logger: g.log}, nil
}
