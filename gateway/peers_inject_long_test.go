//go:build peers && long && linux

package gateway_test

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/trunkcast/trunkcast"
	"github.com/trunkcast/trunkcast/inject"
	"github.com/trunkcast/trunkcast/inject/rtsp/rtsptest"
	"github.com/trunkcast/trunkcast/internal/peertest"
	"github.com/trunkcast/trunkcast/media"
	"github.com/trunkcast/trunkcast/media/sdp"
)

// TestPeerInjectCodecs plays a file to callers of each codec of sound, in
// packetization-mode 0 and 1, and big slices by force.
func TestPeerInjectCodecs(t *testing.T) {
	g := injectingFlashes(t)
	clip := peertest.MakeClip(t, peertest.ClipOptions{Seconds: 10})
	const force = `,"loop":true,"force":true`
	for _, codec := range []string{"opus/48000/2", "PCMA/8000", "PCMU/8000", "G722/16000"} {
		name, _, _ := strings.Cut(codec, "/")
		t.Run("baresip "+name, func(t *testing.T) {
			phone := peertest.StartBaresip(t, peertest.BaresipOptions{Codecs: []string{codec}, Video: clip.Video})
			phone.Dial(fmt.Sprintf("sip:%s@%s", name, g.addr("pbx")))
			g.as(t).injectByCurl(g.newSession(), "vod://whole.mp4", force)
			phone.Hangup()
			eventually(t, "call ended", func() bool { return len(g.Bridge.Sessions()) == 0 })
			heardBeeps(t, baresipHeard(phone))
		})
	}
	for _, codec := range []string{"opus", "PCMA", "G722"} {
		t.Run("linphone "+codec, func(t *testing.T) {
			phone := peertest.StartLinphone(t, peertest.LinphoneOptions{Codecs: []string{codec}})
			phone.Dial(fmt.Sprintf("sip:%s@%s", codec, g.addr("pbx")))
			g.as(t).injectByCurl(g.newSession(), "vod://whole.mp4", force)
			if log := phone.Log(); !strings.Contains(log, "OpenH264 decoder: Frame size: 640x360") {
				t.Error("the phone has decoded no picture of the clip")
			}
			phone.Hangup()
			eventually(t, "call ended", func() bool { return len(g.Bridge.Sessions()) == 0 })
			heardBeeps(t, phone.Heard())
		})
	}
	for _, codec := range []media.Codec{media.Opus, media.PCMA, media.G722} {
		t.Run("mode 1 "+string(codec), func(t *testing.T) {
			own := g.as(t)
			own.injectByCurl(own.dial(mode1(codec)).session(), "vod://whole.mp4", `,"loop":true`)
		})
	}
}

// baresipHeard are the files of what a baresip has heard.
func baresipHeard(phone *peertest.Baresip) string {
	return filepath.Join(phone.Folder, "dump-*-dec.wav")
}

// newSession is the call that has begun last.
func (r *running) newSession() *trunkcast.Session {
	list := r.Bridge.Sessions()
	return list[len(list)-1]
}

// mode1 is a caller who takes packetization-mode 1 and that codec of sound.
func mode1(audio media.Codec) *sdp.Capabilities {
	return &sdp.Capabilities{
		Audio: sdp.MediaCapabilities{Codecs: []sdp.Codec{{Codec: audio}}},
		Video: video(media.H264, "profile-level-id=42E01F;packetization-mode=1"),
	}
}

// as is the gateway for a subtest.
func (r *running) as(t testing.TB) *running { return &running{Gateway: r.Gateway, t: t} }

// TestPeerInjectStreams plays a stream that ffmpeg publishes to nginx, one of
// an RTSP server by UDP and TCP, and the pictures and sound of a second
// softphone into the calls of two softphones.
func TestPeerInjectStreams(t *testing.T) {
	g := injectingFlashes(t)
	folder := flashFolder(t)
	clip := peertest.MakeClip(t, peertest.ClipOptions{Seconds: 60})
	n := peertest.StartNginx(t)
	peertest.Start(t, "ffmpeg", "-v", "error", "-nostdin", "-re", "-stream_loop", "-1", "-i", filepath.Join(folder, "flash.mp4"),
		"-c", "copy", "-f", "flv", n.RTMPURL+"/live/flash")
	n.WaitStream("flash", 15*time.Second)
	sources := []struct{ name, url string }{
		{"RTMP", n.RTMPURL + "/live/flash"},
		{"RTSP by UDP", rtsptest.Serve(t, openFile(t, filepath.Join(folder, "flash-opus.mp4")), true).URL},
		{"RTSP by TCP", rtsptest.Serve(t, openFile(t, filepath.Join(folder, "flash-opus.mp4")), false).URL},
	}
	for _, codec := range []string{"opus/48000/2", "PCMA/8000"} {
		phone := peertest.StartBaresip(t, peertest.BaresipOptions{Codecs: []string{codec}, Video: clip.Video})
		phone.Dial(fmt.Sprintf("sip:100@%s", g.addr("pbx")))
		s := g.newSession()
		for _, source := range sources {
			t.Run(source.name+" to "+codec, func(t *testing.T) { g.as(t).injectByCurl(s, source.url, "") })
		}
		t.Run("second call to "+codec, func(t *testing.T) {
			other := peertest.StartBaresip(t, peertest.BaresipOptions{User: "202", Video: clip.Video, Audio: clip.Audio})
			other.Dial(fmt.Sprintf("sip:200@%s", g.addr("pbx")))
			g.as(t).injectByCurl(s, "call:"+g.newSession().ID(), "")
			other.Hangup()
			eventually(t, "the other call ended", func() bool { return len(g.Bridge.Sessions()) == 1 })
		})
		phone.Hangup()
		eventually(t, "call ended", func() bool { return len(g.Bridge.Sessions()) == 0 })
		heardBeeps(t, baresipHeard(phone))
	}
}

func openFile(t testing.TB, name string) *inject.File {
	t.Helper()
	f, err := os.Open(name)
	if err != nil {
		t.Fatal(err)
	}
	info, err := f.Stat()
	if err != nil {
		t.Fatal(err)
	}
	file, err := inject.Open(t.Context(), f, info.Size(), inject.FileOptions{})
	if err != nil {
		t.Fatal(err)
	}
	return file
}
