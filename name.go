package trunkcast

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/trunkcast/trunkcast/internal/nametemplate"
	"github.com/trunkcast/trunkcast/trunk"
)

// DefaultStreamName is the template of stream names.
const DefaultStreamName = "rtmp_{number}"

// maxName bounds a stream name in bytes.
const maxName = 200

// nameMarks are what a stream name may have beside letters and digits: the
// marks that numbers are dialled with, and others without a meaning in a URL,
// in RTMP or in a file system.
const nameMarks = "+-_.*@=,~!"

var nameFields = []string{"number", "caller", "trunk", "call_id", "time"}

// NameTemplate makes stream names out of a text with {number}, {caller},
// {trunk}, {call_id} and {time}.
type NameTemplate struct {
	template *nametemplate.Template
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
	t, err := nametemplate.Parse(text, nameMarks+"/", func(f string) bool { return slices.Contains(nameFields, f) })
	if err != nil {
		return nil, fmt.Errorf("stream name %q: %w (fields: %s)", text, err, strings.Join(nameFields, ", "))
	}
	for _, element := range t.Elements() {
		if element == "" || element == "." || element == ".." {
			return nil, fmt.Errorf("stream name %q: the path element %q is not possible", text, element)
		}
	}
	return &NameTemplate{t}, nil
}

// Name makes a stream name of at most 200 bytes.
func (t *NameTemplate) Name(v NameValues) string {
	name := t.template.Expand(func(field string) string {
		switch field {
		case "number":
			return safe(v.Number)
		case "caller":
			if v.Caller == "" {
				return "anonymous" // as RFC 3323 section 4.1 has it
			}
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
func safe(s string) string { return nametemplate.Safe(s, nameMarks) }

func valuesOf(c *trunk.Call) NameValues {
	return NameValues{Number: c.Number(), Caller: c.Caller(), Trunk: c.Trunk().Name(), CallID: c.ID(), Time: c.Started()}
}
