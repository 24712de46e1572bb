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
		case !namesCalled(p["uri"], req):
			return &refusal{code: 400, rule: "callerUsers: the digest is for another URI"} // RFC 7616 section 3.4.6
		case !t.proves(req, p):
			return &refusal{code: 403, rule: "callerUsers: wrong user or password"}
		case !t.srv.nonces.use(p["nonce"], p["nc"], p["qop"] != ""):
			return t.challenge(caller, true) // heard before, or out of order
		}
		return nil
	}
	return t.challenge(caller, false)
}

// namesCalled reports whether the URI of a digest is that of the request. Proxies
// on the way rewrite the Request-URI, and listeners here: it is the user that
// counts, and that of To will do (RFC 3261 section 22.4).
func namesCalled(uri string, req *sip.Request) bool {
	var u sip.Uri
	if sip.ParseUri(uri, &u) != nil {
		return false
	}
	user := userOf(u)
	return user == userOf(req.Recipient) || user == userOf(req.To().Address)
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
