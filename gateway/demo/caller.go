package demo

import (
	"context"
	"log/slog"
	"net/netip"
	"time"

	"github.com/trunkcast/trunkcast/inject"
	"github.com/trunkcast/trunkcast/internal/democlip"
	"github.com/trunkcast/trunkcast/media/rtpio"
	"github.com/trunkcast/trunkcast/trunk"
)

// Caller is a SIP user agent that calls a number again and again, and sends
// the demo clip: moving picture, clock and a flash each second, with a beep.
type Caller struct {
	// To is the SIP address to call.
	To netip.AddrPort
	// Number is the number to dial. Default 001201234.
	Number string
	// CallTime ends a call and begins another. Default: one call for ever.
	CallTime time.Duration
	// Logger gets failed calls. Nil discards.
	Logger *slog.Logger
	// OnAnswer is told each call that was answered. It must not block.
	OnAnswer func()
}

// DefaultNumber is dialled by a Caller without a Number.
const DefaultNumber = "001201234"

const (
	retryAfter = time.Second
	hangupTime = 2 * time.Second
)

// Run calls until ctx ends, then hangs up and returns nil. It returns an error
// only if the user agent itself cannot be started.
func (c *Caller) Run(ctx context.Context) error {
	log := c.Logger
	if log == nil {
		log = slog.New(slog.DiscardHandler)
	}
	log = log.With("part", "demo caller")
	to := c.To
	if to.Addr().IsUnspecified() { // a gateway that listens on all addresses is here, too
		here := netip.MustParseAddr("127.0.0.1")
		if to.Addr().Is6() {
			here = netip.IPv6Loopback()
		}
		to = netip.AddrPortFrom(here, to.Port())
	}
	register := false
	ua := &trunk.Server{
		Trunks: []trunk.Config{{
			Name: "demo", ListenAddress: to.Addr().String(), ProxyIP: to.Addr().String(),
			RemotePort: int(to.Port()), Register: &register, VisibleName: "demo",
		}},
		Logger: log,
	}
	// The user agent outlives ctx to say BYE.
	running, cancel := context.WithCancel(context.WithoutCancel(ctx))
	defer cancel()
	if err := ua.Start(running); err != nil {
		return err
	}
	defer ua.Close()
	ports := &rtpio.Ports{First: 30000, Last: 31999, Addr: to.Addr()}
	for ctx.Err() == nil {
		if err := c.call(ctx, ua.Trunk("demo"), ports, log); err != nil && ctx.Err() == nil {
			log.Warn("demo call failed", "error", err)
			select {
			case <-time.After(retryAfter):
			case <-ctx.Done():
			}
		}
	}
	return nil
}

// call is one call from its INVITE to its BYE.
func (c *Caller) call(ctx context.Context, t *trunk.Trunk, ports *rtpio.Ports, log *slog.Logger) error {
	number := c.Number
	if number == "" {
		number = DefaultNumber
	}
	var clip inject.Injector
	session := &rtpio.Session{Ports: ports, OnKeyFrameRequested: clip.RequestKeyFrame, Logger: log}
	defer session.Close()
	call, err := t.Dial(ctx, session, trunk.DialOptions{Number: number})
	if err != nil {
		return err
	}
	defer func() {
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), hangupTime)
		defer cancel()
		_ = call.Hangup(ctx, "")
	}()
	if c.OnAnswer != nil {
		c.OnAnswer()
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	if c.CallTime > 0 {
		defer time.AfterFunc(c.CallTime, cancel).Stop()
	}
	clip.Source, clip.Sink = democlip.Open(), session
	if err := clip.Start(ctx); err != nil {
		return err
	}
	defer clip.Close()
	select {
	case <-call.Done():
		return call.Err()
	case <-clip.Done():
		if ctx.Err() != nil {
			return nil // our own end of the call
		}
		return clip.Err()
	}
}
