package trunk

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/emiago/sipgo/sip"

	"github.com/trunkcast/trunkcast/trunk/trunktest"
)

// transferable serves calls of a trunk that follows transfers; pbx is where its
// own calls go.
func transferable(t *testing.T, pbx *trunktest.Peer, calls chan *Call) (*Server, *trunktest.Negotiator) {
	n := &trunktest.Negotiator{}
	return serve(t, &Server{
		Trunks:  []Config{{Transfers: "follow", RemotePort: int(pbx.Addr().Port()), MaxCalls: 1}},
		Handler: answering(n, calls),
	}), n
}

// notified answers a NOTIFY and checks what it tells.
func notified(t *testing.T, leg *trunktest.Leg, line string) {
	t.Helper()
	m := leg.Await("NOTIFY")
	leg.P.Response(m, 200, "", "", "")
	if !strings.HasPrefix(m.Body, line) {
		t.Errorf("NOTIFY tells %q, want %q", m.Body, line)
	}
}

// After a transfer the call goes on with the new party: its Handler and
// Negotiator are the same, what comes and goes belongs to the new dialog, and
// the old one ends.
func TestTransferFollowed(t *testing.T) {
	for _, transport := range []string{"udp", "tcp"} {
		for _, bye := range []bool{true, false} {
			t.Run(fmt.Sprint(transport, " the far side says BYE: ", bye), func(t *testing.T) {
				t.Parallel() // it waits for the BYE
				pbx, a := trunktest.NewPeer(t, "udp"), trunktest.NewPeer(t, transport)
				calls := make(chan *Call, 8)
				s, n := transferable(t, pbx, calls)
				old := a.Establish(addrOfServer(s), "1")
				c := get(t, calls, "call")
				id := c.ID()
				old.Request("REFER", "Refer-To: <sip:b@example.com?Replaces=x%3Bto-tag%3D1%3Bfrom-tag%3D2>\r\nReferred-By: <sip:a@example.com>\r\n", "")
				old.Expect("REFER", 202)
				notified(t, old, "SIP/2.0 100")
				leg, invite := pbx.Accept("", "v=0\r\ns=answer of b\r\n")
				if invite.Header("Replaces") != "x;to-tag=1;from-tag=2" || invite.Header("Referred-By") != "<sip:a@example.com>" ||
					!strings.HasPrefix(invite.URI(), "sip:b@example.com") || invite.Body == "" {
					t.Errorf("INVITE %s, Replaces %q, Referred-By %q", invite.URI(), invite.Header("Replaces"), invite.Header("Referred-By"))
				}
				leg.Await("ACK")
				notified(t, old, "SIP/2.0 200")
				old.Request("INVITE", "", trunktest.Offer) // has no meaning any more
				if res := old.Response("INVITE"); res.Code != 488 && res.Code != 481 {
					t.Errorf("a re-INVITE in the old dialog: %s", res.Line)
				}
				if bye {
					old.Request("BYE", "", "")
					old.Expect("BYE", 200)
				} else {
					a.Response(old.Await("BYE"), 200, "", "", "")
				}
				if c.Err() != nil || c.ID() != id || len(s.Calls()) != 1 || len(calls) != 0 {
					t.Fatalf("ended: %v; Call-ID %s, %d calls, %d more Handlers", c.Err(), c.ID(), len(s.Calls()), len(calls))
				}
				// It is the dialog with the new party in every way.
				leg.Request("INVITE", "", trunktest.Offer)
				leg.Expect("INVITE", 200)
				leg.ACK("")
				done := make(chan error, 1)
				go func() {
					_, err := c.Do(context.Background(), sip.NewRequest(sip.INFO, sip.Uri{}))
					done <- err
				}()
				pbx.Response(leg.Await("INFO"), 200, "", "", "")
				if err := get(t, done, "INFO"); err != nil {
					t.Error(err)
				}
				leg.Request("BYE", "", "")
				leg.Expect("BYE", 200)
				if e := endOf(t, c); !e.ByPeer {
					t.Errorf("end %+v", e)
				}
				if got := n.Log(); !slices.Equal(got, []string{"Answer", "Offer", "Accept", "Answer"}) || n.Fault() != "" {
					t.Errorf("negotiated %v %s", got, n.Fault())
				}
				eventually(t, "nothing kept", func() bool {
					k := s.sockets[0]
					k.mu.Lock()
					defer k.mu.Unlock()
					return len(k.dialogs) == 0 && len(k.near) == 0
				})
			})
		}
	}
}

