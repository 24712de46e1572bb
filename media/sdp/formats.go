package sdp

import (
	"strconv"
	"strings"

	"github.com/trunkcast/trunkcast/media"
)

// staticTypes are the payload types that need no a=rtpmap (RFC 3551 section
// 6). Those we cannot use are here for the text of a refusal.
var staticTypes = map[uint8]string{
	0: "PCMU/8000", 3: "GSM/8000", 4: "G723/8000", 5: "DVI4/8000", 8: "PCMA/8000", 9: "G722/8000",
	10: "L16/44100/2", 11: "L16/44100", 13: "CN/8000", 15: "G728/8000", 18: "G729/8000",
	26: "JPEG/90000", 31: "H261/90000", 32: "MPV/90000", 34: "H263/90000",
}

// mappings holds what the attributes of an m-line say about payload types.
type mappings struct {
	rtpmap, fmtp [128]string
}

func mappingsOf(m *Media) *mappings {
	var x mappings
	for _, a := range m.Attributes {
		var to *[128]string
		switch strings.ToLower(a.Key) {
		case "rtpmap":
			to = &x.rtpmap
		case "fmtp":
			to = &x.fmtp
		default:
			continue
		}
		number, text, _ := strings.Cut(a.Value, " ")
		pt, ok := parsePayloadType(number)
		switch text = strings.TrimSpace(text); {
		case !ok || text == "":
		case to[pt] == "":
			to[pt] = text
		case to == &x.fmtp: // some phones write a line for each parameter
			to[pt] += ";" + text
		}
	}
	return &x
}

// encoding is the "name/clock/channels" of a payload type, empty if unknown.
func (x *mappings) encoding(pt uint8) string {
	if x.rtpmap[pt] != "" {
		return x.rtpmap[pt]
	}
	return staticTypes[pt]
}

func parsePayloadType(s string) (pt uint8, ok bool) {
	n, err := strconv.ParseUint(s, 10, 7)
	return uint8(n), err == nil
}

// payloadTypes are the payload types of an RTP m-line, each once.
func payloadTypes(m *Media) []uint8 {
	var seen [128]bool
	list := make([]uint8, 0, min(len(m.Formats), len(seen)))
	for _, s := range m.Formats {
		if pt, ok := parsePayloadType(s); ok && !seen[pt] {
			seen[pt] = true
			list = append(list, pt)
		}
	}
	return list
}

// formatsOf returns what we understand of an m-line, in its order. base, if
// not nil, says what payload types mean that m has no rtpmap for: an answer
// may leave out what the offer said.
func formatsOf(m *Media, kind Kind, base *PayloadMap) []Format {
	x := mappingsOf(m)
	var list []Format
	for _, pt := range payloadTypes(m) {
		encoding := x.encoding(pt)
		if known := base.Lookup(pt); known != nil && x.rtpmap[pt] == "" {
			encoding = known.rtpmap()
		}
		if f, ok := newFormat(pt, kind, encoding, x.fmtp[pt]); ok {
			list = append(list, f)
		}
	}
	return list
}

// newFormat makes a Format of the texts of a=rtpmap and a=fmtp; ok is false
// if we do not know it, or cannot receive it as it is described.
func newFormat(pt uint8, kind Kind, encoding, fmtp string) (f Format, ok bool) {
	f = Format{PayloadType: pt, encoding: encoding}
	name, rest, _ := strings.Cut(encoding, "/")
	rate, channels, _ := strings.Cut(rest, "/")
	if f.Name = strings.TrimSpace(name); !isToken(f.Name) {
		return f, false
	}
	clock, err := strconv.Atoi(strings.TrimSpace(rate))
	if err != nil || clock <= 0 {
		return f, false
	}
	f.ClockRate, f.Channels = clock, 1
	if s := strings.TrimSpace(channels); s != "" {
		if f.Channels, err = strconv.Atoi(s); err != nil {
			return f, false
		}
	}
	f.Params = parseParams(fmtp)
	if kind == Video {
		return f, f.video()
	}
	return f, f.audio()
}

func (f *Format) audio() bool {
	switch codec := media.Codec(strings.ToUpper(f.Name)); codec {
	case media.Opus:
		f.Codec, f.Channels = codec, 2 // RFC 7587 section 7; "opus/48000" is seen too
		f.Opus = opusParams(f.Params)
		return f.ClockRate == 48000
	case media.G722:
		ok := f.ClockRate == 8000 || f.ClockRate == 16000 // the latter is a common error
		f.Codec, f.ClockRate = codec, 8000
		return ok && f.Channels == 1
	case media.PCMA, media.PCMU:
		f.Codec = codec
		return f.ClockRate == 8000 && f.Channels == 1
	}
	return (f.Event() || f.ComfortNoise()) && f.Channels == 1
}

func (f *Format) video() bool {
	f.Channels = 0
	switch codec := media.Codec(strings.ToUpper(f.Name)); codec {
	case media.H264:
		f.Codec, f.H264 = codec, h264Params(f.Params)
		// Mode 2 may reorder NAL units (RFC 6184 section 5.6).
		return f.ClockRate == media.VideoClockRate && f.H264.PacketizationMode <= 1
	case media.H265:
		f.Codec, f.H265 = codec, h265Params(f.Params)
		mode, stated := f.Params.Get("tx-mode") // others need several streams
		return f.ClockRate == media.VideoClockRate && (!stated || strings.EqualFold(mode, "SRST"))
	}
	return false
}

// rtpmap is the text of an a=rtpmap line behind the payload type, as its
// writer has it: the other side compares.
func (f *Format) rtpmap() string { return f.encoding }

// formatNames lists what an m-line offers by name, for a refusal.
func formatNames(m *Media) []string {
	if !strings.Contains(strings.ToUpper(m.Proto), "RTP/") {
		return m.Formats
	}
	x := mappingsOf(m)
	var list []string
	for _, pt := range payloadTypes(m) {
		name, _, _ := strings.Cut(x.encoding(pt), "/")
		if !isToken(name) {
			name = strconv.Itoa(int(pt))
		}
		list = append(list, name)
	}
	return list
}
