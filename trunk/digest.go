package trunk

import (
	"crypto/md5"
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"hash"
	"strings"
)

// challenge is a WWW-Authenticate or Proxy-Authenticate of the scheme Digest
// (RFC 7616, RFC 8760).
type challenge struct {
	realm, nonce, opaque string
	algorithm            string // as it stands; empty: MD5
	qop                  string // "auth", "auth-int" or empty
	stale                bool
	reply                string // name of the header that answers it
	count                int    // answers given, for nc
}

// newHash is the hash of an algorithm, with or without -sess.
func newHash(algorithm string) func() hash.Hash {
	switch strings.TrimSuffix(strings.ToUpper(algorithm), "-SESS") {
	case "", "MD5":
		return md5.New
	case "SHA-256":
		return sha256.New
	}
	return nil
}

// digestOf is what a response is made of.
type digestOf struct {
	user, realm, password, method, uri string
	nonce, nc, cnonce, qop, algorithm  string
	body                               []byte
}

// response computes the digest of RFC 7616 section 3.4.1; empty for an
// algorithm or qop that is not known.
func (d digestOf) response() string {
	make := newHash(d.algorithm)
	if make == nil {
		return ""
	}
	h := func(parts ...string) string {
		sum := make()
		sum.Write([]byte(strings.Join(parts, ":")))
		return hex.EncodeToString(sum.Sum(nil))
	}
	a1 := h(d.user, d.realm, d.password)
	if strings.HasSuffix(strings.ToUpper(d.algorithm), "-SESS") {
		a1 = h(a1, d.nonce, d.cnonce)
	}
	switch d.qop {
	case "":
		return h(a1, d.nonce, h(d.method, d.uri))
	case "auth":
		return h(a1, d.nonce, d.nc, d.cnonce, d.qop, h(d.method, d.uri))
	case "auth-int":
		return h(a1, d.nonce, d.nc, d.cnonce, d.qop, h(d.method, d.uri, h(string(d.body))))
	}
	return ""
}

// parseChallenge reads the value of a WWW-Authenticate header; ok is false if
// it is not one that can be answered.
func parseChallenge(value string) (c challenge, ok bool) {
	p, ok := authParams(value)
	if !ok || p["nonce"] == "" || newHash(p["algorithm"]) == nil {
		return c, false
	}
	c = challenge{
		realm: p["realm"], nonce: p["nonce"], opaque: p["opaque"], algorithm: p["algorithm"],
		stale: strings.EqualFold(p["stale"], "true"),
	}
	for v := range strings.SplitSeq(p["qop"], ",") {
		switch v = strings.ToLower(strings.TrimSpace(v)); {
		case v == "auth", v == "auth-int" && c.qop == "":
			c.qop = v
		}
	}
	return c, c.qop != "" || p["qop"] == ""
}

// answer makes the value of an Authorization header.
func (c *challenge) answer(user string, password Secret, method, uri string, body []byte) string {
	c.count++
	d := digestOf{
		user: user, realm: c.realm, password: string(password), method: method, uri: uri,
		nonce: c.nonce, nc: fmt.Sprintf("%08x", c.count), cnonce: rand.Text(), qop: c.qop, algorithm: c.algorithm, body: body,
	}
	var b strings.Builder
	fmt.Fprintf(&b, "Digest username=%s, realm=%s, nonce=%s, uri=%s, response=%q",
		authQuoted(user), authQuoted(c.realm), authQuoted(c.nonce), authQuoted(uri), d.response())
	if c.algorithm != "" {
		b.WriteString(", algorithm=" + c.algorithm)
	}
	if c.opaque != "" {
		b.WriteString(", opaque=" + authQuoted(c.opaque))
	}
	if c.qop != "" {
		fmt.Fprintf(&b, ", qop=%s, nc=%s", c.qop, d.nc)
	}
	if c.qop != "" || strings.HasSuffix(strings.ToUpper(c.algorithm), "-SESS") {
		fmt.Fprintf(&b, ", cnonce=%q", d.cnonce)
	}
	return b.String()
}

func authQuoted(s string) string {
	return `"` + strings.NewReplacer(`\`, `\\`, `"`, `\"`).Replace(s) + `"`
}

// authParams reads the parameters of a value of the scheme Digest, names in
// lower case; the first of a name counts.
func authParams(value string) (map[string]string, bool) {
	scheme, s, _ := strings.Cut(strings.TrimSpace(value), " ")
	if !strings.EqualFold(scheme, "Digest") {
		return nil, false
	}
	params := map[string]string{}
	for {
		s = strings.TrimLeft(s, " \t,")
		if s == "" {
			return params, true
		}
		name, rest, ok := strings.Cut(s, "=")
		if !ok {
			return nil, false
		}
		name = strings.ToLower(strings.TrimSpace(name))
		var v string
		if v, s, ok = authValue(strings.TrimLeft(rest, " \t")); !ok {
			return nil, false
		}
		if _, seen := params[name]; !seen {
			params[name] = v
		}
	}
}

// authValue reads a quoted string or a token, and returns what follows.
func authValue(s string) (value, rest string, ok bool) {
	if !strings.HasPrefix(s, `"`) {
		i := strings.IndexAny(s, ", \t")
		if i < 0 {
			i = len(s)
		}
		return s[:i], s[i:], true
	}
	for i := 1; i < len(s); i++ {
		switch s[i] {
		case '\\':
			i++
		case '"':
			return unquote(s[1:i]), s[i+1:], true
		}
	}
	return "", "", false
}
