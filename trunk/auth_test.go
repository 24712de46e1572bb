package trunk

import (
	"fmt"
	"strings"
	"testing"
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
