package rtpio

import (
	"encoding/binary"
	"math/rand/v2"
	"time"

	"github.com/pion/rtp"

	"github.com/trunkcast/trunkcast/media/sdp"
)

const (
	rtpHeaderSize = 12
	srtpOverhead  = 16     // the longest tag; we send no master key identifier
	ipUDPOverhead = 40 + 8 // IPv6 and UDP

	// sendJump is how far a frame's time may be from its sending before its
	// timeline is taken for another one.
	sendJump = time.Second

	// maxLead is how far sound may be placed after its time, because nothing
	// goes back, before some of it is left out.
	maxLead = 40 * time.Millisecond
)

// sendClock places the timeline of WriteFrame's frames on that of the
// session, which runs with the wall clock: RTP timestamps and sender reports
// of all lines are made from the latter, so sound and picture keep together
// and an injection that starts again at 0 moves nothing back.
type sendClock struct {
	epoch time.Duration
	set   bool
}

// place returns the session time of a frame with that PTS which is sent at
// session time now.
func (c *sendClock) place(pts, now time.Duration) time.Duration {
	at := pts + c.epoch
	if !c.set || at > now+sendJump || at < now-sendJump {
		c.epoch, c.set = now-pts, true
		return now
	}
	return at
}

// sender is the RTP stream that we send on one line. It is guarded by the
// session's mutex.
type sender struct {
	format *sdp.Format
	ssrc   uint32
	seq    uint16 // of the next packet
	base   uint32 // RTP time at session time 0

	begun   bool
	nextTS  uint32        // RTP time of the end of the last audio frame
	lastAt  time.Duration // session time of the last picture
	packets uint32        // as the sender report counts
	octets  uint32
	header  rtp.Header // scratch
}

// use chooses the format of the packets that follow. A new clock rate needs a
// new SSRC (RFC 7160 section 4.1).
func (t *sender) use(f *sdp.Format) {
	if t.format != nil && t.format.ClockRate != f.ClockRate {
		*t = sender{ssrc: rand.Uint32(), seq: firstSequence(), base: rand.Uint32(), lastAt: t.lastAt}
	}
	t.format = f
}

// ticks converts a duration into a number of ticks, without overflow for as
// long as a Duration can be.
func ticks(d time.Duration, rate int) int64 {
	return int64(d/time.Second)*int64(rate) + int64(d%time.Second)*int64(rate)/int64(time.Second)
}

func (t *sender) timestamp(at time.Duration) uint32 {
	return t.base + uint32(ticks(at, t.format.ClockRate))
}

// audioTimestamp is the RTP time of an audio frame and whether it begins a
// talk spurt. Frames that follow each other within 2 ms of their times are
// placed end to end, and nothing goes back.
func (t *sender) audioTimestamp(at time.Duration, length int) (ts uint32, spurt bool) {
	ts = t.timestamp(at)
	spurt = true
	if t.begun {
		if ahead := int32(ts - t.nextTS); ahead <= int32(t.format.ClockRate/500) {
			ts, spurt = t.nextTS, false
		}
	}
	t.begun, t.nextTS = true, ts+uint32(length)
	return ts, spurt
}

// crowded tells whether an audio frame would be placed so far after its time
// that the picture, which keeps its own, would be out of step for good.
func (t *sender) crowded(at time.Duration) bool {
	return t.begun && int64(int32(t.nextTS-t.timestamp(at))) > ticks(maxLead, t.format.ClockRate)
}

// put writes the header of the next packet to the front of b.
func (t *sender) put(b []byte, pt uint8, marker bool, ts uint32) []byte {
	if marker {
		pt |= 0x80
	}
	b = append(b, 0x80, pt)
	b = binary.BigEndian.AppendUint16(b, t.seq)
	b = binary.BigEndian.AppendUint32(b, ts)
	b = binary.BigEndian.AppendUint32(b, t.ssrc)
	t.seq++
	return b
}

// seal encrypts a packet if there is a key, and counts it.
func (t *sender) seal(b []byte, out *cipher) ([]byte, error) {
	t.packets++
	t.octets += uint32(len(b) - rtpHeaderSize)
	if out == nil {
		return b, nil
	}
	return out.encryptRTP(b, &t.header)
}
