package sdp

// Direction of a media line (RFC 8866 section 6.7), from the view of the one
// whose SDP it stands in.
type Direction uint8

// The directions. The zero value stands for none stated, which means
// [SendRecv] on the wire.
const (
	DirectionUnset Direction = iota
	SendRecv
	SendOnly
	RecvOnly
	Inactive
)

// Sends tells whether the one whose direction this is may send.
func (d Direction) Sends() bool { return d == SendRecv || d == SendOnly || d == DirectionUnset }

// Receives tells whether the one whose direction this is wants to receive.
func (d Direction) Receives() bool { return d == SendRecv || d == RecvOnly || d == DirectionUnset }

// Reverse is the same direction seen from the other side.
func (d Direction) Reverse() Direction { return direction(d.Receives(), d.Sends()) }

// And is what both directions, seen from the same side, allow.
func (d Direction) And(e Direction) Direction {
	return direction(d.Sends() && e.Sends(), d.Receives() && e.Receives())
}

// String is the attribute's name; "sendrecv" for the zero value.
func (d Direction) String() string {
	switch d {
	case SendOnly:
		return "sendonly"
	case RecvOnly:
		return "recvonly"
	case Inactive:
		return "inactive"
	default:
		return "sendrecv"
	}
}

func direction(sends, receives bool) Direction {
	switch {
	case sends && receives:
		return SendRecv
	case sends:
		return SendOnly
	case receives:
		return RecvOnly
	default:
		return Inactive
	}
}

// parseDirection gives DirectionUnset for names that are none.
func parseDirection(name string) Direction {
	switch name {
	case "sendrecv":
		return SendRecv
	case "sendonly":
		return SendOnly
	case "recvonly":
		return RecvOnly
	case "inactive":
		return Inactive
	default:
		return DirectionUnset
	}
}
