package sipnet

import (
	"net/netip"
	"strconv"
	"strings"

	"github.com/emiago/sipgo/sip"
)

const magicCookie = sip.RFC3261BranchMagicCookie

// parseFirstVia reads the first of the values of a Via field.
func parseFirstVia(value string) (*sip.ViaHeader, error) {
	first, _, _, err := cut(value, ",")
	if err != nil {
		return nil, err
	}
	return parseVia(strings.Trim(first, " \t"))
}

// markVia notes in the top Via of a request where it came from: received if
// sent-by names something else (RFC 3261 section 18.2.1), and both received
// and rport if rport asks for it (RFC 3581 section 4).
func markVia(via *sip.ViaHeader, source netip.AddrPort) {
	addr := source.Addr().WithZone("")
	rport, asked := via.Params.Get("rport")
	if asked && rport == "" {
		via.Params.Add("rport", strconv.Itoa(int(source.Port())))
	}
	host, err := netip.ParseAddr(via.Host)
	if asked || err != nil || host.Unmap() != addr {
		via.Params.Add("received", addr.String())
	} else {
		via.Params.Remove("received") // not for the sender to say
	}
}

// replyAddr is where the response to a request goes when not over its
// connection (RFC 3261 section 18.2.2): the source's address, and the port of
// sent-by, or with rport the source's. maddr is not followed: it would let a
// sender choose whom we write to.
func replyAddr(via *sip.ViaHeader, source netip.AddrPort, transport string) netip.AddrPort {
	port := uint16(via.Port)
	if transport == "udp" && via.Params.Has("rport") {
		port = source.Port()
	}
	if port == 0 {
		port = uint16(defaultPort(transport))
	}
	return netip.AddrPortFrom(source.Addr(), port)
}

func defaultPort(transport string) int {
	if transport == "tls" {
		return sip.DefaultTlsPort
	}
	return sip.DefaultUdpPort
}

// branchOf is the branch of a message, empty if it is not unique as RFC 3261
// section 8.1.1.7 wants it: one without the magic cookie, or nothing after it.
func branchOf(msg sip.Message) string {
	via := msg.Via()
	if via == nil {
		return ""
	}
	branch, _ := via.Params.Get("branch")
	if len(branch) <= len(magicCookie) || !strings.EqualFold(branch[:len(magicCookie)], magicCookie) {
		return ""
	}
	return branch
}

// serverKey finds the server transaction of a request (RFC 3261 section
// 17.2.3), as one of the given method: an ACK and a CANCEL belong to the
// INVITE. Without a unique branch the rules of RFC 2543 hold.
func serverKey(req *sip.Request, method sip.RequestMethod) string {
	via := req.Via()
	sentBy := strings.ToLower(via.Host) + ":" + strconv.Itoa(via.Port)
	if branch := branchOf(req); branch != "" {
		return strings.Join([]string{strings.ToLower(branch), sentBy, string(method)}, "\x00")
	}
	fromTag, _ := req.From().Params.Get("tag")
	branch, _ := via.Params.Get("branch")
	return strings.Join([]string{
		"2543", req.Recipient.String(), fromTag, string(*req.CallID()),
		strconv.Itoa(int(req.CSeq().SeqNo)), sentBy, branch, string(method),
	}, "\x00")
}

// clientKey finds the client transaction of a response, or names the one of a
// request of ours (RFC 3261 section 17.1.3). Empty: none of ours.
func clientKey(msg sip.Message) string {
	branch := branchOf(msg)
	if branch == "" || msg.CSeq() == nil {
		return ""
	}
	return branch + "\x00" + string(msg.CSeq().MethodName)
}
