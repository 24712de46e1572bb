package trunk

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/emiago/sipgo/sip"
)

// session is the session timer of a call (RFC 4028); the zero value is none.
// Call.mu guards it.
type session struct {
	interval time.Duration // between refreshes; 0: no timer
	refresh  bool          // by us; else by the far side
	require  bool          // tell the far side that it is to refresh
	timer    *time.Timer
	due      time.Time // when timer calls
	end      time.Time // after which the call ends
	peer     bool      // the far side supports timers
	update   bool      // the far side takes UPDATE
}

func (s *session) stop() {
	if s.timer != nil {
		s.timer.Stop()
	}
}

// sessionIn reads what a request of the far side wants of the timer.
func (s *Server) sessionIn(req *sip.Request) (session, *refusal) {
	want := session{
		peer:   hasToken(req, "Supported", "timer") || hasToken(req, "Require", "timer"),
		update: hasToken(req, "Allow", "UPDATE"),
	}
	value := headerValue(req, "Session-Expires")
	if value == "" {
		return want, nil
	}
	n, ok := seconds(value)
	if !ok {
		return want, &refusal{code: 400, rule: "Session-Expires is no number"}
	}
	want.interval = time.Duration(n) * time.Second
	if want.interval < s.clock.minSession {
		if want.peer {
			return want, &refusal{code: 422, rule: "session interval too small",
				headers: []namedValue{{"Min-SE", fmt.Sprint(int(s.clock.minSession.Seconds()))}}}
		}
		want.interval = 0 // from a proxy, for a phone that knows nothing of it
		return want, nil
	}
	switch refresherIn(value) {
	case "uas":
		want.refresh = true
	case "uac":
	default:
		want.refresh = !want.peer
	}
	want.require = !want.refresh
	return want, nil
}

// refresherIn is the refresher parameter of a Session-Expires, lower case.
func refresherIn(value string) string {
	for p := range strings.SplitSeq(value, ";") {
		name, v, _ := strings.Cut(p, "=")
		if strings.EqualFold(strings.TrimSpace(name), "refresher") {
			return strings.ToLower(strings.TrimSpace(v))
		}
	}
	return ""
}

// answer takes up the timer that a request of the far side asks for, and makes
// the headers of its 2xx (RFC 4028 section 9). Call.mu is held.
func (s *session) answer(c *Call, req *sip.Request) []sip.Header {
	want, no := c.srv.sessionIn(req)
	if no != nil {
		return nil // it was refused before
	}
	want.timer = s.timer
	*s = want
	s.arm(c)
	if s.interval == 0 {
		return nil
	}
	who := "uac"
	if s.refresh {
		who = "uas"
	}
	headers := []sip.Header{sip.NewHeader("Session-Expires", fmt.Sprintf("%d;refresher=%s", int(s.interval.Seconds()), who))}
	if s.require && s.peer {
		headers = append(headers, sip.NewHeader("Require", "timer"))
	}
	return headers
}

// take takes up the timer that a 2xx to a request of ours asks for (RFC 4028
// section 7.2). Call.mu is held.
func (s *session) take(c *Call, res *sip.Response) {
	if len(res.GetHeaders("Allow")) > 0 {
		s.update = hasToken(res, "Allow", "UPDATE")
	}
	value := headerValue(res, "Session-Expires")
	n, ok := seconds(value)
	s.interval = 0
	if ok {
		s.interval = max(time.Duration(n)*time.Second, c.srv.clock.minSession)
		s.refresh = refresherIn(value) != "uas"
	}
	s.arm(c)
}

// dueAfter is when a session timer calls, and when the session has ended:
// half-way if the refresh is ours, shortly before the time is up otherwise (RFC
// 4028 section 10).
func dueAfter(interval time.Duration, refresh bool) (due, end time.Duration) {
	end = interval - min(32*time.Second, interval/3)
	if refresh {
		return interval / 2, end
	}
	return end, end
}

// arm sets the timer.
func (s *session) arm(c *Call) {
	s.stop()
	s.timer = nil
	if s.interval == 0 || c.phase == ended {
		return
	}
	wait, end := dueAfter(s.interval, s.refresh)
	s.end = time.Now().Add(end)
	s.wake(c, wait)
}

// wake has sessionDue called after a time.
func (s *session) wake(c *Call, wait time.Duration) {
	s.stop()
	s.due = time.Now().Add(wait)
	s.timer = time.AfterFunc(wait, func() { c.srv.spawn(c.sessionDue) })
}

// sessionDue refreshes the session, or ends one that was not refreshed.
func (c *Call) sessionDue() {
	c.mu.Lock()
	s, live := c.session, c.phase == answered
	c.mu.Unlock()
	if !live || s.interval == 0 || time.Now().Before(s.due) {
		return // the timer was set anew while it called
	}
	if s.refresh && time.Now().Before(s.end) {
		err := c.refreshSession(s)
		if err == nil || c.retryRefresh(s) {
			return
		}
		c.log.Warn("session not refreshed", "error", err)
	}
	c.hang(ending{protocol: "SIP", cause: 408, text: "session expired", err: ErrSessionExpired})
}

// retryRefresh sets the timer for another try; false if there is no time left.
func (c *Call) retryRefresh(s session) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	wait := s.interval / 10
	if c.phase != answered || time.Now().Add(wait).After(s.end) {
		return false
	}
	c.session.wake(c, wait)
	return true
}

// refreshSession sends an UPDATE without a body, or to who does not know that
// a re-INVITE.
func (c *Call) refreshSession(s session) error {
	ctx, cancel := context.WithDeadline(c.ctx, s.end)
	defer cancel()
	if !s.update {
		return c.Renegotiate(ctx)
	}
	res, err := c.transact(ctx, func() *sip.Request {
		req := c.newRequest(sip.UPDATE)
		c.mu.Lock()
		defer c.mu.Unlock()
		c.session.ask(req)
		return req
	})
	if err != nil {
		return err
	}
	if res.StatusCode > 299 {
		return statusError(res)
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.dialog.refresh(res)
	c.session.take(c, res)
	return nil
}

// ask adds to a request of ours what keeps the timer going.
func (s *session) ask(req *sip.Request) {
	req.AppendHeader(sip.NewHeader("Supported", extensions))
	if s.interval == 0 {
		return
	}
	who := "uas"
	if s.refresh {
		who = "uac"
	}
	req.AppendHeader(sip.NewHeader("Session-Expires", fmt.Sprintf("%d;refresher=%s", int(s.interval.Seconds()), who)))
}
