//go:build peers

package peertest_test

import (
	"strings"
	"testing"
	"time"

	"github.com/trunkcast/trunkcast/internal/peertest"
)

// TestPeerSIPp calls a softphone in each way.
func TestPeerSIPp(t *testing.T) {
	cases := []struct {
		name  string
		phone peertest.BaresipOptions
		sipp  peertest.SIPpOptions
		codes map[int]int
	}{
		{"plain", auto, peertest.SIPpOptions{Calls: 5}, map[int]int{180: 5, 200: 10}},
		{"TCP", auto, peertest.SIPpOptions{Calls: 3, Transport: "tcp"}, map[int]int{180: 3, 200: 6}},
		{"offerless", auto, peertest.SIPpOptions{Offerless: true}, map[int]int{180: 1, 200: 2}},
		{"hold and resume", auto, peertest.SIPpOptions{Reinvite: true}, map[int]int{180: 1, 200: 4}},
		{"no port", auto, peertest.SIPpOptions{URI: "sip:201@127.0.0.1"}, map[int]int{180: 1, 200: 2}},
		{"refused", auto, peertest.SIPpOptions{URI: "sip:299@127.0.0.1", Expect: 404}, map[int]int{404: 1}},
		{"cancelled", peertest.BaresipOptions{}, peertest.SIPpOptions{Cancel: true}, map[int]int{180: 1, 200: 1, 487: 1}},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			c.phone.Codecs, c.phone.MaxCalls = []string{"PCMA/8000"}, 8
			phone := peertest.StartBaresip(t, c.phone)
			c.sipp.Target = phone.Addr
			if c.sipp.URI == "" {
				c.sipp.URI = "sip:201@" + phone.Addr
			}
			r := peertest.StartSIPp(t, c.sipp).MustPass(60 * time.Second)
			for code, n := range c.codes {
				if r.Responses[code] != n {
					t.Errorf("%d responses %d, want %d: %+v", r.Responses[code], code, n, r)
				}
			}
			if r.Failed != 0 || r.Successful != max(1, c.sipp.Calls) {
				t.Errorf("%+v", r)
			}
		})
	}
}

var auto = peertest.BaresipOptions{AutoAnswer: true}

// TestPeerSIPpFails: calls that do not go as described are counted and told.
func TestPeerSIPpFails(t *testing.T) {
	phone := peertest.StartBaresip(t, auto)
	s := peertest.StartSIPp(t, peertest.SIPpOptions{Target: phone.Addr, URI: "sip:299@" + phone.Addr, Calls: 2})
	r := s.Wait(30 * time.Second)
	if r.Failed != 2 || r.Successful != 0 || r.Responses[404] != 2 || !strings.Contains(r.Errors, "404 Not Found") {
		t.Errorf("%+v", r)
	}
}

// TestPeerSIPpMedia sends sound and picture to a softphone, which ends the
// call.
func TestPeerSIPpMedia(t *testing.T) {
	clip := peertest.MakeClip(t, peertest.ClipOptions{Seconds: 6})
	phone := peertest.StartBaresip(t, peertest.BaresipOptions{
		Codecs: []string{"PCMA/8000"}, AutoAnswer: true, Video: clip.Video, Audio: clip.Audio,
	})
	const sdp = `v=0
o=sipp 1 1 IN IP4 [local_ip]
s=-
c=IN IP4 [media_ip]
t=0 0
m=audio [rtpstream_audio_port] RTP/AVP 8
a=rtpmap:8 PCMA/8000
m=video [media_port+2] RTP/AVP 96
a=rtpmap:96 H264/90000
a=fmtp:96 profile-level-id=42e01f;packetization-mode=0
`
	s := peertest.StartSIPp(t, peertest.SIPpOptions{
		Target: phone.Addr, URI: "sip:201@" + phone.Addr, SDP: sdp, WaitBye: true,
		Audio: peertest.PCMA(t, clip.Audio), VideoPcap: peertest.VideoPcap(t, clip.Video, 25, 96),
	})
	phone.Wait("CALL_ESTABLISHED", 30*time.Second)
	peertest.Eventually(t, 20*time.Second, "the picture is more than a flash", func() bool {
		_, deviation := peertest.Luma(phone.Seen())
		return deviation > 20
	})
	time.Sleep(3 * time.Second)
	phone.Hangup()
	s.MustPass(30 * time.Second)
	l := peertest.MeasureLoudness(t, phone.Heard())
	t.Logf("measured: %+v", l)
	if l.Peak < -12 || l.RMS < -30 || l.Length < 3*time.Second || l.Silent < time.Second {
		t.Errorf("heard %+v", l)
	}
}

// TestPeerSIPpEcho: a softphone hears itself.
func TestPeerSIPpEcho(t *testing.T) {
	clip := peertest.MakeClip(t, peertest.ClipOptions{Seconds: 6})
	phone := peertest.StartBaresip(t, peertest.BaresipOptions{Codecs: []string{"PCMA/8000"}, AutoAnswer: true, Audio: clip.Audio})
	s := peertest.StartSIPp(t, peertest.SIPpOptions{
		Target: phone.Addr, URI: "sip:201@" + phone.Addr, RTPEcho: true, Hold: 3 * time.Second,
	})
	s.MustPass(60 * time.Second)
	phone.Wait("CALL_CLOSED", 30*time.Second)
	if h := peertest.MeasureLoudness(t, phone.Heard()); h.Peak < -12 || h.Length < 2*time.Second || h.Silent < time.Second {
		t.Errorf("heard %+v", h)
	}
}
