package sdp

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/trunkcast/trunkcast/media"
)

func mustMatch(t testing.TB, caps *Capabilities, prev *Agreed, body string) *Agreed {
	t.Helper()
	a, err := Match(caps, prev, mustParse(t, body))
	if err != nil {
		t.Fatalf("%v for\n%s", err, body)
	}
	return a
}

// audioOffer and videoOffer are m-lines to build offers of.
const (
	head       = "v=0\r\no=- 1 1 IN IP4 192.0.2.1\r\ns=-\r\nc=IN IP4 192.0.2.1\r\nt=0 0\r\n"
	audioOffer = "m=audio 5000 RTP/AVP 0 8\r\n"
	videoOffer = "m=video 5002 RTP/AVP 96\r\na=rtpmap:96 H264/90000\r\na=fmtp:96 profile-level-id=42E01F;packetization-mode=1\r\n"
)

// TestDirections: every direction of ours against every one of the peer, at
// both levels, and by the address 0.0.0.0 (case "hold hangs the call").
func TestDirections(t *testing.T) {
	names := []string{"sendrecv", "sendonly", "recvonly", "inactive"}
	answers := map[string][4]string{ // by ours, in the order of names for the peer's
		"sendrecv": {"sendrecv", "recvonly", "sendonly", "inactive"},
		"sendonly": {"sendonly", "inactive", "sendonly", "inactive"},
		"recvonly": {"recvonly", "recvonly", "inactive", "inactive"},
		"inactive": {"inactive", "inactive", "inactive", "inactive"},
	}
	for ours, row := range answers {
		for i, theirs := range names {
			forms := map[string]string{
				"media":   head + audioOffer + "a=" + theirs,
				"session": head + "a=" + theirs + "\r\n" + audioOffer,
				"over":    head + "a=sendrecv\r\n" + audioOffer + "a=inactive\r\na=" + theirs + "\r\n",
			}
			if theirs == "sendonly" {
				forms["zero"] = strings.Replace(head, "c=IN IP4 192.0.2.1", "c=IN IP4 0.0.0.0", 1) + audioOffer
				forms["media zero"] = head + audioOffer + "c=IN IP4 0.0.0.0\r\n"
				forms["IPv6 zero"] = head + audioOffer + "c=IN IP6 ::\r\na=sendrecv\r\n"
			}
			for form, body := range forms {
				caps := map[string]*Capabilities{
					"caps":     {Audio: MediaCapabilities{Direction: parseDirection(ours)}},
					"template": {Template: mustTemplate(t, "m=audio 1 RTP/AVP 0\na="+ours)},
					"session":  {Template: mustTemplate(t, "a="+ours+"\nm=audio 1 RTP/AVP 0\n")},
				}
				for where, c := range caps {
					a := mustMatch(t, c, nil, body)
					l := a.Line(Audio)
					if l.Direction.String() != row[i] || l.RemoteDirection.String() != theirs {
						t.Errorf("%s, %s %s %s: %v, remote %v, want %s", ours, where, theirs, form, l.Direction, l.RemoteDirection, row[i])
					}
					if held := theirs == "sendonly" || theirs == "inactive"; l.Held() != held {
						t.Errorf("%s: held %v", theirs, l.Held())
					}
					if body := string(a.MarshalAnswer(localFor(a))); strings.Count(body, "a="+row[i]+"\r\n") != 1 {
						t.Errorf("%s, %s %s: no a=%s in\n%s", ours, theirs, form, row[i], body)
					}
				}
			}
		}
	}
}

func TestResumeRestoresDestination(t *testing.T) {
	a := mustMatch(t, nil, nil, head+audioOffer)
	hold := mustMatch(t, nil, a, strings.ReplaceAll(head+audioOffer, "192.0.2.1", "0.0.0.0"))
	if hold.Unchanged || hold.Line(Audio).RTP.IsValid() || hold.Line(Audio).RTCP.IsValid() || hold.Line(Audio).RTPPort != 5000 {
		t.Errorf("%+v", hold.Line(Audio))
	}
	resumed := mustMatch(t, nil, hold, head+audioOffer)
	if l := resumed.Line(Audio); l.RTP != a.Line(Audio).RTP || !l.RTP.IsValid() || l.Direction != SendRecv || resumed.Unchanged {
		t.Errorf("%+v", l)
	}
}

