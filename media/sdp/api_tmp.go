package sdp

import "errors"

type answerLine struct{}

// Lines is a checked list of SDP lines to add to every SDP of ours.
type Lines struct{}

// Parse reads a session description of at most 64 KiB.
func Parse(body []byte) (*Description, error) { return nil, errors.ErrUnsupported }

// ParseTemplate reads the sdp block of a trunk.
func ParseTemplate(block []byte) (*Template, error) { return nil, errors.ErrUnsupported }

// ParseLines reads a trunk's sdpParams.
func ParseLines(params []string) (*Lines, error) { return nil, errors.ErrUnsupported }

// Match answers an offer; prev is nil for the first.
func Match(caps *Capabilities, prev *Agreed, offer *Description) (*Agreed, error) {
	return nil, errors.ErrUnsupported
}

// MarshalAnswer writes the answer. It is for an Agreed that came from Match.
func (a *Agreed) MarshalAnswer(local Local) []byte { return nil }

// Offered is an offer of ours that waits for its answer.
type Offered struct {
	// Lines tells for each m-line whether it needs sockets (and, with a
	// Crypto suite, a key).
	Lines []OfferedLine
}

// OfferedLine is one m-line of an offer of ours.
type OfferedLine struct {
	Index     int
	Kind      Kind
	Active    bool // false: port 0
	Mux       bool
	Direction Direction
	Suite     CryptoSuite // empty: not SRTP
	Recv      *PayloadMap // what may come as soon as the offer is out
}

// NewOffer makes a full offer: everything we can do, on top of prev (its
// m-lines and payload numbers kept), which is nil for the first.
func NewOffer(caps *Capabilities, prev *Agreed) *Offered { return nil }

// ReOffer makes an offer of what was agreed already, with the direction of
// caps: to start or stop sending, or to refresh.
func ReOffer(caps *Capabilities, prev *Agreed) *Offered { return nil }

// Marshal writes the offer.
func (o *Offered) Marshal(local Local) []byte { return nil }

// Accept matches the answer to o.
func (o *Offered) Accept(answer *Description) (*Agreed, error) { return nil, errors.ErrUnsupported }
