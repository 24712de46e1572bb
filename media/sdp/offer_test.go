package sdp

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/trunkcast/trunkcast/media"
)

// exchange lets one side answer the other's offer.
func exchange(t *testing.T, o *Offered, caps *Capabilities, prev *Agreed) (ours, theirs *Agreed) {
	t.Helper()
	body := o.Marshal(localForOffer(o))
	strict(t, body)
	theirs = mustMatch(t, caps, prev, string(body))
	answer := theirs.MarshalAnswer(localFor(theirs))
	followsOffer(t, mustParse(t, string(body)), answer)
	ours, err := o.Accept(mustParse(t, string(answer)))
	if err != nil {
		t.Fatalf("%v: answer\n%s", err, answer)
	}
	return ours, theirs
}

func TestOfferGolden(t *testing.T) {
	trunk := mustTemplate(t, trunkBlock)
	for name, caps := range map[string]*Capabilities{
		"default": nil,
		"trunk":   {Template: trunk, Lines: mustLines(t, "b=AS:2000", "b=RS:50", "b=RR:100", "i=a trunk", "a=charset:utf-8", "video:b=AS:1500", "video:a=framerate:25", "audio:a=maxptime:40")},
		"strict":  {Template: trunk, Strict: true, SRTP: SRTPRequired, FeedbackOff: Feedback{NACK: true, TMMBR: true}},
		"audio":   {Video: MediaCapabilities{Off: true}, Audio: MediaCapabilities{Direction: SendOnly, PTime: 20e6, MaxBitRate: 64000}, NoEvents: true, NoMux: true},
		"chosen": {Audio: MediaCapabilities{Codecs: []Codec{{Codec: media.PCMA, PayloadType: 99}, {Codec: media.AAC}, {Codec: media.Opus, PayloadType: 101, FMTP: "stereo=1"}}},
			Video: MediaCapabilities{Codecs: []Codec{{Codec: media.H264, FMTP: "packetization-mode=0", PayloadType: 72}}}},
		"several": {Template: mustTemplate(t, "o=me 1 1 IN IP4 0.0.0.0\ns=A trunk\nb=CT:3000\na=tool:ours\na=group:BUNDLE a\nm=video 9 RTP/AVP 100 101\na=rtpmap:100 H264/90000\na=fmtp:100 profile-level-id=640028;packetization-mode=1\n"+
			"a=rtpmap:101 H264/90000\na=fmtp:101 profile-level-id=42E01F\na=content:main\nm=audio 9 RTP/AVP 8 13 120\na=rtpmap:120 telephone-event/8000\na=ptime:30\n"), Strict: true},
	} {
		o := NewOffer(caps, nil)
		body := o.Marshal(localForOffer(o))
		strict(t, body)
		golden(t, "testdata/ours/"+name+".sdp", body)
	}
}

func TestOfferIsAnswered(t *testing.T) {
	trunk := mustTemplate(t, trunkBlock)
	for _, c := range []struct {
		ours, theirs  *Capabilities
		audio, video  media.Codec
		direction     Direction
		mux, feedback bool
	}{
		{nil, nil, media.Opus, media.H264, SendRecv, true, true},
		{nil, &Capabilities{NoMux: true}, media.Opus, media.H264, SendRecv, false, true},
		{&Capabilities{NoMux: true}, nil, media.Opus, media.H264, SendRecv, false, true},
		{&Capabilities{Template: trunk}, nil, media.Opus, media.H264, RecvOnly, true, true},
		{nil, &Capabilities{Template: trunk, Strict: true}, media.Opus, media.H264, SendOnly, true, true},
		{nil, &Capabilities{Audio: MediaCapabilities{Codecs: []Codec{{Codec: media.PCMU}}}, Video: MediaCapabilities{Codecs: []Codec{{Codec: media.H265}}}}, media.PCMU, media.H265, SendRecv, true, true},
		{&Capabilities{SRTP: SRTPRequired}, nil, media.Opus, media.H264, SendRecv, true, true},
		{&Capabilities{Video: MediaCapabilities{Off: true}}, nil, media.Opus, "", SendRecv, true, false},
	} {
		o := NewOffer(c.ours, nil)
		ours, theirs := exchange(t, o, c.theirs, nil)
		for i, l := range ours.Lines {
			p := theirs.Lines[i]
			want := c.audio
			if l.Kind == Video {
				want = c.video
			}
			if l.Send.First().Codec != want || p.Send.First().Codec != want || l.Direction != c.direction || p.Direction != c.direction.Reverse() || l.Mux != c.mux || p.Mux != c.mux {
				t.Errorf("%+v: got %+v and %+v", c, l, p)
			}
			if l.Kind == Video && (l.Feedback != p.Feedback || l.Feedback.PLI != c.feedback) {
				t.Errorf("feedback %+v and %+v", l.Feedback, p.Feedback)
			}
			for _, f := range p.Send.Formats() {
				if r := l.Recv.Lookup(f.PayloadType); r == nil || r.Name != f.Name {
					t.Errorf("payload type %d may come and is not known", f.PayloadType)
				}
			}
			if secure := c.ours != nil && c.ours.SRTP == SRTPRequired; secure != (l.Crypto != nil) || secure != (p.Crypto != nil) {
				t.Errorf("crypto %v and %v", l.Crypto, p.Crypto)
			}
		}
	}
}

