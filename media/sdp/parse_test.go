package sdp

import (
	"errors"
	"fmt"
	"net/netip"
	"reflect"
	"strings"
	"testing"
)

const plainCall = "v=0\r\no=- 1 2 IN IP4 192.0.2.1\r\ns=-\r\nc=IN IP4 192.0.2.1\r\nb=AS:100\r\nt=0 0\r\na=sendonly\r\n" +
	"m=audio 5000 RTP/AVP 0 101\r\na=rtpmap:101 telephone-event/8000\r\nm=video 5002 RTP/AVP 96\r\na=rtpmap:96 H264/90000\r\n"

func TestParseIsTolerant(t *testing.T) {
	want := mustParse(t, plainCall)
	if want.Origin != (Origin{"-", "1", "2", "192.0.2.1"}) || len(want.Media) != 2 || want.direction(want.Media[0]) != SendOnly {
		t.Fatalf("%+v", want)
	}
	for name, body := range map[string]string{
		"LF":                strings.ReplaceAll(plainCall, "\r\n", "\n"),
		"CR":                strings.ReplaceAll(plainCall, "\r\n", "\r"),
		"CR CR LF":          strings.ReplaceAll(plainCall, "\r\n", "\r\r\n"),
		"no final newline":  strings.TrimSuffix(plainCall, "\r\n"),
		"NULs at the end":   plainCall + "\x00\x00",
		"byte order mark":   "\ufeff" + plainCall,
		"empty lines":       strings.ReplaceAll(plainCall, "\r\n", "\r\n\r\n"),
		"white space":       strings.ReplaceAll(plainCall, "\r\n", " \t\r\n  "),
		"no v=, s=, t=":     strings.NewReplacer("v=0\r\n", "", "s=-\r\n", "", "t=0 0\r\n", "").Replace(plainCall),
		"b= before c=":      strings.Replace(plainCall, "c=IN IP4 192.0.2.1\r\nb=AS:100\r\n", "b=AS:100\r\nc=IN IP4 192.0.2.1\r\n", 1),
		"a= before o=":      "a=sendonly\r\n" + strings.Replace(plainCall, "a=sendonly\r\n", "", 1),
		"unknown lines":     strings.Replace(plainCall, "t=0 0\r\n", "t=0 0\r\ny=0123456789\r\nf=v/////\r\nwhat is this\r\nz\r\n", 1),
		"unusable b= lines": strings.Replace(plainCall, "b=AS:100\r\n", "b=AS:100\r\nb=AS:-1\r\nb=AS\r\nb=X:y\r\n", 1),
	} {
		if got := mustParse(t, body); !reflect.DeepEqual(got, want) {
			t.Errorf("%s: got %+v, want %+v", name, got, want)
		}
	}
}

func TestParseMedia(t *testing.T) {
	d := mustParse(t, "m=IMAGE 5/2 udptl t38\nc=IN IP4 224.2.1.1/127/3\nc=IN IP4 224.2.1.2/127\nm=audio 1 TCP/RTP/AVP\nc=IN IP4 sbc_1.example.com\n"+
		"m=chat 2 weird/proto a b\nc=ATM NSAP 47\nm=audio 3 RTP/AVP 0\nc=IN IP6 [2001:db8::1]\nm=audio 3 RTP/AVP 0\nc=IN IP6 ::ffff:1.2.3.4\na= X : y:z \na=flag\n")
	addr := netip.MustParseAddr
	for i, want := range []Media{
		{Type: "image", typ: "IMAGE", Port: 5, Proto: "udptl", Formats: []string{"t38"}, Connection: Connection{Addr: addr("224.2.1.1")}},
		{Type: "audio", typ: "audio", Port: 1, Proto: "TCP/RTP/AVP", Formats: []string{}, Connection: Connection{Host: "sbc_1.example.com"}},
		{Type: "chat", typ: "chat", Port: 2, Proto: "weird/proto", Formats: []string{"a", "b"}},
		{Type: "audio", typ: "audio", Port: 3, Proto: "RTP/AVP", Formats: []string{"0"}, Connection: Connection{Addr: addr("2001:db8::1")}},
		{Type: "audio", typ: "audio", Port: 3, Proto: "RTP/AVP", Formats: []string{"0"}, Connection: Connection{Addr: addr("1.2.3.4")},
			Attributes: []Attribute{{"X", "y:z"}, {"flag", ""}}},
	} {
		if got := *d.Media[i]; !reflect.DeepEqual(got, want) {
			t.Errorf("line %d: got %+v, want %+v", i, got, want)
		}
	}
	if v, ok := d.Media[4].Attribute("x"); !ok || v != "y:z" {
		t.Errorf("attribute %q", v)
	}
}

