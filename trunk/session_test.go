package trunk

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/trunkcast/trunkcast/trunk/trunktest"
)

// What a 2xx says to the timer that an INVITE asks for (RFC 4028 section 9).
func TestSessionExpires(t *testing.T) {
	for _, tt := range []struct {
		name, extra   string
		expires       string
		require       string
		refresh, none bool
	}{
		{name: "none", none: true},
		{name: "supported only", extra: "Supported: timer\r\n", none: true},
		{name: "uac", extra: "Supported: timer\r\nSession-Expires: 1800;refresher=uac\r\n", expires: "1800;refresher=uac", require: "timer"},
		{name: "uas", extra: "Supported: timer\r\nSession-Expires: 1800;refresher=uas\r\n", expires: "1800;refresher=uas", refresh: true},
		{name: "open", extra: "Supported: 100rel, timer\r\nx: 1800\r\n", expires: "1800;refresher=uac", require: "timer"},
		{name: "required", extra: "Require: timer\r\nSession-Expires: 90\r\n", expires: "90;refresher=uac", require: "timer"},
		{name: "of a proxy", extra: "Session-Expires: 1800\r\n", expires: "1800;refresher=uas", refresh: true},
		{name: "too short, of a proxy", extra: "Session-Expires: 30\r\n", none: true},
	} {
		t.Run(tt.name, func(t *testing.T) {
			calls := make(chan *Call, 1)
			s := serve(t, &Server{Handler: answering(&trunktest.Negotiator{}, calls)})
			p := trunktest.NewPeer(t, "udp")
			leg := p.NewLeg(addrOfServer(s), "1")
			leg.Request("INVITE", tt.extra, trunktest.Offer)
			res := leg.Expect("INVITE", 200)
			if got := res.Header("Session-Expires"); got != tt.expires {
				t.Errorf("Session-Expires %q", got)
			}
			if got := res.Header("Require"); got != tt.require {
				t.Errorf("Require %q", got)
			}
			leg.ACK("")
			c := get(t, calls, "call")
			c.mu.Lock()
			defer c.mu.Unlock()
			if (c.session.timer == nil) != tt.none || c.session.refresh != tt.refresh {
				t.Errorf("session %+v", c.session)
			}
		})
	}
}

// short lets sessions last a second.
func short(s *Server) *Server {
	s.clock.minSession = time.Second
	return s
}

// A session that the far side does not refresh ends with BYE; one that it
// refreshes, by UPDATE or re-INVITE, goes on.
func TestSessionRefreshedByPeer(t *testing.T) {
	t.Parallel() // it waits for timers
	for _, method := range []string{"", "UPDATE", "INVITE"} {
		t.Run("by "+method, func(t *testing.T) {
			calls := make(chan *Call, 1)
			s := serve(t, short(&Server{Handler: answering(&trunktest.Negotiator{}, calls)}))
			p := trunktest.NewPeer(t, "udp")
			leg := p.NewLeg(addrOfServer(s), "1")
			expires := "1800;refresher=uac"
			if method == "" {
				expires = "2;refresher=uac"
			}
			timer := "Supported: timer\r\nSession-Expires: " + expires + "\r\n"
			leg.Request("INVITE", timer, trunktest.Offer)
			leg.Expect("INVITE", 200)
			leg.ACK("")
			c := get(t, calls, "call")
			c.mu.Lock()
			end := c.session.end
			c.mu.Unlock()
			if method != "" {
				body := ""
				if method == "INVITE" {
					body = trunktest.Offer
				}
				leg.Request(method, timer, body)
				if res := leg.Expect(method, 200); res.Header("Session-Expires") != expires {
					t.Errorf("Session-Expires %q", res.Header("Session-Expires"))
				}
				if method == "INVITE" {
					leg.ACK("")
				}
				c.mu.Lock()
				defer c.mu.Unlock()
				if !c.session.end.After(end) {
					t.Error("not refreshed")
				}
				return
			}
			bye := leg.Await("BYE")
			if bye.Header("Reason") != `SIP;cause=408;text="session expired"` {
				t.Errorf("Reason %q", bye.Header("Reason"))
			}
			p.Response(bye, 200, "", "", "")
			if e := endOf(t, c); !errors.Is(e, ErrSessionExpired) {
				t.Errorf("end %+v", e)
			}
		})
	}
}

// A timer that calls while the session is refreshed ends nothing.
func TestSessionRefreshedWhileDue(t *testing.T) {
	calls := make(chan *Call, 1)
	s := serve(t, &Server{Handler: answering(&trunktest.Negotiator{}, calls)})
	p := trunktest.NewPeer(t, "udp")
	for _, refresher := range []string{"uac", "uas"} {
		leg := p.NewLeg(addrOfServer(s), "1")
		leg.Request("INVITE", "Supported: timer\r\nSession-Expires: 1800;refresher="+refresher+"\r\n", trunktest.Offer)
		leg.Expect("INVITE", 200)
		leg.ACK("")
		c := get(t, calls, "call")
		c.sessionDue() // as one that has waited for the lock meanwhile
		if c.Err() != nil {
			t.Errorf("refresher %s: ended: %v", refresher, c.Err())
		}
		if p.Try(50*time.Millisecond, func(m *trunktest.Message) bool { return m.Method != "" && m.Method != "ACK" }) != nil {
			t.Errorf("refresher %s: a request before it is due", refresher)
		}
	}
}

