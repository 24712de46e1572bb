//go:build peers && linux

package gateway_test

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/trunkcast/trunkcast/gateway"
	"github.com/trunkcast/trunkcast/inject"
	"github.com/trunkcast/trunkcast/inject/rtsp/rtsptest"
	"github.com/trunkcast/trunkcast/internal/peertest"
	"github.com/trunkcast/trunkcast/media/sdp"
	"github.com/trunkcast/trunkcast/trunk"
)

// slicedClip is a clip with flashes and beeps whose pictures are in slices
// that fit packets, for callers who take packetization-mode 0 only.
func slicedClip(t testing.TB, folder string) {
	t.Helper()
	c := peertest.MakeClip(t, peertest.ClipOptions{Seconds: 30})
	out, errs, err := peertest.Run(t, 2*time.Minute, "ffmpeg", "-v", "error", "-nostdin", "-y", "-i", c.Video, "-i", c.Audio,
		"-c:v", "libx264", "-profile:v", "baseline", "-preset", "veryfast", "-tune", "zerolatency", "-g", "25",
		"-x264-params", "slice-max-size=1100", "-b:v", "600k", "-c:a", "aac", "-movflags", "+faststart",
		filepath.Join(folder, "flash.mp4"))
	if err == nil { // the sound of the RTSP server for tests is Opus
		out, errs, err = peertest.Run(t, 2*time.Minute, "ffmpeg", "-v", "error", "-nostdin", "-y", "-i", filepath.Join(folder, "flash.mp4"),
			"-c:v", "copy", "-c:a", "libopus", filepath.Join(folder, "flash-opus.mp4"))
	}
	if err != nil {
		t.Fatalf("%v %s %s", err, out, errs)
	}
}

// curl asks the REST interface as a user would.
func (r *running) curl(path, body string) {
	r.t.Helper()
	out, errs, err := peertest.Run(r.t, time.Minute, "curl", "-sS", "--fail-with-body", "-X", "POST",
		"-H", "Content-Type: application/json", "-d", body, r.RESTURL()+path)
	if err != nil {
		r.t.Fatalf("curl %s: %v %s %s", path, err, out, errs)
	}
}

// TestPeerInject plays a file into the video calls of a softphone, with each
// codec of sound, by curl. What it gets is seen on the wire.
func TestPeerInject(t *testing.T) {
	folder := t.TempDir()
	slicedClip(t, folder)
	clip := peertest.MakeClip(t, peertest.ClipOptions{Seconds: 30})
	g := startGateway(t, gateway.Config{Trunks: []trunk.Config{pbx("")}, RTMPListen: "off", MediaFolder: folder}, gateway.Options{})
	for _, codec := range []string{"opus/48000/2", "PCMA/8000", "G722/16000"} {
		name, _, _ := strings.Cut(codec, "/")
		t.Run(name, func(t *testing.T) {
			phone := peertest.StartBaresip(t, peertest.BaresipOptions{Codecs: []string{codec}, Video: clip.Video})
			phone.Dial(fmt.Sprintf("sip:%s@%s", name, g.addr("pbx")))
			s := g.Bridge.Sessions()[0]
			tap := startTap(t, s)
			g.curl("/call/inject_stream/startup", fmt.Sprintf(`{"callId":%q,"streamName":"vod://flash.mp4"}`, s.ID()))
			m := tap.watch(7 * time.Second)
			moved := s.Injection().Status().Moved
			t.Logf("measured: %v; schedule moved %d times", m, moved)
			want := wanted
			if moved > 0 {
				want.FrameRate = 0 // this machine was too busy to send in time
			}
			want.AudioCodec = m.AudioCodec // ffmpeg's names; that it decodes is enough
			m.Check(t, want)
			eventually(t, "the phone sees the clip and not a flash", func() bool {
				_, deviation := peertest.Luma(phone.Seen())
				return deviation > 10
			})
			g.curl("/call/inject_stream/terminate", fmt.Sprintf(`{"callId":%q}`, s.ID()))
			before := tap.packets()
			time.Sleep(2 * time.Second)
			if n := tap.packets() - before; n > 20 { // five a second of silence
				t.Errorf("%d packets in 2 s after the end", n)
			}
			phone.Hangup()
			eventually(t, "call ended", func() bool { return len(g.Bridge.Sessions()) == 0 })
		})
	}
}

