// Command listener is a gateway with a SIP message listener of one's own:
// it completes the Request-URI of an INVITE by its missing port, bars a range
// of numbers, and names the program in what it sends.
package main

import (
	"context"
	"log/slog"
	"os"
	"os/signal"
	"strings"
	"syscall"

	"github.com/emiago/sipgo/sip"

	"github.com/trunkcast/trunkcast/gateway"
	"github.com/trunkcast/trunkcast/listener"
)

type house struct{}

func (house) ProcessMessage(_ context.Context, m *listener.Message) error {
	switch {
	case m.Direction == listener.Outgoing && m.Response != nil:
		m.Response.RemoveHeader("Server")
		m.Response.AppendHeader(sip.NewHeader("Server", "house-gateway"))
	case m.Direction == listener.Incoming && m.Request != nil && m.Request.Method == sip.INVITE:
		if strings.HasPrefix(m.Request.Recipient.User, "0900") {
			return listener.Refuse(403, "Premium numbers are barred")
		}
	}
	return nil
}

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	context.AfterFunc(ctx, stop) // a second signal ends at once
	err := gateway.Run(ctx, gateway.Config{}, gateway.Options{
		Listeners: []listener.SipMessageListener{listener.AddPort{}, house{}},
		Logger:    slog.Default(),
	})
	if err != nil {
		slog.Error("gateway", "error", err)
		os.Exit(1)
	}
}
