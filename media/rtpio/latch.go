package rtpio

// Latching tells where packets for the caller go to and which are taken from
// it. In every mode a line is locked to one source at a time.
type Latching uint8

const (
	// LatchAuto sends to the address of the SDP until valid packets come from
	// another one, which is then followed. Packets from the address of the
	// SDP take the lock whenever they come. Any other source takes it only if
	// there is none, after a re-INVITE, or after silence: 1 s if it goes on
	// with the SSRC and sequence numbers of the one before (a NAT that
	// changed its mind), else 5 s; with SRTP, where packets prove who sent
	// them, at once.
	LatchAuto Latching = iota
	// LatchOn is LatchAuto, but never sends to the address of the SDP.
	LatchOn
	// LatchOff sends to the address of the SDP only, and takes packets from
	// its IP address only (any port).
	LatchOff
)