// accept gives an answer to an offer of the default capabilities.
func accept(t *testing.T, o *Offered, lines string) *Agreed {
	t.Helper()
	a, err := o.Accept(mustParse(t, head+lines))
	if err != nil {
		t.Fatal(err)
	}
	return a
}

func TestAccept(t *testing.T) {
	o := NewOffer(nil, nil)
	// A phone that knows packetization mode 0 only.
	a := accept(t, o, "m=audio 5000 RTP/AVP 8 101\r\na=rtpmap:101 telephone-event/8000\r\nm=video 5002 RTP/AVP 97\r\na=rtpmap:97 H264/90000\r\na=fmtp:97 packetization-mode=0;profile-level-id=42e01f\r\n")
	if f := a.Line(Video).Send.First(); f.PayloadType != 97 || f.H264.PacketizationMode != 0 {
		t.Errorf("%+v", f)
	}
	if f := a.Line(Audio).Send.First(); f.Codec != media.PCMA || a.Line(Audio).Send.Event(8000) == nil {
		t.Errorf("%+v", f)
	}
	if n := len(a.Line(Audio).Recv.Formats()); n != 6 {
		t.Errorf("%d formats may come", n)
	}
	// Sloppy ones: no mode, no rtpmap, other numbers, AVPF, one line only.
	a = accept(t, o, "m=audio 5000 RTP/AVPF 107\r\nm=video 5002 RTP/AVPF 96\r\na=fmtp:96 profile-level-id=42e01f\r\n")
	if f := a.Line(Video).Send.First(); f.PayloadType != 96 || f.H264.PacketizationMode != 1 || a.Line(Audio).Send.First().Codec != media.Opus {
		t.Errorf("%+v", f)
	}
	a = accept(t, o, "m=audio 5000 RTP/AVP 0\r\nm=video 5002 RTP/AVP 120\r\na=rtpmap:120 H264/90000\r\na=fmtp:120 packetization-mode=1\r\n")
	if l := a.Line(Video); l.Send.First().PayloadType != 120 || l.Recv.Lookup(120) == nil || l.Recv.Lookup(96) == nil || l.Send.First().H264.PacketizationMode != 1 {
		t.Errorf("%+v", l)
	}
	a = accept(t, o, audioOffer)
	if len(a.Lines) != 2 || a.Lines[1].Accepted || a.Lines[1].Reason != ReasonDisabled || a.MarshalAnswer(Local{}) != nil {
		t.Errorf("%+v", a.Lines[1])
	}
	a = accept(t, o, audioOffer+"m=video 0 RTP/AVP 96\r\n")
	if re := ReOffer(nil, a); a.Lines[1].Accepted || re.Lines[1].Active || !re.Lines[0].Active {
		t.Errorf("a refused line is offered again: %+v", re.Lines)
	}
	a = accept(t, o, audioOffer+"a=sendonly\r\n"+videoOffer+"m=audio 9 RTP/AVP 0\r\n")
	if len(a.Lines) != 2 || a.Line(Audio).Direction != RecvOnly || !a.Line(Audio).Held() || a.Origin.SessionID != "1" {
		t.Errorf("%+v", a.Line(Audio))
	}
}