func TestUnchanged(t *testing.T) {
	first := mustMatch(t, nil, nil, head+audioOffer+videoOffer)
	if first.Unchanged {
		t.Error("the first offer changes nothing")
	}
	for name, c := range map[string]struct {
		body string
		want bool
	}{
		"the same":           {head + audioOffer + videoOffer, true},
		"new version":        {strings.Replace(head, "o=- 1 1", "o=- 1 2", 1) + audioOffer + videoOffer, true},
		"other line endings": {strings.ReplaceAll(head+audioOffer+videoOffer, "\r\n", "\n"), true},
		"port":               {head + strings.Replace(audioOffer, "5000", "5010", 1) + videoOffer, false},
		"address":            {strings.Replace(head, "c=IN IP4 192.0.2.1", "c=IN IP4 192.0.2.2", 1) + audioOffer + videoOffer, false},
		"codec":              {head + strings.Replace(audioOffer, "0 8", "8", 1) + videoOffer, false},
		"direction":          {head + audioOffer + "a=sendonly\r\n" + videoOffer, false},
		"bandwidth":          {head + "b=AS:1\r\n" + audioOffer + videoOffer, false},
		"one line less":      {head + audioOffer, false},
	} {
		if a := mustMatch(t, nil, first, c.body); a.Unchanged != c.want {
			t.Errorf("%s: %v", name, a.Unchanged)
		}
	}
}

func TestAddresses(t *testing.T) {
	for body, want := range map[string]string{
		audioOffer:                     "192.0.2.1:5000 192.0.2.1:5001 5001 ",
		audioOffer + "a=rtcp:5100\r\n": "192.0.2.1:5000 192.0.2.1:5100 5100 ",
		audioOffer + "a=rtcp:5100 IN IP4 192.0.2.9\r\n":   "192.0.2.1:5000 192.0.2.9:5100 5100 ",
		audioOffer + "a=rtcp:none\r\n":                    "192.0.2.1:5000 192.0.2.1:5001 5001 ",
		audioOffer + "a=rtcp:5100\r\na=rtcp-mux\r\n":      "192.0.2.1:5000 192.0.2.1:5000 5000 mux",
		audioOffer + "c=IN IP4 10.0.0.1\r\n":              "10.0.0.1:5000 10.0.0.1:5001 5001 ",
		audioOffer + "c=IN IP4 pbx.example.com\r\n":       "invalid AddrPort invalid AddrPort 5001 pbx.example.com",
		audioOffer + "c=IN IP4 0.0.0.0\r\n":               "invalid AddrPort invalid AddrPort 5001 ",
		audioOffer + "c=IN IP4 239.1.1.1/16\r\n":          "invalid AddrPort invalid AddrPort 5001 ",
		"m=audio 65535 RTP/AVP 0\r\n":                     "192.0.2.1:65535 invalid AddrPort 0 ",
		audioOffer + "c=IN IP6 2001:db8::1\r\na=ptime:5x": "[2001:db8::1]:5000 [2001:db8::1]:5001 5001 ",
	} {
		l := mustMatch(t, nil, nil, head+body).Line(Audio)
		got := fmt.Sprintf("%v %v %d %s", l.RTP, l.RTCP, l.RTCPPort, l.Host)
		if l.Mux {
			got += "mux"
		}
		if got != want {
			t.Errorf("%s: got %q, want %q", body, got, want)
		}
	}
	l := mustMatch(t, nil, nil, "v=0\r\n"+audioOffer).Line(Audio)
	if l.RTP.IsValid() || l.Direction != SendRecv || l.RTPPort != 5000 {
		t.Errorf("without c=: %+v", l)
	}
	if mustMatch(t, &Capabilities{NoMux: true}, nil, head+audioOffer+"a=rtcp-mux\r\n").Line(Audio).Mux {
		t.Error("NoMux")
	}
}

