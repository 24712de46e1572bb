package sdp

import (
	"slices"
	"strings"
)

// Accept matches the answer to o. Lines that the answer does not have are
// refused ones. The error is a [*NotAcceptableError].
func (o *Offered) Accept(answer *Description) (*Agreed, error) {
	a := &Agreed{Origin: answer.Origin, caps: o.caps, peer: answer}
	a.Unchanged = o.prev != nil && sameSession(o.prev.peer, answer)
	usable := false
	for i := range o.own {
		l := o.acceptLine(answer, i)
		a.Lines = append(a.Lines, l)
		usable = usable || l.Accepted
	}
	if !usable {
		return nil, notAcceptable(answer, a.Lines)
	}
	return a, nil
}

func (o *Offered) acceptLine(answer *Description, i int) *Line {
	own := o.own[i]
	if i >= len(answer.Media) {
		own.active = false
		return &Line{Index: i, Kind: own.kind, Proto: own.proto, Reason: ReasonDisabled, own: own}
	}
	m := answer.Media[i]
	l := newLine(answer, i)
	l.Kind, l.Proto, l.own = own.kind, own.proto, own
	l.own.inherit(m, nil, i)
	if l.Reason = o.answered(l, answer, m); l.Reason != ReasonNone {
		l.own.active, l.Crypto = false, nil
		return l
	}
	l.Accepted = true
	l.readRemote(answer, own.mux)
	_, l.ReducedSize = m.Attribute("rtcp-rsize")
	l.ReducedSize = l.ReducedSize && own.rsize
	l.Direction = own.direction.And(l.RemoteDirection.Reverse())
	l.own.mux, l.own.direction = l.Mux, l.Direction
	if own.kind == Video {
		l.Feedback, l.own.feedback = o.feedback(m, l)
	}
	return l
}

// answered reads transport, keys and formats of a line, and tells why it
// cannot be used.
func (o *Offered) answered(l *Line, answer *Description, m *Media) Reason {
	t := transportOf(m.Proto)
	switch {
	case !l.own.active || m.Port == 0:
		return ReasonDisabled
	case kindOf(m) != l.own.kind:
		return ReasonMediaType
	case t.dtls:
		return ReasonDTLS
	case !t.rtp, t.secure && l.own.suite == "":
		return ReasonTransport
	}
	if l.own.suite != "" {
		if l.Crypto = cryptoOf(m, l.own.suite); l.Crypto == nil {
			return o.withoutKeys(answer, m, t)
		}
	}
	ours := l.own.payloadMap()
	l.Send = newPayloadMap(answeredFormats(m, l.own.kind, ours))
	if l.Send.First() == nil {
		return ReasonFormat
	}
	l.Recv = newPayloadMap(receivable(ours, l.Send))
	l.own.list = slices.DeleteFunc(slices.Clone(l.own.list), func(f ownFormat) bool {
		return !inCommon(f, l.own.kind, l.Send)
	})
	return ReasonNone
}

// withoutKeys tells why an SRTP line has no key for us.
func (o *Offered) withoutKeys(answer *Description, m *Media, t transport) Reason {
	switch {
	case hasFingerprint(answer, m):
		return ReasonDTLS
	case !t.secure:
		return ReasonPlain
	default:
		return ReasonCrypto
	}
}

// answeredFormats are the formats of an answer that we offered, in the order
// of the answer: the first one is to be sent (RFC 3264 section 7).
func answeredFormats(m *Media, kind Kind, ours *PayloadMap) (list []Format) {
	for _, f := range formatsOf(m, kind, ours) {
		own := counterpart(&f, ours)
		if own == nil {
			continue
		}
		if own.H264 != nil {
			f.H264.PacketizationMode = answeredMode(&f, own)
		}
		list = append(list, f)
	}
	return list
}

// answeredMode is the packetization mode to send in. An answer keeps that of
// the offer (RFC 6184 section 8.2.2), also if it forgets to say so.
func answeredMode(f, own *Format) int {
	if _, stated := f.Params.Get("packetization-mode"); !stated {
		return own.H264.PacketizationMode
	}
	return f.H264.PacketizationMode
}

// counterpart is our format that the peer means: the one of the same number,
// else one of the same encoding.
func counterpart(f *Format, ours *PayloadMap) *Format {
	if own := ours.Lookup(f.PayloadType); own != nil && sameEncoding(f, own) {
		return own
	}
	var found *Format
	list := ours.Formats()
	for i := range list {
		if !sameEncoding(f, &list[i]) {
			continue
		}
		if found == nil || f.H264 != nil && f.H264.PacketizationMode == list[i].H264.PacketizationMode {
			found = &list[i]
		}
	}
	return found
}

func sameEncoding(a, b *Format) bool {
	return strings.EqualFold(a.Name, b.Name) && a.ClockRate == b.ClockRate
}

// receivable is what may come after an answer: what we offered, as the peer
// describes it, and what it stated under other numbers than ours.
func receivable(ours, answered *PayloadMap) []Format {
	list := slices.Clone(ours.Formats())
	for i := range list {
		if f := answered.Lookup(list[i].PayloadType); f != nil && sameEncoding(f, &list[i]) {
			list[i] = *f
		}
	}
	return withRest(list, answered.Formats())
}

// inCommon tells whether one of our formats was answered.
func inCommon(own ownFormat, kind Kind, answered *PayloadMap) bool {
	f, ok := own.format(kind)
	if !ok {
		return false
	}
	for i := range answered.Formats() {
		x := &answered.list[i]
		if sameEncoding(x, &f) && (f.H264 == nil || x.H264.PacketizationMode == f.H264.PacketizationMode) {
			return true
		}
	}
	return false
}

// feedback is what both sides stated.
func (o *Offered) feedback(m *Media, l *Line) (Feedback, []feedbackLine) {
	theirs, _ := feedbackOf(m, l.Send.First().PayloadType, o.caps.FeedbackOff)
	f, lines := Feedback{}, []feedbackLine(nil)
	names, stated := f.names(), theirs.names()
	for _, x := range l.own.feedback {
		if *stated[x.text] {
			*names[x.text] = true
			lines = append(lines, x)
		}
	}
	return f, lines
}
