package trunk

import (
	"context"
	"errors"
	"fmt"
	"testing"

	"github.com/trunkcast/trunkcast/internal/sipnet"
	"github.com/trunkcast/trunkcast/trunk/trunktest"
)

// An answer that is overtaken, by a CANCEL or a refusal of ours, is taken back:
// the Negotiator must not hold on to a session that is none.
func TestAnswerOvertaken(t *testing.T) {
	for _, tt := range []struct {
		name     string
		overtake func(t *testing.T, c *Call, leg *trunktest.Leg)
		code     int // of the final response
	}{
		{"CANCEL", func(t *testing.T, c *Call, leg *trunktest.Leg) {
			leg.CANCEL("")
			endOf(t, c)
		}, 487},
		{"Hangup", func(t *testing.T, c *Call, _ *trunktest.Leg) {
			if err := c.Hangup(context.Background(), ""); err != nil {
				t.Error(err)
			}
		}, 480},
		{"a refusal at the last moment", func(t *testing.T, c *Call, _ *trunktest.Leg) {
			// What Hangup does between its look at the call and its end.
			if err := c.invite.Respond(c.invite.NewResponse(486, "", nil)); err != nil {
				t.Error(err)
			}
		}, 486},
	} {
		t.Run(tt.name, func(t *testing.T) {
			asked, leave := make(chan *Call), make(chan bool)
			result := make(chan error, 1)
			n := &trunktest.Negotiator{}
			s := serve(t, &Server{Handler: HandlerFunc(func(ctx context.Context, c *Call) {
				n.Set(func(n *trunktest.Negotiator) {
					n.OnAnswer = func(context.Context, []byte) ([]byte, error) {
						asked <- c
						<-leave
						return []byte("v=0\r\n"), nil
					}
				})
				result <- c.Answer(context.WithoutCancel(ctx), n)
			})})
			p := trunktest.NewPeer(t, "udp")
			leg := p.Invite(addrOfServer(s), "1", trunktest.Offer)
			tt.overtake(t, get(t, asked, "the offer"), leg)
			leave <- true
			var end *EndError
			if err := get(t, result, "Answer"); !errors.As(err, &end) && !errors.Is(err, sipnet.ErrAnswered) {
				t.Errorf("Answer: %v", err)
			}
			leg.Expect("INVITE", tt.code)
			if got := fmt.Sprint(n.Log()); got != "[Answer Rollback]" {
				t.Errorf("asked for %s", got)
			}
			eventually(t, "no calls", func() bool { return len(s.Calls()) == 0 })
		})
	}
}