func TestBandwidthAndPacketTime(t *testing.T) {
	l := mustMatch(t, nil, nil, head+"b=AS:2000\r\nb=RS:10\r\na=maxptime:60\r\n"+audioOffer+"b=TIAS:64000\r\nb=AS:80\r\nb=RR:7\r\na=ptime:30\r\n").Line(Audio)
	if l.Bandwidth != (Bandwidth{64000, 10, 7}) || l.PTime != 30*time.Millisecond || l.MaxPTime != 60*time.Millisecond {
		t.Errorf("%+v", l)
	}
	l = mustMatch(t, nil, nil, head+"b=AS:2000\r\n"+audioOffer).Line(Audio)
	if l.Bandwidth != (Bandwidth{2_000_000, -1, -1}) || l.PTime != 0 {
		t.Errorf("%+v", l)
	}
	l = mustMatch(t, nil, nil, head+audioOffer+"b=AS:99999999999\r\nb=AS:4000000000\r\na=ptime:100000\r\n").Line(Audio)
	if l.Bandwidth.MaxBitRate <= 0 && l.Bandwidth.MaxBitRate != -1 || l.PTime != 0 {
		t.Errorf("%+v", l)
	}
	if l = mustMatch(t, nil, nil, head+audioOffer).Line(Audio); l.Bandwidth != (Bandwidth{-1, -1, -1}) {
		t.Errorf("%+v", l)
	}
}

func TestFeedback(t *testing.T) {
	all := "a=rtcp-fb:96 nack\r\na=rtcp-fb:* nack pli\r\na=rtcp-fb:96 ccm fir\r\na=rtcp-fb:96 ccm tmmbr smaxpr=120\r\na=rtcp-fb:96 goog-remb\r\na=rtcp-fb:97 nack sli\r\na=rtcp-fb:96\r\n"
	for body, want := range map[string]Feedback{
		videoOffer:                              {},
		videoOffer + all:                        {true, true, true, true, true},
		videoOffer + "a=rtcp-fb:97 nack\r\n":    {},
		videoOffer + "a=rtcp-fb:* NACK PLI\r\n": {PLI: true},
	} {
		a := mustMatch(t, nil, nil, head+body)
		if got := a.Line(Video).Feedback; got != want {
			t.Errorf("%s: %+v", body, got)
		}
		if n := strings.Count(string(a.MarshalAnswer(localFor(a))), "a=rtcp-fb:"); want == (Feedback{}) && n != 0 {
			t.Errorf("%d a=rtcp-fb lines for\n%s", n, body)
		}
	}
	a := mustMatch(t, &Capabilities{FeedbackOff: Feedback{NACK: true, REMB: true}}, nil, head+videoOffer+all)
	if got := a.Line(Video).Feedback; got != (Feedback{PLI: true, FIR: true, TMMBR: true}) {
		t.Errorf("%+v", got)
	}
	if s := string(a.MarshalAnswer(localFor(a))); !strings.Contains(s, "m=video 30000 RTP/AVP 96\r\n") || strings.Contains(s, "nack\r\n") || strings.Contains(s, "remb") {
		t.Error(s)
	}
}

