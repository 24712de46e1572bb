package nametemplate

import (
	"slices"
	"strings"
	"testing"
)

func TestTemplate(t *testing.T) {
	known := func(field string) bool { return field == "a" || field == "b" }
	for text, want := range map[string]string{
		"": "", "x": "x", "{a}": "<a>", "x{a}y/{b}": "x<a>y/<b>", "{a}{a}": "<a><a>", "ü{b}": "ü<b>",
	} {
		p, err := Parse(text, "/", known)
		if err != nil {
			t.Errorf("%q: %v", text, err)
			continue
		}
		if got := p.Expand(func(f string) string { return "<" + f + ">" }); got != want {
			t.Errorf("%q makes %q, want %q", text, got, want)
		}
		if p.Has("b") != strings.Contains(text, "{b}") || p.Has("") {
			t.Errorf("%q: fields", text)
		}
	}
	for text, want := range map[string]string{
		"{": "{ without }", "{a": "{ without }", "{c}": "unknown field {c}", "{}": "unknown field {}", "x}": "'}'", "x?": "'?'", "a b": "' '",
		"x\x00": `'\x00'`, "\xff": "not possible", // no character
	} {
		if _, err := Parse(text, "/", known); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: %v, want %q in it", text, err, want)
		}
	}
	p, err := Parse("{a}/../x", "/.", known)
	if got := p.Elements(); err != nil || !slices.Equal(got, []string{"x", "..", "x"}) {
		t.Errorf("elements %q, %v", got, err)
	}
}

func TestSafe(t *testing.T) {
	for in, want := range map[string]string{
		"0049*30#": "0049*30#", "../x": ".._x", "a/b?c%d": "a_b_c_d", "Jürgen": "Jürgen", "日本": "日本", "a\xffb": "a_b", "\u202e\x00": "__",
	} {
		if got := Safe(in, ".*#"); got != want {
			t.Errorf("%q becomes %q, want %q", in, got, want)
		}
	}
}
