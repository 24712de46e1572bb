package sdp

import (
	"fmt"
	"strings"
	"time"
)

// Template is the sdp block of a trunk: which codecs, with which parameters,
// in which direction. It is immutable.
type Template struct {
	// Username and SessionName come from the o= and s= lines.
	Username, SessionName string
	// Audio and Video are nil for kinds without an m-line in the template. If
	// the template has only one of them, the other kind is refused as long as
	// the named one can be accepted.
	Audio, Video *TemplateLine
	// Warnings tells what in the block has no effect: codecs that are not
	// supported, attributes that belong to features we do not have.
	Warnings []string

	added addedLines
}

// TemplateLine is one m-line of a [Template].
type TemplateLine struct {
	// Off is a port 0 in the template: refuse this kind.
	Off bool
	// Codecs are the supported ones, in the template's order.
	Codecs []Codec
	// Direction is that of the line, else of the session, else unset.
	Direction Direction
	// PTime is a=ptime, 0 if unsaid.
	PTime time.Duration

	eventPT uint8 // of telephone-event, 0 for none
	noise   bool  // CN is named: comfort noise is agreed to
	added   addedLines
}

// line returns the template's m-line of a kind, nil if there is none.
func (t *Template) line(k Kind) *TemplateLine {
	switch {
	case t == nil:
		return nil
	case k == Audio:
		return t.Audio
	case k == Video:
		return t.Video
	default:
		return nil
	}
}

func (t *Template) forSession() addedLines {
	if t == nil {
		return addedLines{}
	}
	return t.added
}

// ParseTemplate reads the sdp block of a trunk. It is as tolerant as [Parse]:
// addresses and ports are placeholders (but port 0 refuses that kind), v=, s=
// and t= may be missing, payload types belong to their m-line. Attributes
// that are not negotiated are copied into every SDP of ours.
func ParseTemplate(block []byte) (*Template, error) {
	d, err := Parse(block)
	if err != nil {
		return nil, err
	}
	t := &Template{SessionName: sessionName(string(block))}
	if isPrintable(d.Origin.Username) && d.Origin.Username != "-" {
		t.Username = d.Origin.Username
	}
	t.addCopied(&t.added, d.Bandwidth, d.Attributes)
	for i, m := range d.Media {
		kind := kindOf(m)
		to := &t.Audio
		if kind == Video {
			to = &t.Video
		}
		switch {
		case kind == Other:
			t.warn("m=%s is not supported: such lines are refused", m.Type)
		case *to != nil:
			t.warn("m-line %d has no effect: it is the second one of its kind", i+1)
		default:
			*to = t.readLine(d, m, kind)
		}
	}
	return t, nil
}

func (t *Template) warn(format string, args ...any) {
	t.Warnings = append(t.Warnings, fmt.Sprintf(format, args...))
}

// sessionName is the s= line of a body; "-" and " " stand for none.
func sessionName(body string) (name string) {
	_ = eachLine(body, func(line string) *ParseError {
		if typ, value, ok := splitLine(line); ok && typ == 's' && name == "" && value != "-" && isText(value) {
			name = value
		}
		return nil
	})
	return name
}

func (t *Template) readLine(d *Description, m *Media, kind Kind) *TemplateLine {
	l := &TemplateLine{Off: m.Port == 0, PTime: ptimeOf(m, d, "ptime"), Direction: attributeDirection(m.Attributes)}
	if l.Direction == DirectionUnset {
		l.Direction = attributeDirection(d.Attributes)
	}
	x := mappingsOf(m)
	for _, pt := range payloadTypes(m) {
		f, ok := newFormat(pt, kind, x.encoding(pt), x.fmtp[pt])
		switch {
		case !ok:
			t.warn("payload type %d of m=%s has no effect: %s is not supported", pt, m.Type, describeEncoding(x.encoding(pt)))
		case f.Event():
			l.eventPT = pt
		case f.ComfortNoise():
			l.noise = true
		default:
			l.Codecs = append(l.Codecs, Codec{Codec: f.Codec, FMTP: x.fmtp[pt], PayloadType: pt})
		}
	}
	if len(l.Codecs) == 0 && !l.Off {
		t.warn("m=%s names no codec that is supported", m.Type)
	}
	t.addCopied(&l.added, m.Bandwidth, m.Attributes)
	return l
}

func describeEncoding(encoding string) string {
	if encoding == "" {
		return "a payload type without a=rtpmap"
	}
	return fmt.Sprintf("%q", encoding[:min(len(encoding), 40)])
}

// addCopied adds what is written into our SDPs as it is.
func (t *Template) addCopied(to *addedLines, bandwidth []BandwidthLine, attributes []Attribute) {
	for _, b := range bandwidth {
		if !registered(b.Type) {
			t.warn("b=%s has no effect", b.Type)
			continue
		}
		if w := bandwidthWarning(b); w != "" {
			t.warn("%s", w)
		}
		to.bandwidth = append(to.bandwidth, fmt.Sprintf("%s:%d", b.Type, b.Value))
	}
	for _, a := range attributes {
		switch key := strings.ToLower(a.Key); {
		case !isToken(key) || !isText(a.Value):
			t.warn("an attribute without a proper name has no effect")
		case attributeClass(key) == unusable:
			t.warn("a=%s has no effect", key)
		case attributeClass(key) == copied:
			to.attributes = append(to.attributes, a.String())
		}
	}
}

// String is the attribute as it stands behind "a=".
func (a Attribute) String() string {
	if a.Value == "" {
		return a.Key
	}
	return a.Key + ":" + a.Value
}