// TestH264 holds the choice among payload types, and what is said about it.
func TestH264(t *testing.T) {
	offer := func(fmtps ...string) string {
		b := head + "m=video 5002 RTP/AVP"
		for i := range fmtps {
			b += fmt.Sprintf(" %d", 96+i)
		}
		for i, f := range fmtps {
			b += fmt.Sprintf("\r\na=rtpmap:%d H264/90000", 96+i)
			if f != "" {
				b += fmt.Sprintf("\r\na=fmtp:%d %s", 96+i, f)
			}
		}
		return b + "\r\n"
	}
	for _, c := range []struct {
		wish   string
		fmtps  []string
		pt     uint8
		answer string
	}{
		{"", []string{""}, 96, "profile-level-id=42001F"},
		{"profile-level-id=42E028", []string{""}, 96, "profile-level-id=420028"},
		{"", []string{"profile-level-id=42801F"}, 96, "profile-level-id=42801F"},
		{"", []string{"profile-level-id=42801F;packetization-mode=0"}, 96, "profile-level-id=42801F;packetization-mode=0"},
		{"", []string{"packetization-mode=0", "packetization-mode=1"}, 97, "profile-level-id=42001F;packetization-mode=1"},
		{"", []string{"profile-level-id=640028;packetization-mode=1", "profile-level-id=42E01F;packetization-mode=1"}, 96, "profile-level-id=640028;packetization-mode=1"},
		{"profile-level-id=42E01F", []string{"profile-level-id=640028;packetization-mode=1", "profile-level-id=42E01F;packetization-mode=1"}, 97, "profile-level-id=42E01F;packetization-mode=1"},
		{"profile-level-id=42801F", []string{"profile-level-id=640028;packetization-mode=1", "profile-level-id=42E01F;packetization-mode=1"}, 97, "profile-level-id=42E01F;packetization-mode=1"},
		{"profile-level-id=42E01F", []string{"profile-level-id=42E01F", "profile-level-id=640028;packetization-mode=1"}, 97, "profile-level-id=64001F;packetization-mode=1"},
		{"packetization-mode=0", []string{"packetization-mode=1", "packetization-mode=0"}, 97, "profile-level-id=42001F;packetization-mode=0"},
		// The level: that of the wish, but not above an offer without asymmetry.
		{"profile-level-id=42801F", []string{"profile-level-id=42E00C"}, 96, "profile-level-id=42E00C"},
		{"profile-level-id=42801F", []string{"profile-level-id=42E00C;level-asymmetry-allowed=1"}, 96, "profile-level-id=42E01F;level-asymmetry-allowed=1"},
		{"profile-level-id=42801F", []string{"profile-level-id=42F00B;level-asymmetry-allowed=1"}, 96, "profile-level-id=42E01F;level-asymmetry-allowed=1"},
		{"profile-level-id=42801F", []string{"profile-level-id=64001F"}, 96, "profile-level-id=64001F"},
		// What describes a side is said by that side only.
		{"profile-level-id=42801F;max-mbps=40500;sprop-parameter-sets=Z0IADw==", []string{"profile-level-id=42801F;max-fs=3600;max-br=9;sprop-parameter-sets=Z0IADw==;packetization-mode=1"}, 96,
			"profile-level-id=42801F;packetization-mode=1;max-mbps=40500"},
	} {
		caps := &Capabilities{Video: MediaCapabilities{Codecs: []Codec{{Codec: media.H264, FMTP: c.wish}}}}
		a := mustMatch(t, caps, nil, offer(c.fmtps...))
		l := a.Line(Video)
		if l.Send.First().PayloadType != c.pt || len(l.Send.Formats()) != 1 || len(l.Recv.Formats()) != len(c.fmtps) {
			t.Errorf("%q for %q: payload type %d", c.wish, c.fmtps, l.Send.First().PayloadType)
		}
		want := fmt.Sprintf("a=fmtp:%d %s\r\n", c.pt, c.answer)
		if s := string(a.MarshalAnswer(localFor(a))); !strings.Contains(s, want) {
			t.Errorf("%q for %q: no %q in\n%s", c.wish, c.fmtps, want, s)
		}
	}
}

// TestOneVideoCodec: what comes in goes out as it is, so there is no choice to
// leave to the peer.
func TestOneVideoCodec(t *testing.T) {
	const both = "m=video 5002 RTP/AVP 98 96\r\na=rtpmap:98 H265/90000\r\na=rtpmap:96 H264/90000\r\n"
	for want, caps := range map[string]*Capabilities{
		"[96]": nil,
		"[98]": {OfferOrder: true},
	} {
		if got := fmt.Sprint(sendTypes(mustMatch(t, caps, nil, head+both).Line(Video))); got != want {
			t.Errorf("got %s, want %s", got, want)
		}
	}
}

