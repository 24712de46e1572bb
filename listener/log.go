package listener

import (
	"context"
	"log/slog"
	"strings"

	"github.com/emiago/sipgo/sip"
)

// Log writes a line for each message, and changes nothing. In a [Chain] it
// shows the message as the listeners before it left it.
type Log struct {
	Logger *slog.Logger // nil discards
	Level  slog.Level   // default Info
	// Full adds the whole message as the attribute sip_message, without what
	// would open a door: credentials, and the keys of SRTP and ICE in SDP.
	Full bool
}

// ProcessMessage logs m; it returns nil always.
func (l Log) ProcessMessage(ctx context.Context, m *Message) error {
	if l.Logger == nil || !l.Logger.Enabled(ctx, l.Level) {
		return nil
	}
	attrs := []slog.Attr{
		slog.String("direction", m.Direction.String()),
		slog.String("trunk", m.Trunk),
		slog.String("transport", m.Transport),
		slog.Any("local_addr", m.Local),
		slog.Any("remote_addr", m.Remote),
	}
	var msg sip.Message
	switch {
	case m.Request != nil:
		msg = m.Request
		attrs = append(attrs, slog.String("method", string(m.Request.Method)))
	case m.Response != nil:
		msg = m.Response
		attrs = append(attrs, slog.Int("status", m.Response.StatusCode), slog.String("reason", m.Response.Reason))
	default:
		return nil
	}
	if h := msg.CSeq(); h != nil {
		attrs = append(attrs, slog.String("cseq", h.Value()))
	}
	if h := msg.CallID(); h != nil {
		attrs = append(attrs, slog.String("call_id", h.Value()))
	}
	attrs = append(attrs, slog.Int("body_bytes", len(msg.Body())))
	if l.Full {
		attrs = append(attrs, slog.String("sip_message", withoutSecrets(msg.String())))
	}
	l.Logger.LogAttrs(ctx, l.Level, "sip message", attrs...)
	return nil
}

const hidden = "(hidden)"

// withoutSecrets blanks what a reader of the log could use.
func withoutSecrets(text string) string {
	lines := strings.Split(text, "\n")
	for i, line := range lines {
		end := ""
		if strings.HasSuffix(line, "\r") {
			end = "\r"
		}
		name, value, _ := strings.Cut(line, ":")
		switch strings.ToLower(strings.TrimSpace(name)) {
		case "authorization", "proxy-authorization":
			scheme, _, _ := strings.Cut(strings.TrimSpace(value), " ")
			lines[i] = name + ": " + scheme + " " + hidden + end
		case "a=crypto":
			before, _, found := strings.Cut(line, "inline:")
			if found {
				lines[i] = before + "inline:" + hidden + end
			}
		case "a=ice-pwd", "k=base64", "k=clear", "k=uri":
			lines[i] = name + ":" + hidden + end
		}
	}
	return strings.Join(lines, "\n")
}
