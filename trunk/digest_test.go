package trunk

import (
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/emiago/sipgo/sip"
)

// The examples of RFC 7616 section 3.9.1 and RFC 2617 section 3.5, and of the
// older form without qop.
func TestDigestVectors(t *testing.T) {
	base := digestOf{
		user: "Mufasa", realm: "http-auth@example.org", password: "Circle of Life", method: "GET", uri: "/dir/index.html",
		nonce: "7ypf/xlj9XXwfDPEoM4URrv/xwf94BcCAzFZH4GiTo0v", nc: "00000001",
		cnonce: "f2/wE4q74E6zIJEtWaHKaf5wv/H5QzzpXusqGemxURZJ", qop: "auth",
	}
	md5, sha := base, base
	md5.algorithm, sha.algorithm = "MD5", "SHA-256"
	old := digestOf{
		user: "Mufasa", realm: "testrealm@host.com", password: "Circle Of Life", method: "GET", uri: "/dir/index.html",
		nonce: "dcd98b7102dd2f0e8b11d0f600bfb0c093", nc: "00000001", cnonce: "0a4f113b", qop: "auth",
	}
	none := old
	none.qop = ""
	unknown := old
	unknown.algorithm = "SHA-1"
	for name, tt := range map[string]struct {
		d    digestOf
		want string
	}{
		"md5":     {md5, "8ca523f5e9506fed4657c9700eebdbec"},
		"sha-256": {sha, "753927fa0e85d155564e2e272a28d1802ca10daf4496794697cf8db5856cb6c1"},
		"2617":    {old, "6629fae49393a05397450978507c4ef1"},
		"2069":    {none, "670fd8c2df070c60b045671b8b24ff02"},
		"unknown": {unknown, ""},
	} {
		if got := tt.d.response(); got != tt.want {
			t.Errorf("%s: %s, want %s", name, got, tt.want)
		}
	}
	sess := md5
	sess.algorithm = "md5-sess"
	if got := sess.response(); got == "" || got == md5.response() {
		t.Errorf("md5-sess: %q", got)
	}
}

func TestParseChallenge(t *testing.T) {
	for _, tt := range []struct {
		value string
		ok    bool
		want  challenge
	}{
		{`Digest realm="a, \"b\"", nonce="n==", qop="auth-int, auth", algorithm=MD5, stale=TRUE, opaque="o"`, true,
			challenge{realm: `a, "b"`, nonce: "n==", qop: "auth", algorithm: "MD5", stale: true, opaque: "o"}},
		{`digest nonce=abc ,realm=x`, true, challenge{realm: "x", nonce: "abc"}},
		{`Digest realm="x",nonce="n",qop="auth-int",algorithm=sha-256-sess`, true,
			challenge{realm: "x", nonce: "n", qop: "auth-int", algorithm: "sha-256-sess"}},
		{`Digest realm="x"`, false, challenge{}},
		{`Digest realm="x",nonce="n",algorithm=SHA-512`, false, challenge{}},
		{`Digest realm="x",nonce="n",qop="token"`, false, challenge{}},
		{`Basic realm="x"`, false, challenge{}},
		{`Digest realm="x,nonce=n`, false, challenge{}},
		{`Digest`, false, challenge{}},
		{``, false, challenge{}},
	} {
		got, ok := parseChallenge(tt.value)
		if ok != tt.ok || ok && got != tt.want {
			t.Errorf("%s\n got %+v %v", tt.value, got, ok)
		}
	}
}

func TestNonce(t *testing.T) {
	s := &Server{}
	s.key = []byte("key")
	a, b := netip.MustParseAddr("192.0.2.1"), netip.MustParseAddr("192.0.2.2")
	now := s.nonceAt(time.Now(), a)
	for _, tt := range []struct {
		name, nonce string
		from        netip.Addr
		ours, fresh bool
	}{
		{"fresh", now, a, true, true},
		{"of another", now, b, false, false},
		{"old", s.nonceAt(time.Now().Add(-2*nonceLife), a), a, true, false},
		{"of tomorrow", s.nonceAt(time.Now().Add(24*time.Hour), a), a, true, false},
		{"changed", now[:16] + strings.Repeat("0", len(now)-16), a, false, false},
		{"empty", "", a, false, false},
		{"no hex", "zz", a, false, false},
	} {
		if ours, fresh := s.nonceState(tt.nonce, tt.from); ours != tt.ours || fresh != tt.fresh {
			t.Errorf("%s: ours %v, fresh %v", tt.name, ours, fresh)
		}
	}
}

// The strongest challenge is answered, a wrong password not for ever.
func TestCredentials(t *testing.T) {
	challenged := func(code int, values ...string) *sip.Response {
		res := sip.NewResponse(code, "")
		for _, v := range values {
			name := "WWW-Authenticate"
			if code == 407 {
				name = "Proxy-Authenticate"
			}
			res.AppendHeader(sip.NewHeader(name, v))
		}
		return res
	}
	md5, sha := `Digest realm="r", nonce="1", algorithm=MD5, qop="auth"`, `Digest realm="r", nonce="2", algorithm=SHA-256, qop="auth"`
	c := &credentials{user: "u", password: "p"}
	if !c.learn(challenged(407, md5)) || !c.learn(challenged(401, md5, sha)) {
		t.Fatal("not answered")
	}
	req := sip.NewRequest(sip.REGISTER, sip.Uri{Scheme: "sip", Host: "h"})
	c.sign(req)
	if v := headerValue(req, "Authorization"); !strings.Contains(v, `nonce="2"`) || !strings.Contains(v, "algorithm=SHA-256") {
		t.Errorf("Authorization %s", v)
	}
	if v := headerValue(req, "Proxy-Authorization"); !strings.Contains(v, `nonce="1"`) {
		t.Errorf("Proxy-Authorization %s", v)
	}
	if c.learn(challenged(401, sha)) {
		t.Error("the same challenge is answered again")
	}
	if !c.learn(challenged(401, sha+", stale=true")) {
		t.Error("a stale nonce ends it")
	}
	if c.learn(challenged(401, sha+", stale=true")) {
		t.Error("a fifth round")
	}
	if (&credentials{}).learn(challenged(401, md5)) {
		t.Error("answered without a password")
	}
}

func FuzzAuthParams(f *testing.F) {
	f.Add(`Digest realm="a, \"b\"", nonce="n==", qop="auth-int, auth"`)
	f.Add(`Digest a=b c="d`)
	f.Fuzz(func(t *testing.T, value string) {
		p, ok := authParams(value)
		total := 0
		for k, v := range p {
			total += len(k) + len(v)
		}
		// Lower case can be longer than what it was made of.
		if total > 4*len(value) || ok && p == nil {
			t.Errorf("%d bytes of %d", total, len(value))
		}
		parseChallenge(value)
	})
}