func TestRefusedLineHasNoKey(t *testing.T) {
	key := "a=crypto:1 AES_CM_128_HMAC_SHA1_80 inline:CfTLyqpSFNTYbDAuv4XKvL6RVO4aMcoRJvNSgo4B\r\n"
	a := mustMatch(t, nil, nil, head+"m=audio 5000 RTP/SAVP 18\r\n"+key+"m=audio 5000 RTP/SAVP 0\r\n"+key)
	if a.Lines[0].Crypto != nil || a.Lines[1].Crypto == nil {
		t.Errorf("%v %v", a.Lines[0].Crypto, a.Lines[1].Crypto)
	}
}

func sendTypes(l *Line) (list []uint8) {
	for _, f := range l.Send.Formats() {
		list = append(list, f.PayloadType)
	}
	return list
}

func TestCodecPreference(t *testing.T) {
	const offer = head + "m=audio 5000 RTP/AVP 0 8 9 96 101 97 13 18\r\na=rtpmap:96 opus/48000/2\r\na=rtpmap:101 telephone-event/8000\r\na=rtpmap:97 telephone-event/48000\r\n"
	audio := func(list ...media.Codec) (m MediaCapabilities) {
		for _, c := range list {
			m.Codecs = append(m.Codecs, Codec{Codec: c})
		}
		return m
	}
	for name, c := range map[string]struct {
		caps Capabilities
		want string
	}{
		"default":               {Capabilities{}, "[96 9 0 8 101 97]"},
		"order of the offer":    {Capabilities{OfferOrder: true}, "[0 8 9 96 101 97]"},
		"ours":                  {Capabilities{Audio: audio(media.PCMA, media.PCMU)}, "[8 0 101]"},
		"no events":             {Capabilities{Audio: audio(media.PCMA), NoEvents: true}, "[8]"},
		"Opus only":             {Capabilities{Audio: audio(media.Opus)}, "[96 97]"},
		"template":              {Capabilities{Template: mustTemplate(t, "m=audio 9 RTP/AVP 8 96\na=rtpmap:96 OPUS/48000/2")}, "[8 96 101 97]"},
		"template without any":  {Capabilities{Template: mustTemplate(t, "m=audio 9 RTP/AVP 18 99")}, "[96 9 0 8 101 97]"},
		"template over codecs":  {Capabilities{Template: mustTemplate(t, "m=audio 9 RTP/AVP 8"), Audio: audio(media.PCMU)}, "[8 101]"},
		"template without them": {Capabilities{Template: mustTemplate(t, "b=AS:1\nc=IN IP4 0.0.0.0\na=recvonly\n"), Audio: audio(media.PCMU)}, "[0 101]"},
		"comfort noise":         {Capabilities{Template: mustTemplate(t, "m=audio 9 RTP/AVP 8 13")}, "[8 101 13]"},
	} {
		a := mustMatch(t, &c.caps, nil, offer)
		if got := fmt.Sprint(sendTypes(a.Line(Audio))); got != c.want {
			t.Errorf("%s: got %s, want %s", name, got, c.want)
		}
		if n := len(a.Line(Audio).Recv.Formats()); n != 7 {
			t.Errorf("%s: %d formats may come", name, n)
		}
		if e := a.Line(Audio).Send.Event(8000); !c.caps.NoEvents && e == nil {
			t.Errorf("%s: no telephone-event", name)
		}
	}
	twice := mustMatch(t, nil, nil, head+"m=audio 5000 RTP/AVP 0 101 102\r\na=rtpmap:101 telephone-event/8000\r\na=rtpmap:102 telephone-event/8000\r\n")
	if got := fmt.Sprint(sendTypes(twice.Line(Audio))); got != "[0 101]" {
		t.Errorf("two of a kind: %s", got)
	}
	_, err := Match(&Capabilities{Strict: true, Template: mustTemplate(t, "m=audio 9 RTP/AVP 18")}, nil, mustParse(t, offer))
	var no *NotAcceptableError
	if !errors.As(err, &no) || no.Reason != ReasonFormat || no.SIPStatus() != 488 || no.SIPWarning() != 305 {
		t.Errorf("strict: %v", err)
	}
}

