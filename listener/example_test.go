package listener_test

import (
	"context"
	"fmt"
	"net/netip"

	"github.com/emiago/sipgo/sip"

	"github.com/trunkcast/trunkcast/listener"
)

// An incoming INVITE for a number, as the trunk shows it to its listener.
func incoming(number string) *listener.Message {
	uri := sip.Uri{Scheme: "sip", User: number, Host: "192.0.2.1"}
	return &listener.Message{
		Direction: listener.Incoming,
		Local:     netip.MustParseAddrPort("192.0.2.1:40000"),
		Request:   sip.NewRequest(sip.INVITE, uri),
	}
}

// The Request-URI of an INVITE gets the port that the PBX left out.
func ExampleAddPort() {
	m := incoming("001201234")
	listener.AddPort{}.ProcessMessage(context.Background(), m)
	fmt.Println(m.Request.Recipient.String())
	// Output: sip:001201234@192.0.2.1:40000
}

// A listener of one's own rewrites what comes: here the number, without the
// trunk's prefix.
func ExampleFunc() {
	cut := listener.Func(func(_ context.Context, m *listener.Message) error {
		if m.Direction == listener.Incoming && m.Request != nil {
			m.Request.Recipient.User = m.Request.Recipient.User[2:]
		}
		return nil
	})
	m := incoming("001201234")
	cut.ProcessMessage(context.Background(), m)
	fmt.Println(m.Request.Recipient.User)
	// Output: 1201234
}

// Listeners in a row: the first that refuses or drops a message ends it.
func ExampleChain() {
	noPremium := listener.Func(func(_ context.Context, m *listener.Message) error {
		if m.Request != nil && m.Request.Method == sip.INVITE && m.Request.Recipient.User[:3] == "900" {
			return listener.Refuse(403, "Premium numbers are barred")
		}
		return nil
	})
	chain := listener.Chain{noPremium, listener.AddPort{Port: 5060}}
	fmt.Println(chain.ProcessMessage(context.Background(), incoming("900123")))
	fmt.Println(chain.ProcessMessage(context.Background(), incoming("4930123")))
	// Output:
	// listener: refuse with 403 Premium numbers are barred
	// <nil>
}
