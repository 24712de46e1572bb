package trunkcast

import (
	"strings"
	"testing"
	"time"
	"unicode/utf8"
)

func TestNames(t *testing.T) {
	at := time.Date(2026, 11, 24, 20, 15, 7, 0, time.FixedZone("MSK", 3*3600))
	for _, c := range []struct{ template, number, want string }{
		{"", "001201234", "rtmp_001201234"},
		{"", "+4930123", "rtmp_+4930123"},
		{"", "*21#", "rtmp_*21_"},
		{"", "приёмная", "rtmp_приёмная"},
		{"", "a/../../b", "rtmp_a_.._.._b"},
		{"", "x?key=1&y", "rtmp_x_key=1_y"},
		{"", "line\r\nbreak", "rtmp_line__break"},
		{"", "\xff\xfe", "rtmp___"},
		{"", "a\u202eb", "rtmp_a_b"},
		{"{number}", "..", "_.."},
		{"{number}", "", "_"},
		{"{trunk}/{number}", "100", "pbx/100"},
		{"{trunk}/{number}", "..", "pbx/_.."},
		{"{caller}-{number}-{time}", "100", "alice-100-20261124T171507Z"},
		{"c_{call_id}", "1", "c_f81d4fae@192.0.2.1"},
	} {
		template, err := ParseNameTemplate(c.template)
		if err != nil {
			t.Errorf("%q: %v", c.template, err)
			continue
		}
		v := NameValues{Number: c.number, Caller: "alice", Trunk: "pbx", CallID: "f81d4fae@192.0.2.1", Time: at}
		if got := template.Name(v); got != c.want {
			t.Errorf("%q with %q: %q, want %q", c.template, c.number, got, c.want)
		}
	}
}

func TestNameOfHiddenCaller(t *testing.T) {
	template, err := ParseNameTemplate("{caller}")
	if err != nil {
		t.Fatal(err)
	}
	if got := template.Name(NameValues{Number: "1"}); got != "anonymous" {
		t.Errorf("%q", got)
	}
}

func TestBadNameTemplates(t *testing.T) {
	for template, want := range map[string]string{
		"{name}":          "unknown field {name}",
		"{number":         "without }",
		"../{number}":     `".."`,
		"a//{number}":     `path element ""`,
		"/{number}":       `path element ""`,
		"{number}/":       `path element ""`,
		"a?{number}":      "character '?'",
		"a\nb":            "not possible",
		"live/./{number}": `"."`,
	} {
		if _, err := ParseNameTemplate(template); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: %v, want %s", template, err, want)
		}
	}
}

func FuzzName(f *testing.F) {
	f.Add("{trunk}/{number}", "../..", "a/b")
	f.Add("", "%2e%2e%2f", "\x00")
	f.Fuzz(func(t *testing.T, text, number, caller string) {
		template, err := ParseNameTemplate(text)
		if err != nil {
			return
		}
		name := template.Name(NameValues{Number: number, Caller: caller, Trunk: number, CallID: caller})
		if name == "" || len(name) > maxName || !utf8.ValidString(name) || strings.ContainsAny(name, "?&\\\r\n\x00 %:") {
			t.Fatalf("%q", name)
		}
		for _, e := range strings.Split(name, "/") {
			if e == "" || e == "." || e == ".." {
				t.Fatalf("element %q of %q", e, name)
			}
		}
		if strings.Count(name, "/") > strings.Count(text, "/") {
			t.Fatalf("a value made a path: %q", name)
		}
	})
}