func TestReasons(t *testing.T) {
	for _, c := range []struct {
		body    string
		caps    Capabilities
		reason  Reason
		warning int
	}{
		{"", Capabilities{}, ReasonNone, 304},
		{"m=audio 0 RTP/AVP 0\r\n", Capabilities{}, ReasonDisabled, 304},
		{"m=image 9 udptl t38\r\n", Capabilities{}, ReasonMediaType, 304},
		{"m=application 9 RTP/AVP 100\r\na=rtpmap:100 H224/4800\r\n", Capabilities{}, ReasonMediaType, 304},
		{"m=audio 9 TCP/RTP/AVP 0\r\n", Capabilities{}, ReasonTransport, 302},
		{"m=audio 9 UDP/TLS/RTP/SAVPF 0\r\n", Capabilities{}, ReasonDTLS, 302},
		{"a=fingerprint:sha-256 AA\r\nm=audio 9 RTP/SAVPF 0\r\n", Capabilities{}, ReasonDTLS, 302},
		{"m=audio 9 RTP/SAVP 0\r\na=crypto:1 AES_192_CM_HMAC_SHA1_80 inline:AAAA\r\n", Capabilities{}, ReasonCrypto, 302},
		{"m=audio 9 RTP/SAVP 0\r\n", Capabilities{SRTP: SRTPOff}, ReasonSRTP, 302},
		{"m=audio 9 RTP/AVP 0\r\n", Capabilities{SRTP: SRTPRequired}, ReasonPlain, 302},
		{"m=audio 9 RTP/AVP 18 96\r\na=rtpmap:96 iLBC/8000\r\n", Capabilities{}, ReasonFormat, 305},
		{"m=audio 9 RTP/AVP 101\r\na=rtpmap:101 telephone-event/8000\r\n", Capabilities{}, ReasonFormat, 305},
		{"m=audio 9 RTP/AVP 0\r\n", Capabilities{Audio: MediaCapabilities{Off: true}}, ReasonSwitchedOff, 304},
		{"m=video 0 RTP/AVP 96\r\nm=audio 9 RTP/AVP 0\r\n", Capabilities{Template: mustTemplate(t, "m=audio 0 RTP/AVP 0")}, ReasonSwitchedOff, 304},
	} {
		_, err := Match(&c.caps, nil, mustParse(t, head+c.body))
		var no *NotAcceptableError
		if !errors.As(err, &no) || no.Reason != c.reason || no.SIPWarning() != c.warning {
			t.Errorf("%s: %v", c.body, err)
		}
	}
	_, err := Match(nil, nil, mustParse(t, head+strings.Repeat("m=text 9 weird "+strings.Repeat("x", 500)+"\r\n", 60)))
	if err == nil || len(err.Error()) > 500 {
		t.Errorf("a refusal of %d bytes", len(err.Error()))
	}
}

