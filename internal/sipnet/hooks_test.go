package sipnet

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"strings"
	"sync"
	"testing"
	"testing/synctest"

	"github.com/emiago/sipgo/sip"

	"github.com/trunkcast/trunkcast/listener"
)

// syncBuffer is a log that several goroutines write.
type syncBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (s *syncBuffer) Write(p []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.b.Write(p)
}

func (s *syncBuffer) String() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.b.String()
}

// onlyRequests calls f for incoming requests with one of the methods.
func onlyRequests(f func(*listener.Message) error, methods ...sip.RequestMethod) listener.Func {
	return func(_ context.Context, m *listener.Message) error {
		for _, method := range methods {
			if m.Direction == listener.Incoming && m.Request != nil && m.Request.Method == method {
				return f(m)
			}
		}
		return nil
	}
}

// The listener sees every message, both ways, with what is known of it.
func TestListenerSeesEverything(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		net := newMemNet()
		var seen []string
		var mu sync.Mutex
		e := net.start(t, ourAddr, &Endpoint{
			OnRequest: answer(486),
			TrunkOf:   func(*listener.Message) string { return "pbx_t0" },
			Listener: listener.Func(func(ctx context.Context, m *listener.Message) error {
				mu.Lock()
				defer mu.Unlock()
				what := ""
				if m.Request != nil {
					what = string(m.Request.Method)
				} else {
					what = m.Response.StartLine()[8:11]
				}
				seen = append(seen, m.Direction.String()[:2]+" "+what)
				if m.Trunk != "pbx_t0" || m.Transport != "udp" || m.Local.String() != ourAddr || m.Remote.String() != peerAddr || ctx.Err() != nil {
					t.Errorf("%+v", m)
				}
				return nil
			}),
		})
		defer e.Close()
		p := net.rawPeer()
		p.send(ask("INVITE", "z9hG4bK1", "a"))
		synctest.Wait()
		p.send(ask("INVITE", "z9hG4bK1", "a")) // a retransmission, both ways
		synctest.Wait()
		p.send(ask("ACK", "z9hG4bK1", "a"))
		synctest.Wait()
		p.next()
		p.next()
		if _, err := e.Request(t.Context(), newRequest(sip.INVITE, "b"), peer); err != nil {
			t.Fatal(err)
		}
		p.send(reply(t, p.next(), 603))
		synctest.Wait()
		want := "in INVITE, ou 486, in INVITE, ou 486, in ACK, ou INVITE, in 603, ou ACK"
		if got := strings.Join(seen, ", "); got != want {
			t.Errorf("got  %s\nwant %s", got, want)
		}
	})
}

func TestListenerRewrites(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		net := newMemNet()
		got := make(chan *sip.Request, 1)
		var original *sip.Response
		e := net.start(t, ourAddr, &Endpoint{
			OnRequest: func(req *sip.Request, tx *ServerTx) {
				got <- req
				original = tx.NewResponse(200, "", nil)
				tx.Respond(original)
			},
			Listener: listener.Chain{listener.AddPort{}, listener.Func(func(_ context.Context, m *listener.Message) error {
				switch {
				case m.Direction == listener.Outgoing && m.Response != nil:
					m.Response.AppendHeader(sip.NewHeader("Server", "mine"))
					m.Response.From().DisplayName = "changed"
				case m.Direction == listener.Outgoing:
					m.Request = m.Request.Clone() // another message altogether
					m.Request.SetBody([]byte("longer"))
				}
				return nil
			})},
		})
		defer e.Close()
		p := net.rawPeer()
		p.send(ask("INVITE", "z9hG4bK1", "a"))
		if uri := (<-got).Recipient.String(); uri != "sip:us@10.0.0.1:5060" {
			t.Errorf("request URI %s", uri)
		}
		first := p.next()
		if line(first, "Server: ") != "mine" || !strings.Contains(first, `"changed"`) {
			t.Errorf("sent %s", first)
		}
		if strings.Contains(original.String(), "changed") {
			t.Error("the listener changed the user's response")
		}
		tx, err := e.Request(t.Context(), newRequest(sip.MESSAGE, "b"), peer)
		if err != nil {
			t.Fatal(err)
		}
		if sent := p.next(); line(sent, "Content-Length: ") != "6" || !strings.HasSuffix(sent, "longer") {
			t.Errorf("sent %s", sent)
		}
		if len(tx.Request().Body()) != 0 {
			t.Error("the listener changed the user's request")
		}
	})
}

