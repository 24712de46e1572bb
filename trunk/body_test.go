package trunk

import (
	"bytes"
	"strings"
	"testing"

	"github.com/emiago/sipgo/sip"
)

func TestSDPOf(t *testing.T) {
	const boundary = "--x\r\nContent-Type: text/plain\r\n\r\nhi\r\n--x\r\nContent-Type: application/sdp\r\n\r\nv=0\r\n\r\n--x--\r\n"
	for _, tt := range []struct {
		name, typ, disposition, encoding, body string
		want                                   string // "-": none
		fault                                  bool
	}{
		{name: "none", want: "-"},
		{name: "white space", typ: "application/sdp", body: "\r\n", want: "-"},
		{name: "sdp", typ: "application/sdp", body: "v=0\r\n", want: "v=0\r\n"},
		{name: "parameters", typ: "Application/SDP; charset=\"utf-8", body: "v=0\r\n", want: "v=0\r\n"},
		{name: "no type", body: "v=0\r\n", want: "v=0\r\n"},
		{name: "no type, no sdp", body: "hello", fault: true},
		{name: "identity", typ: "application/sdp", encoding: "identity", body: "v=0\r\n", want: "v=0\r\n"},
		{name: "gzip", typ: "application/sdp", encoding: "gzip", body: "v=0\r\n", fault: true},
		{name: "optional", typ: "application/pidf+xml", disposition: "render; handling=optional", body: "<x/>", want: "-"},
		{name: "required", typ: "application/pidf+xml", disposition: "render; handling=required", body: "<x/>", fault: true},
		{name: "multipart", typ: "multipart/mixed;boundary=x", body: boundary, want: "v=0\r\n"},
		{name: "multipart related", typ: "multipart/related; boundary=x", body: boundary, want: "v=0\r\n"},
		{name: "cut off", typ: "multipart/mixed;boundary=x", body: boundary[:strings.Index(boundary, "--x--")], want: "v=0\r\n"},
		{name: "no boundary", typ: "multipart/mixed", body: boundary, fault: true},
		{name: "too many parts", typ: "multipart/mixed;boundary=x",
			body: strings.Repeat("--x\r\nContent-Type: a/b\r\n\r\n\r\n", 100) + boundary, fault: true},
	} {
		t.Run(tt.name, func(t *testing.T) {
			got, err := sdpOf(messageWith(tt.typ, tt.disposition, tt.encoding, []byte(tt.body)))
			if (err != nil) != tt.fault {
				t.Fatalf("error %v", err)
			}
			if tt.fault {
				return
			}
			if tt.want == "-" && got != nil || tt.want != "-" && !bytes.HasPrefix(got, []byte(tt.want)) {
				t.Errorf("got %q", got)
			}
		})
	}
}

func messageWith(typ, disposition, encoding string, body []byte) sip.Message {
	req := sip.NewRequest(sip.INVITE, sip.Uri{Scheme: "sip", Host: "h"})
	for name, v := range map[string]string{"Content-Type": typ, "Content-Disposition": disposition, "Content-Encoding": encoding} {
		if v != "" {
			req.AppendHeader(sip.NewHeader(name, v))
		}
	}
	req.SetBody(body)
	return req
}

func FuzzSDPOf(f *testing.F) {
	f.Add("multipart/mixed;boundary=x", []byte("--x\r\nContent-Type: application/sdp\r\n\r\nv=0\r\n--x--\r\n"))
	f.Add("application/sdp", []byte("v=0\r\n"))
	f.Fuzz(func(t *testing.T, typ string, body []byte) {
		got, err := sdpOf(messageWith(typ, "", "", body))
		if err == nil && len(got) > len(body) || err != nil && got != nil {
			t.Errorf("%d bytes of %d, error %v", len(got), len(body), err)
		}
	})
}

func FuzzTextOf(f *testing.F) {
	f.Add(`SIP;cause=200;text="a \"b\""`)
	f.Fuzz(func(t *testing.T, value string) {
		req := sip.NewRequest(sip.BYE, sip.Uri{Scheme: "sip", Host: "h"})
		req.AppendHeader(sip.NewHeader("Reason", value))
		if got := textOf(req, "Reason"); len(got) > len(value) {
			t.Errorf("%d bytes of %d", len(got), len(value))
		}
		q := quoted(value)
		if strings.ContainsAny(q, "\r\n") || len(q) > 4*maxText {
			t.Errorf("quoted %q", q)
		}
		if u := unquote(q[1 : len(q)-1]); len(value) <= maxText && !strings.ContainsFunc(value, func(r rune) bool { return r < ' ' || r >= 0x7f }) && u != value {
			t.Errorf("%q comes back as %q", value, u)
		}
		seconds(value)
		escapeUser(value)
	})
}