// TestLines: which m-lines are taken.
func TestLines(t *testing.T) {
	slides := "m=video 5010 RTP/AVP 97\r\na=rtpmap:97 H264/90000\r\na=content:slides\r\na=label:12\r\na=mid:s\r\n"
	only := func(block string) *Template { return mustTemplate(t, block) }
	for name, c := range map[string]struct {
		body string
		caps Capabilities
		want string
	}{
		"both":                     {audioOffer + videoOffer, Capabilities{}, "audio, video"},
		"video first":              {videoOffer + audioOffer, Capabilities{}, "video, audio"},
		"two audio lines":          {audioOffer + audioOffer, Capabilities{}, "audio, (second line of its kind)"},
		"first one unusable":       {"m=audio 9 RTP/AVP 18\r\n" + audioOffer, Capabilities{}, "(incompatible media format), audio"},
		"slides refused":           {audioOffer + videoOffer + slides, Capabilities{}, "audio, video, (second line of its kind)"},
		"slides":                   {slides + audioOffer + videoOffer + slides, Capabilities{Slides: true}, "video slides, audio, video, (second line of its kind)"},
		"slides before the camera": {slides + videoOffer, Capabilities{}, "(second line of its kind), video"},
		"slides alone":             {slides, Capabilities{}, "video slides"},
		"no video":                 {audioOffer + videoOffer, Capabilities{Video: MediaCapabilities{Off: true}}, "audio, (media type switched off)"},
		"template of audio":        {audioOffer + videoOffer, Capabilities{Template: only("m=audio 9 RTP/AVP 0")}, "audio, (media type switched off)"},
		"template of video":        {audioOffer + videoOffer, Capabilities{Template: only("m=video 9 RTP/AVP 96\na=rtpmap:96 H264/90000")}, "(media type switched off), video"},
		"template of the other":    {"m=audio 9 RTP/AVP 18\r\n" + videoOffer, Capabilities{Template: only("m=audio 9 RTP/AVP 0")}, "(incompatible media format), video"},
		"template refuses video":   {audioOffer + videoOffer, Capabilities{Template: only("m=audio 9 RTP/AVP 0\nm=video 0 RTP/AVP 96")}, "audio, (media type switched off)"},
		"T.38, BFCP, FECC": {audioOffer + "m=image 9 udptl t38\r\nm=application 9 TCP/BFCP *\r\nm=application 9 RTP/AVP 100\r\n", Capabilities{},
			"audio, (media type not available), (media type not available), (media type not available)"},
	} {
		a := mustMatch(t, &c.caps, nil, head+c.body)
		var list []string
		for i, l := range a.Lines {
			text := "(" + l.Reason.String() + ")"
			if l.Accepted {
				if text = l.Kind.String(); l.Content != "" {
					text += " " + l.Content
				}
			}
			if l.Index != i {
				t.Errorf("%s: index %d", name, l.Index)
			}
			list = append(list, text)
		}
		if got := strings.Join(list, ", "); got != c.want {
			t.Errorf("%s: got %s, want %s", name, got, c.want)
		}
		if name == "slides" && a.Line(Video).Index != 2 {
			t.Errorf("the video line is %d", a.Line(Video).Index)
		}
		followsOffer(t, mustParse(t, head+c.body), a.MarshalAnswer(localFor(a)))
	}
}

// TestWithinDialog: lines that go, come back, and are added.
func TestWithinDialog(t *testing.T) {
	off := strings.Replace(videoOffer, "5002", "0", 1)
	var prev *Agreed
	var body []byte
	for i, c := range []struct {
		offer string
		lines int
		video bool
	}{
		{audioOffer, 1, false},
		{audioOffer + videoOffer, 2, true},
		{audioOffer + off, 2, false},
		{audioOffer + videoOffer, 2, true},
		{strings.Replace(audioOffer, "5000", "0", 1) + off, 2, false},
		{audioOffer + videoOffer + "m=image 9 udptl t38\r\n", 3, true},
	} {
		a := mustMatch(t, nil, prev, head+c.offer)
		if len(a.Lines) != c.lines || (a.Line(Video) != nil) != c.video {
			t.Errorf("%d: %d lines", i, len(a.Lines))
		}
		local := localFor(a)
		local.Prev = body
		body = a.MarshalAnswer(local)
		if want := fmt.Sprintf("o=- 77 %d IN", i+1); !strings.Contains(string(body), want) {
			t.Errorf("%d: no %q in\n%s", i, want, body)
		}
		followsOffer(t, mustParse(t, head+c.offer), body)
		local.Prev = body
		if again := a.MarshalAnswer(local); string(again) != string(body) {
			t.Errorf("%d: an answer that says the same is\n%s", i, again)
		}
		prev = a
	}
}

func TestMarshalWithoutPorts(t *testing.T) {
	a := mustMatch(t, nil, nil, head+audioOffer+videoOffer)
	body := string(a.MarshalAnswer(Local{Lines: []LocalLine{{RTPPort: 70000}}}))
	if !strings.Contains(body, "m=audio 0 ") || !strings.Contains(body, "m=video 0 ") || !strings.Contains(body, "c=IN IP4 0.0.0.0") {
		t.Error(body)
	}
	strict(t, []byte(body))
	var none *Agreed
	if none.MarshalAnswer(Local{}) != nil || none.Line(Audio) != nil {
		t.Error("something is made of nothing")
	}
}
