package sipnet

import (
	"context"
	"errors"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/emiago/sipgo/sip"
)

func TestMergedRequest(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		net := newMemNet()
		var requests atomic.Int32
		e := net.start(t, ourAddr, &Endpoint{OnRequest: func(_ *sip.Request, tx *ServerTx) {
			requests.Add(1)
			tx.Respond(tx.NewResponse(180, "", nil))
		}})
		defer e.Close()
		p := net.rawPeer()
		p.send(ask("INVITE", "z9hG4bK1", "a"))
		p.send(ask("INVITE", "z9hG4bK2", "a")) // the same by another branch of a proxy
		p.send(ask("INVITE", "z9hG4bK3", "b"))
		synctest.Wait()
		time.Sleep(100 * time.Millisecond)
		if requests.Load() != 2 || strings.Count(net.lines(), "482") != 1 {
			t.Errorf("%d requests, sent %s", requests.Load(), net.lines())
		}
	})
}

func TestCloseEndsTransactions(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		net := newMemNet()
		txs := make(chan *ServerTx, 1)
		e := net.start(t, ourAddr, &Endpoint{OnRequest: func(_ *sip.Request, tx *ServerTx) { txs <- tx }})
		p := net.rawPeer()
		client, err := e.Request(context.Background(), newRequest(sip.INVITE, "x"), peer)
		if err != nil {
			t.Fatal(err)
		}
		p.send(ask("INVITE", "z9hG4bK1", "a"))
		server := <-txs
		e.Close()
		<-client.Done()
		<-server.Done()
		if !errors.Is(client.Err(), ErrClosed) || !errors.Is(e.Err(), ErrClosed) {
			t.Errorf("client %v, endpoint %v", client.Err(), e.Err())
		}
		if err := server.Respond(server.NewResponse(200, "", nil)); !errors.Is(err, ErrClosed) {
			t.Errorf("respond: %v", err)
		}
		if _, err := e.Request(context.Background(), newRequest(sip.OPTIONS, "y"), peer); !errors.Is(err, ErrClosed) {
			t.Errorf("request: %v", err)
		}
		if err := e.Send(context.Background(), newRequest(sip.ACK, "y"), peer); !errors.Is(err, ErrClosed) {
			t.Errorf("send: %v", err)
		}
	})
}

// Requests of one call are handed out in order, a slow user holds up its own
// call for OrderWait at most and other calls not at all.
func TestOrder(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		net := newMemNet()
		got := make(chan string, 10)
		e := net.start(t, ourAddr, &Endpoint{OnRequest: func(req *sip.Request, _ *ServerTx) {
			got <- req.CallID().Value() + " " + string(req.Method) + " " + time.Since(net.begun).String()
			if req.Method == sip.MESSAGE {
				time.Sleep(time.Hour)
			}
			if req.Method == sip.INFO {
				time.Sleep(5 * time.Millisecond)
			}
		}})
		defer e.Close()
		p := net.rawPeer()
		p.send(ask("MESSAGE", "z9hG4bK1", "slow"))
		p.send(ask("INFO", "z9hG4bK2", "slow"))
		p.send(ask("OPTIONS", "z9hG4bK3", "slow"))
		p.send(ask("BYE", "z9hG4bK4", "other"))
		time.Sleep(time.Second)
		synctest.Wait()
		close(got)
		bySlow := ""
		for s := range got {
			if strings.HasPrefix(s, "slow ") {
				bySlow += strings.TrimPrefix(s, "slow ") + ", "
			} else if s != "other BYE 0s" {
				t.Errorf("other call: %s", s)
			}
		}
		if bySlow != "MESSAGE 0s, INFO 20ms, OPTIONS 25ms, " {
			t.Errorf("got %s", bySlow)
		}
		e.order.mu.Lock()
		defer e.order.mu.Unlock()
		if n := len(e.order.lanes); n != 0 {
			t.Errorf("%d lanes left", n)
		}
	})
}

func TestPendingIsBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		net := newMemNet()
		var requests atomic.Int32
		e := net.start(t, ourAddr, &Endpoint{
			Limits:    Limits{PendingPerCID: 2},
			OnRequest: func(*sip.Request, *ServerTx) { requests.Add(1); time.Sleep(time.Second) },
		})
		defer e.Close()
		p := net.rawPeer()
		for _, branch := range []string{"1", "2", "3", "4", "5"} {
			p.send(ask("ACK", "z9hG4bK"+branch, "a"))
		}
		time.Sleep(10 * time.Second)
		if s := e.Stats(); requests.Load() != 3 || s.Overload != 2 {
			t.Errorf("%d requests, %+v", requests.Load(), s)
		}
		for _, branch := range []string{"6", "7", "8"} {
			p.send(ask("ACK", "z9hG4bK"+branch, "b"))
		}
		p.send(ask("INVITE", "z9hG4bK9", "b"))
		if res := p.next(); !strings.HasPrefix(res, "SIP/2.0 503 ") {
			t.Errorf("got %s", res)
		}
	})
}
