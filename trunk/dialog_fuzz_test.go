package trunk

import (
	"fmt"
	"strings"
	"testing"

	"github.com/trunkcast/trunkcast/trunk/trunktest"
)

func FuzzReplaces(f *testing.F) {
	for _, s := range []string{"a@b;to-tag=1;from-tag=2", "a;from-tag=0;TO-TAG = 7 ;early-only", "", ";;;=", "x;to-tag"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, value string) {
		key, _, ok := parseReplaces(value)
		if ok && (key.callID == "" || key.local == "" || len(key.callID)+len(key.local)+len(key.remote) > len(value)) {
			t.Errorf("%q: %+v", value, key)
		}
		if n := testing.AllocsPerRun(1, func() { parseReplaces(value) }); n > 8+float64(len(value)) { // lower case of names
			t.Errorf("%v allocations for %d bytes", n, len(value))
		}
	})
}

// FuzzDialog sends valid requests of a dialog in any order. Each gets one final
// response, a call ends once and is gone,
// and the Negotiator is asked one thing at a time.
func FuzzDialog(f *testing.F) {
	for _, s := range []string{"AB", "AIUAOPRB", "IIIAB", "ICAIB", "UUIAUB", "BIUO", "", "IB", "NAIAB", "NA00B", "ANCB", "RRAPPB"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, ops string) {
		n := &trunktest.Negotiator{}
		s := serve(t, fast(&Server{Trunks: []Config{{Transfers: "accept"}}, Handler: answering(n, nil)}))
		p := trunktest.NewPeer(t, "udp")
		x := &sequence{t: t, leg: p.NewLeg(addrOfServer(s), "1")}
		x.leg.Request("INVITE", "Supported: 100rel\r\n", trunktest.Offer)
		x.invited()
		for _, op := range ops[:min(len(ops), 24)] {
			x.step(op)
		}
		if !x.ended {
			x.step('A')
			x.step('B')
		}
		x.step('O') // and there is no such dialog
		eventually(t, fmt.Sprintf("after %q nothing is left", ops), func() bool {
			k := s.sockets[0]
			k.mu.Lock()
			defer k.mu.Unlock()
			return len(s.Calls())+len(k.dialogs)+len(k.near) == 0
		})
		if n.Fault() != "" {
			t.Errorf("%q: %s", ops, n.Fault())
		}
	})
}

// sequence is a dialog whose requests come in any order.
type sequence struct {
	t     *testing.T
	leg   *trunktest.Leg
	ended bool
}

// invited notes the response to an INVITE.
func (x *sequence) invited() {
	for {
		if res := x.leg.Response("INVITE"); res.Code >= 200 {
			return
		}
	}
}

func (x *sequence) step(op rune) {
	method, extra, body := "", "", ""
	switch op {
	case 'A':
		x.leg.ACK("")
		return
	case 'C':
		x.leg.CANCEL("")
		x.leg.Response("CANCEL")
		return
	case 'B':
		method = "BYE"
	case 'I':
		method, body = "INVITE", trunktest.Offer
	case 'N':
		method = "INVITE" // without an offer
	case 'U':
		method, body = "UPDATE", trunktest.Offer
	case 'O':
		method = "OPTIONS"
	case 'P':
		method, extra = "PRACK", fmt.Sprintf("RAck: 1 %d INVITE\r\n", x.leg.InviteSeq)
	case 'R':
		method, extra = "REFER", "Refer-To: <sip:a@example.com>\r\n"
	default:
		method = "INFO"
	}
	x.leg.Request(method, extra, body)
	if method == "INVITE" {
		x.invited()
		return
	}
	res := x.leg.Response(method)
	// A call whose ACK has no answer, or does not come, ends by itself; the two
	// BYEs may then meet.
	if x.ended && res.Code != 481 && method != "BYE" {
		x.t.Fatalf("%s after the end: %s", method, res.Line)
	}
	if method == "BYE" || res.Code == 481 && method != "PRACK" {
		x.ended = true
	}
	if strings.Contains(res.Line, " 50") && res.Header("Warning") == "" {
		x.t.Fatalf("%s: %s without its rule", method, res.Line)
	}
}
