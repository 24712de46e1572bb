package sdp

import (
	"strings"

	"github.com/trunkcast/trunkcast/media"
)

// Format is what one payload type of one m-line means. It is immutable.
type Format struct {
	PayloadType uint8
	// Name is the encoding name as the peer wrote it ("opus", "H264",
	// "telephone-event").
	Name string
	// Codec is empty for the formats that are no codec: see Event and
	// ComfortNoise.
	Codec media.Codec
	// ClockRate is that of RTP timestamps in Hz: 8000 for G.722, although it
	// samples at 16000 (RFC 3551 section 4.5.2).
	ClockRate int
	// Channels is 1 or 2 for audio, 0 for video. Opus always says 2 here (RFC
	// 7587 section 4.1) and may carry mono.
	Channels int
	// Params holds the fmtp parameters as the peer wrote them.
	Params Params
	// H264, H265 and Opus are Params decoded; nil for other codecs.
	H264 *H264Params
	H265 *H265Params
	Opus *OpusParams

	encoding string // the text of a=rtpmap
}

// Event tells whether f is telephone-event (RFC 4733).
func (f *Format) Event() bool { return strings.EqualFold(f.Name, "telephone-event") }

// ComfortNoise tells whether f is CN (RFC 3389).
func (f *Format) ComfortNoise() bool { return strings.EqualFold(f.Name, "CN") }

// PayloadMap is an immutable list of formats of one m-line, in order of
// preference, with a look-up by payload type. A nil map is empty.
type PayloadMap struct {
	list  []Format
	index [128]uint8 // position in list plus 1
}

func newPayloadMap(list []Format) *PayloadMap {
	p := &PayloadMap{list: list}
	for i := range list {
		if pt := list[i].PayloadType & 0x7f; p.index[pt] == 0 {
			p.index[pt] = uint8(i + 1)
		}
	}
	return p
}

// Lookup returns the format with that payload type, or nil. It does not
// allocate.
func (p *PayloadMap) Lookup(pt uint8) *Format {
	if p == nil || pt > 127 || p.index[pt] == 0 {
		return nil
	}
	return &p.list[p.index[pt]-1]
}

// Formats returns all formats in order of preference. Do not change the slice.
func (p *PayloadMap) Formats() []Format {
	if p == nil {
		return nil
	}
	return p.list
}

// First returns the codec that comes first, nil if there is none.
func (p *PayloadMap) First() *Format {
	for i := range p.Formats() {
		if p.list[i].Codec != "" {
			return &p.list[i]
		}
	}
	return nil
}

// Event returns the telephone-event format for audio with that RTP clock rate
// in Hz, else one at another rate, else nil. RFC 4733 section 2.1 wants equal
// rates, but phones offer 8000 beside Opus.
func (p *PayloadMap) Event(clockRate int) *Format {
	var other *Format
	for i := range p.Formats() {
		if f := &p.list[i]; f.Event() {
			if f.ClockRate == clockRate {
				return f
			}
			if other == nil {
				other = f
			}
		}
	}
	return other
}
