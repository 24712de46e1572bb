package trunk

import (
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/trunkcast/trunkcast/trunk/trunktest"
)

// Callers prove who they are, with either algorithm.
func TestCallerUsers(t *testing.T) {
	for _, tt := range []struct {
		name, user, password string
		algorithm            string
		qop                  string
		age                  time.Duration
		nonce                string
		code                 int
	}{
		{name: "sha-256", user: "alice", password: "secret", algorithm: "SHA-256", qop: "auth", code: 200},
		{name: "md5", user: "alice", password: "secret", algorithm: "MD5", qop: "auth", code: 200},
		{name: "auth-int", user: "alice", password: "secret", algorithm: "SHA-256", qop: "auth-int", code: 200},
		{name: "without qop", user: "alice", password: "secret", code: 200},
		{name: "wrong password", user: "alice", password: "guess", algorithm: "MD5", qop: "auth", code: 403},
		{name: "unknown user", user: "bob", password: "", algorithm: "MD5", qop: "auth", code: 403},
		{name: "old nonce", user: "alice", password: "secret", algorithm: "MD5", qop: "auth", age: 2 * nonceLife, code: 401},
		{name: "foreign nonce", user: "alice", password: "secret", algorithm: "MD5", qop: "auth", nonce: "abcd", code: 401},
	} {
		t.Run(tt.name, func(t *testing.T) {
			s := serve(t, &Server{
				Trunks:  []Config{{Domain: "gw.example", CallerUsers: map[string]Secret{"alice": "secret"}}},
				Handler: answering(&trunktest.Negotiator{}, nil),
			})
			p := trunktest.NewPeer(t, "udp")
			leg := p.Invite(addrOfServer(s), "1", trunktest.Offer)
			asked := leg.Expect("INVITE", 401).Headers("WWW-Authenticate")
			if len(asked) != 2 || !strings.Contains(asked[0], "algorithm=SHA-256") || !strings.Contains(asked[1], "algorithm=MD5") {
				t.Fatalf("challenges %q", asked)
			}
			ch, ok := parseChallenge(asked[0])
			if !ok || ch.realm != "gw.example" {
				t.Fatalf("challenge %+v", ch)
			}
			if tt.age != 0 {
				ch.nonce = s.nonceAt(time.Now().Add(-tt.age), p.Addr().Addr())
			}
			if tt.nonce != "" {
				ch.nonce = tt.nonce
			}
			ch.algorithm, ch.qop = tt.algorithm, tt.qop
			answer := ch.answer(tt.user, Secret(tt.password), "INVITE", leg.Target, []byte(trunktest.Offer))
			leg.Request("INVITE", "Authorization: "+answer+"\r\n", trunktest.Offer)
			res := leg.Expect("INVITE", tt.code)
			if stale := strings.Contains(fmt.Sprint(res.Headers("WWW-Authenticate")), "stale=true"); stale != (tt.age != 0) {
				t.Errorf("stale %v", stale)
			}
			if tt.code == 403 && !strings.Contains(res.Header("Warning"), "callerUsers") {
				t.Errorf("Warning %q", res.Header("Warning"))
			}
			if tt.code == 200 {
				leg.ACK("")
			}
		})
	}
}

// What was heard on the way is of no use to who says it again: the nonce count
// must rise, without one a nonce is good once, and the digest is for the URI
// that is called.
func TestReplayedDigest(t *testing.T) {
	s := serve(t, &Server{
		Trunks:  []Config{{Domain: "gw.example", CallerUsers: map[string]Secret{"alice": "secret"}}},
		Handler: answering(&trunktest.Negotiator{}, nil),
	})
	p := trunktest.NewPeer(t, "udp")
	challenged := func(leg *trunktest.Leg) *challenge {
		leg.Request("INVITE", "", trunktest.Offer)
		ch, ok := parseChallenge(leg.Expect("INVITE", 401).Header("WWW-Authenticate"))
		if !ok {
			t.Fatal("no challenge")
		}
		return &ch
	}
	call := func(leg *trunktest.Leg, answer string, code int) *trunktest.Message {
		t.Helper()
		leg.Request("INVITE", "Authorization: "+answer+"\r\n", trunktest.Offer)
		res := leg.Expect("INVITE", code)
		if code == 200 {
			leg.ACK("")
		}
		return res
	}
	for _, qop := range []string{"auth", ""} {
		leg := p.NewLeg(addrOfServer(s), "1")
		ch := challenged(leg)
		ch.qop = qop
		uri := leg.Target
		first := ch.answer("alice", "secret", "INVITE", uri, nil)
		call(leg, first, 200)
		again := call(p.NewLeg(addrOfServer(s), "1"), first, 401)
		if !strings.Contains(again.Header("WWW-Authenticate"), "stale=true") {
			t.Errorf("qop %q: %q is no new challenge", qop, again.Header("WWW-Authenticate"))
		}
		code := 200 // the next count
		if qop == "" {
			code = 401
		}
		call(p.NewLeg(addrOfServer(s), "1"), ch.answer("alice", "secret", "INVITE", uri, nil), code)
	}
	leg := p.NewLeg(addrOfServer(s), "900")
	ch := challenged(leg)
	res := call(p.NewLeg(addrOfServer(s), "900"), ch.answer("alice", "secret", "INVITE", "sip:1@gw.example", nil), 400)
	if !strings.Contains(res.Header("Warning"), "another URI") {
		t.Errorf("Warning %q", res.Header("Warning"))
	}
	call(p.NewLeg(addrOfServer(s), "900"), ch.answer("alice", "secret", "INVITE", "sip:900@gw.example:5099", nil), 200) // rewritten by a proxy
}

// The memory for nonces that were used is bounded, and forgets none that is good.
func TestNonces(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var n nonces
		for i, tt := range []struct {
			wait         time.Duration
			nonce, count string
			want         bool
		}{
			{0, "a", "00000001", true}, {0, "a", "00000001", false}, {0, "a", "00000003", true}, {0, "a", "00000002", false},
			{0, "b", "00000001", true}, {0, "b", "x", false}, {0, "b", "", false}, {0, "b", "ffffffffff", false},
			{nonceLife - time.Second, "a", "00000003", false}, {2 * time.Second, "a", "00000003", false},
			{0, "c", "ffffffff", true}, {nonceLife, "c", "ffffffff", false},
		} {
			time.Sleep(tt.wait)
			if got := n.use(tt.nonce, tt.count, true); got != tt.want {
				t.Errorf("%d: %s %s: %v", i, tt.nonce, tt.count, got)
			}
		}
		time.Sleep(2*nonceLife + time.Second)
		n.use("d", "1", true)
		time.Sleep(nonceLife + time.Second)
		n.use("e", "1", true)
		if len(n.now)+len(n.old) != 2 {
			t.Errorf("%d kept", len(n.now)+len(n.old))
		}
		for i := range maxNonces + 10 {
			n.use(fmt.Sprint(i), "1", true)
		}
		if len(n.now) > maxNonces {
			t.Errorf("%d kept", len(n.now))
		}
	})
}
