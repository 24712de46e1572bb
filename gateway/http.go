package gateway

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"net/netip"
	"time"

	"github.com/trunkcast/trunkcast/gateway/api"
	"github.com/trunkcast/trunkcast/media"
)

// Limits of one connection to the REST interface. Starting an injection may
// take as long as its source takes to answer.
const (
	httpHeaderTimeout = 10 * time.Second
	httpReadTimeout   = 20 * time.Second
	httpIdleTimeout   = time.Minute
	httpMaxHeader     = 16 << 10
)

// startHTTP opens the REST interface.
func (g *Gateway) startHTTP(ctx context.Context) error {
	if g.cfg.HTTPListen == "off" {
		return nil
	}
	l, err := (&net.ListenConfig{}).Listen(ctx, "tcp", g.cfg.HTTPListen)
	if err != nil {
		return &ListenError{What: "REST interface", Addr: g.cfg.HTTPListen, Option: "httpListen", Flag: "-http", Err: err}
	}
	g.HTTPAddr = l.Addr()
	if !loopback(g.cfg.HTTPListen) {
		g.log.Warn("the REST interface asks for no password and is not on loopback", "listen", g.cfg.HTTPListen)
	}
	g.api = api.New(g.Bridge, g.log)
	if g.RTMP != nil {
		g.api.Publish = g.publish
	}
	g.http = &http.Server{
		Handler: g.api, ReadHeaderTimeout: httpHeaderTimeout, ReadTimeout: httpReadTimeout,
		IdleTimeout: httpIdleTimeout, MaxHeaderBytes: httpMaxHeader,
		ErrorLog: slog.NewLogLogger(g.log.Handler(), slog.LevelDebug),
	}
	g.wg.Go(func() {
		if err := g.http.Serve(l); !errors.Is(err, http.ErrServerClosed) {
			g.failed(fmt.Errorf("gateway: REST interface: %w", err))
		}
	})
	return nil
}

// publish gives a stream of a request to the players of the embedded server.
func (g *Gateway) publish(name string, needKeyFrame func()) (media.Sink, error) {
	return g.RTMP.Publish(defaultApplication+"/"+name, needKeyFrame)
}

// RESTURL is where the REST interface is reached from this host, empty if it
// is off.
func (g *Gateway) RESTURL() string {
	if g.HTTPAddr == nil {
		return ""
	}
	return "http://" + reachable(g.HTTPAddr).String() + api.Prefix
}

// reachable is an address under which a listener is reached from this host.
func reachable(a net.Addr) netip.AddrPort {
	addr := a.(*net.TCPAddr).AddrPort()
	if addr.Addr().IsUnspecified() {
		return netip.AddrPortFrom(netip.MustParseAddr("127.0.0.1"), addr.Port())
	}
	return netip.AddrPortFrom(addr.Addr().Unmap(), addr.Port())
}

// loopback tells whether an address to listen on is of this host alone.
func loopback(listen string) bool {
	a, err := netip.ParseAddrPort(withHost(listen))
	return err == nil && a.Addr().IsLoopback()
}
