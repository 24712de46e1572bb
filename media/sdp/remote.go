package sdp

import (
	"net/netip"
	"strconv"
	"strings"
	"time"
)

func kindOf(m *Media) Kind {
	switch m.Type {
	case "audio":
		return Audio
	case "video":
		return Video
	default:
		return Other
	}
}

// transport is what the proto of an m-line says.
type transport struct {
	rtp    bool // over UDP, without DTLS
	dtls   bool // keys by DTLS
	secure bool // SRTP
}

func transportOf(proto string) transport {
	switch strings.ToUpper(proto) {
	case "RTP/AVP", "RTP/AVPF":
		return transport{rtp: true}
	case "RTP/SAVP", "RTP/SAVPF":
		return transport{rtp: true, secure: true}
	case "UDP/TLS/RTP/SAVP", "UDP/TLS/RTP/SAVPF":
		return transport{dtls: true, secure: true}
	default:
		return transport{}
	}
}

// newLine reads what the peer says about an m-line, accepted or not.
func newLine(d *Description, index int) *Line {
	m := d.Media[index]
	l := &Line{Index: index, Kind: kindOf(m), Proto: m.Proto, Bandwidth: Bandwidth{-1, -1, -1}}
	l.Content, _ = m.Attribute("content")
	l.Label, _ = m.Attribute("label")
	l.Mid, _ = m.Attribute("mid")
	return l
}

// readRemote fills what the peer says about an accepted line. mux tells
// whether we take RTCP on the RTP port.
func (l *Line) readRemote(d *Description, mux bool) {
	m := d.Media[l.Index]
	c := d.connection(m)
	l.Host = c.Host
	l.RTPPort = m.Port
	l.RTP = addrPort(c.Addr, m.Port)
	_, l.Mux = m.Attribute("rtcp-mux")
	l.Mux = l.Mux && mux
	l.readRTCP(m, c)
	l.RemoteDirection = d.direction(m)
	if c.Addr.IsValid() && c.Addr.IsUnspecified() { // RFC 3264 section 8.4
		l.RemoteDirection = l.RemoteDirection.And(SendOnly)
	}
	l.Bandwidth = bandwidthOf(d, m)
	l.PTime, l.MaxPTime = ptimeOf(m, d, "ptime"), ptimeOf(m, d, "maxptime")
}

// readRTCP finds where RTCP goes: to the RTP port (RFC 5761), where a=rtcp
// says (RFC 3605), else to the port above.
func (l *Line) readRTCP(m *Media, c Connection) {
	if l.Mux {
		l.RTCPPort, l.RTCP = l.RTPPort, l.RTP
		return
	}
	if l.RTPPort < 65535 {
		l.RTCPPort = l.RTPPort + 1
	}
	if value, ok := m.Attribute("rtcp"); ok {
		text, address, _ := strings.Cut(value, " ")
		if port, ok := parsePort(text); ok {
			l.RTCPPort = port
		}
		if own, why := parseConnection(address); why == "" && own.Addr.IsValid() {
			c.Addr = own.Addr
		}
	}
	l.RTCP = addrPort(c.Addr, l.RTCPPort)
}

// addrPort is invalid where packets cannot go: no address, 0.0.0.0, a group.
// Multicast would let one call flood many hosts.
func addrPort(addr netip.Addr, port int) netip.AddrPort {
	if !addr.IsValid() || addr.IsUnspecified() || addr.IsMulticast() || port <= 0 || port > 65535 {
		return netip.AddrPort{}
	}
	return netip.AddrPortFrom(addr, uint16(port))
}

// bandwidthOf reads the b= lines that hold for m.
func bandwidthOf(d *Description, m *Media) Bandwidth {
	own, session := readBandwidth(m.Bandwidth), readBandwidth(d.Bandwidth)
	if own.MaxBitRate < 0 {
		own.MaxBitRate = session.MaxBitRate
	}
	if own.RS < 0 {
		own.RS = session.RS
	}
	if own.RR < 0 {
		own.RR = session.RR
	}
	return own
}

