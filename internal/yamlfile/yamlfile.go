// Package yamlfile reads configuration files strictly: every error names the
// file, the line and the key, unknown keys are errors, and a scalar keeps the
// text that was written (login: 001201 is not an octal number).
//
//	root, err := yamlfile.Parse(name, data)
//	err = root.Fields(map[string]yamlfile.Setter{"localPort": yamlfile.Int(&c.LocalPort, 1, 65535)})
package yamlfile

import (
	"bytes"
	"cmp"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/goccy/go-yaml"
	"github.com/goccy/go-yaml/ast"
	"github.com/goccy/go-yaml/parser"
)

// MaxSize is the largest file accepted, in bytes.
const MaxSize = 1 << 20

// Error is what is wrong with a file.
type Error struct {
	File string
	Line int    // from 1; 0 when the error is about the whole file
	Key  string // path of keys, such as "trunks.pbx.localPort"; may be empty
	Msg  string

	err error // what Msg tells of, if it is wrapped
}

// Unwrap returns the cause, nil if there is none.
func (e *Error) Unwrap() error { return e.err }

func (e *Error) Error() string {
	var b strings.Builder
	b.WriteString(e.File)
	if e.Line > 0 {
		fmt.Fprintf(&b, ":%d", e.Line)
	}
	b.WriteString(": ")
	if e.Key != "" {
		b.WriteString(e.Key + ": ")
	}
	b.WriteString(e.Msg)
	return b.String()
}

// Node is a value in a file.
type Node struct {
	file string
	key  string
	line int
	n    ast.Node // nil: nothing was written
}

// Setter takes the value of one key.
type Setter func(Node) error

// Parse reads the only document of a file. CRLF and a byte order mark are
// accepted. An empty file is a mapping without keys.
func Parse(file string, data []byte) (Node, error) {
	if len(data) > MaxSize {
		return Node{}, &Error{File: file, Msg: fmt.Sprintf("%d bytes, at most %d are read", len(data), MaxSize)}
	}
	data = bytes.TrimPrefix(data, []byte("\xef\xbb\xbf"))
	data = bytes.ReplaceAll(data, []byte("\r\n"), []byte("\n"))
	f, err := parser.ParseBytes(data, 0)
	if err != nil {
		e := &Error{File: file, Msg: err.Error()}
		var ye yaml.Error
		if errors.As(err, &ye) {
			e.Msg = ye.GetMessage()
			if t := ye.GetToken(); t != nil {
				e.Line = t.Position.Line
			}
		}
		return Node{}, e
	}
	if len(f.Docs) > 1 {
		return Node{}, &Error{File: file, Msg: fmt.Sprintf("%d documents, one is expected", len(f.Docs))}
	}
	root := Node{file: file, line: 1}
	if len(f.Docs) == 1 {
		root.n = f.Docs[0].Body
	}
	return root, nil
}

// Errorf returns an error about n.
func (n Node) Errorf(format string, args ...any) error {
	return &Error{File: n.file, Line: n.line, Key: n.key, Msg: fmt.Sprintf(format, args...)}
}

// Wrap returns an error about n that wraps err.
func (n Node) Wrap(err error) error {
	return &Error{File: n.file, Line: n.line, Key: n.key, Msg: err.Error(), err: err}
}

// Line is the number of the line where the key of n stands, from 1.
func (n Node) Line() int { return n.line }

// Empty tells that no value was written.
func (n Node) Empty() bool {
	_, null := n.n.(*ast.NullNode)
	return n.n == nil || null
}

// IsMap tells whether n is a mapping.
func (n Node) IsMap() bool {
	switch n.n.(type) {
	case *ast.MappingNode, *ast.MappingValueNode:
		return true
	}
	return false
}

// Entry is a key of a mapping with its value.
type Entry struct {
	Key   string
	Value Node
}

// Entries returns the keys of a mapping in the order of the file; none for an
// empty value.
func (n Node) Entries() ([]Entry, error) {
	var pairs []*ast.MappingValueNode
	switch m := n.n.(type) {
	case *ast.MappingNode:
		pairs = m.Values
	case *ast.MappingValueNode:
		pairs = []*ast.MappingValueNode{m}
	default:
		if n.Empty() {
			return nil, nil
		}
		return nil, n.Errorf("keys with values are expected")
	}
	entries := make([]Entry, 0, len(pairs))
	for _, p := range pairs {
		t := p.Key.GetToken()
		key := t.Value
		path := key
		if n.key != "" {
			path = n.key + "." + key
		}
		entries = append(entries, Entry{key, Node{file: n.file, key: path, line: t.Position.Line, n: p.Value}})
	}
	return entries, nil
}

// Fields gives the value of each key to its setter. Keys without a setter are
// errors, and so are missing ones of required. All errors are returned, see
// [Join].
func (n Node) Fields(setters map[string]Setter, required ...string) error {
	entries, err := n.Entries()
	if err != nil {
		return err
	}
	var errs []error
	seen := map[string]bool{}
	for _, e := range entries {
		set := setters[e.Key]
		switch {
		case set == nil && len(errs) < maxErrors:
			errs = append(errs, e.Value.Errorf("unknown key%s", suggestion(e.Key, setters)))
		case set == nil:
			errs = append(errs, errMore)
		case e.Value.Empty(): // it keeps its default
		default:
			seen[e.Key] = true
			if err := set(e.Value); err != nil {
				errs = append(errs, err)
			}
		}
	}
	for _, k := range required {
		if !seen[k] {
			errs = append(errs, n.Errorf("key %s is missing", k))
		}
	}
	return Join(errs...)
}

// maxErrors are told of one file.
const maxErrors = 20

// errMore stands for an error that is not told.
var errMore = errors.New("one more error")

