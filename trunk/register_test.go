package trunk

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/trunkcast/trunkcast/trunk/trunktest"
)

// registering runs a server whose trunk registers at p, and tells the states.
func registering(t *testing.T, p *trunktest.Peer, cfg Config, change func(*Server)) (*Server, <-chan Registration) {
	t.Helper()
	yes := true
	cfg.RemotePort, cfg.Register = int(p.Addr().Port()), &yes
	states := make(chan Registration, 100)
	s := &Server{
		Trunks:         []Config{cfg},
		Handler:        answering(&syncNegotiator{}, nil),
		OnRegistration: func(_ *Trunk, r Registration) { states <- r },
	}
	s.clock.backoff, s.clock.maxBackoff, s.clock.unregister = 20*time.Millisecond, 50*time.Millisecond, 5*time.Second
	s.clock.login, s.clock.maxLogin = s.clock.backoff, s.clock.maxBackoff
	if change != nil {
		change(s)
	}
	return serve(t, s), states
}

func TestRegister(t *testing.T) {
	p := trunktest.NewPeer(t, "udp")
	s, states := registering(t, p, Config{VisibleName: "CUSTOM_NAME", Domain: "pbx.example"}, nil)
	req := p.Request("REGISTER")
	for name, want := range map[string]string{
		"From": `"CUSTOM_NAME" <sip:CUSTOM_NAME@pbx.example>;tag=`, "To": `"CUSTOM_NAME" <sip:CUSTOM_NAME@pbx.example>`,
		"Contact": fmt.Sprintf(`"CUSTOM_NAME" <sip:CUSTOM_NAME@%s>`, addrOfServer(s)), "Expires": "3600",
	} {
		if got := req.Header(name); !strings.HasPrefix(got, want) {
			t.Errorf("%s: %q, want %q", name, got, want)
		}
	}
	if req.URI() != "sip:pbx.example" {
		t.Errorf("%s", req.Line)
	}
	if r := s.Trunk("t0").Registration(); r.State != Registering {
		t.Errorf("state %v", r.State)
	}
	p.Response(req, 200, "x", "Contact: "+req.Header("Contact")+";expires=600\r\nExpires: 7200\r\n", "")
	r := get(t, states, "state")
	if left := time.Until(r.Expires); r.State != Registered || left > 600*time.Second || left < 580*time.Second {
		t.Errorf("%+v", r)
	}
	if next := time.Until(r.Next); next < 400*time.Second || next > 560*time.Second {
		t.Errorf("again in %v", next)
	}
	if now := s.Trunk("t0").Registration(); now.State != Registered {
		t.Errorf("%+v", now)
	}

	done := make(chan error, 1)
	go func() { done <- s.Shutdown(context.Background()) }()
	last := p.Request("REGISTER")
	if last.Header("Expires") != "0" || last.Seq() != req.Seq()+1 || last.Header("Call-ID") != req.Header("Call-ID") {
		t.Errorf("Expires %q, CSeq %d", last.Header("Expires"), last.Seq())
	}
	p.Response(last, 200, "x", "", "")
	if err := get(t, done, "Shutdown"); err != nil {
		t.Error(err)
	}
	if r := get(t, states, "state"); r.State != Unregistered {
		t.Errorf("%+v", r)
	}
}