func TestAcceptRefuses(t *testing.T) {
	key := "a=crypto:1 AES_CM_128_HMAC_SHA1_80 inline:CfTLyqpSFNTYbDAuv4XKvL6RVO4aMcoRJvNSgo4B\r\n"
	secure := &Capabilities{SRTP: SRTPRequired}
	for _, c := range []struct {
		caps   *Capabilities
		answer string
		want   Reason
	}{
		{nil, "m=audio 0 RTP/AVP 0\r\nm=video 0 RTP/AVP 96\r\n", ReasonDisabled},
		{nil, "", ReasonDisabled},
		{nil, "m=image 5000 udptl t38\r\n", ReasonMediaType},
		{nil, "m=audio 5000 RTP/SAVP 0\r\n" + key, ReasonTransport},
		{nil, "m=audio 5000 UDP/TLS/RTP/SAVPF 0\r\n", ReasonDTLS},
		{nil, "m=audio 5000 TCP/RTP/AVP 0\r\n", ReasonTransport},
		{nil, "m=audio 5000 RTP/AVP 18\r\n", ReasonFormat},
		{nil, "m=audio 5000 RTP/AVP 101\r\na=rtpmap:101 telephone-event/8000\r\n", ReasonFormat},
		{secure, "m=audio 5000 RTP/AVP 0\r\n", ReasonPlain},
		{secure, "m=audio 5000 RTP/SAVP 0\r\n", ReasonCrypto},
		{secure, "m=audio 5000 RTP/SAVP 0\r\n" + strings.Replace(key, "80 inline", "32 inline", 1), ReasonCrypto},
		{secure, "m=audio 5000 RTP/SAVP 0\r\na=fingerprint:sha-1 AA\r\n", ReasonDTLS},
	} {
		_, err := NewOffer(c.caps, nil).Accept(mustParse(t, head+c.answer))
		var no *NotAcceptableError
		if !errors.As(err, &no) || no.Reason != c.want {
			t.Errorf("%q: %v, want %v", c.answer, err, c.want)
		}
	}
	if a, err := NewOffer(secure, nil).Accept(mustParse(t, head+"m=audio 5000 RTP/SAVP 0\r\n"+key)); err != nil || a.Line(Audio).Crypto == nil {
		t.Error(err)
	}
}

func types(o *Offered, line int) string {
	var list []string
	for _, f := range o.Lines[line].Recv.Formats() {
		list = append(list, fmt.Sprintf("%d=%s", f.PayloadType, f.Name))
	}
	return strings.Join(list, " ")
}

// TestReOffer: m-lines and payload numbers of the peer's offer are kept.
func TestReOffer(t *testing.T) {
	offer := "m=image 9 udptl t38\r\n" + strings.Replace(videoOffer, "RTP/AVP 96", "RTP/AVPF 96 97", 1) + "a=rtcp-fb:96 nack pli\r\n" +
		"m=audio 5000 RTP/AVP 18 96 8 99\r\na=rtpmap:96 opus/48000/2\r\na=rtpmap:99 telephone-event/8000\r\na=rtcp-mux\r\n"
	a := mustMatch(t, nil, nil, head+offer)
	body := a.MarshalAnswer(localFor(a))
	caps := &Capabilities{Audio: MediaCapabilities{Direction: SendOnly}}

	o := ReOffer(caps, a)
	local := localForOffer(o)
	local.Prev = body
	again := string(o.Marshal(local))
	strict(t, []byte(again))
	for _, want := range []string{"o=- 77 2 ", "m=image 0 udptl t38\r\n", "m=video 30002 RTP/AVPF 96\r\n", "m=audio 30004 RTP/AVP 96 8 99\r\n", "a=rtcp-fb:96 nack pli\r\n", "a=rtcp-mux\r\n", "a=sendonly\r\n"} {
		if !strings.Contains(again, want) {
			t.Errorf("no %q in\n%s", want, again)
		}
	}
	if o.Lines[0].Active || o.Lines[2].Direction != SendOnly || types(o, 2) != "96=opus 8=PCMA 99=telephone-event" {
		t.Errorf("%+v", o.Lines)
	}
	answer := head + "m=image 0 udptl t38\r\n" + strings.Replace(videoOffer, "RTP/AVP 96", "RTP/AVPF 96", 1) +
		"m=audio 5000 RTP/AVP 96\r\na=rtpmap:96 opus/48000/2\r\na=recvonly\r\n"
	b, err := o.Accept(mustParse(t, answer))
	if err != nil || b.Line(Audio).Direction != SendOnly || b.Line(Audio).Mux || b.Line(Video).Feedback.PLI {
		t.Fatalf("%v %+v", err, b.Line(Audio))
	}
	// What was not answered is not offered again; the next full offer has it,
	// under its old numbers, and none of the peer's for anything else.
	o = ReOffer(nil, b)
	if types(o, 2) != "96=opus" || o.Lines[2].Mux || o.Lines[2].Direction != SendRecv {
		t.Errorf("%s %+v", types(o, 2), o.Lines[2])
	}
	full := NewOffer(nil, b)
	if got := types(full, 2); got != "96=opus 9=G722 8=PCMA 0=PCMU 99=telephone-event 100=telephone-event" {
		t.Error(got)
	}
	if got := types(full, 1); got != "96=H264 98=H264 99=H265" { // 97 was something else's
		t.Error(got)
	}
}

