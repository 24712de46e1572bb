package sdp

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// corpus says in one line for each offer what its device is to send after our
// answer: the first codec that it may use, its packetization mode for H.264,
// and the direction, from its view; "-" is a line with port 0. It is written
// by hand: the golden answers show what is said, this what it is for.
var corpus = map[string]string{
	"asterisk-chan-sip-text":   "opus sendrecv, H264/0 sendrecv, -",
	"asterisk-pjsip":           "PCMA sendrecv, H264/1 sendrecv",
	"avaya-hold-session":       "PCMA sendonly",
	"avaya-workplace":          "opus sendrecv, H264/1 sendrecv, -",
	"baresip-video":            "opus sendrecv, H264/0 sendrecv",
	"carrier-sbc":              "PCMA sendrecv",
	"cisco-cucm":               "G722 sendrecv, H264/1 sendrecv, -",
	"cisco-cucm-hold":          "G722 inactive, -, -",
	"cisco-cucm-srtp-fallback": "G722 sendrecv, H264/1 sendrecv",
	"cisco-room-system":        "opus sendrecv, H264/1 sendrecv, -, slides H264/1 sendrecv, -, -",
	"cisco-spa":                "G722 sendrecv",
	"doorphone-sendonly":       "PCMA sendrecv, H264/0 sendonly",
	"fax-t38":                  "PCMA sendrecv, -",
	"freeswitch-bridge":        "opus sendrecv, H264/0 sendrecv",
	"freeswitch-secure":        "PCMU sendrecv",
	"grandstream-gxv":          "opus sendrecv, H264/1 sendrecv",
	"grandstream-room-system":  "opus sendrecv, H264/1 sendrecv, slides H264/1 recvonly, -",
	"h265-camera":              "PCMU sendrecv, H265 sendonly",
	"hold-rfc2543":             "PCMU sendonly, H264/1 inactive",
	"ims-amr-video":            "PCMA sendrecv, H264/1 sendrecv",
	"janus-ice-plain":          "opus sendrecv, H264/1 sendrecv",
	"linphone-capabilities":    "opus sendrecv, H264/0 sendrecv",
	"linphone-srtp":            "opus sendrecv, H264/0 sendrecv",
	"linphone-video":           "opus sendrecv, H264/0 sendrecv",
	"microsip":                 "PCMA sendrecv, H264/1 sendrecv",
	"polycom-group":            "G722 sendrecv, H264/1 sendrecv, -, slides H264/0 sendrecv, -",
	"polycom-hold":             "G722 sendonly, H264/1 inactive, -, -",
	"polycom-trio-svc":         "G722 sendrecv, H264/1 sendrecv",
	"polycom-vvx":              "G722 sendrecv, H264/0 sendrecv",
	"rtpengine-from-browser":   "opus sendrecv, H264/1 sendrecv",
	"snom-avp-with-keys":       "G722 sendrecv",
	"static-only-no-newline":   "PCMU sendrecv",
	"teams-sbc-opus-te8000":    "opus sendrecv",
	"video-only-audio-off":     "-, H264/0 sendrecv",
	"webrtc-dtls-beside-plain": "-, PCMU sendrecv",
	"webrtc-gateway-dtls-only": "refused: DTLS-SRTP not supported",
	"yealink-optional-srtp":    "PCMA sendrecv, -",
	"yealink-room-system":      "opus sendrecv, H264/1 sendrecv, -, slides H264/1 sendrecv, -",
	"yealink-t58":              "G722 sendrecv, H264/1 sendrecv",
	"zoiper":                   "opus sendrecv",
	"zoiper-video":             "PCMU sendrecv, H264/0 sendrecv",
}

// Offers in the manner of the devices of the field get an answer after which
// the device sends the picture and the sound that it should, once with slides
// as a second stream and once with them refused.
func TestCorpusOfDevices(t *testing.T) {
	offers, err := filepath.Glob("testdata/offers/*.sdp")
	if err != nil || len(offers) != len(corpus) {
		t.Fatalf("%d offers, %d judged, %v", len(offers), len(corpus), err)
	}
	for _, path := range offers {
		name := strings.TrimSuffix(filepath.Base(path), ".sdp")
		t.Run(name, func(t *testing.T) {
			body, err := os.ReadFile(path)
			if err != nil {
				t.Fatal(err)
			}
			if got := deviceSends(t, &Capabilities{Slides: true}, string(body)); got != corpus[name] {
				t.Errorf("with slides: the device sends %q, want %q", got, corpus[name])
			}
			want := strings.Split(corpus[name], ", ")
			for i, line := range want {
				if strings.HasPrefix(line, "slides") {
					want[i] = "-"
				}
			}
			if got := deviceSends(t, nil, string(body)); got != strings.Join(want, ", ") {
				t.Errorf("without slides: the device sends %q, want %q", got, strings.Join(want, ", "))
			}
		})
	}
}

// deviceSends reads our answer as the device does: from its text alone.
func deviceSends(t *testing.T, caps *Capabilities, body string) string {
	t.Helper()
	offer := mustParse(t, body)
	a, err := Match(caps, nil, offer)
	if err != nil {
		_, rule, _ := strings.Cut(err.Error(), "not acceptable: ")
		rule, _, _ = strings.Cut(rule, ":")
		return "refused: " + rule
	}
	text := a.MarshalAnswer(localFor(a))
	followsOffer(t, offer, text)
	answer := mustParse(t, string(text))
	var list []string
	for i, m := range answer.Media {
		if m.Port == 0 {
			list = append(list, "-")
			continue
		}
		list = append(list, sends(answer, m, offer.Media[i]))
	}
	return strings.Join(list, ", ")
}

func sends(answer *Description, m, offered *Media) string {
	kind := Audio
	if m.Type == "video" {
		kind = Video
	}
	formats := formatsOf(m, kind, nil)
	if len(formats) == 0 {
		return m.Type + " without a format"
	}
	f := formats[0]
	what := f.Name
	if f.H264 != nil {
		what += fmt.Sprintf("/%d", f.H264.PacketizationMode)
	}
	if content, _ := offered.Attribute("content"); content == "slides" {
		what = "slides " + what
	}
	return what + " " + answer.direction(m).Reverse().String()
}
