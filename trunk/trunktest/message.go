package trunktest

import (
	"net/netip"
	"strconv"
	"strings"
)

// Message is one SIP message as it came.
type Message struct {
	From   netip.AddrPort // who sent it
	Line   string         // start line
	Method string         // of a request, else empty
	Code   int            // of a response, else 0
	Body   string
	fields []field
}

type field struct{ name, value string }

// parse reads a message; nil for what is none.
func parse(text string) *Message {
	head, body, ok := strings.Cut(text, "\r\n\r\n")
	if !ok {
		return nil
	}
	lines := strings.Split(head, "\r\n")
	m := &Message{Line: lines[0], Body: body}
	words := strings.SplitN(m.Line, " ", 3)
	if len(words) < 2 {
		return nil
	}
	if words[0] == "SIP/2.0" {
		m.Code, _ = strconv.Atoi(words[1])
	} else {
		m.Method = words[0]
	}
	for _, l := range lines[1:] {
		name, value, _ := strings.Cut(l, ":")
		m.fields = append(m.fields, field{strings.TrimSpace(name), strings.TrimSpace(value)})
	}
	return m
}

// Header is the value of the first header of that name, empty without one.
func (m *Message) Header(name string) string {
	if list := m.Headers(name); len(list) > 0 {
		return list[0]
	}
	return ""
}

// Headers are the values of all headers of that name.
func (m *Message) Headers(name string) []string {
	var list []string
	for _, f := range m.fields {
		if strings.EqualFold(f.name, name) {
			list = append(list, f.value)
		}
	}
	return list
}

// URI is the Request-URI.
func (m *Message) URI() string {
	words := strings.Split(m.Line, " ")
	if m.Method == "" || len(words) < 2 {
		return ""
	}
	return words[1]
}

// Tag is the tag in the header of that name.
func (m *Message) Tag(name string) string { return param(m.Header(name), "tag") }

// Seq is the number in CSeq.
func (m *Message) Seq() int {
	digits, _, _ := strings.Cut(m.Header("CSeq"), " ")
	n, _ := strconv.Atoi(digits)
	return n
}

// param is a parameter behind the angle brackets of an address.
func param(value, name string) string {
	if i := strings.LastIndexByte(value, '>'); i >= 0 {
		value = value[i+1:]
	}
	for p := range strings.SplitSeq(value, ";") {
		k, v, _ := strings.Cut(p, "=")
		if strings.TrimSpace(k) == name {
			return strings.TrimSpace(v)
		}
	}
	return ""
}

// uriIn is the URI between the angle brackets of an address.
func uriIn(value string) string {
	_, rest, ok := strings.Cut(value, "<")
	uri, _, _ := strings.Cut(rest, ">")
	if !ok {
		return value
	}
	return uri
}
