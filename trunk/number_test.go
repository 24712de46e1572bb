package trunk

import (
	"testing"

	"github.com/emiago/sipgo/sip"
)

func TestNumber(t *testing.T) {
	yes, no := true, false
	for _, tt := range []struct {
		name     string
		cfg      Config
		uri, to  string
		headers  []string // name, value
		want     string
		register *bool
	}{
		{name: "plain", uri: "sip:001201234@192.0.2.1:40000", want: "001201234"},
		{name: "parameters", uri: "sip:001201234;phone-context=+49;x=y@192.0.2.1;user=phone?a=b", want: "001201234"},
		{name: "plus", uri: "sip:+4930123@h", want: "+4930123"},
		{name: "star and hash", uri: "sip:*21%23@h", want: "*21#"},
		{name: "bare hash", uri: "sip:*21#@h", want: "*21#"},
		{name: "tel", uri: "tel:+49-30-(123).45;phone-context=x", want: "+493012345"},
		{name: "cyrillic", uri: "sip:%D0%B8%D0%B2%D0%B0%D0%BD@h", want: "иван"},
		{name: "broken escape", uri: "sip:10%zz@h", want: "10%zz"},
		{name: "escaped line end", uri: "sip:1%0d%0aX@h", want: "1%0d%0aX"},
		{name: "no utf-8", uri: "sip:%ff1@h", want: "%ff1"},
		{name: "password", uri: "sip:12:secret@h", want: "12"},

		{name: "own contact", cfg: Config{Login: "gw"}, uri: "sip:gw@h", to: "sip:555@pbx", want: "555"},
		{name: "own, called party", cfg: Config{Login: "gw"}, uri: "sip:gw@h", to: "sip:555@pbx",
			headers: []string{"P-Called-Party-ID", `"x, y" <sip:777@pbx;user=phone>;cpc=ordinary`}, want: "777"},
		{name: "own, nothing else", cfg: Config{Login: "gw"}, uri: "sip:gw@h", to: "sip:gw@pbx", want: "gw"},
		{name: "not registered", register: &no, cfg: Config{Login: "gw"}, uri: "sip:gw@h", to: "sip:555@pbx", want: "gw"},
		{name: "visible name", cfg: Config{VisibleName: "My Gate"}, uri: "sip:My%20Gate@h", to: "sip:555@pbx", want: "555"},
		{name: "no user", uri: "sip:192.0.2.1", to: "sip:555@pbx", want: "555"},
		{name: "nobody", uri: "sip:192.0.2.1", to: "sip:pbx", want: ""},

		{name: "request-uri only", cfg: Config{NumberFrom: "request-uri", Login: "gw"}, uri: "sip:gw@h", to: "sip:5@h", want: "gw"},
		{name: "to", cfg: Config{NumberFrom: "to"}, uri: "sip:1@h", to: "sip:5@h", want: "5"},
		{name: "to tel", cfg: Config{NumberFrom: "to"}, uri: "sip:1@h", to: "tel:+1-2", want: "+12"},
		{name: "called party", cfg: Config{NumberFrom: "p-called-party-id"}, uri: "sip:1@h",
			headers: []string{"p-called-party-id", "<sip:7@h>"}, want: "7"},
		{name: "called party missing", cfg: Config{NumberFrom: "p-called-party-id"}, uri: "sip:1@h", want: "1"},
		{name: "diversion", cfg: Config{NumberFrom: "diversion"}, uri: "sip:1@h",
			headers: []string{"Diversion", "<sip:8@h>;reason=busy, <sip:9@h>", "Diversion", "<tel:10>"}, want: "8"},
		{name: "broken diversion", cfg: Config{NumberFrom: "diversion"}, uri: "sip:1@h", headers: []string{"Diversion", "<sip:8"}, want: "1"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			tt.cfg.Register = &yes
			if tt.register != nil {
				tt.cfg.Register = tt.register
			}
			tr := &Trunk{cfg: tt.cfg.withDefaults()}
			if tt.to == "" {
				tt.to = "sip:to@h"
			}
			req := sip.NewRequest(sip.INVITE, parseURI(t, tt.uri))
			req.AppendHeader(&sip.ToHeader{Address: parseURI(t, tt.to)})
			for i := 0; i < len(tt.headers); i += 2 {
				req.AppendHeader(sip.NewHeader(tt.headers[i], tt.headers[i+1]))
			}
			if got := tr.number(req); got != tt.want {
				t.Errorf("got %q, want %q", got, tt.want)
			}
		})
	}
}

func parseURI(t *testing.T, s string) sip.Uri {
	t.Helper()
	var uri sip.Uri
	if err := sip.ParseUri(s, &uri); err != nil {
		t.Fatal(err)
	}
	return uri
}

func TestEscapeUser(t *testing.T) {
	for in, want := range map[string]string{
		"001201234": "001201234", "+49*21#": "+49*21%23", "My Gate": "My%20Gate",
		"иван": "%D0%B8%D0%B2%D0%B0%D0%BD", "a@b;c?d": "a%40b%3Bc%3Fd", "100%": "100%25",
	} {
		if got := escapeUser(in); got != want {
			t.Errorf("%q is %q, want %q", in, got, want)
		}
		if back := userOf(sip.Uri{Scheme: "sip", User: want}); back != in {
			t.Errorf("%q comes back as %q", in, back)
		}
	}
}