// TestPeerInjectStreams plays a stream that ffmpeg publishes to nginx, one of
// an RTSP server and the pictures of a second softphone into a call.
func TestPeerInjectStreams(t *testing.T) {
	folder := t.TempDir()
	slicedClip(t, folder)
	clip := peertest.MakeClip(t, peertest.ClipOptions{Seconds: 30})
	n := peertest.StartNginx(t)
	peertest.Start(t, "ffmpeg", "-v", "error", "-nostdin", "-re", "-stream_loop", "-1", "-i", filepath.Join(folder, "flash.mp4"),
		"-c", "copy", "-f", "flv", n.RTMPURL+"/live/flash")
	n.WaitStream("flash", 15*time.Second)
	camera := rtsptest.Serve(t, openFile(t, filepath.Join(folder, "flash-opus.mp4")), true)
	g := startGateway(t, gateway.Config{Trunks: []trunk.Config{pbx("")}, RTMPListen: "off", MediaFolder: folder}, gateway.Options{})
	phone := peertest.StartBaresip(t, peertest.BaresipOptions{Video: clip.Video})
	phone.Dial(fmt.Sprintf("sip:100@%s", g.addr("pbx")))
	s := g.Bridge.Sessions()[0]
	tap := startTap(t, s)
	for name, source := range map[string]string{"RTMP": n.RTMPURL + "/live/flash", "RTSP": camera.URL} {
		t.Run(name, func(t *testing.T) {
			g.curl("/call/inject_stream/startup", fmt.Sprintf(`{"callId":%q,"streamName":%q}`, s.ID(), source))
			m := tap.watch(7 * time.Second)
			t.Logf("measured: %v", m)
			want := wanted
			want.AudioCodec, want.FrameRate = "opus", 0 // the pace is that of a busy machine's ffmpeg
			m.Check(t, want)
			g.curl("/call/inject_stream/terminate", fmt.Sprintf(`{"callId":%q}`, s.ID()))
		})
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

// TestPeerInjectSeed has the product's own trunk file, which only receives:
// the softphone gets the clip all the same, and the call goes back. A clip in
// slices that do not fit its packets is refused clearly.
func TestPeerInjectSeed(t *testing.T) {
	folder := t.TempDir()
	slicedClip(t, folder)
	clip := peertest.MakeClip(t, peertest.ClipOptions{Seconds: 30})
	whole, err := os.ReadFile(clip.Video)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(folder, "whole.mp4"), whole, 0o600); err != nil {
		t.Fatal(err)
	}
	seed, err := os.ReadFile("../trunk/testdata/sip_trunk.seed.yml")
	if err != nil {
		t.Fatal(err)
	}
	port := peertest.Port(t)
	text := strings.NewReplacer("40000", fmt.Sprint(port), "pbx_address", "127.0.0.1", "rtmp_server:1935", peertest.Loopback(peertest.Port(t))).
		Replace(string(seed))
	file := filepath.Join(folder, "sip_trunk.yml")
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	trunks, err := trunk.LoadConfig(file)
	if err != nil {
		t.Fatal(err)
	}
	g := startGateway(t, gateway.Config{Trunks: trunks, RTMPListen: "off", MediaFolder: folder}, gateway.Options{})
	phone := peertest.StartBaresip(t, peertest.BaresipOptions{Video: clip.Video})
	phone.Dial(fmt.Sprintf("sip:001201234@127.0.0.1:%d", port))
	s := g.Bridge.Sessions()[0]
	direction := func() sdp.Direction { return s.Agreed().Line(sdp.Video).Direction }
	if d := direction(); d != sdp.RecvOnly {
		t.Errorf("direction before: %v", d)
	}
	if status, text := g.post("/call/inject_stream/startup", map[string]any{"callId": s.ID(), "streamName": "vod://whole.mp4"}); status != 415 ||
		!strings.Contains(text, "smaller slices") {
		t.Errorf("big slices: %d %s", status, text)
	}
	if d := direction(); d != sdp.RecvOnly {
		t.Errorf("direction after a refusal: %v", d)
	}
	g.curl("/call/inject_stream/startup", fmt.Sprintf(`{"callId":%q,"streamName":"vod://flash.mp4"}`, s.ID()))
	if d := direction(); d != sdp.SendRecv {
		t.Errorf("direction meanwhile: %v", d)
	}
	m := startTap(t, s).watch(6 * time.Second)
	t.Logf("measured: %v", m)
	want := wanted
	want.AudioCodec, want.FrameRate = "opus", 0
	m.Check(t, want)
	g.curl("/call/inject_stream/terminate", fmt.Sprintf(`{"callId":%q}`, s.ID()))
	if d := direction(); d != sdp.RecvOnly {
		t.Errorf("direction after: %v", d)
	}
}