// A transfer that fails leaves the call where it was.
func TestTransferFails(t *testing.T) {
	pbx, a := trunktest.NewPeer(t, "udp"), trunktest.NewPeer(t, "udp")
	calls := make(chan *Call, 8)
	s, n := transferable(t, pbx, calls)
	leg := a.Establish(addrOfServer(s), "1")
	c := get(t, calls, "call")
	for _, code := range []int{486, 603} {
		leg.Request("REFER", "Refer-To: <sip:b@example.com>\r\n", "")
		leg.Expect("REFER", 202)
		notified(t, leg, "SIP/2.0 100")
		pbx.Response(pbx.Request("INVITE"), code, "x", "", "")
		leg.Request("INVITE", "", trunktest.Offer) // glare, or all is over
		if res := leg.Response("INVITE"); res.Code == 200 {
			leg.ACK("")
		}
		notified(t, leg, fmt.Sprint("SIP/2.0 ", code))
	}
	leg.Request("UPDATE", "", trunktest.Offer)
	leg.Expect("UPDATE", 200)
	if c.Err() != nil || n.Fault() != "" {
		t.Errorf("ended: %v %s", c.Err(), n.Fault())
	}
	if log := n.Log(); !slices.Contains(log, "Rollback") {
		t.Errorf("the offer was not taken back: %v", log)
	}
	// One who leaves while his transfer rings: the new party is not left alone.
	leg.Request("REFER", "Refer-To: <sip:b@example.com>\r\n", "")
	leg.Expect("REFER", 202)
	invite := pbx.Request("INVITE")
	pbx.Response(invite, 180, "x", "", "")
	leg.Request("BYE", "", "")
	leg.Expect("BYE", 200)
	cancel := pbx.Request("CANCEL")
	pbx.Response(cancel, 200, "x", "", "")
	pbx.Response(invite, 487, "x", "", "")
	endOf(t, c)
}

// An INVITE with Replaces takes the place of a call: it goes on there, and the
// dialog of before ends.
func TestReplacesFollowed(t *testing.T) {
	for _, body := range []string{trunktest.Offer, ""} {
		pbx, a, b := trunktest.NewPeer(t, "udp"), trunktest.NewPeer(t, "udp"), trunktest.NewPeer(t, "tcp")
		calls := make(chan *Call, 8)
		s, n := transferable(t, pbx, calls)
		old := a.Establish(addrOfServer(s), "1")
		c := get(t, calls, "call")
		replaces := fmt.Sprintf("Replaces: %s;to-tag=%s;from-tag=%s\r\n", c.key.callID, c.key.local, c.key.remote)
		leg := b.NewLeg(addrOfServer(s), "1")
		leg.Request("INVITE", replaces, body)
		leg.Expect("INVITE", 200)
		if body == "" {
			leg.ACK(trunktest.Offer)
		} else {
			leg.ACK("")
		}
		bye := old.Await("BYE")
		if !strings.Contains(bye.Header("Reason"), "replaced") {
			t.Errorf("Reason %q", bye.Header("Reason"))
		}
		a.Response(bye, 200, "", "", "")
		if c.Err() != nil || len(calls) != 0 || len(s.Calls()) != 1 {
			t.Fatalf("ended: %v; %d more Handlers, %d calls", c.Err(), len(calls), len(s.Calls()))
		}
		leg.Request("UPDATE", "", trunktest.Offer)
		leg.Expect("UPDATE", 200)
		leg.Request("BYE", "", "")
		leg.Expect("BYE", 200)
		if e := endOf(t, c); !e.ByPeer || n.Fault() != "" {
			t.Errorf("end %+v %s", e, n.Fault())
		}
	}
}

// An INVITE with Replaces that is cancelled, or whose offer is refused, changes
// nothing.
func TestReplacesFails(t *testing.T) {
	pbx, a := trunktest.NewPeer(t, "udp"), trunktest.NewPeer(t, "udp")
	calls := make(chan *Call, 8)
	s, n := transferable(t, pbx, calls)
	old := a.Establish(addrOfServer(s), "1")
	c := get(t, calls, "call")
	replaces := fmt.Sprintf("Replaces: %s;to-tag=%s;from-tag=%s\r\n", c.key.callID, c.key.local, c.key.remote)
	n.Set(func(n *trunktest.Negotiator) {
		n.OnAnswer = func(context.Context, []byte) ([]byte, error) {
			return nil, &trunktest.NotAcceptable{Status: 488, Warning: 305}
		}
	})
	leg := a.NewLeg(addrOfServer(s), "1")
	leg.Request("INVITE", replaces, trunktest.Offer)
	leg.Expect("INVITE", 488)
	entered, leave := make(chan bool), make(chan bool)
	n.Set(func(n *trunktest.Negotiator) {
		n.OnAnswer = func(context.Context, []byte) ([]byte, error) {
			entered <- true
			<-leave
			return []byte("v=0\r\n"), nil
		}
	})
	leg = a.NewLeg(addrOfServer(s), "1")
	leg.Request("INVITE", replaces, trunktest.Offer)
	get(t, entered, "the offer")
	leg.CANCEL("")
	leg.Expect("INVITE", 487)
	close(leave)
	n.Set(func(n *trunktest.Negotiator) { n.OnAnswer = nil })
	eventually(t, "the old dialog negotiates", func() bool {
		old.Request("UPDATE", "", trunktest.Offer)
		return old.Response("UPDATE").Code == 200
	})
	if c.Err() != nil || n.Fault() != "" {
		t.Errorf("ended: %v %s", c.Err(), n.Fault())
	}
}