func readBandwidth(list []BandwidthLine) Bandwidth {
	b := Bandwidth{-1, -1, -1}
	const most = 1<<31 - 1 // in bit/s, also where int has 32 bits
	lower := func(bits int) {
		if b.MaxBitRate < 0 || bits < b.MaxBitRate {
			b.MaxBitRate = bits
		}
	}
	for _, x := range list {
		switch x.Type {
		case "AS":
			lower(min(x.Value, most/1000) * 1000)
		case "TIAS":
			lower(x.Value)
		case "RS":
			b.RS = x.Value
		case "RR":
			b.RR = x.Value
		}
	}
	return b
}

// ptimeOf reads a=ptime or a=maxptime, in milliseconds (RFC 8866 section
// 6.4). Phones also write it at session level, and with decimals.
func ptimeOf(m *Media, d *Description, key string) time.Duration {
	value, ok := m.Attribute(key)
	if !ok {
		value, _ = attribute(d.Attributes, key)
	}
	whole, _, _ := strings.Cut(value, ".")
	n, err := strconv.Atoi(strings.TrimSpace(whole))
	if err != nil || n < 1 || n > 1000 {
		return 0
	}
	return time.Duration(n) * time.Millisecond
}

// feedbackLine is one kind of RTCP feedback of an m-line.
type feedbackLine struct {
	target, text string // of "a=rtcp-fb:target text"
}

// names are the messages of a Feedback with their text in a=rtcp-fb
// (RFC 4585 section 4.2, RFC 5104 section 7.1).
func (f *Feedback) names() map[string]*bool {
	return map[string]*bool{
		"nack": &f.NACK, "nack pli": &f.PLI, "ccm fir": &f.FIR, "ccm tmmbr": &f.TMMBR, "goog-remb": &f.REMB,
	}
}

// less returns f without the messages in off.
func (f Feedback) less(off Feedback) Feedback {
	return Feedback{
		NACK: f.NACK && !off.NACK, PLI: f.PLI && !off.PLI, FIR: f.FIR && !off.FIR,
		TMMBR: f.TMMBR && !off.TMMBR, REMB: f.REMB && !off.REMB,
	}
}

// lines are the a=rtcp-fb lines for f and one payload type, in a fixed order.
func (f Feedback) lines(target string) (list []feedbackLine) {
	names := f.names()
	for _, text := range []string{"nack", "nack pli", "ccm fir", "ccm tmmbr", "goog-remb"} {
		if *names[text] {
			list = append(list, feedbackLine{target, text})
		}
	}
	return list
}

// feedbackOf reads the a=rtcp-fb lines of m for a payload type, but for those
// in off, and returns the lines that say the same from us.
func feedbackOf(m *Media, pt uint8, off Feedback) (f Feedback, lines []feedbackLine) {
	names, without := f.names(), off.names()
	number := strconv.Itoa(int(pt))
	for _, a := range m.Attributes {
		if !strings.EqualFold(a.Key, "rtcp-fb") {
			continue
		}
		w := strings.Fields(strings.ToLower(a.Value))
		if len(w) < 2 || w[0] != number && w[0] != "*" {
			continue
		}
		text := w[1]
		if len(w) > 2 {
			text += " " + w[2]
		}
		if on := names[text]; on != nil && !*on && !*without[text] {
			*on = true
			lines = append(lines, feedbackLine{w[0], text})
		}
	}
	return f, lines
}

// cryptoOf returns the first a=crypto line of m that can be used; with a
// suite, of that suite. They stand in the order of their writer's preference
// (RFC 4568 section 5.1.1).
func cryptoOf(m *Media, suite CryptoSuite) *Crypto {
	for _, a := range m.Attributes {
		if !strings.EqualFold(a.Key, "crypto") {
			continue
		}
		if c, ok := parseCrypto(a.Value); ok && (suite == "" || c.Suite == suite) {
			return c
		}
	}
	return nil
}

// hasFingerprint tells whether keys for m could come by DTLS.
func hasFingerprint(d *Description, m *Media) bool {
	_, line := m.Attribute("fingerprint")
	_, session := d.Attribute("fingerprint")
	return line || session
}
