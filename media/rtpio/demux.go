package rtpio

// packetClass is what the first bytes of a datagram tell.
type packetClass uint8

const (
	classOther packetClass = iota
	classSTUN
	classDTLS
	classRTP
	classRTCP
)

// classify follows RFC 7983 section 7 and, between RTP and RTCP, RFC 5761
// section 4: RTCP packet types 192 to 223 are payload types 64 to 95 with the
// marker bit, which nobody uses.
func classify(b []byte) packetClass {
	if len(b) < 2 {
		return classOther
	}
	switch first := b[0]; {
	case first <= 3:
		return classSTUN
	case first >= 20 && first <= 63:
		return classDTLS
	case first < 128 || first > 191:
		return classOther
	}
	if b[1] >= 192 && b[1] <= 223 {
		return classRTCP
	}
	return classRTP
}