// The exchange up to a binding: challenges, a longer time, what goes wrong and
// is tried again.
func TestRegisterExchange(t *testing.T) {
	t.Parallel() // it waits for timers
	const ask = `Digest realm="r", nonce="n%d", qop="auth", algorithm=%s`
	p := trunktest.NewPeer(t, "udp")
	s, states := registering(t, p, Config{Login: "gw", Password: "secret", Expires: time.Minute}, nil)
	challenge := func(req *trunktest.Message, code int, n int, algorithm, more string) *trunktest.Message {
		t.Helper()
		name := map[int]string{401: "WWW-Authenticate", 407: "Proxy-Authenticate"}[code]
		p.Response(req, code, "x", name+": "+fmt.Sprintf(ask, n, algorithm)+more+"\r\n", "")
		again := p.Request("REGISTER")
		reply := map[int]string{401: "Authorization", 407: "Proxy-Authorization"}[code]
		if got := again.Header(reply); !strings.Contains(got, fmt.Sprintf(`nonce="n%d"`, n)) || !strings.Contains(got, algorithm) ||
			!strings.Contains(got, `username="gw"`) {
			t.Errorf("%s: %q", reply, got)
		}
		return again
	}
	req := p.Request("REGISTER")
	p.Response(req, 423, "x", "Min-Expires: 120\r\n", "")
	req = p.Request("REGISTER")
	if req.Header("Expires") != "120" {
		t.Errorf("Expires %q", req.Header("Expires"))
	}
	req = challenge(req, 407, 1, "MD5", "")
	req = challenge(req, 401, 2, "SHA-256-sess", "")
	req = challenge(req, 401, 3, "SHA-256", ", stale=true")
	p.Response(req, 403, "x", "Warning: 399 pbx \"no\"\r\n", "")
	if r := get(t, states, "state"); r.State != RegistrationFailed || r.Code != 403 || r.Err == nil || !strings.Contains(r.Err.Error(), "no") {
		t.Errorf("%+v", r)
	}
	// Calls come all the same.
	q := trunktest.NewPeer(t, "udp")
	q.Establish(addrOfServer(s), "1")

	req = p.Request("REGISTER") // again, after a while
	req = challenge(req, 401, 4, "MD5", "")
	p.Response(req, 401, "x", "WWW-Authenticate: "+fmt.Sprintf(ask, 5, "MD5")+"\r\n", "") // a wrong password
	if r := get(t, states, "state"); r.State != RegistrationFailed || r.Code != 401 {
		t.Errorf("%+v", r)
	}
	p.Response(p.Request("REGISTER"), 200, "x", "Expires: 1\r\n", "")
	if r := get(t, states, "state"); r.State != Registered {
		t.Errorf("%+v", r)
	}
	begun := time.Now()
	p.Response(p.Request("REGISTER"), 200, "x", "Expires: 3600\r\n", "") // before that second has passed
	if took := time.Since(begun); took > 20*time.Second {
		t.Errorf("again after %v", took)
	}
}

// What a registrar asks for is waited, and shutting down does not wait for one
// that is silent.
func TestRegisterRetryAfter(t *testing.T) {
	p := trunktest.NewPeer(t, "udp")
	s, states := registering(t, p, Config{}, func(s *Server) { s.clock.unregister = 50 * time.Millisecond })
	p.Response(p.Request("REGISTER"), 503, "x", "Retry-After: 120 (soon)\r\n", "")
	r := get(t, states, "state")
	if wait := time.Until(r.Next); r.State != RegistrationFailed || wait < 110*time.Second || wait > 125*time.Second {
		t.Errorf("%+v", r)
	}
	if err := s.Shutdown(context.Background()); err != nil {
		t.Error(err)
	}
}

func TestRefreshAfter(t *testing.T) {
	for _, granted := range []time.Duration{time.Second, 10 * time.Second, time.Minute, time.Hour} {
		for range 100 {
			if d := refreshAfter(granted); d < granted/2 || d > granted*95/100 {
				t.Fatalf("%v of %v", d, granted)
			}
		}
	}
}

// Over TCP calls come by the connection that the registration has opened.
func TestCallOverRegistration(t *testing.T) {
	p := trunktest.NewPeer(t, "tcp")
	_, states := registering(t, p, Config{Transport: "tcp", Login: "gw"}, nil)
	req := p.Request("REGISTER")
	if !strings.Contains(req.Header("Contact"), ";transport=tcp>") {
		t.Errorf("Contact %q", req.Header("Contact"))
	}
	p.Response(req, 200, "x", "", "")
	get(t, states, "state")
	leg := p.NewLeg(req.From, "gw")
	leg.Request("INVITE", "P-Called-Party-ID: <sip:001201234@pbx>\r\n", trunktest.Offer)
	leg.Expect("INVITE", 200)
	leg.ACK("")
	leg.Request("BYE", "", "")
	leg.Expect("BYE", 200)
}