func TestParseErrors(t *testing.T) {
	many := func(line string, n int) string { return "v=0\n" + strings.Repeat(line+"\n", n) }
	for name, c := range map[string]struct {
		body string
		err  error
		line int
	}{
		"empty":         {"", ErrEmpty, 0},
		"blank":         {" \r\n\r\n\x00", ErrEmpty, 0},
		"prose":         {"Busy here, call later", ErrNotSDP, 0},
		"HTML":          {"<html lang=\"en\">\n<b>=</b>", ErrNotSDP, 0},
		"attributes":    {"a=sendrecv\nb=AS:1\n", ErrNotSDP, 0},
		"too long":      {"v=0\n" + strings.Repeat("x", maxBody), ErrTooLarge, 0},
		"many lines":    {many("a=x", maxLines), ErrTooLarge, 0},
		"many m-lines":  {many("m=audio 0 RTP/AVP 0", maxMedia+1), ErrTooLarge, maxMedia + 2},
		"many formats":  {"m=audio 0 RTP/AVP" + strings.Repeat(" 0", maxFormats+1), ErrTooLarge, 1},
		"short m=":      {"v=0\r\n\r\nm=audio 5000\r\n", ErrSyntax, 3},
		"no port":       {"v=0\nm=audio x RTP/AVP 0", ErrSyntax, 2},
		"port too high": {"v=0\nm=audio 65536 RTP/AVP 0", ErrSyntax, 2},
		"negative port": {"v=0\nm=audio -1 RTP/AVP 0", ErrSyntax, 2},
		"not ASCII":     {"m=audio 1 RTP/AVP \u0660", ErrSyntax, 1},
		"short c=":      {"v=0\nc=IN IP4\n", ErrSyntax, 2},
		"c= of nothing": {"v=0\nc=IN IP4 ?\n", ErrSyntax, 2},
	} {
		d, err := Parse([]byte(c.body))
		if d != nil || !errors.Is(err, c.err) {
			t.Errorf("%s: %v", name, err)
			continue
		}
		var p *ParseError
		if errors.As(err, &p) && (p.Line != c.line || len(p.Text) > 80 || p.SIPStatus() != 400 || p.SIPWarning() != 399) {
			t.Errorf("%s: %+v", name, p)
		}
		if len(err.Error()) > 250 {
			t.Errorf("%s: message of %d bytes", name, len(err.Error()))
		}
	}
	if _, err := Parse([]byte(many("a=x", maxLines-1))); err != nil {
		t.Error(err)
	}
}

func TestFormats(t *testing.T) {
	for text, want := range map[string]string{
		"RTP/AVP 0 8 9 13 18":                                             "0 PCMU 8000/1, 8 PCMA 8000/1, 9 G722 8000/1, 13 CN 8000/1",
		"RTP/AVP 0 0 x 200 -1":                                            "0 PCMU 8000/1",
		"RTP/AVP 96":                                                      "",
		"RTP/AVP 0\na=rtpmap:0 iLBC/8000":                                 "",
		"RTP/AVP 96\na=rtpmap:96 OPUS/48000":                              "96 OPUS 48000/2",
		"RTP/AVP 96\na=rtpmap:96 opus/48000/1":                            "96 opus 48000/2",
		"RTP/AVP 96\na=rtpmap:96 opus/16000/2":                            "",
		"RTP/AVP 96\na=rtpmap:96 opu\u017f/48000/2":                       "",
		"RTP/AVP 9\na=rtpmap:9 G722/16000/1":                              "9 G722 8000/1",
		"RTP/AVP 0\na=rtpmap:0 PCMU/16000":                                "",
		"RTP/AVP 0\na=rtpmap:0 PCMU/8000/2":                               "",
		"RTP/AVP 0\na=rtpmap:0 PCMU/8000/x":                               "",
		"RTP/AVP 0\na=rtpmap:0 PCMU/x":                                    "",
		"RTP/AVP 0\na=rtpmap:0  pcmu / 8000 / 1 ":                         "0 pcmu 8000/1",
		"RTP/AVP 101 99\na=rtpmap:101 Telephone-Event/48000":              "101 Telephone-Event 48000/1",
		"RTP/AVP 97\na=rtpmap:97 PCMA/8000\na=rtpmap:97 H264/90000":       "97 PCMA 8000/1",
		"RTP/AVP 97\na=RTPMAP:97 PCMA/8000\na=rtpmap:1000 x\na=rtpmap:97": "97 PCMA 8000/1",
	} {
		var got []string
		for _, f := range formatsOf(mustParse(t, "m=audio 1 "+text).Media[0], Audio, nil) {
			got = append(got, fmt.Sprintf("%d %s %d/%d", f.PayloadType, f.Name, f.ClockRate, f.Channels))
		}
		if s := strings.Join(got, ", "); s != want {
			t.Errorf("%s: got %q, want %q", text, s, want)
		}
	}
}

