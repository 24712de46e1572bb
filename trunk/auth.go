package trunk

import (
	"crypto/hmac"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"net/netip"
	"time"

	"github.com/emiago/sipgo/sip"
)

// nonceLife is how long a caller has for its answer to a challenge.
const nonceLife = time.Minute

// nonceAt makes a nonce that tells its age and for whom it was made, so that
// nothing is kept for callers that do not come back.
func (s *Server) nonceAt(at time.Time, caller netip.Addr) string {
	stamp := binary.BigEndian.AppendUint64(nil, uint64(at.UnixMilli()))
	mac := hmac.New(sha256.New, s.key)
	mac.Write(stamp)
	mac.Write(caller.AsSlice())
	return hex.EncodeToString(stamp) + hex.EncodeToString(mac.Sum(nil)[:16])
}

// nonceState tells whether a nonce is ours, and whether it is still good.
func (s *Server) nonceState(nonce string, caller netip.Addr) (ours, fresh bool) {
	b, err := hex.DecodeString(nonce)
	if err != nil || len(b) < 8 {
		return false, false
	}
	at := time.UnixMilli(int64(binary.BigEndian.Uint64(b)))
	ours = hmac.Equal([]byte(nonce), []byte(s.nonceAt(at, caller)))
	age := time.Since(at)
	return ours, ours && age < nonceLife && age > -time.Second
}

// realm of our challenges.
func (t *Trunk) realm() string { return t.cfg.Domain }

// authenticate lets a caller in that proves to be one of CallerUsers, or asks
// for the proof (RFC 3261 section 22.2). A wrong password is refused with 403,
// not challenged again: some PBXs would go on for ever.
func (t *Trunk) authenticate(req *sip.Request, caller netip.Addr) *refusal {
	if len(t.cfg.CallerUsers) == 0 {
		return nil
	}
	for _, h := range req.GetHeaders("Authorization") {
		p, ok := authParams(h.Value())
		if !ok || p["realm"] != t.realm() {
			continue
		}
		switch ours, fresh := t.srv.nonceState(p["nonce"], caller); {
		case !ours:
			continue
		case !fresh:
			return t.challenge(caller, true)
		case t.proves(req, p):
			return nil
		}
		return &refusal{code: 403, rule: "callerUsers: wrong user or password"}
	}
	return t.challenge(caller, false)
}

// proves checks the digest. That of a user who is not known takes as long.
func (t *Trunk) proves(req *sip.Request, p map[string]string) bool {
	password, known := t.cfg.CallerUsers[p["username"]]
	d := digestOf{
		user: p["username"], realm: p["realm"], password: string(password), method: string(req.Method), uri: p["uri"],
		nonce: p["nonce"], nc: p["nc"], cnonce: p["cnonce"], qop: p["qop"], algorithm: p["algorithm"], body: req.Body(),
	}
	want := d.response()
	return want != "" && subtle.ConstantTimeCompare([]byte(want), []byte(p["response"])) == 1 && known
}

// challenge offers SHA-256 and, for older phones, MD5 (RFC 8760 section 2.3).
func (t *Trunk) challenge(caller netip.Addr, stale bool) *refusal {
	no := &refusal{code: 401, rule: "callerUsers"}
	nonce := t.srv.nonceAt(time.Now(), caller)
	for _, algorithm := range []string{"SHA-256", "MD5"} {
		value := fmt.Sprintf("Digest realm=%s, nonce=%q, algorithm=%s, qop=\"auth\"", authQuoted(t.realm()), nonce, algorithm)
		if stale {
			value += ", stale=true"
		}
		no.headers = append(no.headers, namedValue{"WWW-Authenticate", value})
	}
	return no
}

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
	if c.user == "" && c.password == "" || c.tries >= maxChallenges {
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

// sign adds the answers to what was learnt to a request.
func (c *credentials) sign(req *sip.Request) {
	for _, ch := range c.answers {
		value := ch.answer(c.user, c.password, string(req.Method), req.Recipient.String(), req.Body())
		req.AppendHeader(sip.NewHeader(ch.reply, value))
	}
}

// strength orders the algorithms by the size of their hash.
func (c *challenge) strength() int { return newHash(c.algorithm)().Size() }
