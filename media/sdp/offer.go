package sdp

import (
	"slices"
	"strconv"
	"strings"

	"github.com/trunkcast/trunkcast/media"
)

// Offered is an offer of ours that waits for its answer. It is immutable.
type Offered struct {
	// Lines tells for each m-line whether it needs sockets (and, with a
	// Crypto suite, a key).
	Lines []OfferedLine

	caps *Capabilities
	prev *Agreed
	own  []ownLine
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
// m-lines and payload numbers kept), which is nil for the first. The codecs of
// the template come first; unless [Capabilities].Strict the others follow, as
// they are served in answers too.
func NewOffer(caps *Capabilities, prev *Agreed) *Offered {
	if caps == nil {
		caps = &Capabilities{}
	}
	o := &Offered{caps: caps, prev: prev, own: keptLines(prev)}
	for _, k := range []Kind{Audio, Video} {
		o.offerKind(k)
	}
	o.finish()
	return o
}

// ReOffer makes an offer of what was agreed already, with the direction of
// caps: to start or stop sending, or to refresh.
func ReOffer(caps *Capabilities, prev *Agreed) *Offered {
	if prev == nil {
		return NewOffer(caps, nil)
	}
	if caps == nil {
		caps = &Capabilities{}
	}
	o := &Offered{caps: caps, prev: prev, own: keptLines(prev)}
	o.finish()
	return o
}

// Marshal writes the offer. A line for which local has no port, or SRTP but no
// key of the right length, is written with port 0.
func (o *Offered) Marshal(local Local) []byte {
	w := writer{caps: o.caps, local: local, offer: true}
	for i := range o.own {
		w.lines = append(w.lines, &o.own[i])
	}
	return w.marshal()
}

// keptLines are our sides of the lines before.
func keptLines(prev *Agreed) []ownLine {
	if prev == nil {
		return nil
	}
	own := make([]ownLine, len(prev.Lines))
	for i, l := range prev.Lines {
		own[i] = l.own
	}
	return own
}

// offerKind makes the line of a kind a full one, or adds it.
func (o *Offered) offerKind(k Kind) {
	kept := o.lineFor(k)
	if o.caps.off(k) {
		for i := range o.own {
			o.own[i].active = o.own[i].active && o.own[i].kind != k
		}
		return
	}
	inUse := kept >= 0 && o.own[kept].active
	if other := o.caps.Template; !inUse && other != nil && other.line(k) == nil && (other.Audio != nil || other.Video != nil) {
		return // the template has lines, but none of this kind
	}
	if kept < 0 {
		o.own = append(o.own, ownLine{kind: k})
		kept = len(o.own) - 1
	}
	l := &o.own[kept]
	l.typ = k.String()
	if !l.active {
		l.proto, l.suite, l.mux, l.rsize, l.list, l.content = "RTP/AVP", "", !o.caps.NoMux, false, nil, ""
	}
	o.secure(l)
	l.active = true
	l.list = o.caps.fullList(l)
	if k == Video {
		l.feedback = Feedback{NACK: true, PLI: true, FIR: true, TMMBR: true}.less(o.caps.FeedbackOff).lines("*")
	}
}

// lineFor is the line to use for a kind: the one in use (slides only if it is
// alone), else a refused one, else -1.
func (o *Offered) lineFor(k Kind) int {
	found, points := -1, 0
	for i, l := range o.own {
		n := 1
		switch {
		case l.kind != k:
			continue
		case l.active && strings.EqualFold(l.content, "slides"):
			n = 2
		case l.active:
			n = 3
		}
		if n > points {
			found, points = i, n
		}
	}
	return found
}

// secure gives a line the transport that the policy asks for.
func (o *Offered) secure(l *ownLine) {
	if o.caps.SRTP == SRTPRequired && l.suite == "" {
		l.suite, l.tag = AESCM128SHA80, 1
		if !transportOf(l.proto).secure {
			l.proto = "RTP/SAVP"
		}
	}
}

// finish sets what all offers have in common, and fills Lines.
func (o *Offered) finish() {
	o.Lines = make([]OfferedLine, len(o.own))
	for i := range o.own {
		l := &o.own[i]
		o.Lines[i] = OfferedLine{Index: i, Kind: l.kind, Active: l.active}
		if !l.active {
			continue
		}
		l.direction = o.caps.direction(l.kind)
		l.ptime = o.caps.ptime(l.kind, l.ptime)
		l.tag = max(l.tag, 1)
		l.formats = nil
		l.remember(l.list)
		for _, f := range l.list {
			l.used.add(f.pt)
			l.formats = append(l.formats, strconv.Itoa(int(f.pt)))
		}
		o.Lines[i].Mux, o.Lines[i].Direction, o.Lines[i].Suite = l.mux, l.direction, l.suite
		o.Lines[i].Recv = l.payloadMap()
	}
}

// numbering gives out payload types of one line.
type numbering struct {
	known []ownFormat // what numbers stood for before
	used  payloadSet  // not to be given another meaning
	list  []ownFormat
}

// fullList is all that we can do, then what was agreed beyond it.
func (c *Capabilities) fullList(l *ownLine) []ownFormat {
	n := numbering{known: l.known, used: l.used}
	wished, others := c.codecs(l.kind)
	var have []media.Codec
	for _, codecs := range [][]Codec{wished, others} {
		for _, w := range codecs {
			if !slices.Contains(have, w.Codec) {
				n.addCodec(w, sameCodec(codecs, w.Codec))
			}
		}
		for _, w := range codecs {
			have = append(have, w.Codec)
		}
	}
	if l.kind == Audio {
		c.addEvents(&n)
	}
	if t := c.Template.line(l.kind); t != nil && t.noise {
		n.add(ownFormat{13, staticTypes[13], ""}, 0)
	}
	for _, f := range l.list {
		if !n.taken(f.pt) {
			n.list = append(n.list, f)
		}
	}
	return n.list
}

// sameCodec counts the wishes for a codec.
func sameCodec(list []Codec, codec media.Codec) (n int) {
	for _, w := range list {
		if w.Codec == codec {
			n++
		}
	}
	return n
}

// encodings of the codecs in a=rtpmap, with the payload type that we prefer:
// different ones in all lines of an offer, for peers that know a call only.
var encodings = map[media.Codec]ownFormat{
	media.Opus: {107, "opus/48000/2", opusFMTP},
	media.G722: {9, "G722/8000", ""},
	media.PCMA: {8, "PCMA/8000", ""},
	media.PCMU: {0, "PCMU/8000", ""},
	media.H264: {96, "H264/90000", h264FMTP},
	media.H265: {98, "H265/90000", ""},
}

// addCodec adds a wish. H.264 is offered in mode 1 and, for phones that know
// nothing else, in mode 0; unless it is wished for in several ways, or in mode
// 0 only.
func (n *numbering) addCodec(w Codec, wishes int) {
	f, ok := encodings[w.Codec]
	if !ok {
		return
	}
	if w.FMTP != "" {
		f.fmtp = w.FMTP
	}
	wish := w.PayloadType
	if _, stated := staticTypes[f.pt]; stated && wish == 0 {
		wish = f.pt
	}
	if w.Codec != media.H264 || wishes > 1 {
		n.add(f, wish)
		return
	}
	mode, stated := modeStated(f.fmtp)
	single, fragmented := f, f
	single.fmtp, fragmented.fmtp = withMode(f.fmtp, 0), withMode(f.fmtp, 1)
	single.pt++
	if !stated || mode == 1 {
		n.add(fragmented, wish)
		wish = 0
	}
	n.add(single, wish)
}

// withMode is an fmtp with that packetization mode.
func withMode(fmtp string, mode int) string {
	var list Params
	for _, p := range parseParams(fmtp) {
		if p.Key != "packetization-mode" {
			list = append(list, p)
		}
	}
	return append(list, Param{"packetization-mode", strconv.Itoa(mode)}).String()
}

// add numbers a format: as before, as wished, by its default, or freely.
func (n *numbering) add(f ownFormat, wish uint8) {
	for _, k := range n.known {
		if sameFormat(k, f) && !n.taken(k.pt) {
			f.pt = k.pt
			n.put(f)
			return
		}
	}
	for _, pt := range []uint8{wish, f.pt} {
		if _, static := staticTypes[pt]; (static || pt >= 35 && pt <= 127) && n.free(pt, f) {
			f.pt = pt
			n.put(f)
			return
		}
	}
	for pt := uint8(96); pt <= 127; pt++ {
		if n.free(pt, f) {
			f.pt = pt
			n.put(f)
			return
		}
	}
}

func (n *numbering) put(f ownFormat) {
	n.used.add(f.pt)
	n.list = append(n.list, f)
}

func (n *numbering) taken(pt uint8) bool {
	return slices.ContainsFunc(n.list, func(x ownFormat) bool { return x.pt == pt })
}

// free tells whether pt may stand for f: a static number always means the
// same, others only once.
func (n *numbering) free(pt uint8, f ownFormat) bool {
	if n.taken(pt) {
		return false
	}
	if meaning, static := staticTypes[pt]; static {
		return strings.EqualFold(meaning, f.encoding)
	}
	return !n.used.has(pt) && (pt < 64 || pt > 95) // RFC 5761 section 4
}

// sameFormat tells whether two of our formats mean the same encoding.
func sameFormat(a, b ownFormat) bool {
	if encodingKey(a.encoding) != encodingKey(b.encoding) {
		return false
	}
	mode, _ := modeStated(a.fmtp)
	other, _ := modeStated(b.fmtp)
	return mode == other
}

// encodingKey is name and clock rate: some peers write a channel count, some do
// not.
func encodingKey(encoding string) string {
	name, rest, _ := strings.Cut(encoding, "/")
	rate, _, _ := strings.Cut(rest, "/")
	return strings.ToUpper(name + "/" + rate)
}

// addEvents adds telephone-event at the clock rates of the codecs.
func (c *Capabilities) addEvents(n *numbering) {
	if c.NoEvents {
		return
	}
	var wide, narrow bool
	for _, f := range n.list {
		wide = wide || strings.HasSuffix(encodingKey(f.encoding), "/48000")
		narrow = narrow || strings.HasSuffix(encodingKey(f.encoding), "/8000")
	}
	var wish uint8
	if t := c.Template.line(Audio); t != nil {
		wish = t.eventPT
	}
	if narrow {
		n.add(ownFormat{101, "telephone-event/8000", eventsFMTP}, wish)
		wish = 0
	}
	if wide {
		n.add(ownFormat{100, "telephone-event/48000", eventsFMTP}, wish)
	}
}
