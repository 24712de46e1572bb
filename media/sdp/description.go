package sdp

import (
	"net/netip"
	"strings"
)

// Description is a parsed session description. It is not changed after
// [Parse] returned it.
type Description struct {
	// Origin is the o= line, the zero value if there was none.
	Origin Origin
	// Connection is the session-level c= line.
	Connection Connection
	// Bandwidth holds the session-level b= lines.
	Bandwidth []BandwidthLine
	// Attributes holds the session-level a= lines in their order.
	Attributes []Attribute
	// Media holds the m-lines in their order.
	Media []*Media
}

// Origin is an o= line (RFC 8866 section 5.2). Session id and version are
// kept as text: peers send numbers of any length.
type Origin struct {
	Username, SessionID, Version, Address string
}

// Connection is a c= line (RFC 8866 section 5.7).
type Connection struct {
	// Addr is the address; invalid if there was no c= line or Host is set.
	Addr netip.Addr
	// Host is the address if it is a name.
	Host string
}

func (c Connection) stated() bool { return c.Addr.IsValid() || c.Host != "" }

// BandwidthLine is a b= line: kbit/s for AS and CT, bit/s for TIAS, RS and RR
// (RFC 8866 section 5.8, RFC 3890, RFC 3556).
type BandwidthLine struct {
	Type  string
	Value int
}

// Attribute is an a= line. Value is empty for a property attribute.
type Attribute struct {
	Key, Value string
}

// Media is an m-line with the lines that belong to it.
type Media struct {
	// Type is "audio", "video", "application", "image", ... in lower case.
	Type string
	// Port is 0 for a line that is refused or switched off.
	Port int
	// Proto is the transport as written, for example "RTP/AVP".
	Proto string
	// Formats are the payload types, or whatever Proto uses there.
	Formats []string
	// Connection is the c= line of this m-line.
	Connection Connection
	Bandwidth  []BandwidthLine
	Attributes []Attribute

	typ string // as written
}

// Attribute returns the value of the first attribute with that key.
func (m *Media) Attribute(key string) (string, bool) { return attribute(m.Attributes, key) }

// Attribute returns the value of the first session-level attribute with that key.
func (d *Description) Attribute(key string) (string, bool) { return attribute(d.Attributes, key) }

func attribute(list []Attribute, key string) (string, bool) {
	for _, a := range list {
		if strings.EqualFold(a.Key, key) {
			return a.Value, true
		}
	}
	return "", false
}

// direction returns the last direction in list: some phones leave the old one
// in front of the new one.
func attributeDirection(list []Attribute) Direction {
	d := DirectionUnset
	for _, a := range list {
		if n := parseDirection(strings.ToLower(a.Key)); n != DirectionUnset && a.Value == "" {
			d = n
		}
	}
	return d
}

// direction of m in d: the line's own, else the session's, else sendrecv.
func (d *Description) direction(m *Media) Direction {
	if dir := attributeDirection(m.Attributes); dir != DirectionUnset {
		return dir
	}
	if dir := attributeDirection(d.Attributes); dir != DirectionUnset {
		return dir
	}
	return SendRecv
}

// connection of m in d: the line's own, else the session's.
func (d *Description) connection(m *Media) Connection {
	if m.Connection.stated() {
		return m.Connection
	}
	return d.Connection
}
