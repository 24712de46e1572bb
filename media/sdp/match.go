package sdp

import (
	"strings"
)

// Match answers an offer; prev is what was agreed before in this dialog, nil
// for the first. The error is a [*NotAcceptableError]. Within a dialog the
// peer may switch off every line by port 0: that is no error.
func Match(caps *Capabilities, prev *Agreed, offer *Description) (*Agreed, error) {
	if caps == nil {
		caps = &Capabilities{}
	}
	a := &Agreed{Origin: offer.Origin, caps: caps, peer: offer, answers: true}
	a.Unchanged = prev != nil && sameSession(prev.peer, offer)
	m := matcher{caps: caps, prev: prev, offer: offer, lines: make([]*Line, len(offer.Media))}
	for i := range offer.Media {
		m.lines[i] = newLine(offer, i)
		m.lines[i].Reason = m.refusal(m.lines[i])
	}
	a.Lines = m.lines
	usable := m.chooseLines()
	for _, l := range m.lines {
		if !l.Accepted {
			l.Crypto = nil
		}
	}
	if usable || prev != nil && allDisabled(m.lines) {
		return a, nil
	}
	return nil, notAcceptable(offer, m.lines)
}

// matcher is one run of Match.
type matcher struct {
	caps  *Capabilities
	prev  *Agreed
	offer *Description
	lines []*Line
}

// refusal tells why a line cannot be used whatever its codecs are.
func (m *matcher) refusal(l *Line) Reason {
	media := m.offer.Media[l.Index]
	l.own = refusedLine(media, l.Kind)
	l.own.inherit(media, m.prev, l.Index)
	t := transportOf(l.Proto)
	switch {
	case media.Port == 0:
		return ReasonDisabled
	case l.Kind == Other:
		return ReasonMediaType
	case t.dtls:
		return ReasonDTLS
	case !t.rtp:
		return ReasonTransport
	case t.secure && m.caps.SRTP == SRTPOff:
		return ReasonSRTP
	}
	// Some phones offer SRTP as an option by keys in a plain line.
	if t.secure || m.caps.SRTP == SRTPRequired {
		l.Crypto = cryptoOf(media, "")
	}
	switch {
	case l.Crypto != nil || !t.secure && m.caps.SRTP != SRTPRequired:
		return ReasonNone
	case !t.secure:
		return ReasonPlain
	case hasFingerprint(m.offer, media):
		return ReasonDTLS
	default:
		return ReasonCrypto
	}
}

// chooseLines accepts lines and tells whether there is one. The kind that is
// alone in the template comes first.
func (m *matcher) chooseLines() bool {
	kinds := [2]Kind{Audio, Video}
	if m.caps.onlyNamed(Video) {
		kinds = [2]Kind{Video, Audio}
	}
	first := m.chooseLine(kinds[0], m.caps.off(kinds[0]))
	alone := m.caps.onlyNamed(kinds[0]) && (first || m.caps.Strict || m.caps.off(kinds[0]))
	second := m.chooseLine(kinds[1], alone || m.caps.off(kinds[1]))
	return first || second
}

// chooseLine accepts the first usable line of a kind, and refuses the others.
func (m *matcher) chooseLine(k Kind, off bool) (accepted bool) {
	slides := !m.caps.Slides
	for _, l := range m.candidates(k) {
		switch more := isSlides(l) && !slides; {
		case off:
			l.Reason = ReasonSwitchedOff
		case accepted && !more:
			l.Reason = ReasonExtra
		default:
			if l.Reason = m.accept(l); l.Accepted {
				slides = slides || isSlides(l)
				accepted = true
			}
		}
	}
	return accepted
}

// candidates are the lines of a kind that nothing speaks against yet; slides
// come last.
func (m *matcher) candidates(k Kind) (list []*Line) {
	for _, slides := range []bool{false, true} {
		for _, l := range m.lines {
			if l.Kind == k && l.Reason == ReasonNone && isSlides(l) == slides {
				list = append(list, l)
			}
		}
	}
	return list
}

