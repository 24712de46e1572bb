package listener

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"net/netip"
	"strings"
	"testing"

	"github.com/emiago/sipgo/sip"
)

func invite(t *testing.T, uri string) *Message {
	t.Helper()
	var u sip.Uri
	if err := sip.ParseUri(uri, &u); err != nil {
		t.Fatal(err)
	}
	return &Message{
		Transport: "udp",
		Local:     netip.MustParseAddrPort("192.0.2.1:40000"),
		Remote:    netip.MustParseAddrPort("192.0.2.9:5060"),
		Request:   sip.NewRequest(sip.INVITE, u),
	}
}

func TestAddPort(t *testing.T) {
	method := func(name sip.RequestMethod) func(*Message) {
		return func(m *Message) { m.Request.Method = name }
	}
	for _, tt := range []struct {
		name   string
		add    AddPort
		uri    string
		change func(*Message)
		want   string
	}{
		{name: "missing", uri: "sip:001201234@192.0.2.1", want: "sip:001201234@192.0.2.1:40000"},
		{name: "given", add: AddPort{Port: 5070}, uri: "sip:1@192.0.2.1", want: "sip:1@192.0.2.1:5070"},
		{name: "parameters stay", uri: "sip:1@192.0.2.1;user=phone", want: "sip:1@192.0.2.1:40000;user=phone"},
		{name: "ipv6", uri: "sip:1@[2001:db8::1]", want: "sip:1@[2001:db8::1]:40000"},
		{name: "sips", uri: "sips:1@pbx.example", want: "sips:1@pbx.example:40000"},
		{name: "there already", uri: "sip:1@192.0.2.1:5060", want: "sip:1@192.0.2.1:5060"},
		{name: "tel has no port", uri: "tel:+4930123", want: "tel:+4930123"},
		{name: "other method", uri: "sip:1@192.0.2.1", change: method(sip.OPTIONS), want: "sip:1@192.0.2.1"},
		{name: "outgoing", uri: "sip:1@192.0.2.1", want: "sip:1@192.0.2.1",
			change: func(m *Message) { m.Direction = Outgoing }},
	} {
		t.Run(tt.name, func(t *testing.T) {
			m := invite(t, tt.uri)
			if tt.change != nil {
				tt.change(m)
			}
			for range 2 { // a second pass changes nothing
				if err := tt.add.ProcessMessage(context.Background(), m); err != nil {
					t.Fatal(err)
				}
				if got := m.Request.Recipient.String(); got != tt.want {
					t.Errorf("got %s, want %s", got, tt.want)
				}
			}
		})
	}
	response := &Message{Response: sip.NewResponse(200, "OK")}
	if err := (AddPort{}).ProcessMessage(context.Background(), response); err != nil {
		t.Error(err)
	}
}

func TestChainStopsAtTheFirstError(t *testing.T) {
	failure := errors.New("no")
	var calls []string
	step := func(name string, err error) Func {
		return func(_ context.Context, m *Message) error {
			calls = append(calls, name+m.Trunk)
			m.Trunk += name
			return err
		}
	}
	chain := Chain{step("a", nil), Chain{step("b", nil), step("c", failure)}, step("d", nil)}
	if err := chain.ProcessMessage(context.Background(), &Message{}); err != failure {
		t.Errorf("got %v", err)
	}
	if got := strings.Join(calls, " "); got != "a ba cab" {
		t.Errorf("calls %q", got)
	}
	if err := (Chain{}).ProcessMessage(context.Background(), &Message{}); err != nil {
		t.Errorf("empty chain: %v", err)
	}
}

func TestRefuse(t *testing.T) {
	var refusal *RefuseError
	if err := Refuse(603, "Decline"); !errors.As(err, &refusal) || refusal.Code != 603 || refusal.Reason != "Decline" {
		t.Errorf("got %#v", err)
	}
	if text := Refuse(403, "No").Error(); !strings.Contains(text, "403 No") {
		t.Errorf("text %q", text)
	}
	if errors.Is(Refuse(403, "No"), Drop) {
		t.Error("a refusal is no drop")
	}
}

func TestLog(t *testing.T) {
	m := invite(t, "sip:1@192.0.2.1")
	id := sip.CallIDHeader("call-1")
	m.Request.AppendHeader(&id)
	m.Request.AppendHeader(&sip.CSeqHeader{SeqNo: 7, MethodName: sip.INVITE})
	m.Request.AppendHeader(sip.NewHeader("Proxy-Authorization", `Digest username="u", response="5ecret"`))
	m.Request.SetBody([]byte("v=0\r\na=crypto:1 AES_CM_128_HMAC_SHA1_80 inline:5ecret\r\na=ice-pwd:5ecret\r\na=sendrecv\r\n"))
	before := m.Request.String()

	var out bytes.Buffer
	logger := slog.New(slog.NewTextHandler(&out, nil))
	for _, l := range []Log{{}, {Logger: logger, Level: slog.LevelDebug}} {
		if l.ProcessMessage(context.Background(), m); out.Len() > 0 {
			t.Fatalf("logged %q", out.String())
		}
	}
	Log{Logger: logger, Full: true}.ProcessMessage(context.Background(), m)
	line := out.String()
	for _, want := range []string{"direction=incoming", "transport=udp", "remote_addr=192.0.2.9:5060",
		"method=INVITE", `cseq="7 INVITE"`, "call_id=call-1", "a=sendrecv", "Digest (hidden)", "inline:(hidden)"} {
		if !strings.Contains(line, want) {
			t.Errorf("no %s in %s", want, line)
		}
	}
	if strings.Contains(line, "5ecret") {
		t.Errorf("a secret in the log: %s", line)
	}
	if m.Request.String() != before {
		t.Error("the message was changed")
	}

	out.Reset()
	Log{Logger: logger}.ProcessMessage(context.Background(), &Message{Direction: Outgoing, Response: sip.NewResponse(486, "Busy Here")})
	if line := out.String(); !strings.Contains(line, "status=486") || !strings.Contains(line, "direction=outgoing") || strings.Contains(line, "sip_message") {
		t.Errorf("got %s", line)
	}
	if err := (Log{Logger: logger}).ProcessMessage(context.Background(), &Message{}); err != nil {
		t.Error(err)
	}
}
