package sdp

import "time"

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

	bandwidth  []string
	attributes []Attribute
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

	eventPT    uint8
	bandwidth  []string
	attributes []Attribute
}
