//go:build peers

package gateway_test

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/trunkcast/trunkcast"
	"github.com/trunkcast/trunkcast/gateway"
	"github.com/trunkcast/trunkcast/internal/peertest"
	"github.com/trunkcast/trunkcast/trunk"
)

// wanted is what a player must get of the clip through a call. No frame rate is
// asked: a softphone without its share of a busy machine encodes fewer pictures.
var wanted = peertest.Expect{Width: 640, Height: 360, MinPairs: 2, MaxOffset: 80 * time.Millisecond}

// watch has ffmpeg play a stream and checks what came. On a machine that is
// too busy, sound and picture are late each for itself, for a moment: they have
// five tries to be in step.
func watch(t *testing.T, url string, e peertest.Expect) {
	t.Helper()
	var m *peertest.Measured
	for range 5 {
		m = peertest.Watch(t, url, 6*time.Second)
		t.Logf("measured: %v", m)
		if len(m.Offsets) >= e.MinPairs && m.Worst().Abs() <= e.MaxOffset {
			break
		}
	}
	m.Check(t, e)
}

// TestPeerBaresip has a softphone call the trunk directly, with each audio
// codec; the stream is read from nginx-rtmp by ffmpeg.
func TestPeerBaresip(t *testing.T) {
	n := peertest.StartNginx(t)
	clip := peertest.MakeClip(t, peertest.ClipOptions{})
	g := startGateway(t, gateway.Config{Trunks: []trunk.Config{pbx(n.RTMPURL + "/live")}, RTMPListen: "off"}, gateway.Options{})
	for _, c := range []struct{ codec, transport string }{
		{"opus/48000/2", "udp"}, {"PCMA/8000", "tcp"}, {"G722/16000", "udp"},
	} {
		name, _, _ := strings.Cut(c.codec, "/")
		t.Run(name, func(t *testing.T) {
			phone := peertest.StartBaresip(t, peertest.BaresipOptions{
				Transport: c.transport, Codecs: []string{c.codec}, Video: clip.Video, Audio: clip.Audio,
			})
			phone.Dial(fmt.Sprintf("sip:%s@%s;transport=%s", name, g.addr("pbx"), c.transport))
			stream := "rtmp_" + name
			n.WaitStream(stream, 15*time.Second)
			watch(t, n.RTMPURL+"/live/"+stream, wanted)
			phone.Hangup()
			n.WaitGone(stream, 5*time.Second)
		})
	}
}

// TestPeerHangupFromGateway ends a call from our side: the phone hears of it
// and the stream is gone.
func TestPeerHangupFromGateway(t *testing.T) {
	n := peertest.StartNginx(t)
	clip := peertest.MakeClip(t, peertest.ClipOptions{})
	g := startGateway(t, gateway.Config{Trunks: []trunk.Config{pbx(n.RTMPURL + "/live")}, RTMPListen: "off"}, gateway.Options{})
	phone := peertest.StartBaresip(t, peertest.BaresipOptions{Video: clip.Video, Audio: clip.Audio})
	phone.Dial(fmt.Sprintf("sip:100@%s", g.addr("pbx")))
	n.WaitStream("rtmp_100", 15*time.Second)
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
	defer cancel()
	if err := g.Bridge.Sessions()[0].Hangup(ctx, "test"); err != nil {
		t.Fatal(err)
	}
	phone.Wait("CALL_CLOSED", 5*time.Second)
	n.WaitGone("rtmp_100", 5*time.Second)
}

// TestPeerSeedFile runs the product's own trunk file, with the names in it
// pointed at this host: Opus only, recvonly.
func TestPeerSeedFile(t *testing.T) {
	n := peertest.StartNginx(t)
	seed, err := os.ReadFile("../trunk/testdata/sip_trunk.seed.yml")
	if err != nil {
		t.Fatal(err)
	}
	port := peertest.Port(t)
	text := strings.NewReplacer("40000", fmt.Sprint(port), "pbx_address", "127.0.0.1",
		"rtmp://rtmp_server:1935", n.RTMPURL).Replace(string(seed))
	file := filepath.Join(t.TempDir(), "sip_trunk.yml")
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	trunks, err := trunk.LoadConfig(file)
	if err != nil {
		t.Fatal(err)
	}
	startGateway(t, gateway.Config{Trunks: trunks, RTMPListen: "off"}, gateway.Options{})
	clip := peertest.MakeClip(t, peertest.ClipOptions{})
	phone := peertest.StartBaresip(t, peertest.BaresipOptions{Video: clip.Video, Audio: clip.Audio})
	phone.Dial(fmt.Sprintf("sip:001201234@127.0.0.1:%d", port))
	n.WaitStream("rtmp_001201234", 15*time.Second)
	watch(t, n.RTMPURL+"/live/rtmp_001201234", wanted)
}

// TestPeerRestartedServer stops the RTMP server for 5 s in mid-call.
func TestPeerRestartedServer(t *testing.T) {
	n := peertest.StartNginx(t)
	clip := peertest.MakeClip(t, peertest.ClipOptions{})
	g := startGateway(t, gateway.Config{Trunks: []trunk.Config{pbx(n.RTMPURL + "/live")}, RTMPListen: "off"}, gateway.Options{})
	phone := peertest.StartBaresip(t, peertest.BaresipOptions{Video: clip.Video, Audio: clip.Audio})
	phone.Dial(fmt.Sprintf("sip:100@%s", g.addr("pbx")))
	n.WaitStream("rtmp_100", 15*time.Second)
	n.Stop()
	time.Sleep(5 * time.Second) // the outage
	n.Restart()
	n.WaitStream("rtmp_100", 20*time.Second)
	watch(t, n.RTMPURL+"/live/rtmp_100", wanted)
	if g.has(trunkcast.CallEnded) {
		t.Error("the call noticed")
	}
}
