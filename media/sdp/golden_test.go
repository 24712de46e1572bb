package sdp

import (
	"bytes"
	"flag"
	"net/netip"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	pion "github.com/pion/sdp/v3"
)

var update = flag.Bool("update", false, "write the golden answers anew")

// trunkBlock is the sdp block of the product that is replaced: only a wish,
// with placeholders for addresses and ports.
const trunkBlock = `o=10009 2469 1555 IN IP4 0.0.0.0
c=IN IP4 0.0.0.0
t=0 0
m=audio 7270 RTP/AVP 96
a=rtpmap:96 opus/48000/2
a=recvonly
m=video 9202 RTP/AVP 96
a=rtpmap:96 H264/90000
a=fmtp:96 profile-level-id=42801F
a=recvonly
`

func mustParse(t testing.TB, body string) *Description {
	t.Helper()
	d, err := Parse([]byte(body))
	if err != nil {
		t.Fatalf("%v in\n%s", err, body)
	}
	return d
}

func mustTemplate(t testing.TB, block string) *Template {
	t.Helper()
	tpl, err := ParseTemplate([]byte(block))
	if err != nil {
		t.Fatal(err)
	}
	return tpl
}

func mustLines(t testing.TB, params ...string) *Lines {
	t.Helper()
	l, err := ParseLines(params)
	if err != nil {
		t.Fatal(err)
	}
	return l
}

// testLocal has ports from 30000 on and keys of the right length.
func testLocal(n int, suite func(int) CryptoSuite) Local {
	local := Local{SessionID: 77, Version: 1, Addr: netip.MustParseAddr("198.51.100.1")}
	for i := range n {
		l := LocalLine{RTPPort: 30000 + 2*i}
		key, salt := suite(i).KeyLen()
		l.Key = bytes.Repeat([]byte{byte(i + 1)}, key+salt)
		local.Lines = append(local.Lines, l)
	}
	return local
}

func localFor(a *Agreed) Local {
	return testLocal(len(a.Lines), func(i int) CryptoSuite {
		if c := a.Lines[i].Crypto; c != nil {
			return c.Suite
		}
		return ""
	})
}

func localForOffer(o *Offered) Local {
	return testLocal(len(o.Lines), func(i int) CryptoSuite { return o.Lines[i].Suite })
}

// strict has pion/sdp judge what we write. It does not know all media types
// and transports: these are replaced, in refused lines only.
func strict(t testing.TB, body []byte) *pion.SessionDescription {
	t.Helper()
	lines := strings.SplitAfter(string(body), "\r\n")
	for i, line := range lines {
		if f := strings.Fields(line); strings.HasPrefix(line, "m=") && f[1] == "0" {
			lines[i] = "m=text 0 RTP/AVP 0\r\n"
		}
	}
	var d pion.SessionDescription
	if err := d.UnmarshalString(strings.Join(lines, "")); err != nil {
		t.Fatalf("%v in\n%s", err, body)
	}
	back, err := d.Marshal()
	if err != nil || string(back) != strings.Join(lines, "") {
		t.Fatalf("%v: not as pion/sdp writes it:\n%s\nbut\n%s", err, body, back)
	}
	return &d
}

// followsOffer checks the rules that hold for every answer (RFC 3264 section
// 6).
func followsOffer(t testing.TB, offer *Description, answer []byte) {
	t.Helper()
	strict(t, answer)
	d := mustParse(t, string(answer))
	if len(d.Media) != len(offer.Media) {
		t.Fatalf("%d m-lines for %d in\n%s", len(d.Media), len(offer.Media), answer)
	}
	for i, m := range d.Media {
		o := offer.Media[i]
		if m.Type != o.Type || !strings.EqualFold(m.Proto, o.Proto) {
			t.Errorf("m-line %d: %s %s for %s %s", i, m.Type, m.Proto, o.Type, o.Proto)
		}
		if m.Port != 0 && o.Port == 0 {
			t.Errorf("m-line %d: accepted though switched off", i)
		}
		offered := " " + strings.Join(o.Formats, " ") + " "
		for _, f := range m.Formats {
			n, err := strconv.Atoi(f)
			if m.Port != 0 && (err != nil || !strings.Contains(offered, " "+f+" ") && !strings.Contains(offered, "0"+strconv.Itoa(n)+" ")) {
				t.Errorf("m-line %d: payload type %s was not offered", i, f)
			}
		}
		dir, theirs := d.direction(m), offer.direction(o)
		if m.Port != 0 && (dir.Sends() && !theirs.Receives() || dir.Receives() && !theirs.Sends()) {
			t.Errorf("m-line %d: %v for %v", i, dir, theirs)
		}
		for _, a := range m.Attributes {
			if strings.Contains(a.Value, "sprop") || strings.Contains(a.Value, "max-") || a.Key == "candidate" {
				t.Errorf("m-line %d: a=%v is the offerer's", i, a)
			}
		}
	}
}

func TestGoldenAnswers(t *testing.T) {
	trunk := mustTemplate(t, trunkBlock)
	lines := mustLines(t, "b=AS:2000", "b=RS:50", "b=RR:100")
	configs := map[string]*Capabilities{
		"":         nil,
		".trunk":   {Template: trunk, Lines: lines},
		".strict":  {Template: trunk, Strict: true},
		".secure":  {SRTP: SRTPRequired, Slides: true, OfferOrder: true, NoMux: true},
		".audio":   {Video: MediaCapabilities{Off: true}, SRTP: SRTPOff, NoEvents: true},
		".bitrate": {Video: MediaCapabilities{MaxBitRate: 700_500, Direction: RecvOnly}, Audio: MediaCapabilities{PTime: 40e6}},
	}
	offers, err := filepath.Glob("testdata/offers/*.sdp")
	if err != nil || len(offers) < 20 {
		t.Fatalf("%d offers, %v", len(offers), err)
	}
	for _, path := range offers {
		name := strings.TrimSuffix(filepath.Base(path), ".sdp")
		body, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		for config, caps := range configs {
			t.Run(name+config, func(t *testing.T) {
				golden(t, filepath.Join("testdata", "answers", name+config+".sdp"), answerTo(t, caps, string(body)))
			})
		}
	}
}

// answerTo is the answer, or the refusal, as a text.
func answerTo(t *testing.T, caps *Capabilities, body string) []byte {
	t.Helper()
	offer := mustParse(t, body)
	a, err := Match(caps, nil, offer)
	if err != nil {
		return []byte(err.Error() + "\n")
	}
	answer := a.MarshalAnswer(localFor(a))
	followsOffer(t, offer, answer)
	return answer
}

func golden(t *testing.T, path string, got []byte) {
	t.Helper()
	if *update {
		if err := os.WriteFile(path, got, 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(got, want) {
		t.Errorf("got\n%s\nwant\n%s", got, want)
	}
}
