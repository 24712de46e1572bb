package gateway

import (
	"errors"
	"fmt"

	"github.com/trunkcast/trunkcast/trunk"
)

// ListenError tells which address could not be listened on, and what moves it.
type ListenError struct {
	What string // "RTMP server" or "trunk NAME (udp)"
	Addr string
	// Option is the key of the configuration that moves it, Flag the flag of
	// examples/gateway, empty if there is none.
	Option, Flag string
	Err          error
}

func (e *ListenError) Error() string {
	how := e.Option
	if e.Flag != "" {
		how = fmt.Sprintf("%s, or the flag %s", e.Option, e.Flag)
	}
	return fmt.Sprintf("%s cannot listen on %s: %v (%s moves it)", e.What, e.Addr, e.Err, how)
}

// Unwrap returns the error of the network.
func (e *ListenError) Unwrap() error { return e.Err }

// listenError tells which key and flag move the port of a trunk that is taken.
func (g *Gateway) listenError(err error) error {
	var l *trunk.ListenError
	if !errors.As(err, &l) {
		return err
	}
	e := &ListenError{What: fmt.Sprintf("trunk %s (%s)", l.Trunk, l.Transport), Addr: l.Addr.String(), Option: "localPort", Err: l.Err}
	if len(g.cfg.Trunks) == 0 {
		e.Option, e.Flag = "sipListen", "-sip"
	}
	return e
}
