package gateway

import (
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"net"
	"net/netip"
	"net/url"
	"os"
	"strconv"
	"strings"

	"github.com/trunkcast/trunkcast"
	"github.com/trunkcast/trunkcast/media"
)

// URL is where an application of the embedded server is reached from this
// host.
func (g *Gateway) URL(application string) string {
	if g.RTMPAddr == nil {
		return ""
	}
	scheme := "rtmp"
	if g.RTMP.TLS != nil {
		scheme = "rtmps"
	}
	return scheme + "://" + reachable(g.RTMPAddr).String() + "/" + application
}

// openTarget publishes to the embedded server without a connection, and to
// others over RTMP.
func (g *Gateway) openTarget(t trunkcast.TargetRequest) (media.Sink, error) {
	app, embedded := g.embedded(t.URL)
	if !embedded {
		return g.Bridge.OpenPublisher(t)
	}
	return g.newEmbeddedSink(app+"/"+t.StreamName, t.NeedKeyFrame, t.OnState)
}

// publisherTLS verifies rtmps servers by the authorities of the configuration;
// nil leaves that to the system's.
func (g *Gateway) publisherTLS() (*tls.Config, error) {
	if g.cfg.RTMPCA == "" {
		return nil, nil
	}
	data, err := os.ReadFile(g.cfg.RTMPCA)
	if err != nil {
		return nil, fmt.Errorf("gateway: rtmpCa: %w", err)
	}
	roots := x509.NewCertPool()
	if !roots.AppendCertsFromPEM(data) {
		return nil, fmt.Errorf("gateway: rtmpCa: no certificate in %s", g.cfg.RTMPCA)
	}
	return &tls.Config{RootCAs: roots, MinVersion: tls.VersionTLS12}, nil
}

// embedded tells whether a URL leads to the embedded server, and to which
// application.
func (g *Gateway) embedded(text string) (application string, ok bool) {
	u, err := url.Parse(text)
	if err != nil || g.RTMPAddr == nil || (u.Scheme == "rtmps") != (g.RTMP.TLS != nil) {
		return "", false
	}
	port, err := strconv.Atoi(u.Port())
	if err != nil {
		port = map[string]int{"rtmp": 1935, "rtmps": 443}[u.Scheme]
	}
	own := g.RTMPAddr.(*net.TCPAddr).AddrPort()
	if port != int(own.Port()) {
		return "", false
	}
	addr, err := netip.ParseAddr(u.Hostname())
	if u.Hostname() == "localhost" {
		addr, err = netip.MustParseAddr("127.0.0.1"), nil
	}
	if err != nil || !(addr == own.Addr().Unmap() || addr.IsLoopback() && own.Addr().IsUnspecified()) {
		return "", false
	}
	return strings.Trim(u.Path, "/"), true
}
