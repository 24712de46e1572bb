package sipnet

import (
	"bytes"
	"errors"
	"fmt"
	"runtime/debug"
	"slices"
	"strings"

	"github.com/emiago/sipgo/sip"

	"github.com/trunkcast/trunkcast/listener"
)

// errIncomplete is for a message from which a listener removed a header that
// the transactions need.
var errIncomplete = errors.New("sipnet: a listener removed Via, From, To, Call-ID or CSeq")

// errUnwritable is for a message that cannot be sent as listeners left it.
var errUnwritable = errors.New("sipnet: what listeners made of the message cannot be sent")

// panicked is the error made of a panic.
type panicked struct {
	value any
	stack []byte
}

func (p *panicked) Error() string { return fmt.Sprintf("panic: %v", p.value) }

// guard calls f and makes a panic an error.
func guard(f func() error) (err error) {
	defer func() {
		if v := recover(); v != nil {
			err = &panicked{v, debug.Stack()}
		}
	}()
	return f()
}

// listenersOf takes a chain apart, so that a panic in it is that of one
// listener.
func listenersOf(l listener.SipMessageListener) []listener.SipMessageListener {
	chain, ok := l.(listener.Chain)
	if !ok {
		return []listener.SipMessageListener{l}
	}
	var list []listener.SipMessageListener
	for _, l := range chain {
		list = append(list, listenersOf(l)...)
	}
	return list
}

// hook calls the listeners in turn. It returns the message to go on with: what
// they made of msg, nil if it is to be dropped or refused. Of a listener that
// panics the message is taken back to what it was before the call: for the first
// one again makes it anew.
func (e *Endpoint) hook(msg sip.Message, f *Flow, dir listener.Direction, again func() sip.Message) (sip.Message, *listener.RefuseError) {
	m := e.shown(msg, f, dir)
	for i, l := range e.listeners {
		before := again
		if i > 0 {
			kept := cloneMessage(messageIn(m))
			before = func() sip.Message { return kept }
		}
		err := e.show(l, m)
		var refusal *listener.RefuseError
		switch {
		case err == nil:
			continue
		case errors.Is(err, listener.Drop):
			return nil, nil
		case errors.As(err, &refusal):
			return nil, refusal
		}
		e.complain(err, dir, f, msg)
		if !spoilt(err) && complete(m) {
			break
		}
		m = e.shown(before(), f, dir)
	}
	return messageIn(m), nil
}

// show calls one listener. Its panic is an error.
func (e *Endpoint) show(l listener.SipMessageListener, m *listener.Message) error {
	return guard(func() error {
		err := l.ProcessMessage(e.ctx, m)
		if err == nil && !complete(m) {
			return errIncomplete
		}
		return err
	})
}

// shown is msg as listeners see it.
func (e *Endpoint) shown(msg sip.Message, f *Flow, dir listener.Direction) *listener.Message {
	m := &listener.Message{Direction: dir, Transport: f.transport, Local: f.local, Remote: f.remote}
	switch msg := msg.(type) {
	case *sip.Request:
		m.Request = msg
	case *sip.Response:
		m.Response = msg
	}
	if e.TrunkOf != nil {
		m.Trunk = e.TrunkOf(m)
	}
	return m
}

func messageIn(m *listener.Message) sip.Message {
	if m.Request != nil {
		return m.Request
	}
	return m.Response
}

// complete reports whether the transactions can work with m.
func complete(m *listener.Message) bool {
	var msg sip.Message
	var list []sip.Header
	switch {
	case m.Request != nil && m.Response == nil:
		msg, list = m.Request, m.Request.Headers()
	case m.Response != nil && m.Request == nil:
		msg, list = m.Response, m.Response.Headers()
	}
	if msg == nil || slices.Contains(list, nil) {
		return false
	}
	return msg.Via() != nil && msg.From() != nil && msg.To() != nil && msg.CallID() != nil && msg.CSeq() != nil
}

// incoming shows a message that came to the listener. again makes the message
// anew as it came. It returns nil for a message that is dropped, and the
// refusal of one that is refused.
func (e *Endpoint) incoming(msg sip.Message, f *Flow, again func() sip.Message) (sip.Message, *listener.RefuseError) {
	if e.Listener == nil {
		return msg, nil
	}
	changed, refusal := e.hook(msg, f, listener.Incoming, again)
	if refusal != nil {
		return again(), refusal
	}
	return changed, nil
}

// outgoing shows the listener a copy of what is about to be sent; nil for what
// it stops.
func (e *Endpoint) outgoing(msg sip.Message, f *Flow) sip.Message {
	if e.Listener == nil {
		return msg
	}
	changed, _ := e.hook(cloneMessage(msg), f, listener.Outgoing, func() sip.Message { return cloneMessage(msg) })
	return changed
}

// spoilt reports whether what a listener left behind is not to be trusted: the
// message then passes as it was.
func spoilt(err error) bool {
	var p *panicked
	return errors.As(err, &p) || errors.Is(err, errIncomplete)
}

func (e *Endpoint) complain(err error, dir listener.Direction, f *Flow, msg sip.Message) {
	attrs := []any{"direction", dir.String(), "remote_addr", f.remote, "message", firstLine(msg), "call_id", callIDOf(msg), "error", err}
	var p *panicked
	if errors.As(err, &p) {
		e.log.Error("listener panicked", append(attrs, "stack", string(p.stack))...)
		return
	}
	if spoilt(err) || errors.Is(err, errUnwritable) {
		e.log.Error("listener failed", attrs...)
		return
	}
	e.log.Warn("listener failed", attrs...)
}

// callIDOf is the Call-ID of a message, empty without one.
func callIDOf(msg sip.Message) string {
	if id := msg.CallID(); id != nil {
		return id.Value()
	}
	return ""
}

// firstLine names msg for the log: method or status and no more, as a
// Request-URI can hold what is not for a log.
func firstLine(msg sip.Message) string {
	switch m := msg.(type) {
	case *sip.Request:
		return string(m.Method)
	case *sip.Response:
		return fmt.Sprint(m.StatusCode)
	}
	return ""
}

// transmit sends msg over f, past the listener. sent is false, without an
// error, if the listener stopped it: it is lost as on the network.
func (e *Endpoint) transmit(msg sip.Message, f *Flow) (sent bool, err error) {
	original := msg
	if msg = e.outgoing(msg, f); msg == nil {
		return false, nil
	}
	b := buffers.Get().(*bytes.Buffer)
	defer func() {
		if b.Cap() <= maxKeptBuffer {
			b.Reset()
			buffers.Put(b)
		}
	}()
	err = encode(b, msg)
	if err != nil && e.Listener != nil {
		e.complain(fmt.Errorf("%w: %w", errUnwritable, err), listener.Outgoing, f, original)
		b.Reset()
		err = encode(b, original)
	}
	if err != nil {
		return false, err
	}
	if err := e.write(b.Bytes(), f); err != nil {
		return false, err
	}
	e.count.sent.Add(1)
	return true, nil
}

func (e *Endpoint) write(data []byte, f *Flow) error {
	if f.stream != nil {
		return f.stream.write(data)
	}
	return e.writeUDP(data, f)
}

// upper is the name of a transport in a Via header.
func upper(transport string) string { return strings.ToUpper(transport) }
