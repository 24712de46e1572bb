package sdp

import (
	"fmt"
	"strings"
)

// Limits of [Parse]. Every one is several times what is seen in the field.
const (
	maxBody    = 64 << 10 // bytes
	maxLines   = 2000
	maxMedia   = 64  // m-lines
	maxFormats = 256 // of one m-line
)

// Parse reads a session description of at most 64 KiB. It takes any line
// ending, none at the end, lines in any order, missing and unknown ones. What
// it cannot make sense of is passed over, but for m= and c= lines: these
// decide which media goes where, and are an error.
func Parse(body []byte) (*Description, error) {
	text, err := checkBody(body)
	if err != nil {
		return nil, err
	}
	p := parser{d: &Description{}}
	if err := eachLine(text, p.line); err != nil {
		return nil, err
	}
	if !p.known {
		return nil, &ParseError{Err: ErrNotSDP, Why: "none of the lines v=, o=, c=, m= is there"}
	}
	return p.d, nil
}

func checkBody(body []byte) (string, error) {
	if len(body) > maxBody {
		return "", &ParseError{Err: ErrTooLarge, Why: fmt.Sprintf("%d bytes, at most %d", len(body), maxBody)}
	}
	// A byte order mark comes from configuration files, NULs from phones that
	// send their C strings whole.
	text := strings.Trim(strings.TrimPrefix(string(body), "\ufeff"), "\x00\r\n\t ")
	if text == "" {
		return "", ErrEmpty
	}
	return text, nil
}

// eachLine calls fn for the lines of text that are not empty, without the
// white space around them, and puts number and text into its *ParseError.
func eachLine(text string, fn func(line string) *ParseError) error {
	number := 0
	for text != "" {
		line, rest := text, ""
		if i := strings.IndexAny(text, "\r\n"); i >= 0 {
			line, rest = text[:i], text[i+1:]
			if text[i] == '\r' && strings.HasPrefix(rest, "\n") {
				rest = rest[1:]
			}
		}
		text = rest
		number++
		if number > maxLines {
			return &ParseError{Err: ErrTooLarge, Why: fmt.Sprintf("more than %d lines", maxLines)}
		}
		if line = strings.Trim(line, " \t\x00"); line == "" {
			continue
		}
		if err := fn(line); err != nil {
			err.Line, err.Text = number, line[:min(len(line), 80)]
			return err
		}
	}
	return nil
}

// splitLine cuts "x=value"; ok is false if line is nothing of the kind.
func splitLine(line string) (typ byte, value string, ok bool) {
	if len(line) < 2 || line[1] != '=' {
		return 0, "", false
	}
	return line[0], strings.TrimSpace(line[2:]), true
}

type parser struct {
	d     *Description
	media *Media // the m-line that the lines belong to, nil before the first
	known bool   // a line was seen that makes this an SDP
}

func (p *parser) line(line string) *ParseError {
	typ, value, ok := splitLine(line)
	if !ok {
		return nil
	}
	switch typ {
	case 'v':
		p.known = true
	case 'o':
		p.known = true
		p.d.Origin = parseOrigin(value)
	case 'c':
		p.known = true
		return p.connection(value)
	case 'b':
		p.bandwidth(value)
	case 'a':
		p.attribute(value)
	case 'm':
		p.known = true
		return p.mediaLine(value)
	}
	return nil
}

func (p *parser) connection(value string) *ParseError {
	c, why := parseConnection(value)
	if why != "" {
		return &ParseError{Err: ErrSyntax, Why: why}
	}
	to := &p.d.Connection
	if p.media != nil {
		to = &p.media.Connection
	}
	if !to.stated() { // further ones are more multicast addresses (RFC 8866 section 5.7)
		*to = c
	}
	return nil
}

func (p *parser) bandwidth(value string) {
	b, ok := parseBandwidth(value)
	switch {
	case !ok:
	case p.media != nil:
		p.media.Bandwidth = append(p.media.Bandwidth, b)
	default:
		p.d.Bandwidth = append(p.d.Bandwidth, b)
	}
}

func (p *parser) attribute(value string) {
	key, text, _ := strings.Cut(value, ":")
	a := Attribute{Key: strings.TrimSpace(key), Value: strings.TrimSpace(text)}
	if p.media != nil {
		p.media.Attributes = append(p.media.Attributes, a)
	} else {
		p.d.Attributes = append(p.d.Attributes, a)
	}
}

func (p *parser) mediaLine(value string) *ParseError {
	if len(p.d.Media) == maxMedia {
		return &ParseError{Err: ErrTooLarge, Why: fmt.Sprintf("more than %d m-lines", maxMedia)}
	}
	m, why := parseMedia(value)
	if why != "" {
		return &ParseError{Err: ErrSyntax, Why: why}
	}
	if len(m.Formats) > maxFormats {
		return &ParseError{Err: ErrTooLarge, Why: fmt.Sprintf("more than %d formats", maxFormats)}
	}
	p.media = m
	p.d.Media = append(p.d.Media, m)
	return nil
}