func TestFormatParameters(t *testing.T) {
	video := func(encoding, fmtp string) *Format {
		f, ok := newFormat(96, Video, encoding, fmtp)
		if !ok {
			return nil
		}
		return &f
	}
	f := video("H264/90000", "Profile-Level-ID=64001f; packetization-mode=1;level-asymmetry-allowed=1; sprop-parameter-sets=Z0IADw==,aM48gA,,!!,qg==;max-fs=3600;max-mbps=108000;max-br=2000;")
	if h := f.H264; h.PacketizationMode != 1 || h.ProfileLevelID != 0x64001f || !h.ProfileStated || !h.LevelAsymmetry ||
		h.MaxFS != 3600 || h.MaxMBPS != 108000 || h.MaxBR != 2000 || len(h.SPS) != 1 || len(h.PPS) != 1 || h.SPS[0][0] != 0x67 || f.Channels != 0 {
		t.Errorf("%+v", h)
	}
	for _, fmtp := range []string{"", "profile-level-id=4200", "profile-level-id=xyz123;packetization-mode=x;max-fs=-1"} {
		if h := video("H264/90000", fmtp).H264; h.ProfileStated || h.ProfileLevelID != 0x42000a || h.PacketizationMode != 0 || h.MaxFS != 0 {
			t.Errorf("%q: %+v", fmtp, h)
		}
	}
	if video("H264/90000", "packetization-mode=2") != nil || video("H264/8000", "") != nil || video("H265/90000", "tx-mode=MRST") != nil || video("VP8/90000", "") != nil {
		t.Error("a format that we cannot receive is taken")
	}
	if h := video("H265/90000", "level-id=120;sprop-vps=QAE=;sprop-sps=QgE=;sprop-pps=RAE=;sprop-max-don-diff=2").H265; h.ProfileID != 1 || h.LevelID != 120 ||
		len(h.VPS)+len(h.SPS)+len(h.PPS) != 3 || h.MaxDONDiff != 2 {
		t.Errorf("%+v", h)
	}
	o, _ := newFormat(96, Audio, "opus/48000/2", "stereo=1;sprop-stereo=1;useinbandfec=1;usedtx=1;cbr=1;maxplaybackrate=16000;maxaveragebitrate=20000")
	if *o.Opus != (OpusParams{true, true, true, true, true, 16000, 20000}) {
		t.Errorf("%+v", o.Opus)
	}
	// Parameters may be spread over several lines.
	d := mustParse(t, "m=video 1 RTP/AVP 96\na=rtpmap:96 H264/90000\na=fmtp:96 profile-level-id=42E01F\na=fmtp:96 packetization-mode=1")
	if h := formatsOf(d.Media[0], Video, nil)[0].H264; h.PacketizationMode != 1 || !h.ProfileStated {
		t.Errorf("%+v", h)
	}
}

func TestParseCrypto(t *testing.T) {
	const key30 = "CfTLyqpSFNTYbDAuv4XKvL6RVO4aMcoRJvNSgo4B"
	for text, want := range map[string]string{
		"1 AES_CM_128_HMAC_SHA1_80 inline:" + key30:                               "1 AES_CM_128_HMAC_SHA1_80",
		"7 aes_cm_128_hmac_sha1_32 inline:" + key30 + "|2^20":                     "7 AES_CM_128_HMAC_SHA1_32",
		"1 AES_CM_128_HMAC_SHA1_80 inline:" + key30 + "|2^20|5:4":                 "1 AES_CM_128_HMAC_SHA1_80 00000005",
		"1 AES_CM_128_HMAC_SHA1_80 inline:" + key30 + "|5:0":                      "",
		"1 AES_CM_128_HMAC_SHA1_80 inline:" + key30 + "|300:1":                    "",
		"1 AES_CM_128_HMAC_SHA1_80 inline:" + key30 + " WSH=64":                   "1 AES_CM_128_HMAC_SHA1_80",
		"1 AES_CM_128_HMAC_SHA1_80 inline:" + key30 + " UNENCRYPTED_SRTP":         "",
		"1 AES_CM_128_HMAC_SHA1_80 inline:" + key30 + ";inline:" + key30:          "",
		"1 AES_CM_128_HMAC_SHA1_80 inline:AAAA":                                   "",
		"1 AES_256_CM_HMAC_SHA1_80 inline:" + key30:                               "",
		"1 AEAD_AES_128_GCM inline:AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGw==":      "1 AEAD_AES_128_GCM",
		"x AES_CM_128_HMAC_SHA1_80 inline:" + key30:                               "",
		"-1 AES_CM_128_HMAC_SHA1_80 inline:" + key30:                              "",
		"1 AES_CM_128_HMAC_SHA1_80 " + key30:                                      "",
		"1 AES_CM_128_HMAC_SHA1_80":                                               "",
		"1 AES_CM_128_HMAC_SHA1_80 inline:" + strings.Replace(key30, "C", "!", 1): "",
	} {
		c, ok := parseCrypto(text)
		got := ""
		if ok {
			got = c.String()
			if c.MKI != nil {
				got += fmt.Sprintf(" %x", c.MKI)
			}
		}
		if got != want {
			t.Errorf("%s: got %q, want %q", text, got, want)
		}
		if ok && (strings.Contains(c.String(), key30) || strings.Contains(c.LogValue().String(), "CfTL")) {
			t.Error("the key is printed")
		}
	}
}
