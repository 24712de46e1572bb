package rtpio

import (
	"context"
	"errors"
	"time"

	"github.com/trunkcast/trunkcast/media"
	"github.com/trunkcast/trunkcast/media/sdp"
)

// Offer makes an offer: a full one at first, later what was agreed, with the
// direction of now.
func (s *Session) Offer(ctx context.Context) ([]byte, error) { return nil, errors.ErrUnsupported }

// OfferFull makes an offer of all that Caps has, on top of what was agreed:
// the right one for a re-INVITE without an offer (RFC 3261 section 14.2).
func (s *Session) OfferFull(ctx context.Context) ([]byte, error) { return nil, errors.ErrUnsupported }

// Answer takes an offer and makes the answer, in force at once.
func (s *Session) Answer(ctx context.Context, offer []byte) ([]byte, error) {
	return nil, errors.ErrUnsupported
}

// Accept takes the answer to the last offer.
func (s *Session) Accept(ctx context.Context, answer []byte) error { return errors.ErrUnsupported }

// Rollback returns to the state before the last Offer or Answer.
func (s *Session) Rollback() {}

// Agreed is the last agreement, nil before the first.
func (s *Session) Agreed() *sdp.Agreed { return nil }

// Held tells that the caller wants nothing from us on any line.
func (s *Session) Held() bool { return false }

// SetSending tells whether we want to send in the next Offer or Answer,
// though Caps says recvonly. It returns whether the agreement in force says
// otherwise: then an Offer is due.
func (s *Session) SetSending(on bool) (renegotiate bool) { return false }

// SendFormat is the format that the caller wants for that kind, nil if none
// or if we may not send.
func (s *Session) SendFormat(kind sdp.Kind) *sdp.Format { return nil }

// SendTracks tells what the caller takes: one track a kind, in the codec that
// it prefers.
func (s *Session) SendTracks() []*media.Track { return nil }

// WriteFrame sends a frame to the caller.
func (s *Session) WriteFrame(ctx context.Context, f *media.Frame) error { return errors.ErrUnsupported }

// SendDTMF sends digits as telephone-events.
func (s *Session) SendDTMF(ctx context.Context, digits string, duration time.Duration) error {
	return errors.ErrUnsupported
}

// RequestKeyFrame asks the caller for a key frame until one comes.
func (s *Session) RequestKeyFrame() {}

// SetMaxVideoBitRate changes MaxVideoBitRate.
func (s *Session) SetMaxVideoBitRate(bitsPerSecond int) {}

// Stats returns the counters.
func (s *Session) Stats() Stats { return Stats{} }

// Close says BYE, flushes what is buffered to Output and ends everything.
func (s *Session) Close() error { return nil }

// Done is closed when the session has ended.
func (s *Session) Done() <-chan struct{} { return nil }

// Err tells why it ended, nil while it runs.
func (s *Session) Err() error { return nil }
