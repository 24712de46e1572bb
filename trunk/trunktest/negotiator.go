package trunktest

import (
	"context"
	"fmt"
	"sync"
)

// Negotiator stands for the media of a call: a trunk.Negotiator that takes
// everything unless told otherwise, and notes what was asked of it. The zero
// value works.
type Negotiator struct {
	// OnOffer, OnAnswer and OnAccept take the place of what it does by itself.
	OnOffer  func(ctx context.Context) ([]byte, error)
	OnAnswer func(ctx context.Context, offer []byte) ([]byte, error)
	OnAccept func(ctx context.Context, answer []byte) error

	mu    sync.Mutex
	log   []string
	busy  bool
	fault string
}

// Set changes the functions while a call runs.
func (n *Negotiator) Set(change func(n *Negotiator)) {
	n.mu.Lock()
	defer n.mu.Unlock()
	change(n)
}

// functions are what may be set.
type functions struct {
	onOffer  func(ctx context.Context) ([]byte, error)
	onAnswer func(ctx context.Context, offer []byte) ([]byte, error)
	onAccept func(ctx context.Context, answer []byte) error
}

// enter notes a call; calls must not overlap.
func (n *Negotiator) enter(what string) functions {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.busy {
		n.fault = what + " was called during another call"
	}
	n.busy = true
	n.log = append(n.log, what)
	return functions{n.OnOffer, n.OnAnswer, n.OnAccept}
}

func (n *Negotiator) leave() {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.busy = false
}

// Log is what was called, in order.
func (n *Negotiator) Log() []string {
	n.mu.Lock()
	defer n.mu.Unlock()
	return append([]string(nil), n.log...)
}

// Fault is not empty if methods were called at the same time.
func (n *Negotiator) Fault() string {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.fault
}

// Offer makes an offer.
func (n *Negotiator) Offer(ctx context.Context) ([]byte, error) {
	f := n.enter("Offer")
	defer n.leave()
	if f.onOffer != nil {
		return f.onOffer(ctx)
	}
	return []byte("v=0\r\ns=our offer\r\n"), nil
}

// Answer makes the answer to an offer.
func (n *Negotiator) Answer(ctx context.Context, offer []byte) ([]byte, error) {
	f := n.enter("Answer")
	defer n.leave()
	if f.onAnswer != nil {
		return f.onAnswer(ctx, offer)
	}
	return []byte("v=0\r\ns=our answer\r\n"), nil
}

// Accept takes the answer to the last offer.
func (n *Negotiator) Accept(ctx context.Context, answer []byte) error {
	f := n.enter("Accept")
	defer n.leave()
	if f.onAccept != nil {
		return f.onAccept(ctx, answer)
	}
	return nil
}

// Rollback undoes the last exchange.
func (n *Negotiator) Rollback() {
	n.enter("Rollback")
	defer n.leave()
}

// NotAcceptable is an error that refuses an exchange as package sdp's do.
type NotAcceptable struct{ Status, Warning int }

func (e *NotAcceptable) Error() string { return fmt.Sprintf("not acceptable (%d)", e.Warning) }

// SIPStatus is the status of the refusal.
func (e *NotAcceptable) SIPStatus() int { return e.Status }

// SIPWarning is the code of its Warning.
func (e *NotAcceptable) SIPWarning() int { return e.Warning }