// TestOffersDoNotDrift: a peer that wants a full offer each minute gets the
// same one.
func TestOffersDoNotDrift(t *testing.T) {
	var ours, theirs *Agreed
	var first []byte
	for i := range 40 {
		o := NewOffer(nil, ours)
		local := localForOffer(o)
		local.Prev = first
		body := o.Marshal(local)
		if i > 1 && string(body) != string(first) {
			t.Fatalf("offer %d\n%s\nafter\n%s", i, body, first)
		}
		first = body
		ours, theirs = exchange(t, o, &Capabilities{NoMux: true, NoEvents: true}, theirs)
		if i > 1 && !ours.Unchanged {
			t.Fatalf("%d: the same answer is a change", i)
		}
	}
}

func TestNewOfferWithinDialog(t *testing.T) {
	audioOnly := &Capabilities{Video: MediaCapabilities{Off: true}}
	a, peer := exchange(t, NewOffer(audioOnly, nil), nil, nil)
	// Video is added behind, goes, and comes back in its place.
	a, peer = exchange(t, NewOffer(nil, a), nil, peer)
	if len(a.Lines) != 2 || a.Line(Video) == nil || a.Line(Video).Index != 1 {
		t.Fatalf("%+v", a.Lines)
	}
	o := NewOffer(audioOnly, a)
	if len(o.Lines) != 2 || o.Lines[1].Active || !o.Lines[0].Active {
		t.Errorf("%+v", o.Lines)
	}
	a, peer = exchange(t, o, nil, peer)
	if a.Line(Video) != nil || ReOffer(nil, a).Lines[1].Active {
		t.Error("video is still there")
	}
	a, _ = exchange(t, NewOffer(nil, a), nil, peer)
	if len(a.Lines) != 2 || a.Line(Video) == nil {
		t.Errorf("%+v", a.Lines)
	}
	// A line that the peer refused is offered again, as are slides in use.
	both := mustMatch(t, &Capabilities{Slides: true}, nil, head+audioOffer+videoOffer+strings.Replace(videoOffer, "5002", "5004", 1)+"a=content:slides\r\n")
	o = NewOffer(&Capabilities{Slides: true}, both)
	if !o.Lines[1].Active || !o.Lines[2].Active || types(o, 2) != "96=H264" {
		t.Errorf("%+v", o.Lines)
	}
	// The template's kinds only; but what is in use stays.
	template := &Capabilities{Template: mustTemplate(t, "m=audio 9 RTP/AVP 0")}
	if o = NewOffer(template, nil); len(o.Lines) != 1 || o.Lines[0].Kind != Audio {
		t.Errorf("%+v", o.Lines)
	}
	if o = NewOffer(template, both); !o.Lines[1].Active {
		t.Errorf("%+v", o.Lines)
	}
	if o = NewOffer(&Capabilities{Audio: MediaCapabilities{Off: true}, Video: MediaCapabilities{Off: true}}, nil); len(o.Lines) != 0 {
		t.Errorf("%+v", o.Lines)
	}
	if o = ReOffer(nil, nil); len(o.Lines) != 2 {
		t.Errorf("%+v", o.Lines)
	}
}