// A session that is ours to refresh: by UPDATE where the far side allows it,
// else by re-INVITE; a refusal is tried again while there is time, then the call
// ends.
func TestSessionRefreshedByUs(t *testing.T) {
	for _, tt := range []struct{ name, allow, method, body string }{
		{"update", "Allow: INVITE, UPDATE\r\n", "UPDATE", ""},
		{"re-invite", "", "INVITE", "v=0\r\n"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			calls := make(chan *Call, 1)
			s := serve(t, &Server{Handler: answering(&trunktest.Negotiator{}, calls)})
			p := trunktest.NewPeer(t, "udp")
			leg := p.NewLeg(addrOfServer(s), "1")
			leg.Request("INVITE", tt.allow+"Supported: timer\r\nSession-Expires: 1800;refresher=uas\r\n", trunktest.Offer)
			leg.Expect("INVITE", 200)
			leg.ACK("")
			c := get(t, calls, "call")
			eventually(t, "the ACK", func() bool { c.mu.Lock(); defer c.mu.Unlock(); return c.unacked == nil })
			// due lets the timer call now, with so much time left.
			due := func(left time.Duration) <-chan struct{} {
				c.mu.Lock()
				c.session.end, c.session.due = time.Now().Add(left), time.Now()
				c.mu.Unlock()
				done := make(chan struct{})
				go func() { defer close(done); c.sessionDue() }()
				return done
			}
			done := due(time.Hour)
			req := leg.Await(tt.method)
			if got := req.Header("Session-Expires"); got != "1800;refresher=uac" {
				t.Errorf("Session-Expires %q", got)
			}
			p.Response(req, 200, "", tt.allow+"Contact: "+p.Contact()+"\r\nSession-Expires: 2400;refresher=uac\r\nRequire: timer\r\n", tt.body)
			<-done
			c.mu.Lock()
			if left := time.Until(c.session.end); c.session.interval != 40*time.Minute || left < 38*time.Minute {
				t.Errorf("interval %v, %v left", c.session.interval, left)
			}
			c.mu.Unlock()

			done = due(time.Hour) // time for another try
			p.Response(leg.Await(tt.method), 500, "", "", "")
			<-done
			if c.Err() != nil {
				t.Fatalf("ended: %v", c.Err())
			}
			done = due(patience) // and none
			p.Response(leg.Await(tt.method), 500, "", "", "")
			p.Response(leg.Await("BYE"), 200, "", "", "")
			<-done
			if e := endOf(t, c); !errors.Is(e, ErrSessionExpired) {
				t.Errorf("end %+v", e)
			}
		})
	}
}

func TestDueAfter(t *testing.T) {
	for _, tt := range []struct {
		interval time.Duration
		refresh  bool
		due, end time.Duration
	}{
		{30 * time.Minute, true, 15 * time.Minute, 30*time.Minute - 32*time.Second},
		{30 * time.Minute, false, 30*time.Minute - 32*time.Second, 30*time.Minute - 32*time.Second},
		{90 * time.Second, true, 45 * time.Second, 60 * time.Second},
		{90 * time.Second, false, 60 * time.Second, 60 * time.Second},
	} {
		if due, end := dueAfter(tt.interval, tt.refresh); due != tt.due || end != tt.end {
			t.Errorf("%v %v: due %v, end %v", tt.interval, tt.refresh, due, end)
		}
	}
}

// The timer that the answer to our INVITE asks for.
func TestSessionOfDialledCall(t *testing.T) {
	t.Parallel() // it waits for timers
	p := trunktest.NewPeer(t, "udp")
	s := &Server{Trunks: []Config{{RemotePort: int(p.Addr().Port())}}}
	serve(t, short(s))
	c, _ := dial(t, s, func() {
		p.Accept("Allow: UPDATE\r\nRequire: timer\r\nSession-Expires: 30;refresher=uac\r\n", "v=0\r\n")
		p.Request("ACK")
	}, DialOptions{Number: "1"})
	c.mu.Lock()
	c.session.wake(c, 0)
	c.mu.Unlock()
	req := p.Request("UPDATE")
	if !strings.HasPrefix(req.Header("Session-Expires"), "30;") || req.Body != "" {
		t.Errorf("Session-Expires %q, body %q", req.Header("Session-Expires"), req.Body)
	}
	p.Response(req, 200, "", "", "") // without a timer: it needs no more
	eventually(t, "no timer", func() bool {
		c.mu.Lock()
		defer c.mu.Unlock()
		return c.session.interval == 0 && c.session.timer == nil
	})
	go c.Hangup(context.Background(), "")
	p.Response(p.Request("BYE"), 200, "", "", "")
}