func isSlides(l *Line) bool { return l.Kind == Video && strings.EqualFold(l.Content, "slides") }

// accept agrees to a line, if there is a codec in common.
func (m *matcher) accept(l *Line) Reason {
	media := m.offer.Media[l.Index]
	offered := formatsOf(media, l.Kind, nil)
	picks := m.caps.pickFormats(l.Kind, offered)
	if len(picks) == 0 {
		return ReasonFormat
	}
	l.Accepted = true
	l.readRemote(m.offer, !m.caps.NoMux)
	l.Direction = m.caps.direction(l.Kind).And(l.RemoteDirection.Reverse())
	m.answer(l, picks, offered)
	if l.Kind == Video {
		l.Feedback, l.own.feedback = feedbackOf(media, picks[0].format.PayloadType, m.caps.FeedbackOff)
	}
	return ReasonNone
}

// answer fills the formats of an accepted line and our side of it.
func (m *matcher) answer(l *Line, picks []pick, offered []Format) {
	own := &l.own
	var send []Format
	add := func(f *Format, wish Codec) {
		send = append(send, *f)
		own.list = append(own.list, ownFormat{pt: f.PayloadType, encoding: f.encoding, fmtp: answerFMTP(f, wish)})
	}
	for _, p := range picks {
		add(p.format, p.wish)
	}
	if l.Kind == Audio && !m.caps.NoEvents {
		for _, f := range events(picks, offered) {
			add(f, Codec{})
		}
	}
	if f := m.caps.noise(l.Kind, offered); f != nil {
		add(f, Codec{})
	}
	l.Send = newPayloadMap(send)
	l.Recv = newPayloadMap(withRest(send, offered))
	own.remember(stated(offered))
	// The registered spelling; refused lines keep the peer's.
	own.typ, own.proto = l.Kind.String(), strings.ToUpper(l.Proto)
	own.active, own.direction, own.mux = true, l.Direction, l.Mux
	own.ptime = m.caps.ptime(l.Kind, l.PTime)
	_, own.rsize = m.offer.Media[l.Index].Attribute("rtcp-rsize")
	l.ReducedSize = own.rsize
	if isToken(l.Content) {
		own.content = l.Content
	}
	if l.Crypto != nil {
		own.suite, own.tag = l.Crypto.Suite, l.Crypto.Tag
	}
}

// withRest is list, and what is in others beyond it.
func withRest(list, others []Format) []Format {
	var have payloadSet
	all := append([]Format(nil), list...)
	for i := range list {
		have.add(list[i].PayloadType)
	}
	for i := range others {
		if !have.has(others[i].PayloadType) {
			have.add(others[i].PayloadType)
			all = append(all, others[i])
		}
	}
	return all
}

func allDisabled(lines []*Line) bool {
	for _, l := range lines {
		if l.Reason != ReasonDisabled {
			return false
		}
	}
	return len(lines) > 0
}

// maxOffered bounds NotAcceptableError.Offered in bytes: it goes into a
// header.
const maxOffered = 300

func notAcceptable(d *Description, lines []*Line) *NotAcceptableError {
	e := &NotAcceptableError{}
	var b strings.Builder
	for _, l := range lines {
		e.Reason = max(e.Reason, l.Reason)
	}
	for i, m := range d.Media {
		if i > 0 {
			b.WriteString(", ")
		}
		b.WriteString(m.Type + " " + m.Proto + " (" + strings.Join(formatNames(m), " ") + ")")
		if b.Len() > maxOffered {
			break
		}
	}
	if e.Offered = b.String(); len(e.Offered) > maxOffered {
		e.Offered = e.Offered[:maxOffered] + "..."
	}
	if e.Offered == "" {
		e.Offered = "nothing"
	}
	return e
}
