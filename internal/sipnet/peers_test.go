//go:build peers

package sipnet

import (
	"context"
	"fmt"
	"net"
	"net/netip"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/emiago/sipgo/sip"

	"github.com/trunkcast/trunkcast/internal/peertest"
)

// sippTransports are SIPp's names: UDP, one TCP connection for all calls, one
// for each.
var sippTransports = []string{"u1", "t1", "tn"}

// SIPp calls: INVITE, 180, 200, ACK, BYE, 200.
func TestPeerSIPpCalls(t *testing.T) {
	const calls = 500
	for _, transport := range sippTransports {
		t.Run(transport, func(t *testing.T) {
			var acks atomic.Int32
			e := start(t, &Endpoint{OnRequest: func(req *sip.Request, tx *ServerTx) {
				switch req.Method {
				case sip.INVITE:
					tx.Respond(tx.NewResponse(180, "", nil))
					res := tx.NewResponse(200, "", nil)
					contact := sip.Uri{Scheme: "sip", Host: "127.0.0.1", Port: int(tx.Flow().Local().Port())}
					res.AppendHeader(&sip.ContactHeader{Address: contact})
					tx.Respond(res)
				case sip.ACK:
					acks.Add(1)
				default:
					tx.Respond(tx.NewResponse(200, "", nil))
				}
			}})
			_, _, err := peertest.Run(t, time.Minute, "sipp", "-sn", "uac", "-t", transport, "-i", "127.0.0.1",
				"-p", fmt.Sprint(peertest.Port(t)), "-m", fmt.Sprint(calls), "-r", "250", "-d", "10",
				"-timeout", "50s", "-max_socket", "2000", "-nostdin", e.Addr().String())
			if err != nil {
				t.Error(err)
			}
			if n := acks.Load(); n != calls {
				t.Errorf("%d ACKs", n)
			}
			t.Logf("%+v", e.Stats())
		})
	}
}

// SIPp answers: our INVITE, ACK and BYE.
func TestPeerSIPpAnswers(t *testing.T) {
	const calls = 300
	for _, transport := range []string{"udp", "tcp"} {
		t.Run(transport, func(t *testing.T) {
			port := peertest.Port(t)
			sipp := map[string]string{"udp": "u1", "tcp": "t1"}[transport]
			p := peertest.Start(t, "sipp", "-sn", "uas", "-t", sipp, "-i", "127.0.0.1", "-p", fmt.Sprint(port),
				"-m", fmt.Sprint(calls), "-timeout", "50s", "-nostdin")
			e := start(t, &Endpoint{})
			to := Target{Transport: transport, Addr: netip.AddrPortFrom(loopback.Addr(), uint16(port))}
			if transport == "tcp" { // over UDP retransmissions wait for SIPp
				peertest.Eventually(t, 30*time.Second, "SIPp listens", func() bool {
					c, err := net.Dial("tcp", to.Addr.String())
					if err == nil {
						c.Close()
					}
					return err == nil
				})
			}
			var wg sync.WaitGroup
			for i := range calls {
				wg.Go(func() { callOut(t, e, to, fmt.Sprintf("call-%d@trunkcast", i)) })
				time.Sleep(2 * time.Millisecond) // the pace of the load
			}
			wg.Wait()
			if err := p.Wait(30 * time.Second); err != nil {
				t.Error(err)
			}
		})
	}
}

func callOut(t *testing.T, e *Endpoint, to Target, callID string) {
	invite := newRequest(sip.INVITE, callID)
	invite.Recipient = sip.Uri{Scheme: "sip", User: "service", Host: "127.0.0.1", Port: int(to.Addr.Port())}
	invite.AppendHeader(&sip.ContactHeader{Address: sip.Uri{Scheme: "sip", Host: "127.0.0.1", Port: int(e.Addr().Port())}})
	tx, err := e.Request(context.Background(), invite, to)
	if err != nil {
		t.Error(err)
		return
	}
	var final *sip.Response
	for res := range tx.Responses() {
		final = res
	}
	if final == nil || final.StatusCode != 200 {
		t.Errorf("%s: %v, %v", callID, final, tx.Err())
		return
	}
	inDialog := func(method sip.RequestMethod, number uint32) *sip.Request {
		req := newRequest(method, callID)
		req.Recipient = invite.Recipient
		req.CSeq().SeqNo = number
		tag, _ := final.To().Params.Get("tag")
		req.To().Params.Add("tag", tag)
		return req
	}
	to.Flow = tx.Flow()
	if err := e.Send(context.Background(), inDialog(sip.ACK, 1), to); err != nil {
		t.Error(err)
	}
	bye, err := e.Request(context.Background(), inDialog(sip.BYE, 2), to)
	if err != nil {
		t.Error(err)
		return
	}
	for res := range bye.Responses() {
		if res.StatusCode != 200 {
			t.Errorf("BYE: %d", res.StatusCode)
		}
	}
	if bye.Err() != nil {
		t.Errorf("BYE: %v", bye.Err())
	}
}
