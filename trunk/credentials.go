package trunk

import (
	"github.com/emiago/sipgo/sip"
)

// credentials answer the challenges that one request of ours meets on its way
// (RFC 3261 section 22.3): of a proxy, of the server behind it, and of each
// again when its nonce has aged.
type credentials struct {
	user     string
	password Secret
	tries    int
	answers  []*challenge
}

// maxChallenges bounds the rounds of one request.
const maxChallenges = 4

// learn takes the challenge in res. It reports false if there is none that can
// be answered, or it comes again though the nonce was good: the password is
// wrong.
func (c *credentials) learn(res *sip.Response) bool {
	if c.password == "" || c.tries >= maxChallenges {
		return false
	}
	var name, reply string
	switch res.StatusCode {
	case 401:
		name, reply = "WWW-Authenticate", "Authorization"
	case 407:
		name, reply = "Proxy-Authenticate", "Proxy-Authorization"
	default:
		return false
	}
	var best *challenge
	for _, h := range res.GetHeaders(name) {
		if ch, ok := parseChallenge(h.Value()); ok && (best == nil || ch.strength() > best.strength()) {
			best = &ch
		}
	}
	if best == nil {
		return false
	}
	c.tries++
	best.reply = reply
	for i, old := range c.answers {
		if old.reply == reply && old.realm == best.realm {
			c.answers[i] = best
			return best.stale
		}
	}
	c.answers = append(c.answers, best)
	return true
}

// blame tells why the login was refused, after learn had nothing to go on with;
// nil if res is no refusal of a login.
func (c *credentials) blame(res *sip.Response) error {
	name := "WWW-Authenticate"
	switch res.StatusCode {
	case 401:
	case 407:
		name = "Proxy-Authenticate"
	case 403:
		if len(c.answers) > 0 {
			return ErrWrongPassword
		}
		return nil
	default:
		return nil
	}
	if c.password == "" {
		return ErrNoPassword
	}
	unknown := ""
	for _, h := range res.GetHeaders(name) {
		if _, ok := parseChallenge(h.Value()); ok {
			if c.tries >= maxChallenges {
				return errAskedAgain
			}
			return ErrWrongPassword
		}
		if p, ok := authParams(h.Value()); ok && newHash(p["algorithm"]) == nil {
			unknown = p["algorithm"]
		}
	}
	if unknown != "" {
		return &AlgorithmError{Algorithm: unknown}
	}
	return errNoChallenge
}

// sign adds the answers to what was learnt to a request.
func (c *credentials) sign(req *sip.Request) {
	for _, ch := range c.answers {
		value := ch.answer(c.user, c.password, string(req.Method), req.Recipient.String(), req.Body())
		req.AppendHeader(sip.NewHeader(ch.reply, value))
	}
}

// strength orders the algorithms by the size of their hash.
func (c *challenge) strength() int { return newHash(c.algorithm)().Size() }
