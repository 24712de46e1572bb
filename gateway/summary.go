package gateway

import (
	"fmt"
	"net/url"
	"strings"
)

// Summary tells in a few lines what listens where and who calls whom, for the
// start of a program.
func (g *Gateway) Summary() string {
	var b strings.Builder
	for _, t := range g.trunks {
		running := g.Trunks.Trunk(t.Name)
		fmt.Fprintf(&b, "trunk %s: SIP on %s (UDP and TCP), PBX %s, publishes to %s\n",
			t.Name, running.Addr(), t.ProxyIP, redact(t.URL))
	}
	if g.RTMP != nil {
		fmt.Fprintf(&b, "RTMP server: %s\n", g.URL(""))
	}
	if g.HTTPAddr != nil {
		fmt.Fprintf(&b, "REST interface: %s\n", g.RESTURL())
	}
	return b.String()
}

// redact takes away what in a URL opens a door: user, password and query.
func redact(text string) string {
	u, err := url.Parse(text)
	if err != nil {
		return "(a URL that cannot be read)"
	}
	u.User, u.RawQuery, u.Fragment = nil, "", ""
	return u.String()
}
