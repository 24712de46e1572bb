package trunk

import (
	"github.com/emiago/sipgo/sip"

	"github.com/trunkcast/trunkcast/internal/sipnet"
)

// maxNumber bounds a number in bytes: one that had to be cut to name a stream
// could be taken for another.
const maxNumber = 128

// number is the number that was called, by Config.NumberFrom:
//
//	request-uri        the Request-URI
//	to                 the To header
//	p-called-party-id  that header (RFC 3455 section 4.2), else as auto
//	diversion          the first Diversion (RFC 5806), else as auto
//	auto               the Request-URI; if that is the user we have registered,
//	                   or nobody: P-Called-Party-ID, then To
//
// It is empty if there is none.
func (t *Trunk) number(req *sip.Request) string {
	called := userOf(req.Recipient)
	switch t.cfg.NumberFrom {
	case "request-uri":
		return called
	case "to":
		return userOf(req.To().Address)
	case "p-called-party-id", "diversion":
		if user := userIn(req, t.cfg.NumberFrom); user != "" {
			return user
		}
	}
	if called != "" && !t.isOwn(called) {
		return called
	}
	if user := userIn(req, "P-Called-Party-ID"); user != "" {
		return user
	}
	if user := userOf(req.To().Address); user != "" {
		return user
	}
	return called
}

// isOwn reports whether a user is the one of our Contact: a PBX that sends
// calls to a registration writes it into the Request-URI. Without a
// registration it is a number like any other.
func (t *Trunk) isOwn(user string) bool {
	return *t.cfg.Register && (user == t.user() || user == t.cfg.Login)
}

// userIn is the user in the first value of a header that holds an address.
func userIn(req *sip.Request, name string) string {
	list, err := sipnet.RouteURIs(req, name)
	if err != nil || len(list) == 0 {
		return ""
	}
	return userOf(list[0])
}
