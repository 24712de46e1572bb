package trunk

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/emiago/sipgo/sip"

	"github.com/trunkcast/trunkcast/trunk/trunktest"
)

// diary notes what happens in each call of a server, by Call-ID.
type diary struct {
	mu    sync.Mutex
	calls map[string][]string
	ended chan string // Call-IDs
}

func (d *diary) note(c *Call, format string, args ...any) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.calls[c.ID()] = append(d.calls[c.ID()], fmt.Sprintf(format, args...))
}

// of waits for the end of a call and returns what happened in it.
func (d *diary) of(t *testing.T, id string) []string {
	t.Helper()
	for get(t, d.ended, "end of the call") != id {
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	list := d.calls[id]
	delete(d.calls, id)
	return list
}

// keepDiary serves calls and notes offers, INFOs, and last how Answer and the
// call ended. A message waits for the one before it however busy the machine
// is, so that what is seen is the order and not the clock.
func keepDiary(t *testing.T) (*Server, *diary) {
	d := &diary{calls: map[string][]string{}, ended: make(chan string, 4096)}
	s := &Server{Handler: HandlerFunc(func(ctx context.Context, c *Call) {
		c.OnInfo(func(req *sip.Request) { d.note(c, "info %s", req.Body()) })
		err := c.Answer(ctx, &trunktest.Negotiator{
			OnAnswer: func(_ context.Context, offer []byte) ([]byte, error) {
				d.note(c, "offer of %d bytes", len(offer))
				return []byte("v=0\r\n"), nil
			},
			OnAccept: func(_ context.Context, answer []byte) error {
				d.note(c, "answer of %d bytes", len(answer))
				return nil
			},
		})
		<-ctx.Done()
		d.note(c, "answered: %v, end: %v", err, c.Err())
		d.ended <- c.ID()
	})}
	s.clock.order = time.Minute
	return serve(t, s), d
}

// script is a dialog as a list of messages, some of which have to wait for
// responses.
type script struct {
	leg     *trunktest.Leg
	pending []string // CSeq of requests whose responses were not yet looked at
	seen    []string
}

// text makes the next message.
func (x *script) text(method, body string) string {
	l, extra := x.leg, ""
	branch := fmt.Sprintf("z9hG4bK%s%02d", l.CallID[:8], l.Seq)
	if method == "ACK" {
		return l.Text(method, l.Target, branch+"ack", l.InviteSeq, "", body)
	}
	l.Seq++
	if method == "INVITE" {
		l.InviteBranch, l.InviteSeq, l.InviteTarget = branch, l.Seq, l.Target
	}
	if method == "INFO" {
		extra = "Content-Type: text/plain\r\n"
	}
	x.pending = append(x.pending, fmt.Sprint(l.Seq, " ", method))
	return l.Text(method, l.Target, branch, l.Seq, extra, body)
}

// settle waits for the final responses to all that was sent.
func (x *script) settle() {
	for _, cseq := range x.pending {
		m := x.leg.P.Next("a response to "+cseq, func(m *trunktest.Message) bool {
			return m.Code >= 200 && m.Header("Call-ID") == x.leg.CallID && m.Header("CSeq") == cseq
		})
		x.seen = append(x.seen, fmt.Sprintf("%s: %d, %d bytes", cseq, m.Code, len(m.Body)))
		if strings.HasSuffix(cseq, "INVITE") && m.Code < 300 {
			x.leg.Remote = m.Header("To")
		}
	}
	x.pending = nil
}

// play runs the dialog. send gets the messages that may leave together.
func (x *script) play(send func(texts []string)) []string {
	send([]string{x.text("INVITE", trunktest.Offer)})
	x.settle()
	send([]string{x.text("ACK", ""), x.text("INFO", "a"), x.text("INFO", "bc"), x.text("INVITE", trunktest.Offer+"a=x\r\n")})
	x.settle()
	send([]string{x.text("ACK", ""), x.text("INFO", ""), x.text("UPDATE", trunktest.Offer), x.text("INFO", "d"), x.text("BYE", "")})
	x.settle()
	return x.seen
}

var wholeDialog = []string{
	"1 INVITE: 200, 5 bytes",
	"2 INFO: 200, 0 bytes", "3 INFO: 200, 0 bytes", "4 INVITE: 200, 5 bytes",
	"5 INFO: 200, 0 bytes", "6 UPDATE: 200, 5 bytes", "7 INFO: 200, 0 bytes", "8 BYE: 200, 0 bytes",
	fmt.Sprintf("offer of %d bytes", len(trunktest.Offer)), "info a", "info bc",
	fmt.Sprintf("offer of %d bytes", len(trunktest.Offer)+5), "info ",
	fmt.Sprintf("offer of %d bytes", len(trunktest.Offer)), "info d",
	"answered: <nil>, end: call ended by the far side",
}

// newScript begins a dialog whose messages have the same lengths every time.
func newScript(p *trunktest.Peer, s *Server, n int) *script {
	leg := p.NewLeg(addrOfServer(s), "001201234")
	leg.CallID = fmt.Sprintf("%08d@peer", n)
	return &script{leg: leg}
}

// The dialog is the same wherever each of its messages is cut in two.
func TestCutAtEveryByte(t *testing.T) {
	t.Parallel() // it waits between the parts
	s, d := keepDiary(t)
	p := trunktest.NewPeer(t, "tcp")
	longest := 1
	for at := 1; at < longest || at == 1; at++ {
		x := newScript(p, s, at)
		seen := x.play(func(texts []string) {
			for _, text := range texts {
				longest = max(longest, len(text))
				i := min(at, len(text))
				p.Send(x.leg.Server, text[:i])
				time.Sleep(50 * time.Microsecond) // so that it is read in two parts
				if i < len(text) {
					p.Send(x.leg.Server, text[i:])
				}
			}
		})
		if seen = append(seen, d.of(t, x.leg.CallID)...); !slices.Equal(seen, wholeDialog) {
			t.Fatalf("cut at byte %d:\n%s\nwant\n%s", at, strings.Join(seen, "\n"), strings.Join(wholeDialog, "\n"))
		}
	}
	t.Logf("cut at each of %d bytes", longest)
}

// The dialog is the same however its messages are glued together, and cut at
// a place that belongs to none of them.
func TestGluedInEveryGrouping(t *testing.T) {
	s, d := keepDiary(t)
	p := trunktest.NewPeer(t, "tcp")
	for n := range 8 * 16 { // bits: whether a message is glued to the one before
		x := newScript(p, s, n)
		bits := n
		seen := x.play(func(texts []string) {
			group := texts[0]
			for _, text := range texts[1:] {
				if bits&1 == 0 {
					p.Send(x.leg.Server, group)
					group = ""
				}
				bits >>= 1
				group += text
			}
			p.Send(x.leg.Server, group)
		})
		if seen = append(seen, d.of(t, x.leg.CallID)...); !slices.Equal(seen, wholeDialog) {
			t.Fatalf("grouping %b:\n%s\nwant\n%s", n, strings.Join(seen, "\n"), strings.Join(wholeDialog, "\n"))
		}
	}
}

// ACK and BYE, ACK and re-INVITE in one segment are taken in their order, a
// thousand times each, also where the ACK brings the answer to our offer.
func TestGluedToACK(t *testing.T) {
	for _, tt := range []struct {
		name, offer, answer, method, want string
	}{
		{"BYE", trunktest.Offer, "", "BYE", "answered: <nil>, end: call ended by the far side"},
		{"BYE after an answer", "", trunktest.Offer, "BYE", "answered: <nil>, end: call ended by the far side"},
		{"re-INVITE", trunktest.Offer, "", "INVITE", "answered: <nil>, end: call ended by the far side"},
		{"re-INVITE after an answer", "", trunktest.Offer, "INVITE", "answered: <nil>, end: call ended by the far side"},
		{"UPDATE after an answer", "", trunktest.Offer, "UPDATE", "answered: <nil>, end: call ended by the far side"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			s, d := keepDiary(t)
			p := trunktest.NewPeer(t, "tcp")
			for n := range 1000 {
				x := newScript(p, s, n)
				p.Send(x.leg.Server, x.text("INVITE", tt.offer))
				x.settle()
				body := ""
				if tt.method != "BYE" {
					body = trunktest.Offer
				}
				p.Send(x.leg.Server, x.text("ACK", tt.answer)+x.text(tt.method, body))
				x.settle()
				if tt.method == "INVITE" {
					p.Send(x.leg.Server, x.text("ACK", ""))
				}
				if tt.method != "BYE" {
					p.Send(x.leg.Server, x.text("BYE", ""))
					x.settle()
				}
				for _, seen := range x.seen {
					if !strings.Contains(seen, ": 200") {
						t.Fatalf("time %d: %q", n, x.seen)
					}
				}
				if list := d.of(t, x.leg.CallID); list[len(list)-1] != tt.want {
					t.Fatalf("time %d: %q", n, list)
				}
			}
		})
	}
}
