package trunkcast

import (
	"fmt"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/trunkcast/trunkcast/trunk"
)

// DefaultStreamName is the template of stream names.
const DefaultStreamName = "rtmp_{number}"

// maxName bounds a stream name in bytes.
const maxName = 200

// NameTemplate makes stream names out of a text with {number}, {caller},
// {trunk}, {call_id} and {time}.
type NameTemplate struct {
	parts []namePart
}

type namePart struct {
	literal string
	field   string // empty: literal
}

// NameValues are what the fields of a [NameTemplate] stand for.
type NameValues struct {
	Number, Caller, Trunk, CallID string
	Time                          time.Time // {time} is 20060102T150405Z, in UTC
}

// ParseNameTemplate reads a template; empty is [DefaultStreamName]. A "/" in
// it makes a path below the application, but nothing can lead out of that:
// empty elements, "." and ".." are refused here, and in the values of the
// fields every "/" and whatever else has a meaning in a URL becomes "_".
func ParseNameTemplate(text string) (*NameTemplate, error) {
	if text == "" {
		text = DefaultStreamName
	}
	t := &NameTemplate{}
	for rest := text; rest != ""; {
		before, after, found := strings.Cut(rest, "{")
		if before != "" {
			t.parts = append(t.parts, namePart{literal: before})
		}
		if !found {
			break
		}
		field, tail, closed := strings.Cut(after, "}")
		switch field {
		case "number", "caller", "trunk", "call_id", "time":
		default:
			return nil, fmt.Errorf("stream name %q: unknown field {%s} (known: number, caller, trunk, call_id, time)", text, field)
		}
		if !closed {
			return nil, fmt.Errorf("stream name %q: { without }", text)
		}
		t.parts = append(t.parts, namePart{field: field})
		rest = tail
	}
	return t, t.check(text)
}

// check refuses literal text that would lead out of the application or end the
// name.
func (t *NameTemplate) check(text string) error {
	for _, p := range t.parts {
		for _, r := range p.literal {
			if r != '/' && safeRune(r) != r {
				return fmt.Errorf("stream name %q: the character %q is not possible in a stream name", text, r)
			}
		}
	}
	// An x in the place of each field: what is empty, "." or ".." is so
	// whatever the fields hold, or is kept harmless by Name.
	name := t.expand(func(string) string { return "x" })
	for _, element := range strings.Split(name, "/") {
		if element == "" || element == "." || element == ".." {
			return fmt.Errorf("stream name %q: the path element %q is not possible", text, element)
		}
	}
	return nil
}

func (t *NameTemplate) expand(value func(field string) string) string {
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

// Name makes a stream name of at most 200 bytes.
func (t *NameTemplate) Name(v NameValues) string {
	name := t.expand(func(field string) string {
		switch field {
		case "number":
			return safe(v.Number)
		case "caller":
			return safe(v.Caller)
		case "trunk":
			return safe(v.Trunk)
		case "call_id":
			return safe(v.CallID)
		default:
			return v.Time.UTC().Format("20060102T150405Z")
		}
	})
	elements := strings.Split(name, "/")
	for i, e := range elements {
		if strings.Trim(e, ".") == "" { // "", "." and ".." come from empty or strange values
			elements[i] = "_" + e
		}
	}
	name = strings.Join(elements, "/")
	if len(name) > maxName {
		// The cut may leave "..", or nothing, as the last element.
		name = strings.TrimRight(strings.ToValidUTF8(name[:maxName], ""), "./")
	}
	return name
}

// safe makes a value of the caller's fit for a name.
func safe(s string) string { return strings.Map(safeRune, s) }

// safeRune keeps letters and digits of every script and the marks that
// numbers are dialled with; what separates or ends a name in a URL, in RTMP or
// in a file system becomes "_".
func safeRune(r rune) rune {
	switch {
	case r == utf8.RuneError:
		return '_'
	case unicode.IsLetter(r), unicode.IsDigit(r), unicode.IsMark(r), strings.ContainsRune("+-_.*#@=,~!", r):
		return r
	default:
		return '_'
	}
}

func valuesOf(c *trunk.Call) NameValues {
	return NameValues{Number: c.Number(), Caller: c.Caller(), Trunk: c.Trunk().Name(), CallID: c.ID(), Time: c.Started()}
}