func TestListenerDrops(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		net := newMemNet()
		requests := 0
		e := net.start(t, ourAddr, &Endpoint{
			OnRequest: func(*sip.Request, *ServerTx) { requests++ },
			Listener: listener.Func(func(_ context.Context, m *listener.Message) error {
				return errors.Join(errors.New("because"), listener.Drop)
			}),
		})
		defer e.Close()
		p := net.rawPeer()
		p.send(ask("INVITE", "z9hG4bK1", "a"))
		p.send(reply(t, ask("OPTIONS", "z9hG4bK1", "a"), 200))
		synctest.Wait()
		if s := e.Stats(); requests != 0 || s.ServerTransactions != 0 || s.Sent != 0 {
			t.Errorf("%d requests, %+v", requests, s)
		}
		if _, err := e.Request(t.Context(), newRequest(sip.OPTIONS, "b"), peer); !errors.Is(err, ErrDropped) {
			t.Errorf("request: %v", err)
		}
		if err := e.Send(t.Context(), newRequest(sip.ACK, "b"), peer); !errors.Is(err, ErrDropped) {
			t.Errorf("send: %v", err)
		}
		if s := e.Stats(); s.ClientTransactions != 0 {
			t.Errorf("%+v", s)
		}
	})
}

// A dropped transmission is lost as on the network: the next one gets through.
func TestListenerDropsOneTransmission(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		net := newMemNet()
		n := 0
		e := net.start(t, ourAddr, &Endpoint{
			OnRequest: answer(486),
			Listener: listener.Func(func(_ context.Context, m *listener.Message) error {
				if m.Direction == listener.Outgoing {
					if n++; n == 1 {
						return listener.Drop
					}
				}
				return nil
			}),
		})
		defer e.Close()
		p := net.rawPeer()
		p.send(ask("INVITE", "z9hG4bK1", "a"))
		p.next()
		if got := net.sent("486"); got != "0.5" {
			t.Errorf("sent at %s", got)
		}
	})
}

func TestListenerRefuses(t *testing.T) {
	for _, tt := range []struct {
		name string
		err  error
		want string
	}{
		{"403", listener.Refuse(403, "Not you"), "SIP/2.0 403 Not you"},
		{"no reason", listener.Refuse(486, ""), "SIP/2.0 486 Busy Here"},
		{"line break", listener.Refuse(603, "a\r\nX: b"), "SIP/2.0 603 a  X: b"},
		{"no status of a failure", listener.Refuse(200, "OK"), "SIP/2.0 500 OK"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				net := newMemNet()
				requests := 0
				e := net.start(t, ourAddr, &Endpoint{
					OnRequest: func(*sip.Request, *ServerTx) { requests++ },
					Listener: onlyRequests(func(m *listener.Message) error {
						m.Request.RemoveHeader("Via") // nobody sees what is refused
						return tt.err
					}, sip.INVITE, sip.ACK),
				})
				defer e.Close()
				p := net.rawPeer()
				p.send(ask("INVITE", "z9hG4bK1", "a"))
				res := p.next()
				if status, _, _ := strings.Cut(res, "\r\n"); status != tt.want || line(res, "Warning: ") == "" {
					t.Errorf("got %s", res)
				}
				p.send(ask("INVITE", "z9hG4bK1", "a")) // a copy
				if again := p.next(); again != res {
					t.Errorf("then %s", again)
				}
				p.send(ask("ACK", "z9hG4bK1", "a")) // ends it, though it is refused as well
				synctest.Wait()
				before := net.lines()
				if p.next(); net.lines() != before || requests != 0 {
					t.Errorf("%d requests, sent %s", requests, net.lines())
				}
			})
		})
	}
}

// A listener that fails lets the message pass: changed by an error, as it was
// by a panic or when it took away what is needed.
func TestListenerFails(t *testing.T) {
	boom := map[string]struct {
		fail func(*listener.Message) error
		user string
		log  string
	}{
		"error":       {func(*listener.Message) error { return errors.New("oh") }, "changed", "listener failed"},
		"panic":       {func(*listener.Message) error { panic("oh") }, "us", "listener panicked"},
		"nil pointer": {func(m *listener.Message) error { m.Response.Reason = ""; return nil }, "us", "listener panicked"},
		"no Via":      {func(m *listener.Message) error { m.Request.RemoveHeader("Via"); return nil }, "us", "removed Via"},
		"no message":  {func(m *listener.Message) error { m.Request = nil; return nil }, "us", "removed Via"},
		"nil header":  {func(m *listener.Message) error { m.Request.AppendHeader(nil); return nil }, "us", "removed Via"},
	}
	for name, tt := range boom {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				net := newMemNet()
				var log syncBuffer
				users := make(chan string, 1)
				e := net.start(t, ourAddr, &Endpoint{
					Logger:    slog.New(slog.NewTextHandler(&log, nil)),
					OnRequest: func(req *sip.Request, _ *ServerTx) { users <- req.Recipient.User },
					Listener: onlyRequests(func(m *listener.Message) error {
						m.Request.Recipient.User = "changed"
						return tt.fail(m)
					}, sip.INFO),
				})
				defer e.Close()
				p := net.rawPeer()
				p.send(ask("INFO", "z9hG4bK1", "a"))
				if user := <-users; user != tt.user {
					t.Errorf("user %s", user)
				}
				if strings.Count(log.String(), tt.log) != 1 {
					t.Errorf("log %s", log.String())
				}
				if strings.Contains(tt.log, "panicked") && !strings.Contains(log.String(), "hooks_test.go") {
					t.Error("no stack in the log")
				}
				p.send(ask("BYE", "z9hG4bK2", "b"))
				if user := <-users; user != "us" {
					t.Errorf("then %s", user)
				}
			})
		})
	}
}

