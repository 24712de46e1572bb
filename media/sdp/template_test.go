package sdp

import (
	"errors"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/trunkcast/trunkcast/media"
)

func TestParseTemplate(t *testing.T) {
	tpl := mustTemplate(t, trunkBlock)
	want := &Template{
		Username: "10009",
		Audio:    &TemplateLine{Codecs: []Codec{{Codec: media.Opus, PayloadType: 96}}, Direction: RecvOnly},
		Video:    &TemplateLine{Codecs: []Codec{{Codec: media.H264, FMTP: "profile-level-id=42801F", PayloadType: 96}}, Direction: RecvOnly},
	}
	if !reflect.DeepEqual(tpl, want) {
		t.Errorf("got %+v", tpl)
	}
	if again := mustTemplate(t, "\ufeff "+strings.ReplaceAll(trunkBlock, "\n", "\r\n   ")); !reflect.DeepEqual(again, want) {
		t.Errorf("with CRLF and indentation: %+v", again)
	}
	tpl = mustTemplate(t, "s=A trunk\na=sendonly\na=tool:ours\nb=AS:64\nm=audio 9 RTP/AVP 0 96 97 13\na=rtpmap:96 telephone-event/8000\na=rtpmap:97 speex/16000\na=ptime:30\na=inactive\n"+
		"m=video 0 RTP/AVP 96\na=rtpmap:96 VP8/90000\n")
	if tpl.SessionName != "A trunk" || tpl.Audio.Direction != Inactive || tpl.Video.Direction != SendOnly || !tpl.Video.Off ||
		tpl.Audio.PTime != 30*time.Millisecond || tpl.Audio.eventPT != 96 || !tpl.Audio.noise || len(tpl.Audio.Codecs) != 1 {
		t.Errorf("%+v %+v", tpl, tpl.Audio)
	}
}

func TestTemplateWarnings(t *testing.T) {
	for block, want := range map[string]string{
		"m=audio 9 RTP/AVP 97 0\na=rtpmap:97 speex/16000":    "speex/16000",
		"m=audio 9 RTP/AVP 97 0":                             "without a=rtpmap",
		"m=video 9 RTP/AVP 97\na=rtpmap:97 VP8/90000":        "no codec that is supported",
		"m=image 9 udptl t38":                                "m=image",
		"m=audio 9 RTP/AVP 0\nm=audio 9 RTP/AVP 8":           "second one",
		"m=audio 9 RTP/AVP 0\na=candidate:1 1 UDP 1 x 1 typ": "a=candidate",
		"m=audio 9 RTP/AVP 0\nb=RS:50":                       "b=RS:50",
		"v=0\nb=KBPS:1\n":                                    "b=KBPS",
		"v=0\na=: x\n":                                       "attribute",
	} {
		tpl := mustTemplate(t, block)
		if !slices.ContainsFunc(tpl.Warnings, func(w string) bool { return strings.Contains(w, want) }) {
			t.Errorf("%q: %q", block, tpl.Warnings)
		}
	}
	if _, err := ParseTemplate([]byte("o=me\nm=audio x\n")); !errors.Is(err, ErrSyntax) {
		t.Error(err)
	}
	if _, err := ParseTemplate([]byte("opus, please")); !errors.Is(err, ErrNotSDP) {
		t.Error(err)
	}
}

func TestParseLines(t *testing.T) {
	l := mustLines(t, "b=AS:2000", " b=RS:50 ", "b=RR:100", "video:b=AS:1500", "Audio: a=maxptime:40", "a=X-note:a b", "i=a trunk", "e=me@example.com", "audio:i=sound")
	if len(l.Warnings) != 1 || !strings.Contains(l.Warnings[0], "RS:50") {
		t.Errorf("warnings %q", l.Warnings)
	}
	a := mustMatch(t, &Capabilities{Lines: l, Video: MediaCapabilities{MaxBitRate: 900_000}}, nil, head+audioOffer+videoOffer)
	body := string(a.MarshalAnswer(localFor(a)))
	strict(t, []byte(body))
	want := "s=-\r\ni=a trunk\r\ne=me@example.com\r\nc=IN IP4 198.51.100.1\r\nb=AS:2000\r\nb=RS:50\r\nb=RR:100\r\nt=0 0\r\na=X-note:a b\r\n"
	if !strings.Contains(body, want) || !strings.Contains(body, "m=audio 30000 RTP/AVP 0 8\r\ni=sound\r\n") ||
		!strings.Contains(body, "b=AS:1500\r\nb=TIAS:900000\r\n") || strings.Count(body, "a=maxptime:40\r\n") != 1 {
		t.Error(body)
	}
	for _, bad := range []string{"", "AS:2000", "b=AS", "b=AS:x", "b=AS:-1", "b=KBPS:1", "c=IN IP4 1.2.3.4", "m=audio 1 RTP/AVP 0", "a=sendrecv", "a=rtpmap:0 PCMU/8000", "a=fmtp:96 x",
		"a=candidate:1", "a=crypto:1", "a=", "a=:x", "a=b c:x", "video:e=me@example.com", "video:", "a=x:y\r\nm=audio 1 RTP/AVP 0", "k=clear:x", "i=y", "t=0 0", "o=x"} {
		_, err := ParseLines([]string{"i=x", bad})
		var p *ParseError
		if !errors.As(err, &p) || p.Line != 2 || !errors.Is(err, ErrSyntax) {
			t.Errorf("%q: %v", bad, err)
		}
	}
}

// TestTextIsHarmless: what a program sets cannot break a line.
func TestTextIsHarmless(t *testing.T) {
	caps := &Capabilities{Audio: MediaCapabilities{Codecs: []Codec{{Codec: media.PCMU, FMTP: "x=1\r\na=evil\nm=video 1 RTP/AVP 0"}}}}
	a := mustMatch(t, caps, nil, head+audioOffer)
	local := localFor(a)
	local.Username = "a b\r\nc=IN IP4 1.1.1.1"
	body := a.MarshalAnswer(local)
	if d := strict(t, body); len(d.MediaDescriptions) != 1 || len(d.MediaDescriptions[0].Attributes) != 3 {
		t.Errorf("%s", body)
	}
}

func TestIPv6AndLineAddress(t *testing.T) {
	a := mustMatch(t, nil, nil, head+audioOffer+videoOffer)
	local := localFor(a)
	local.Lines[1].Addr, local.Lines[0].RTCPPort = local.Addr.Next(), 40001
	body := string(a.MarshalAnswer(local))
	strict(t, []byte(body))
	if !strings.Contains(body, "m=video 30002 RTP/AVP 96\r\nc=IN IP4 198.51.100.2\r\n") || !strings.Contains(body, "a=rtcp:40001\r\n") {
		t.Error(body)
	}
	d := mustParse(t, body)
	if d.connection(d.Media[0]).Addr == d.connection(d.Media[1]).Addr {
		t.Error(body)
	}
}
