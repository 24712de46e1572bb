package sipnet

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/emiago/sipgo/sip"
)

// tcpAbove is the size in bytes above which a request should not go over UDP
// when the path MTU is unknown (RFC 3261 section 18.1.1).
const tcpAbove = 1300

// Request sends req as a client transaction (RFC 3261 section 17.1). A
// request without a Via gets one, with a new branch and rport; one with a Via
// keeps it, its transport set to the one used. Missing Max-Forwards and
// Content-Length are added. req is changed so, then copied: it may be used
// after. ctx bounds the connecting only; the transaction ends by response,
// time-out, Terminate or Close. ACK is refused: see Send.
func (e *Endpoint) Request(ctx context.Context, req *sip.Request, to Target) (*ClientTx, error) {
	if req.Method == sip.ACK {
		return nil, errors.New("sipnet: an ACK has no transaction of its own")
	}
	f, err := e.dispatch(ctx, req, to)
	if err != nil {
		return nil, err
	}
	if branchOf(req) == "" {
		return nil, errors.New("sipnet: Via without a unique branch")
	}
	tx := newClientTx(e, cloneRequest(req), f)
	if err := tx.begin(); err != nil {
		return nil, err
	}
	return tx, nil
}

// Send sends msg, a request, once and outside of any transaction: the ACK to
// a 2xx. A missing Via is added as by Request.
func (e *Endpoint) Send(ctx context.Context, msg *sip.Request, to Target) error {
	f, err := e.dispatch(ctx, msg, to)
	if err != nil {
		return err
	}
	sent, err := e.transmit(msg, f)
	switch {
	case err != nil:
		return fmt.Errorf("%w: %w", ErrTransport, err)
	case !sent:
		return ErrDropped
	}
	return nil
}

// dispatch completes req and finds the flow for it.
func (e *Endpoint) dispatch(ctx context.Context, req *sip.Request, to Target) (*Flow, error) {
	if !e.running() {
		return nil, ErrClosed
	}
	if req.From() == nil || req.To() == nil || req.CallID() == nil || req.CSeq() == nil {
		return nil, errors.New("sipnet: request without From, To, Call-ID or CSeq")
	}
	finish(req)
	if to.TryTCP && transportOf(to) == "udp" {
		if f := e.overTCP(ctx, req, to); f != nil {
			return f, nil
		}
	}
	f, err := e.route(ctx, to)
	if err != nil {
		return nil, err
	}
	return f, e.address(req, to, f)
}

func (e *Endpoint) running() bool {
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.started && !e.closing
}

// overTCP finds a connection for a request too large for UDP; nil if it is
// small enough or there is none.
func (e *Endpoint) overTCP(ctx context.Context, req *sip.Request, to Target) *Flow {
	if to.Flow != nil {
		to.Addr, to.Flow = to.Flow.remote, nil
	}
	to.Transport = "tcp"
	trial := cloneRequest(req)
	if e.address(trial, to, &Flow{transport: "tcp", remote: to.Addr}) != nil || size(trial) <= tcpAbove {
		return nil
	}
	f, err := e.connectAny(ctx, to)
	if err != nil {
		e.log.Info("large request goes over udp", "remote_addr", to.Addr, "error", err)
		return nil
	}
	if e.address(req, to, f) != nil {
		return nil
	}
	return f
}

func size(msg sip.Message) int {
	var b bytes.Buffer
	if encode(&b, msg) != nil {
		return 0
	}
	return b.Len()
}

// route finds the flow to a target.
func (e *Endpoint) route(ctx context.Context, to Target) (*Flow, error) {
	if to.Flow != nil && to.Flow.Alive() {
		return to.Flow, nil
	}
	if to.Transport == "" && to.Flow != nil {
		to.Transport = to.Flow.transport
	}
	if !to.Addr.IsValid() || to.Addr.Port() == 0 {
		return nil, fmt.Errorf("%w: target without an address", ErrTransport)
	}
	switch transportOf(to) {
	case "udp":
		return &Flow{transport: "udp", local: e.addr, remote: unmap(to.Addr)}, nil
	case "tcp", "tls":
		return e.connectAny(ctx, to)
	}
	return nil, fmt.Errorf("%w: unknown transport %q", ErrTransport, to.Transport)
}

// connectAny connects to the first address of a target that can be reached.
func (e *Endpoint) connectAny(ctx context.Context, to Target) (*Flow, error) {
	f, err := e.connect(ctx, to)
	for _, addr := range to.Others {
		if err == nil || ctx.Err() != nil {
			break
		}
		to.Addr = addr
		var next error
		if f, next = e.connect(ctx, to); next != nil {
			err = errors.Join(err, next)
		} else {
			err = nil
		}
	}
	return f, err
}

// transportOf is the transport a target will be reached by.
func transportOf(to Target) string {
	switch {
	case to.Flow != nil && to.Flow.Alive():
		return to.Flow.transport
	case to.Transport != "":
		return strings.ToLower(to.Transport)
	case to.Flow != nil:
		return to.Flow.transport
	}
	return "udp"
}

// address gives req its Via.
func (e *Endpoint) address(req *sip.Request, to Target, f *Flow) error {
	if via := req.Via(); via != nil {
		via.Transport = upper(f.transport)
		return nil
	}
	via := &sip.ViaHeader{
		ProtocolName: "SIP", ProtocolVersion: "2.0", Transport: upper(f.transport),
		Host: strings.Trim(to.SentBy.Host, "[]"), Port: to.SentBy.Port,
	}
	if via.Host == "" || via.Port == 0 {
		local, err := e.LocalAddr(Target{Transport: f.transport, Addr: f.remote, Flow: f})
		if err != nil {
			return fmt.Errorf("%w: %w", ErrTransport, err)
		}
		if f.transport == "tls" && !e.tlsAddr.IsValid() {
			local = f.local // nobody listens: the connection itself is the way back
		}
		if via.Host == "" {
			via.Host = local.Addr().WithZone("").String()
		}
		if via.Port == 0 {
			via.Port = int(local.Port())
		}
	}
	via.Params.Add("branch", sip.GenerateBranch())
	via.Params.Add("rport", "")
	req.PrependHeader(via)
	return nil
}
