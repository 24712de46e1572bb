package sdp

import (
	"slices"
	"time"

	"github.com/trunkcast/trunkcast/media"
)

func (c *Capabilities) of(k Kind) *MediaCapabilities {
	if k == Video {
		return &c.Video
	}
	return &c.Audio
}

// codecs returns what a kind may be answered with: the template's, and those
// for callers that have none of them.
func (c *Capabilities) codecs(k Kind) (wished, others []Codec) {
	t := c.Template.line(k)
	if t != nil {
		wished = t.Codecs
		if c.Strict {
			return wished, nil
		}
	}
	if others = c.of(k).Codecs; len(others) == 0 {
		others = defaultCodecs[k]
	}
	return wished, others
}

// direction is the widest that we agree to.
func (c *Capabilities) direction(k Kind) Direction {
	d := c.of(k).Direction
	if t := c.Template.line(k); d == DirectionUnset && t != nil {
		d = t.Direction
	}
	if d == DirectionUnset {
		return SendRecv
	}
	return d
}

// off tells whether a kind is refused in any case.
func (c *Capabilities) off(k Kind) bool {
	t := c.Template.line(k)
	return c.of(k).Off || t != nil && t.Off
}

// onlyNamed tells whether the template has an m-line of that kind, and none of the
// other.
func (c *Capabilities) onlyNamed(k Kind) bool {
	other := Audio
	if k == Audio {
		other = Video
	}
	return c.Template.line(k) != nil && c.Template.line(other) == nil
}

// pick is a format of an offer with our wish for it.
type pick struct {
	format *Format
	at     int // position in the offer
	rank   int // position in our list
	wish   Codec
}

// pickFormats chooses what to answer, in order of preference: for audio each
// codec in common once, since we can transcode and the peer may want to
// change; for video the best alone, since it goes out as it comes in.
func (c *Capabilities) pickFormats(k Kind, offered []Format) []pick {
	wished, others := c.codecs(k)
	list := c.common(wished, offered)
	if len(list) == 0 {
		list = c.common(others, offered)
	}
	if k == Video && len(list) > 1 {
		list = list[:1]
	}
	return list
}

// common are the formats for a list of wishes, each codec once.
func (c *Capabilities) common(wished []Codec, offered []Format) (list []pick) {
	for rank, w := range wished {
		if slices.ContainsFunc(list, func(p pick) bool { return p.wish.Codec == w.Codec }) {
			continue
		}
		if p, ok := best(wished, w.Codec, offered); ok {
			p.rank = rank
			if w.equal {
				p.rank--
			}
			list = append(list, p)
		}
	}
	slices.SortStableFunc(list, func(a, b pick) int {
		if a.rank == b.rank || c.OfferOrder {
			return a.at - b.at
		}
		return a.rank - b.rank
	})
	return list
}

// best returns the format of a codec that suits the wishes best; of equal ones
// the first of the offer.
func best(wished []Codec, codec media.Codec, offered []Format) (found pick, ok bool) {
	top := -1
	for at := range offered {
		if offered[at].Codec != codec {
			continue
		}
		for _, w := range wished {
			if w.Codec != codec {
				continue
			}
			if n := suits(&offered[at], w); n > top {
				top, found, ok = n, pick{format: &offered[at], at: at, wish: w}, true
			}
		}
	}
	return found, ok
}

// suits tells how well a format fits a wish. For H.264 the packetization mode
// comes first: in mode 0 a NAL unit must fit into a packet. Then the profile.
func suits(f *Format, w Codec) (points int) {
	if f.H264 == nil {
		return 0
	}
	if mode, stated := modeStated(w.FMTP); stated && mode == f.H264.PacketizationMode {
		points += 8
	}
	points += 4 * f.H264.PacketizationMode
	own := h264Params(parseParams(w.FMTP))
	switch {
	case !own.ProfileStated:
	case own.ProfileLevelID>>8 == f.H264.ProfileLevelID>>8:
		points += 2
	case own.ProfileLevelID>>16 == f.H264.ProfileLevelID>>16:
		points++
	}
	return points
}

// events are the telephone-event formats to answer: those at a clock rate of
// the chosen codecs (RFC 4733 section 2.1), else the first one offered.
func events(picks []pick, offered []Format) (list []*Format) {
	var first *Format
	for i := range offered {
		f := &offered[i]
		if !f.Event() {
			continue
		}
		if first == nil {
			first = f
		}
		same := func(p pick) bool { return p.format.ClockRate == f.ClockRate }
		twice := func(e *Format) bool { return e.ClockRate == f.ClockRate }
		if slices.ContainsFunc(picks, same) && !slices.ContainsFunc(list, twice) {
			list = append(list, f)
		}
	}
	if len(list) == 0 && first != nil {
		list = append(list, first)
	}
	return list
}

// noise is the comfort noise to answer: only where a template asks for it. A
// phone that may not send it fills its pauses with sound, which is what
// recordings and streams need.
func (c *Capabilities) noise(k Kind, offered []Format) *Format {
	if t := c.Template.line(k); t == nil || !t.noise {
		return nil
	}
	for i := range offered {
		if offered[i].ComfortNoise() {
			return &offered[i]
		}
	}
	return nil
}

// ptime is the packet time to ask for on a line.
func (c *Capabilities) ptime(k Kind, otherwise time.Duration) time.Duration {
	switch t := c.Template.line(k); {
	case k != Audio:
		return 0
	case c.Audio.PTime > 0:
		return c.Audio.PTime
	case t != nil && t.PTime > 0:
		return t.PTime
	default:
		return otherwise
	}
}
