package rtmp

import (
	"encoding/binary"

	"github.com/notedit/rtmp/format/flv/flvio"
)

// Bounds of an AMF0 value from the network. The decoder recurses and searches
// keys one by one, so they are checked before it is called.
const (
	maxAMFBytes = 64 << 10
	maxAMFDepth = 16
	maxAMFKeys  = 256
)

// amfGuard walks AMF0 data (AMF 0 specification, section 2) without
// allocating.
type amfGuard struct {
	data []byte
	keys int
}

// checkAMF tells whether data is a sequence of AMF0 values that decoding
// costs only a small multiple of its size.
func checkAMF(data []byte) error {
	if len(data) > maxAMFBytes {
		return protocolError("AMF data of %d bytes, at most %d are taken", len(data), maxAMFBytes)
	}
	g := amfGuard{data: data}
	for len(g.data) > 0 {
		if err := g.value(1); err != nil {
			return err
		}
	}
	return nil
}

func (g *amfGuard) take(n int) ([]byte, error) {
	if n > len(g.data) {
		return nil, protocolError("AMF data cut short")
	}
	b := g.data[:n]
	g.data = g.data[n:]
	return b, nil
}

func (g *amfGuard) skip(n int) error {
	_, err := g.take(n)
	return err
}

func (g *amfGuard) value(depth int) error {
	if depth > maxAMFDepth {
		return protocolError("AMF data nested deeper than %d", maxAMFDepth)
	}
	b, err := g.take(1)
	if err != nil {
		return err
	}
	switch b[0] {
	case 0: // number
		return g.skip(8)
	case 1: // boolean
		return g.skip(1)
	case 2: // string
		return g.text()
	case 3: // object
		return g.object(depth)
	case 5, 6: // null, undefined
		return nil
	case 8: // ECMA array
		if err := g.skip(4); err != nil {
			return err
		}
		return g.object(depth)
	case 10: // strict array
		return g.array(depth)
	case 11: // date
		return g.skip(10)
	case 12: // long string
		n, err := g.take(4)
		if err != nil {
			return err
		}
		if u := binary.BigEndian.Uint32(n); u <= maxAMFBytes {
			return g.skip(int(u))
		}
		return protocolError("AMF data cut short")
	}
	return protocolError("AMF0 type %d is not supported", b[0])
}

func (g *amfGuard) text() error {
	n, err := g.take(2)
	if err != nil {
		return err
	}
	return g.skip(int(binary.BigEndian.Uint16(n)))
}

func (g *amfGuard) object(depth int) error {
	for {
		n, err := g.take(2)
		if err != nil {
			return err
		}
		length := int(binary.BigEndian.Uint16(n))
		if length == 0 {
			end, err := g.take(1)
			if err == nil && end[0] != 9 {
				err = protocolError("AMF object with an empty key")
			}
			return err
		}
		if g.keys++; g.keys > maxAMFKeys {
			return protocolError("AMF data with more than %d keys", maxAMFKeys)
		}
		if err := g.skip(length); err != nil {
			return err
		}
		if err := g.value(depth + 1); err != nil {
			return err
		}
	}
}

func (g *amfGuard) array(depth int) error {
	b, err := g.take(4)
	if err != nil {
		return err
	}
	count := binary.BigEndian.Uint32(b)
	if uint64(count) > uint64(len(g.data)) {
		return protocolError("AMF array of %d elements in %d bytes", count, len(g.data))
	}
	for range count {
		if err := g.value(depth + 1); err != nil {
			return err
		}
	}
	return nil
}

// decodeAMF decodes a sequence of AMF0 values. amf3 is set for the message
// types 15 and 17, whose first byte says that AMF0 follows.
func decodeAMF(data []byte, amf3 bool) ([]any, error) {
	if amf3 {
		if len(data) == 0 || data[0] != 0 {
			return nil, protocolError("AMF3 is not supported")
		}
		data = data[1:]
	}
	if err := checkAMF(data); err != nil {
		return nil, err
	}
	vals, err := flvio.ParseAMFVals(data, false)
	if err != nil {
		return nil, protocolError("AMF data: %v", err)
	}
	return vals, nil
}

// encodeAMF encodes values as AMF0.
func encodeAMF(vals ...any) []byte { return flvio.FillAMF0ValsMalloc(vals) }

// ecmaArray encodes an ECMA array, the form in which metadata is sent.
func ecmaArray(m flvio.AMFMap) []byte {
	object := flvio.FillAMF0ValMalloc(m)
	b := binary.BigEndian.AppendUint32([]byte{8}, uint32(len(m)))
	return append(b, object[1:]...)
}

// command is a command message (RTMP 1.0, section 7.1.1).
type command struct {
	name   string
	id     float64
	object flvio.AMFMap // nil if null
	args   []any
}

// decodeCommand decodes a command of at least a name.
func decodeCommand(m message) (*command, error) {
	vals, err := decodeAMF(m.payload, m.kind == kindCommandAMF3)
	if err != nil {
		return nil, err
	}
	c := &command{}
	if len(vals) == 0 {
		return nil, protocolError("command without a name")
	}
	var ok bool
	if c.name, ok = vals[0].(string); !ok {
		return nil, protocolError("command without a name")
	}
	if len(vals) > 1 {
		c.id, _ = vals[1].(float64)
	}
	if len(vals) > 2 {
		c.object, _ = vals[2].(flvio.AMFMap)
		c.args = vals[3:]
	}
	return c, nil
}

// text returns argument i if it is a string.
func (c *command) text(i int) string {
	if i >= len(c.args) {
		return ""
	}
	s, _ := c.args[i].(string)
	return s
}

// status returns level, code and description of an information object.
func (c *command) status() (level, code, description string) {
	for _, a := range c.args {
		if m, ok := a.(flvio.AMFMap); ok {
			level, _ = m.GetString("level")
			code, _ = m.GetString("code")
			description, _ = m.GetString("description")
			return level, code, description
		}
	}
	return "", "", ""
}
