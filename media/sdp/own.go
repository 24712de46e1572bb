package sdp

import (
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/trunkcast/trunkcast/media"
)

// ownLine is one m-line of an SDP of ours, but for what a [Local] adds. It is
// immutable once it belongs to an Agreed or Offered.
type ownLine struct {
	// typ, proto and formats are written as they are for a refused line.
	typ, proto string
	formats    []string

	active    bool
	kind      Kind
	list      []ownFormat
	direction Direction
	mux       bool
	rsize     bool
	ptime     time.Duration
	feedback  []feedbackLine
	content   string
	suite     CryptoSuite // empty: not SRTP
	tag       int         // of our a=crypto

	// used are the payload types that this line had in the dialog, in SDPs of
	// either side, and known what those that we understand stand for: they
	// never change their meaning (RFC 3264 section 8.3.2).
	used  payloadSet
	known []ownFormat
}

// remember adds payload types to l.known, 128 at most. The list is shared with
// the agreements before: it is copied.
func (l *ownLine) remember(list []ownFormat) {
	known := slices.Clone(l.known)
	for _, f := range list {
		if !slices.ContainsFunc(known, func(k ownFormat) bool { return k.pt == f.pt }) {
			known = append(known, f)
		}
	}
	l.known = known
}

// stated are formats of a peer in the form of ours.
func stated(list []Format) []ownFormat {
	own := make([]ownFormat, len(list))
	for i := range list {
		own[i] = ownFormat{list[i].PayloadType, list[i].encoding, list[i].Params.String()}
	}
	return own
}

// ownFormat is one payload type with what we say about it.
type ownFormat struct {
	pt             uint8
	encoding, fmtp string
}

// format decodes what we say.
func (f ownFormat) format(kind Kind) (Format, bool) {
	return newFormat(f.pt, kind, f.encoding, f.fmtp)
}

// payloadMap holds the formats of l as we describe them.
func (l *ownLine) payloadMap() *PayloadMap {
	list := make([]Format, 0, len(l.list))
	for _, x := range l.list {
		if f, ok := x.format(l.kind); ok {
			list = append(list, f)
		}
	}
	return newPayloadMap(list)
}

// payloadSet is a set of payload types.
type payloadSet [2]uint64

func (s *payloadSet) add(pt uint8)      { s[pt>>6&1] |= 1 << (pt & 63) }
func (s *payloadSet) has(pt uint8) bool { return s[pt>>6&1]&(1<<(pt&63)) != 0 }

func (s *payloadSet) addAll(o payloadSet) { s[0], s[1] = s[0]|o[0], s[1]|o[1] }

// inherit takes over what the same line used before, and adds what m uses.
func (l *ownLine) inherit(m *Media, prev *Agreed, index int) {
	for _, pt := range payloadTypes(m) {
		l.used.add(pt)
	}
	if prev != nil && index < len(prev.Lines) && prev.Lines[index].Kind == l.kind {
		l.used.addAll(prev.Lines[index].own.used)
		l.known = prev.Lines[index].own.known
	}
}

// refusedLine is the port 0 for an m-line of the peer.
func refusedLine(m *Media, kind Kind) ownLine {
	return ownLine{typ: m.typ, proto: m.Proto, formats: m.Formats, kind: kind}
}

// answerFMTP is what we say about a format that the peer offered. Everything
// in an fmtp describes its writer: only what must be equal on both sides is
// taken from the offer.
func answerFMTP(f *Format, wish Codec) string {
	switch {
	case f.H264 != nil:
		return answerH264(f, parseParams(wish.FMTP)).String()
	case f.H265 != nil:
		return answerH265(f, parseParams(wish.FMTP)).String()
	case f.Event():
		return eventsFMTP
	case wish.FMTP != "":
		return wish.FMTP
	case f.Opus != nil:
		return opusFMTP
	default:
		return ""
	}
}

const (
	// eventsFMTP are the digits, star, pound and A to D (RFC 4733 section 3.2).
	eventsFMTP = "0-15"
	opusFMTP   = "stereo=0;useinbandfec=1"
	h264FMTP   = "profile-level-id=42E01F"
	// h264Level is the level that we state where neither side has one: 3.1,
	// 1280x720 at 30 pictures a second. The default of RFC 6184 is a picture of
	// 176x144.
	h264Level = 31
)

// answerH264 keeps profile and packetization mode of the offer (RFC 6184
// section 8.2.2). The level is what we can receive: that of the wish.
func answerH264(f *Format, wish Params) Params {
	offer, own := f.H264, h264Params(wish)
	level := offer.ProfileLevelID & 0xff
	switch {
	case own.ProfileStated && (offer.LevelAsymmetry || !offer.ProfileStated || own.ProfileLevelID&0xff < level):
		level = own.ProfileLevelID & 0xff
	case !offer.ProfileStated:
		level = h264Level
	}
	id := offer.ProfileLevelID&^0xff | level
	if level != offer.ProfileLevelID&0xff {
		id = clear1b(id)
	}
	list := Params{{"profile-level-id", hex6(id)}}
	if mode, stated := f.Params.Get("packetization-mode"); stated {
		list = append(list, Param{"packetization-mode", mode})
	}
	if offer.LevelAsymmetry {
		list = append(list, Param{"level-asymmetry-allowed", "1"})
	}
	return append(list, ownAbilities(wish)...)
}

// clear1b takes back constraint_set3_flag: with the profiles 66, 77 and 88 and
// level 11 it means level 1b (H.264 section A.3.1).
func clear1b(id uint32) uint32 {
	switch id >> 16 {
	case 66, 77, 88:
		return id &^ 0x1000
	default:
		return id
	}
}

func hex6(n uint32) string {
	s := strings.ToUpper(strconv.FormatUint(uint64(n&0xffffff), 16))
	return strings.Repeat("0", 6-len(s)) + s
}

// ownAbilities are the parameters of a wish that say what we receive.
func ownAbilities(wish Params) (list Params) {
	for _, p := range wish {
		switch {
		case p.Key == "profile-level-id", p.Key == "packetization-mode", p.Key == "level-asymmetry-allowed",
			strings.HasPrefix(p.Key, "sprop-"): // parameter sets come with the stream
		default:
			list = append(list, p)
		}
	}
	return list
}

// answerH265 keeps what RFC 7798 section 7.2.2 wants to be equal; the level
// may be ours.
func answerH265(f *Format, wish Params) (list Params) {
	for _, key := range []string{"profile-space", "profile-id", "tier-flag", "level-id",
		"profile-compatibility-indicator", "interop-constraints", "tx-mode"} {
		value, ok := f.Params.Get(key)
		if own, stated := wish.Get("level-id"); key == "level-id" && stated {
			value, ok = own, true
		}
		if ok && isToken(value) {
			list = append(list, Param{key, value})
		}
	}
	return list
}

// modeStated tells whether an H.264 wish names a packetization mode.
func modeStated(fmtp string) (mode int, stated bool) {
	p := parseParams(fmtp)
	_, stated = p.Get("packetization-mode")
	return p.number("packetization-mode", 0), stated
}

// defaultCodecs in order of preference. PCMA and PCMU are of equal quality:
// which one needs no transcoding at the other side, its offer tells.
var defaultCodecs = map[Kind][]Codec{
	Audio: {{Codec: media.Opus}, {Codec: media.G722}, {Codec: media.PCMA}, {Codec: media.PCMU, equal: true}},
	Video: {{Codec: media.H264}, {Codec: media.H265}},
}
