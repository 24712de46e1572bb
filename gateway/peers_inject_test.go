//go:build peers && linux

package gateway_test

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/trunkcast/trunkcast"
	"github.com/trunkcast/trunkcast/gateway"
	"github.com/trunkcast/trunkcast/internal/peertest"
	"github.com/trunkcast/trunkcast/media/sdp"
	"github.com/trunkcast/trunkcast/trunk"
)

// flashClips are clips of 10 s with flashes and beeps: flash.mp4 with AAC, its
// pictures in slices that fit packets, for callers who take packetization-mode
// 0 only; flash-opus.mp4, the same with Opus; whole.mp4 with bigger slices.
var flashClips struct {
	sync.Mutex
	files map[string][]byte
}

// flashFolder makes a media folder with the flash clips.
func flashFolder(t testing.TB) string {
	t.Helper()
	folder := t.TempDir()
	flashClips.Lock()
	defer flashClips.Unlock()
	if flashClips.files == nil {
		flashClips.files = makeFlashClips(t)
	}
	for name, data := range flashClips.files {
		if err := os.WriteFile(filepath.Join(folder, name), data, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return folder
}

func makeFlashClips(t testing.TB) map[string][]byte {
	c := peertest.MakeClip(t, peertest.ClipOptions{Seconds: 10})
	folder, files := t.TempDir(), map[string][]byte{}
	for _, m := range []struct{ name, in, args string }{
		{"flash.mp4", c.Video, "-i " + c.Audio + " -c:v libx264 -profile:v baseline -preset veryfast -tune zerolatency -g 25 " +
			"-x264-params slice-max-size=1100 -b:v 600k -c:a aac -movflags +faststart"},
		{"flash-opus.mp4", filepath.Join(folder, "flash.mp4"), "-c:v copy -c:a libopus"},
		{"whole.mp4", c.Video, "-i " + c.Audio + " -c:v copy -c:a aac"},
	} {
		file := filepath.Join(folder, m.name)
		args := append([]string{"-v", "error", "-nostdin", "-y", "-i", m.in}, strings.Fields(m.args)...)
		if out, errs, err := peertest.Run(t, 2*time.Minute, "ffmpeg", append(args, file)...); err != nil {
			t.Fatalf("%s: %v %s %s", m.name, err, out, errs)
		}
		data, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		files[m.name] = data
	}
	return files
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

// injectByCurl plays a source to a softphone and takes it out again. What the
// phone gets meanwhile is measured on the wire; afterwards it gets nothing.
func (r *running) injectByCurl(s *trunkcast.Session, source, more string) {
	r.t.Helper()
	tap := startTap(r.t, s)
	r.curl("/call/inject_stream/startup", fmt.Sprintf(`{"callId":%q,"streamName":%q%s}`, s.ID(), source, more))
	length := 4500 * time.Millisecond
	if strings.HasPrefix(source, "call:") {
		length *= 2 // a softphone sends key frames rarely, and ffmpeg begins with one
	}
	m := tap.watch(length)
	moved := s.Injection().Status().Moved
	r.t.Logf("measured: %v; schedule moved %d times", m, moved)
	want := wanted
	want.MinFlashes, want.MinBeeps, want.FrameRate = 3, 3, 25
	if _, file := strings.CutPrefix(source, "vod://"); !file || moved > 0 {
		want.FrameRate = 0 // this machine, or its ffmpeg, was too busy to send in time
	}
	want.AudioCodec = m.AudioCodec // ffmpeg's names; that it decodes is enough
	m.Check(r.t, want)
	r.curl("/call/inject_stream/terminate", fmt.Sprintf(`{"callId":%q}`, s.ID()))
	before := tap.packets()
	time.Sleep(2 * time.Second)
	if n := tap.packets() - before; n > 20 { // five a second of silence
		r.t.Errorf("%d packets in 2 s after the end", n)
	}
}

// heardBeeps looks at what a softphone has decoded and written to files, one
// for each time that the sound began anew: in one of them are the beeps of a
// clip, a second apart.
func heardBeeps(t testing.TB, pattern string) {
	t.Helper()
	files, err := filepath.Glob(pattern)
	if err != nil {
		t.Fatal(err)
	}
	most := 0
	var beeps []time.Duration
	for _, file := range files {
		m := peertest.MeasureFile(t, file)
		regular := 0
		for i := 1; i < len(m.Beeps); i++ {
			if d := m.Beeps[i] - m.Beeps[i-1]; (d - time.Second).Abs() < 60*time.Millisecond {
				regular++
			}
		}
		if regular >= most {
			most, beeps = regular, m.Beeps
		}
	}
	t.Logf("the phone heard %d beeps, %d a second after the one before", len(beeps), most)
	if most < 3 {
		t.Errorf("the phone heard beeps at %v", beeps)
	}
}

// TestPeerInject plays a file into the video calls of two softphones.
func TestPeerInject(t *testing.T) {
	flashFolder(t) // makes the clips, for both
	t.Run("baresip", func(t *testing.T) {
		t.Parallel()
		injectBaresip(t)
	})
	t.Run("linphone", func(t *testing.T) {
		t.Parallel()
		injectLinphone(t)
	})
}

// injectBaresip has the product's own trunk file, which only receives, and a
// softphone that takes packetization-mode 0 only: a file is played into its
// call all the same, and the call goes back. A clip in slices that do not fit
// its packets is refused clearly.
func injectBaresip(t *testing.T) {
	folder := flashFolder(t)
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
	clip := peertest.MakeClip(t, peertest.ClipOptions{Seconds: 10})
	phone := peertest.StartBaresip(t, peertest.BaresipOptions{Video: clip.Video})
	phone.Dial(fmt.Sprintf("sip:001201234@127.0.0.1:%d", port))
	s := g.Bridge.Sessions()[0]
	direction := func(when string, want sdp.Direction) {
		t.Helper()
		if d := s.Agreed().Line(sdp.Video).Direction; d != want {
			t.Errorf("direction %s: %v", when, d)
		}
	}
	direction("before", sdp.RecvOnly)
	if status, text := g.post("/call/inject_stream/startup", map[string]any{"callId": s.ID(), "streamName": "vod://whole.mp4"}); status != 415 ||
		!strings.Contains(text, "smaller slices") {
		t.Errorf("big slices: %d %s", status, text)
	}
	direction("after a refusal", sdp.RecvOnly)
	g.curl("/call/inject_stream/startup", fmt.Sprintf(`{"callId":%q,"streamName":"vod://flash.mp4","loop":true,"force":true}`, s.ID()))
	direction("meanwhile", sdp.SendRecv)
	eventually(t, "the phone sees the clip and not a flash", func() bool {
		_, deviation := peertest.Luma(phone.Seen())
		return deviation > 10
	})
	g.curl("/call/inject_stream/terminate", fmt.Sprintf(`{"callId":%q}`, s.ID()))
	direction("after", sdp.RecvOnly)
	g.injectByCurl(s, "vod://flash.mp4", `,"loop":true`)
	// What it hears it only writes to a file if the call began so: see
	// TestPeerInjectCodecs.
}

// injectLinphone has another softphone with G.711. What its decoder makes of the
// pictures is in its log.
func injectLinphone(t *testing.T) {
	g := injectingFlashes(t)
	phone := peertest.StartLinphone(t, peertest.LinphoneOptions{Codecs: []string{"PCMU"}})
	phone.Dial(fmt.Sprintf("sip:100@%s", g.addr("pbx")))
	g.injectByCurl(g.Bridge.Sessions()[0], "vod://flash.mp4", `,"loop":true`)
	if log := phone.Log(); !strings.Contains(log, "OpenH264 decoder: Frame size: 640x360") {
		t.Error("the phone has decoded no picture of the clip")
	}
	phone.Hangup()
	heardBeeps(t, phone.Heard())
}

// injectingFlashes runs a gateway with the flash clips.
func injectingFlashes(t testing.TB) *running {
	t.Helper()
	return startGateway(t, gateway.Config{Trunks: []trunk.Config{pbx("")}, RTMPListen: "off", MediaFolder: flashFolder(t)}, gateway.Options{})
}