func TestSecureStaysSecure(t *testing.T) {
	key := "a=crypto:3 AES_CM_128_HMAC_SHA1_32 inline:CfTLyqpSFNTYbDAuv4XKvL6RVO4aMcoRJvNSgo4B\r\n"
	a := mustMatch(t, nil, nil, head+"m=audio 5000 RTP/SAVP 0\r\n"+key)
	for _, o := range []*Offered{ReOffer(nil, a), NewOffer(nil, a)} {
		body := string(o.Marshal(localForOffer(o)))
		if o.Lines[0].Suite != AESCM128SHA32 || !strings.Contains(body, "RTP/SAVP ") || !strings.Contains(body, "a=crypto:3 AES_CM_128_HMAC_SHA1_32 inline:") {
			t.Error(body)
		}
	}
	o := ReOffer(nil, a)
	if body := string(o.Marshal(Local{Lines: []LocalLine{{RTPPort: 4, Key: make([]byte, 8)}}})); !strings.Contains(body, "m=audio 0 ") {
		t.Error(body)
	}
	if i := slices.IndexFunc(a.Lines, func(l *Line) bool { return l.Crypto.Tag != 3 }); i >= 0 {
		t.Error(a.Lines[i].Crypto)
	}
}

// TestNumbersKeepTheirMeaning: whatever a payload type stood for in a line, it
// never stands for something else.
func TestNumbersKeepTheirMeaning(t *testing.T) {
	a := mustMatch(t, nil, nil, head+"m=audio 5000 RTP/AVP 107 8\r\na=rtpmap:107 iLBC/8000\r\n"+
		"m=video 5002 RTP/AVP 103 104\r\na=rtpmap:103 H264/90000\r\na=rtpmap:104 H264/90000\r\na=fmtp:104 packetization-mode=1\r\n")
	a = mustMatch(t, nil, a, head+audioOffer+"m=video 5002 RTP/AVP 104\r\na=rtpmap:104 H264/90000\r\na=fmtp:104 packetization-mode=1\r\n")
	o := NewOffer(nil, a)
	if got := types(o, 0); !strings.HasPrefix(got, "96=opus 9=G722 8=PCMA 0=PCMU ") {
		t.Error(got)
	}
	if got := types(o, 1); got != "104=H264 103=H264 98=H265" || o.Lines[1].Recv.Lookup(103).H264.PacketizationMode != 0 {
		t.Error(got)
	}
	// Two offers upon one agreement do not disturb each other.
	before := types(NewOffer(nil, a), 1)
	NewOffer(&Capabilities{Video: MediaCapabilities{Codecs: []Codec{{Codec: media.H265, PayloadType: 110}}}}, a)
	if got := types(NewOffer(nil, a), 1); got != before {
		t.Error(got)
	}
}

// TestReducedSize: reports of reduced size are agreed when both sides say so,
// in whichever direction the exchange goes.
func TestReducedSize(t *testing.T) {
	const offer = "v=0\r\no=- 1 1 IN IP4 192.0.2.1\r\ns=-\r\nc=IN IP4 192.0.2.1\r\nt=0 0\r\nm=audio 4000 RTP/AVP 0\r\n" +
		"m=video 4002 RTP/AVPF 96\r\na=rtpmap:96 H264/90000\r\na=rtcp-rsize\r\n"
	a := mustMatch(t, nil, nil, offer)
	if a.Lines[0].ReducedSize || !a.Lines[1].ReducedSize {
		t.Errorf("audio %v, video %v", a.Lines[0].ReducedSize, a.Lines[1].ReducedSize)
	}
	o := ReOffer(nil, a)
	for answer, want := range map[string]bool{offer: true, strings.Replace(offer, "a=rtcp-rsize\r\n", "", 1): false} {
		b, err := o.Accept(mustParse(t, answer))
		if err != nil {
			t.Fatal(err)
		}
		if b.Lines[1].ReducedSize != want || b.Lines[0].ReducedSize {
			t.Errorf("audio %v, video %v, want %v", b.Lines[0].ReducedSize, b.Lines[1].ReducedSize, want)
		}
	}
}