// Join makes one error, one a line, of those that are not nil; of very many it
// tells the first and how many more there are.
func Join(errs ...error) error {
	var flat []error
	for _, err := range errs {
		if list, ok := err.(interface{ Unwrap() []error }); ok {
			flat = append(flat, list.Unwrap()...)
		} else if err != nil {
			flat = append(flat, err)
		}
	}
	if more := len(flat) - maxErrors; more > 0 {
		flat = append(flat[:maxErrors:maxErrors], fmt.Errorf("and %d more errors", more))
	}
	return errors.Join(flat...)
}

// suggestion names the known key that differs in case only or shares the
// longest beginning, to help with typing errors.
func suggestion(key string, setters map[string]Setter) string {
	common := func(k string) int {
		a, b, i := strings.ToLower(key), strings.ToLower(k), 0
		for i < min(len(a), len(b)) && a[i] == b[i] {
			i++
		}
		return i
	}
	known := slices.Sorted(maps.Keys(setters))
	if len(known) == 0 {
		return ""
	}
	best := slices.MaxFunc(known, func(a, b string) int { return cmp.Compare(common(a), common(b)) })
	if common(best) < 3 {
		return " (known: " + strings.Join(known, ", ") + ")"
	}
	return " (did you mean " + best + "?)"
}

// Text returns the scalar as it was written.
func (n Node) Text() (string, error) {
	switch v := n.n.(type) {
	case nil, *ast.NullNode:
		return "", nil
	case *ast.LiteralNode:
		return v.Value.Value, nil
	case ast.ScalarNode:
		return v.GetToken().Value, nil
	}
	return "", n.Errorf("one value is expected")
}

// Texts returns a list of scalars; a single scalar is a list of one.
func (n Node) Texts() ([]string, error) {
	seq, ok := n.n.(*ast.SequenceNode)
	if !ok {
		if n.Empty() {
			return nil, nil
		}
		s, err := n.Text()
		return []string{s}, err
	}
	list := make([]string, 0, len(seq.Values))
	for _, v := range seq.Values {
		s, err := Node{file: n.file, key: n.key, line: v.GetToken().Position.Line, n: v}.Text()
		if err != nil {
			return nil, err
		}
		list = append(list, s)
	}
	return list, nil
}

// String sets a text.
func String[T ~string](p *T) Setter {
	return func(n Node) error {
		s, err := n.Text()
		*p = T(s)
		return err
	}
}

// Enum sets a text that must be one of values.
func Enum[T ~string](p *T, values ...string) Setter {
	return func(n Node) error {
		s, err := n.Text()
		if err != nil {
			return err
		}
		if !slices.Contains(values, s) {
			return n.Errorf("%q is not one of %s", s, strings.Join(values, ", "))
		}
		*p = T(s)
		return nil
	}
}

// Strings sets a list of texts.
func Strings(p *[]string) Setter {
	return func(n Node) (err error) {
		*p, err = n.Texts()
		return err
	}
}

// Int sets a whole number from lo to hi.
func Int(p *int, lo, hi int) Setter {
	return func(n Node) error {
		s, err := n.Text()
		if err != nil {
			return err
		}
		v, err := strconv.Atoi(s)
		if err != nil {
			return n.Errorf("%q is not a whole number", s)
		}
		if v < lo || v > hi {
			return n.Errorf("%d is not between %d and %d", v, lo, hi)
		}
		*p = v
		return nil
	}
}

// Bool sets true or false.
func Bool(p *bool) Setter {
	return func(n Node) error {
		s, err := n.Text()
		if err != nil {
			return err
		}
		switch strings.ToLower(s) {
		case "true", "yes", "on":
			*p = true
		case "false", "no", "off":
			*p = false
		default:
			return n.Errorf("%q is neither true nor false", s)
		}
		return nil
	}
}

// Duration sets a time from lo to hi: "90s", "1h30m", or a plain number of
// seconds.
func Duration(p *time.Duration, lo, hi time.Duration) Setter {
	return func(n Node) error {
		s, err := n.Text()
		if err != nil {
			return err
		}
		d, err := time.ParseDuration(s)
		if err != nil {
			if d, err = time.ParseDuration(s + "s"); err != nil {
				return n.Errorf("%q is not a time such as 90s or 5m", s)
			}
		}
		if d < lo || d > hi {
			return n.Errorf("%s is not between %s and %s", d, lo, hi)
		}
		*p = d
		return nil
	}
}

// Parsed sets what parse makes of a text.
func Parsed[T any](p *T, parse func(string) (T, error)) Setter {
	return func(n Node) error {
		s, err := n.Text()
		if err != nil {
			return err
		}
		v, err := parse(s)
		if err != nil {
			return n.Errorf("%v", err)
		}
		*p = v
		return nil
	}
}

// ParsedList sets a list, each element made by parse.
func ParsedList[T any](p *[]T, parse func(string) (T, error)) Setter {
	return func(n Node) error {
		texts, err := n.Texts()
		if err != nil {
			return err
		}
		list := make([]T, 0, len(texts))
		for _, s := range texts {
			v, err := parse(s)
			if err != nil {
				return n.Errorf("%v", err)
			}
			list = append(list, v)
		}
		*p = list
		return nil
	}
}

// StringMap sets a mapping of texts. A key without a value is an error.
func StringMap[T ~string](p *map[string]T) Setter {
	return func(n Node) error {
		entries, err := n.Entries()
		if err != nil {
			return err
		}
		m := make(map[string]T, len(entries))
		for _, e := range entries {
			if e.Value.Empty() {
				return e.Value.Errorf("a value is missing")
			}
			s, err := e.Value.Text()
			if err != nil {
				return err
			}
			m[e.Key] = T(s)
		}
		*p = m
		return nil
	}
}
