package trunk

import (
	"context"
	"errors"

	"github.com/emiago/sipgo/sip"

	"github.com/trunkcast/trunkcast/internal/sipnet"
)

// redirects are the places that 3xx responses to an INVITE of ours have named
// (RFC 3261 section 8.1.3.4).
type redirects struct {
	left  int // how many more may be tried
	seen  map[string]bool
	queue []sip.Uri
}

// contactsOf are the SIP URIs in the Contacts of a response.
func contactsOf(res *sip.Response) []sip.Uri {
	list, err := sipnet.RouteURIs(res, "Contact")
	if err != nil {
		return nil
	}
	var uris []sip.Uri
	for _, u := range list {
		if (u.Scheme == "sip" || u.Scheme == "sips") && u.Host != "" {
			uris = append(uris, u)
		}
	}
	return uris
}

// learn takes the Contacts of a 3xx, each place once: redirections may go round
// in circles.
func (r *redirects) learn(res *sip.Response) {
	if res.StatusCode > 399 {
		return
	}
	for _, u := range contactsOf(res) {
		key := u.String()
		if r.seen[key] || len(r.queue) >= r.left {
			continue
		}
		if r.seen == nil {
			r.seen = map[string]bool{}
		}
		r.seen[key] = true
		r.queue = append(r.queue, u)
	}
}

// redirected makes req, the INVITE to repeat, go to the next place that can be
// found, if the response to the last one lets it. A 6xx speaks for all places.
func (c *Call) redirected(ctx context.Context, r *redirects, res *sip.Response) (uri sip.Uri, to sipnet.Target, ok bool) {
	if ctx.Err() != nil || res.StatusCode > 599 {
		return uri, to, false
	}
	r.learn(res)
	for len(r.queue) > 0 && r.left > 0 {
		uri, r.queue = r.queue[0], r.queue[1:]
		r.left--
		uri.Headers = nil // they could make the request another one
		var err error
		if to, err = c.trunk.toURI(ctx, uri, c.trunk.cfg.Transport); err == nil {
			c.log.Info("call redirected", "code", res.StatusCode, "host", uri.Host)
			return uri, to, true
		}
		if errors.Is(err, context.Canceled) {
			break
		}
		c.log.Info("redirection passed over", "host", uri.Host, "error", err)
	}
	return uri, to, false
}
