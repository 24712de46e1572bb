package sipnet

import (
	"testing"

	"github.com/emiago/sipgo/sip"
)

func TestParseURI(t *testing.T) {
	for _, tt := range []struct {
		in   string
		want sip.Uri // compared without Scheme
		out  string  // written, if not as it was
	}{
		{in: "sip:001201234@pbx.example:5070", want: sip.Uri{User: "001201234", Host: "pbx.example", Port: 5070}},
		{in: "SIPS:pbx.example", out: "sips:pbx.example", want: sip.Uri{Host: "pbx.example"}},
		{in: "sip:+49%2030;phone-context=x@h;User=phone;lr", out: "sip:+49%2030;phone-context=x@h;user=phone;lr",
			want: sip.Uri{User: "+49%2030;phone-context=x", Host: "h",
				UriParams: sip.HeaderParams{{K: "user", V: "phone"}, {K: "lr"}}}},
		{in: "sip:u:p%3A@[2001:db8::1]:5061;transport=TCP?Subject=a&X-y=",
			out: "sip:u:p%3A@[2001:db8::1]:5061;transport=TCP?Subject=a&X-y",
			want: sip.Uri{User: "u", Password: "p%3A", Host: "[2001:db8::1]", Port: 5061,
				UriParams: sip.HeaderParams{{K: "transport", V: "TCP"}}, Headers: sip.HeaderParams{{K: "Subject", V: "a"}, {K: "X-y"}}}},
		{in: "sip:h;lr?Subject=x", want: sip.Uri{Host: "h",
			UriParams: sip.HeaderParams{{K: "lr"}}, Headers: sip.HeaderParams{{K: "Subject", V: "x"}}}},
		{in: "sip:h;;a=1;a=2;", out: "sip:h;a=1", want: sip.Uri{Host: "h", UriParams: sip.HeaderParams{{K: "a", V: "1"}}}},
		{in: "sip://u@h", want: sip.Uri{HierarhicalSlashes: true, User: "u", Host: "h"}},
		{in: "tel:+4930-123;phone-context=example.com"},
		{in: "soap.beep://192.0.2.103:3002"},
		{in: "urn:service:sos"},
	} {
		var uri sip.Uri
		if err := parseURI(tt.in, &uri); err != nil {
			t.Errorf("%s: %v", tt.in, err)
			continue
		}
		if tt.out == "" {
			tt.out = tt.in
		}
		if got := uri.String(); got != tt.out {
			t.Errorf("%s is written %s", tt.in, got)
		}
		w := tt.want
		if w.Host == "" {
			continue
		}
		if uri.User != w.User || uri.Password != w.Password || uri.Host != w.Host || uri.Port != w.Port ||
			!uri.UriParams.Equals(w.UriParams) || !uri.Headers.Equals(w.Headers) || uri.HierarhicalSlashes != w.HierarhicalSlashes {
			t.Errorf("%s: got %+v", tt.in, uri)
		}
	}
	for _, in := range []string{"", "sip", "sip:", ":x", "sip:@h", "sip:u@", "sip:u@h:", "sip:u@h:70000", "sip:u@h:-1",
		"sip:u@h:5060x", "sip:u@[::1", "sip:u@[::1]x", "sip:u@[10.0.0.1]", "sip:u@h h", "sip:u@a@b", "sip:u@h,x",
		"9sip:u@h", "s/p:u@h", "sip:u\x00@h", "sip:\"u\"@h", "sip:u@h\xff"} {
		var uri sip.Uri
		if err := parseURI(in, &uri); err == nil {
			t.Errorf("%q: %+v", in, uri)
		}
	}
}

func TestParseNameAddr(t *testing.T) {
	for in, want := range map[string]string{
		`"A \"B\" <x>" <sip:a@b>;tag=1`: `A \"B\" <x>|sip:a@b|tag=1`,
		`Bob Q <sip:a@b;lr>`:            `Bob Q|sip:a@b;lr|`,
		`sip:a@b;tag=1`:                 `|sip:a@b|tag=1`,
		`<sip:a@b> ; tag=1 ; x`:         `|sip:a@b|tag=1;x`,
		`""<sip:a@b>`:                   `|sip:a@b|`,
		`<tel:+1>`:                      `|tel:+1|`,
	} {
		a, err := parseNameAddr(in)
		if got := a.name + "|" + a.uri.String() + "|" + a.params.ToString(';'); err != nil || got != want {
			t.Errorf("%s: %s, %v", in, got, err)
		}
	}
	for _, in := range []string{"", `"A <sip:a@b>`, `"A" sip:a@b`, `A <sip:a@b`, `A, B <sip:a@b>`, `<sip:a@b> x`,
		`sip:a@b?x=y`, `<>`, `<sip:a@b>;=1`, `<sip:a@b>;t=a b`, `> <sip:a@b`} {
		if a, err := parseNameAddr(in); err == nil {
			t.Errorf("%q: %+v", in, a)
		}
	}
}
