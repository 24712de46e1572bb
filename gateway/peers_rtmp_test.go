//go:build peers

package gateway_test

import (
	"crypto/tls"
	"errors"
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/trunkcast/trunkcast"
	"github.com/trunkcast/trunkcast/gateway"
	"github.com/trunkcast/trunkcast/internal/peertest"
	"github.com/trunkcast/trunkcast/trunk"
)

// toServer runs a gateway that publishes at url.
func toServer(t *testing.T, url string, change func(*gateway.Config)) *running {
	t.Helper()
	cfg := gateway.Config{Trunks: []trunk.Config{pbx(url)}, RTMPListen: "off"}
	if change != nil {
		change(&cfg)
	}
	return startGateway(t, cfg, gateway.Options{})
}

// wantedOfDemo is what a player must get of the demo clip. Its caller stretches
// the time of both sound and picture when it is too late to send: no frame rate
// is asked.
var wantedOfDemo = peertest.Expect{Width: 640, Height: 360, MinPairs: 2, MaxOffset: 80 * time.Millisecond}

// TestPeerPlayers has the users' players play a call from the embedded server
// and from nginx-rtmp; ffmpeg publishes to the embedded server beside it.
func TestPeerPlayers(t *testing.T) {
	n := peertest.StartNginx(t)
	embedded := local(t, nil)
	embedded.call("100")
	toServer(t, n.RTMPURL+"/live", nil).call("100")
	n.WaitStream("rtmp_100", 20*time.Second)
	urls := map[string]string{"embedded": embedded.URL("live/rtmp_100"), "nginx": n.RTMPURL + "/live/rtmp_100"}
	players := map[string]func(*testing.T, string){
		"ffprobe": func(t *testing.T, url string) { // joins in the middle
			if got := peertest.Codecs(t, url); !slices.Equal(got, []string{"aac", "h264"}) {
				t.Errorf("streams of %v", got)
			}
		},
		"ffmpeg":   func(t *testing.T, url string) { watch(t, url, wantedOfDemo) },
		"rtmpdump": func(t *testing.T, url string) { played(t, peertest.Rtmpdump(t, url, 6*time.Second)) },
		"VLC":      func(t *testing.T, url string) { played(t, peertest.VLC(t, url, 6*time.Second)) },
	}
	t.Run("plays", func(t *testing.T) {
		for server, url := range urls {
			for player, play := range players {
				t.Run(server+" "+player, func(t *testing.T) { t.Parallel(); play(t, url) })
			}
		}
	})
	t.Run("ffmpeg publishes", func(t *testing.T) {
		clip := peertest.MakeClip(t, peertest.ClipOptions{})
		peertest.Start(t, "ffmpeg", "-v", "error", "-re", "-i", clip.Video, "-i", clip.Audio,
			"-c:v", "copy", "-c:a", "aac", "-f", "flv", embedded.URL("live/film"))
		eventually(t, "film published", func() bool { return len(embedded.streams()) == 2 })
		watch(t, embedded.URL("live/film"), wanted)
	})
	if embedded.has(trunkcast.CallEnded) || len(embedded.Bridge.Sessions()) != 1 {
		t.Error("the call ended")
	}
}

// played checks the file that a player has made of the call. When its sound and
// picture play is another matter, which watch looks at.
func played(t *testing.T, file string) {
	t.Helper()
	m := peertest.MeasureFile(t, file)
	t.Logf("measured: %v", m)
	m.Check(t, peertest.Expect{Width: 640, Height: 360, MinFlashes: 2, MinBeeps: 2, AnyErrors: true}) // the end is cut off
}

// TestPeerRTMPS publishes to nginx-rtmp behind TLS whose authority the
// configuration names; without that, the call goes on and the events tell.
func TestPeerRTMPS(t *testing.T) {
	n := peertest.StartNginx(t)
	tunnel := peertest.StartStunnel(t, n.Addr)
	url := "rtmps://" + tunnel.Addr + "/live"

	trusting := toServer(t, url, func(c *gateway.Config) { c.RTMPCA = tunnel.CA })
	trusting.call("100")
	n.WaitStream("rtmp_100", 20*time.Second)
	watch(t, n.RTMPURL+"/live/rtmp_100", wantedOfDemo)

	wary := toServer(t, url, nil)
	wary.callOnly("101")
	var ce *tls.CertificateVerificationError
	eventually(t, "refusal of the certificate told", func() bool { return errors.As(wary.outputError(), &ce) })
	eventually(t, "the call goes on", wary.twoKindsOfMedia)
	if n.Stream("rtmp_101").Publishing() || wary.has(trunkcast.CallEnded) {
		t.Error("published with a certificate of nobody's, or ended")
	}
}

// TestPeerCopy has G.711 of a softphone published as it comes.
func TestPeerCopy(t *testing.T) {
	n := peertest.StartNginx(t)
	clip := peertest.MakeClip(t, peertest.ClipOptions{})
	g := toServer(t, n.RTMPURL+"/live?token=a/b", func(c *gateway.Config) { c.Trunks[0].Audio = "copy" })
	phone := peertest.StartBaresip(t, peertest.BaresipOptions{Codecs: []string{"PCMA/8000"}, Video: clip.Video, Audio: clip.Audio})
	phone.Dial(fmt.Sprintf("sip:100@%s", g.addr("pbx")))
	n.WaitStream("rtmp_100", 20*time.Second)
	expect := wanted
	expect.AudioCodec = "pcm_alaw"
	watch(t, n.RTMPURL+"/live/rtmp_100", expect)
}
