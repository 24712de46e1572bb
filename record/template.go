package record

import (
	"fmt"
	"path"
	"strconv"
	"strings"
	"time"

	"github.com/trunkcast/trunkcast/internal/nametemplate"
)

// DefaultTemplate is the template of file names.
const DefaultTemplate = "{stream}-{start}"

const (
	// maxElement and maxValue bound an element of a path and one value in
	// bytes. File systems take 255; the rest is for numbers and extension.
	maxElement = 200
	maxValue   = 120
	// maxTemplate bounds a template in bytes.
	maxTemplate = 1000
	// unknown stands for the values that are known at the end only.
	unknown = "recording"
)

// Info tells whose media a file holds. All of it may be empty.
type Info struct {
	// Stream is the stream's name: {stream}, {streamName}.
	Stream string `json:"stream,omitempty"`
	// CallID is the Call-ID: {call_id}.
	CallID string `json:"call_id,omitempty"`
	// Caller and Number are who calls and what was dialled.
	Caller string `json:"caller,omitempty"`
	Number string `json:"number,omitempty"`
	Trunk  string `json:"trunk,omitempty"`
	// Session identifies the media: {mediaSessionId}, {sessionId}; if empty
	// they are the CallID.
	Session string `json:"session,omitempty"`
	// Login is the name at the PBX: {login}; if empty it is the Trunk.
	Login string `json:"login,omitempty"`
}

// maxInfo bounds each text of an Info in bytes: they come from a caller, and
// are kept in the journal.
const maxInfo = 1024

func (i Info) bounded() Info {
	for _, s := range []*string{&i.Stream, &i.CallID, &i.Caller, &i.Number, &i.Trunk, &i.Session, &i.Login} {
		*s = cutText(*s, maxInfo)
	}
	return i
}

// Values are what the fields of a [Template] stand for.
type Values struct {
	Info
	// Part counts the files of a recording from 1.
	Part       int
	Start, End time.Time // the zero End: not known yet
	Duration   time.Duration
	// VideoCodec and AudioCodec are empty where there is none.
	VideoCodec, AudioCodec string
	// Rotated is set if there may be more parts: the first has its number too.
	Rotated bool
}

// nameMarks are what a file name may have beside letters and digits: marks
// that are harmless in all file systems. The "*" of numbers is not, on Windows.
const nameMarks = "+-_.#@=,~!"

// Template makes file names.
type Template struct {
	text     string
	template *nametemplate.Template
}

// fieldForms are the fields of a template, those of the product we follow in
// its spelling. Times are 20060102T150405Z (or with an offset), those in Millis
// milliseconds since 1970; {duration} is in whole seconds; {part} has three
// digits or more.
var fieldForms = map[string]func(*Values) string{
	"stream":          func(v *Values) string { return v.Stream },
	"streamName":      func(v *Values) string { return v.Stream },
	"call_id":         func(v *Values) string { return v.CallID },
	"caller":          func(v *Values) string { return v.Caller },
	"number":          func(v *Values) string { return v.Number },
	"trunk":           func(v *Values) string { return v.Trunk },
	"start":           func(v *Values) string { return formatTime(v.Start) },
	"startTime":       func(v *Values) string { return formatTime(v.Start) },
	"startTimeMillis": func(v *Values) string { return formatMillis(v.Start) },
	"end":             func(v *Values) string { return formatTime(v.End) },
	"endTime":         func(v *Values) string { return formatTime(v.End) },
	"endTimeMillis":   func(v *Values) string { return formatMillis(v.End) },
	"duration":        func(v *Values) string { return formatSeconds(v) },
	"part":            func(v *Values) string { return fmt.Sprintf("%03d", v.Part) },
	"mediaSessionId":  func(v *Values) string { return orElse(v.Session, v.CallID) },
	"sessionId":       func(v *Values) string { return orElse(v.Session, v.CallID) },
	"login":           func(v *Values) string { return orElse(v.Login, v.Trunk) },
	"audioCodec":      func(v *Values) string { return orElse(v.AudioCodec, "none") },
	"videoCodec":      func(v *Values) string { return orElse(v.VideoCodec, "none") },
}

