// Package nametemplate makes names of streams and files out of texts with
// {fields}, and values of strangers harmless in them.
package nametemplate

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"
)

// Template is a text that was parsed.
type Template struct {
	parts []part
}

type part struct {
	literal string
	field   string // empty: literal
}

var errOpen = errors.New("{ without }")

// Parse splits a text at its fields. Those that known does not know are an
// error, as are characters outside of them that SafeRune(r, marks) changes: in
// marks is what may be there beside letters and digits.
func Parse(text, marks string, known func(field string) bool) (*Template, error) {
	t := &Template{}
	for rest := text; rest != ""; {
		before, after, found := strings.Cut(rest, "{")
		for _, r := range before {
			if SafeRune(r, marks) != r {
				return nil, fmt.Errorf("the character %q is not possible", r)
			}
		}
		if before != "" {
			t.parts = append(t.parts, part{literal: before})
		}
		if !found {
			break
		}
		field, tail, closed := strings.Cut(after, "}")
		if !closed {
			return nil, errOpen
		}
		if !known(field) {
			return nil, fmt.Errorf("unknown field {%s}", field)
		}
		t.parts = append(t.parts, part{field: field})
		rest = tail
	}
	return t, nil
}

// Expand puts values in the place of the fields.
func (t *Template) Expand(value func(field string) string) string {
	var b strings.Builder
	for _, p := range t.parts {
		if p.field == "" {
			b.WriteString(p.literal)
		} else {
			b.WriteString(value(p.field))
		}
	}
	return b.String()
}

// Elements are those of the path that the template makes, with an x for each
// field: what is empty, "." or ".." among them is so whatever the values are.
func (t *Template) Elements() []string {
	return strings.Split(t.Expand(func(string) string { return "x" }), "/")
}

// Has tells whether one of the fields is in the template.
func (t *Template) Has(fields ...string) bool {
	return slices.ContainsFunc(t.parts, func(p part) bool { return p.field != "" && slices.Contains(fields, p.field) })
}

// Safe makes a value fit for a name: see SafeRune.
func Safe(value, marks string) string {
	return strings.Map(func(r rune) rune { return SafeRune(r, marks) }, value)
}

// SafeRune keeps letters and digits of every script and the marks given; all
// else, with which a name could end, or lead elsewhere, becomes "_".
func SafeRune(r rune, marks string) rune {
	switch {
	case r == utf8.RuneError:
		return '_'
	case unicode.IsLetter(r), unicode.IsDigit(r), unicode.IsMark(r), strings.ContainsRune(marks, r):
		return r
	default:
		return '_'
	}
}
