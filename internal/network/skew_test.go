//go:build peers

package network

import (
	"encoding/binary"
	"time"

	"github.com/trunkcast/trunkcast/internal/relay"
)

// skewClock returns a filter that makes a caller's RTP clock of a rate in Hz
// run faster by some parts in a million, also in its sender reports.
func skewClock(rate int, ppm int64) relay.Filter {
	var first time.Time
	return func(packet []byte) []byte {
		if first.IsZero() {
			first = time.Now()
		}
		gained := uint32(time.Since(first).Nanoseconds() * int64(rate) / 1e9 * ppm / 1e6)
		at := 4 // RFC 3550 section 5.1
		switch {
		case len(packet) < 20:
			return packet
		case packet[1] == 200:
			at = 16 // RFC 3550 section 6.4.1
		case packet[1] > 200 && packet[1] < 224:
			return packet
		}
		binary.BigEndian.PutUint32(packet[at:], binary.BigEndian.Uint32(packet[at:])+gained)
		return packet
	}
}
