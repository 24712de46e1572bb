package trunk

import (
	"math/rand/v2"

	"github.com/emiago/sipgo/sip"

	"github.com/trunkcast/trunkcast/internal/sipnet"
)

// dialogKey finds a dialog (RFC 3261 section 12): Call-ID, our tag, theirs.
type dialogKey struct{ callID, local, remote string }

// dialog is the state of RFC 3261 section 12.1. Call.mu guards it.
type dialog struct {
	local     sip.FromHeader // of our requests, with our tag
	remote    sip.ToHeader   // of our requests, with their tag
	contact   sip.ContactHeader
	localSeq  uint32
	remoteSeq uint32
	target    sip.Uri   // of our requests: their Contact
	routes    []sip.Uri // next hop first
	flow      *sipnet.Flow
	owner     bool // the Call-ID is ours
}

// firstSeq is a CSeq to begin with: any, below 2^31 (RFC 3261 section 8.1.1.5),
// small so that people can read traces.
func firstSeq() uint32 { return 1 + rand.Uint32N(1000) }

// tagOf is the tag of a From or To header, empty in those of RFC 2543.
func tagOf(params sip.HeaderParams) string {
	tag, _ := params.Get("tag")
	return tag
}

// withTag makes the parameters of a From or To header: the tag, and not those
// of one message.
func withTag(tag string) sip.HeaderParams {
	var p sip.HeaderParams
	if tag != "" {
		p.Add("tag", tag)
	}
	return p
}

// serverDialog makes the state of an incoming call.
func serverDialog(req *sip.Request, tag string, f *sipnet.Flow) dialog {
	from, to := req.From(), req.To()
	d := dialog{
		local:    sip.FromHeader{DisplayName: to.DisplayName, Address: to.Address, Params: withTag(tag)},
		remote:   sip.ToHeader{DisplayName: from.DisplayName, Address: from.Address, Params: withTag(tagOf(from.Params))},
		localSeq: firstSeq(), remoteSeq: req.CSeq().SeqNo, flow: f,
	}
	d.target, _ = targetOf(req)
	d.routes, _ = sipnet.RouteURIs(req, "Record-Route")
	return d
}

// targetOf is where requests to the caller go: its Contact. A caller of RFC
// 2543, which has no tag, may have no Contact either and is at its From (section
// 6.13 there).
func targetOf(req *sip.Request) (sip.Uri, bool) {
	from := req.From()
	if len(req.GetHeaders("Contact")) > 0 || tagOf(from.Params) != "" || from.Address.Scheme != "sip" || from.Address.Host == "" {
		return contactOf(req)
	}
	return from.Address, true
}

// answered takes the tag, the route set and the target from a 2xx to our
// INVITE (RFC 3261 section 12.1.2).
func (d *dialog) answered(res *sip.Response) {
	d.remote.Params = withTag(tagOf(res.To().Params))
	d.routes, _ = sipnet.RouteURIs(res, "Record-Route")
	for i, j := 0, len(d.routes)-1; i < j; i, j = i+1, j-1 {
		d.routes[i], d.routes[j] = d.routes[j], d.routes[i]
	}
	d.refresh(res)
}

// refresh takes a new remote target (RFC 3261 section 12.2).
func (d *dialog) refresh(msg sip.Message) {
	if uri, ok := contactOf(msg); ok {
		d.target = uri
	}
}

// nextHop is the URI that names where requests go (RFC 3261 section 8.1.2).
func (d *dialog) nextHop() sip.Uri {
	if len(d.routes) > 0 {
		return d.routes[0]
	}
	return d.target
}

// next is the CSeq number of the next request.
func (d *dialog) next() uint32 {
	d.localSeq++
	return d.localSeq
}

// request makes a request of the dialog (RFC 3261 section 12.2.1.1).
func (d *dialog) request(callID string, method sip.RequestMethod, seq uint32) *sip.Request {
	uri, routes := d.target, d.routes
	if len(routes) > 0 && !routes[0].UriParams.Has("lr") {
		// A strict router finds itself in the Request-URI, and the target in
		// the last Route.
		uri = routes[0]
		uri.Headers = nil
		uri.UriParams = uri.UriParams.Clone()
		uri.UriParams.Remove("method")
		routes = append(routes[1:len(routes):len(routes)], d.target)
	}
	req := sip.NewRequest(method, uri)
	for _, r := range routes {
		req.AppendHeader(&sip.RouteHeader{Address: r})
	}
	from, to := d.local, d.remote
	req.AppendHeader(sip.HeaderClone(&from))
	req.AppendHeader(sip.HeaderClone(&to))
	id := sip.CallIDHeader(callID)
	req.AppendHeader(&id)
	req.AppendHeader(&sip.CSeqHeader{SeqNo: seq, MethodName: method})
	if method != sip.BYE && method != sip.ACK {
		req.AppendHeader(d.contact.Clone())
	}
	return req
}
