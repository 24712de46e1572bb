package listener

import (
	"context"

	"github.com/emiago/sipgo/sip"
)

// AddPort writes the port that is missing in the Request-URI of an incoming
// INVITE. Some PBXs leave it out though the call did not come to port 5060,
// and programs that compare the URI with their own address then fail.
type AddPort struct {
	// Port is what to add, 1 to 65535. It defaults to the local port the
	// message came to.
	Port int
}

// ProcessMessage adds the port; it returns nil always.
func (a AddPort) ProcessMessage(_ context.Context, m *Message) error {
	if m.Direction != Incoming || m.Request == nil || m.Request.Method != sip.INVITE {
		return nil
	}
	uri := &m.Request.Recipient
	if uri.Port != 0 || uri.Host == "" || uri.Scheme != "sip" && uri.Scheme != "sips" {
		return nil
	}
	uri.Port = a.Port
	if uri.Port == 0 {
		uri.Port = int(m.Local.Port())
	}
	return nil
}
