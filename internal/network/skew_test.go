//go:build peers

package network

import (
	"encoding/binary"

	"github.com/trunkcast/trunkcast/internal/relay"
)

// skewClock returns a filter that makes a caller's RTP clock run faster by
// some parts in a million, also in its sender reports.
func skewClock(ppm int64) relay.Filter {
	var first uint32
	var begun bool
	return func(packet []byte) []byte {
		at := 4 // RFC 3550 section 5.1
		switch {
		case len(packet) < 12:
			return packet
		case packet[1] == 200 && len(packet) >= 28:
			at = 16 // RFC 3550 section 6.4.1
		case packet[1] >= 192 && packet[1] < 224:
			return packet
		}
		ts := binary.BigEndian.Uint32(packet[at:])
		if !begun {
			begun, first = true, ts
		}
		gained := int64(int32(ts-first)) * ppm / 1e6
		binary.BigEndian.PutUint32(packet[at:], ts+uint32(gained))
		return packet
	}
}
