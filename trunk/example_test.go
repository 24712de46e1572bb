package trunk_test

import (
	"context"
	"fmt"

	"github.com/trunkcast/trunkcast/trunk"
	"github.com/trunkcast/trunkcast/trunk/trunktest"
)

// A server takes a call and says who was called; another one places it. In
// place of the Negotiator of the test kit stands an rtpio.Session.
func Example() {
	register := false
	pbx := &trunk.Server{
		Trunks: []trunk.Config{{Name: "pbx", ListenAddress: "127.0.0.1", ProxyIP: "127.0.0.1", Register: &register}},
		Handler: trunk.HandlerFunc(func(ctx context.Context, c *trunk.Call) {
			fmt.Println("call to", c.Number(), "from", c.Caller())
			if err := c.Answer(ctx, &trunktest.Negotiator{}); err != nil {
				return
			}
			<-ctx.Done()
			fmt.Println(c.Err())
		}),
	}
	if err := pbx.Start(context.Background()); err != nil {
		fmt.Println(err)
		return
	}
	caller := &trunk.Server{Trunks: []trunk.Config{{
		Name: "caller", ListenAddress: "127.0.0.1", ProxyIP: "127.0.0.1", Register: &register,
		RemotePort: int(pbx.Trunk("pbx").Addr().Port()),
	}}}
	if err := caller.Start(context.Background()); err != nil {
		fmt.Println(err)
		return
	}
	call, err := caller.Trunk("caller").Dial(context.Background(), &trunktest.Negotiator{},
		trunk.DialOptions{Number: "001201234", From: "alice"})
	if err != nil {
		fmt.Println(err)
		return
	}
	call.Hangup(context.Background(), "enough heard")
	caller.Close()
	pbx.Shutdown(context.Background())
	// Output:
	// call to 001201234 from alice
	// call ended by the far side: enough heard
}