func orElse(s, other string) string {
	if s != "" {
		return s
	}
	return other
}

func formatTime(t time.Time) string {
	if t.IsZero() {
		return unknown
	}
	return t.Format("20060102T150405Z0700")
}

func formatMillis(t time.Time) string {
	if t.IsZero() {
		return unknown
	}
	return strconv.FormatInt(t.UnixMilli(), 10)
}

func formatSeconds(v *Values) string {
	if v.End.IsZero() {
		return unknown
	}
	return strconv.FormatInt(int64(v.Duration.Round(time.Second)/time.Second), 10)
}

// ParseTemplate reads a template; empty is [DefaultTemplate]. A "/" in it makes
// folders, but nothing leads out of the recorder's folder: absolute paths,
// empty elements, "." and ".." are refused here, and in the values every "/"
// and whatever else has a meaning to a file system becomes "_". The extension
// is that of the format; one in the template is taken off.
func ParseTemplate(text string) (*Template, error) {
	if text == "" {
		text = DefaultTemplate
	}
	if len(text) > maxTemplate {
		return nil, fmt.Errorf("%w: %d bytes, at most %d", ErrTemplate, len(text), maxTemplate)
	}
	base := strings.TrimSuffix(strings.TrimSuffix(text, ".mp4"), ".ts")
	t, err := nametemplate.Parse(base, nameMarks+"/ ", func(f string) bool { return fieldForms[f] != nil })
	if err != nil {
		return nil, fmt.Errorf("%w %q: %w", ErrTemplate, text, err)
	}
	for _, element := range t.Elements() {
		if element == "" || strings.HasPrefix(element, ".") || strings.TrimSpace(element) != element {
			return nil, fmt.Errorf("%w %q: the path element %q is not possible", ErrTemplate, text, element)
		}
	}
	return &Template{text, t}, nil
}

// String returns the text that was parsed.
func (t *Template) String() string { return t.text }

// late tells whether the name is known at the end of a file only.
func (t *Template) late() bool {
	return t.template.Has("end", "endTime", "endTimeMillis", "duration")
}

// Name makes a relative path with slashes and without an extension. What is
// known at the end only is "recording" as long as v.End is zero. If the
// template has no {part}, the number of a part above the first, or of any if
// v.Rotated, stands at the end.
func (t *Template) Name(v Values) string {
	name := t.template.Expand(func(field string) string { return safe(fieldForms[field](&v)) })
	elements := strings.Split(name, "/")
	for i, e := range elements {
		elements[i] = safeElement(e)
	}
	name = path.Join(elements...)
	if (v.Part > 1 || v.Rotated) && !t.template.Has("part") {
		name += fmt.Sprintf("-%03d", v.Part)
	}
	return name
}

// safeElement makes an element of a path harmless: values may leave it empty,
// "..", hidden, or longer than a file system takes.
func safeElement(e string) string {
	e = cutText(e, maxElement)
	e = strings.TrimRight(e, ". ")
	if e == "" || e[0] == '.' || reserved(e) {
		return "_" + e
	}
	return e
}

// reserved tells whether Windows takes e for a device, with or without an
// extension.
func reserved(e string) bool {
	base, _, _ := strings.Cut(strings.ToUpper(e), ".")
	switch base {
	case "CON", "PRN", "AUX", "NUL":
		return true
	}
	return len(base) == 4 && (strings.HasPrefix(base, "COM") || strings.HasPrefix(base, "LPT"))
}

// safe makes a value fit for a file name.
func safe(s string) string { return cutText(nametemplate.Safe(s, nameMarks), maxValue) }

func cutText(s string, most int) string {
	if len(s) <= most {
		return s
	}
	return strings.ToValidUTF8(s[:most], "")
}