// In a chain a panic undoes what that listener did, and nothing of the others;
// an error ends the row.
func TestChainPanics(t *testing.T) {
	add := func(text string, err error) listener.SipMessageListener {
		return listener.Func(func(_ context.Context, m *listener.Message) error {
			if m.Direction == listener.Incoming {
				m.Request.Recipient.User += text
			} else {
				m.Response.Reason += text
			}
			if err == nil && text == "P" {
				panic("oh")
			}
			if text == "N" {
				m.Request, m.Response = nil, nil
			}
			return err
		})
	}
	fails := errors.New("oh")
	for _, tt := range []struct {
		chain listener.Chain
		want  string
	}{
		{listener.Chain{add("a", nil), add("P", nil), add("b", nil)}, "ab"},
		{listener.Chain{add("P", nil), add("b", nil), add("P", nil)}, "b"},
		{listener.Chain{add("a", nil), listener.Chain{add("b", nil), add("P", nil)}, add("N", nil), add("c", nil)}, "abc"},
		{listener.Chain{add("a", nil), add("b", fails), add("c", nil)}, "ab"},
		{listener.Chain{add("a", nil), add("N", fails), add("c", nil)}, "ac"},
		{listener.Chain{}, ""},
	} {
		synctest.Test(t, func(t *testing.T) {
			net := newMemNet()
			users := make(chan string, 1)
			e := net.start(t, ourAddr, &Endpoint{Listener: tt.chain, OnRequest: func(req *sip.Request, tx *ServerTx) {
				users <- req.Recipient.User
				tx.Respond(tx.NewResponse(200, "", nil))
			}})
			defer e.Close()
			p := net.rawPeer()
			p.send(ask("OPTIONS", "z9hG4bK1", "a"))
			if user := <-users; user != "us"+tt.want {
				t.Errorf("user %q, want %q", user, "us"+tt.want)
			}
			if line, _, _ := strings.Cut(p.next(), "\r\n"); line != "SIP/2.0 200 OK"+tt.want {
				t.Errorf("sent %q, want ...%q", line, tt.want)
			}
		})
	}
}

func TestOutgoingListenerPanics(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		net := newMemNet()
		e := net.start(t, ourAddr, &Endpoint{
			OnRequest: answer(200),
			Listener: listener.Func(func(_ context.Context, m *listener.Message) error {
				if m.Direction == listener.Outgoing {
					m.Response.Reason = "half done"
					panic("oh")
				}
				return nil
			}),
		})
		defer e.Close()
		p := net.rawPeer()
		p.send(ask("OPTIONS", "z9hG4bK1", "a"))
		if res := p.next(); !strings.HasPrefix(res, "SIP/2.0 200 OK\r\n") {
			t.Errorf("got %s", res)
		}
	})
}

func TestHandlerPanics(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		net := newMemNet()
		var log syncBuffer
		e := net.start(t, ourAddr, &Endpoint{
			Logger:     slog.New(slog.NewTextHandler(&log, nil)),
			OnRequest:  func(*sip.Request, *ServerTx) { panic("oh") },
			OnResponse: func(*sip.Response) { panic("oh") },
		})
		defer e.Close()
		p := net.rawPeer()
		p.send(ask("INFO", "z9hG4bK1", "a"))
		p.send(ask("ACK", "z9hG4bK2", "b"))
		p.send(reply(t, ask("INVITE", "z9hG4bK3", "c"), 200))
		if res := p.next(); !strings.HasPrefix(res, "SIP/2.0 500 ") {
			t.Errorf("got %s", res)
		}
		synctest.Wait()
		if n := strings.Count(log.String(), "handler panicked"); n != 3 {
			t.Errorf("%d in the log: %s", n, log.String())
		}
	})
}
