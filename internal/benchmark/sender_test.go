//go:build peers && bench

package benchmark

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"net/netip"
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"

	"github.com/trunkcast/trunkcast/inject"
	"github.com/trunkcast/trunkcast/internal/peertest"
	"github.com/trunkcast/trunkcast/media"
	"github.com/trunkcast/trunkcast/media/g711"
	"github.com/trunkcast/trunkcast/media/opus"
	"github.com/trunkcast/trunkcast/media/rtpio"
	"github.com/trunkcast/trunkcast/media/sdp"
	"github.com/trunkcast/trunkcast/trunk"
)

// The calls come from a process of their own: this test program, run again
// with a job in its environment.
const jobVariable = "TRUNKCAST_BENCHMARK_JOB"

// job is what a sender does.
type job struct {
	Clip  string      // MP4 with H.264 and Opus
	Audio media.Codec // OPUS or PCMA
	Calls int
	// Gateway is called by SIP if set; else the media goes to Ports, a pair of
	// RTP ports (audio, video) a call, without signalling.
	Gateway string
	Ports   [][2]int
}

const (
	audioPT = 97 // of Opus; PCMA has its static one
	videoPT = 96
)

func TestMain(m *testing.M) {
	if text := os.Getenv(jobVariable); text != "" {
		if err := send(text); err != nil {
			fmt.Println("sender:", err)
			os.Exit(1)
		}
		return
	}
	os.Exit(m.Run())
}

// startSender starts a sender and returns when all its calls send.
func startSender(t testing.TB, j job) (stop func()) {
	t.Helper()
	text, err := json.Marshal(j)
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(os.Environ(), jobVariable+"="+string(text))
	in, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	p := peertest.StartCmd(t, cmd)
	peertest.Eventually(t, time.Minute, "sender ready", func() bool { return strings.Contains(p.Output(), "ready") })
	return func() {
		_ = in.Close()
		if err := p.Wait(20 * time.Second); err != nil {
			t.Errorf("sender: %v\n%s", err, p.Output())
		}
	}
}

// send is the sender: it ends with its standard input.
func send(text string) error {
	var j job
	if err := json.Unmarshal([]byte(text), &j); err != nil {
		return err
	}
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	s := &sender{job: j, ports: &rtpio.Ports{First: 40000, Last: 49999, Addr: netip.MustParseAddr("127.0.0.1")}}
	if j.Gateway != "" {
		addr := netip.MustParseAddrPort(j.Gateway)
		register := false
		s.ua = &trunk.Server{Trunks: []trunk.Config{{
			Name: "sender", ListenAddress: "127.0.0.1", ProxyIP: addr.Addr().String(), RemotePort: int(addr.Port()), Register: &register,
		}}}
		if err := s.ua.Start(ctx); err != nil {
			return err
		}
		defer s.ua.Close()
	}
	for i := range j.Calls {
		end, err := s.call(ctx, i)
		if err != nil {
			return fmt.Errorf("call %d: %w", i, err)
		}
		defer end()
		time.Sleep(time.Second / time.Duration(j.Calls)) // the calls' frames do not all fall together
	}
	fmt.Println("ready")
	_, _ = bufio.NewReader(os.Stdin).ReadByte()
	return nil
}

type sender struct {
	job
	ua    *trunk.Server
	ports *rtpio.Ports
}

func (s *sender) caps() *sdp.Capabilities {
	audio := sdp.Codec{Codec: s.Audio}
	if s.Audio == media.Opus {
		audio.PayloadType = audioPT
	}
	return &sdp.Capabilities{
		NoEvents: true,
		Audio:    sdp.MediaCapabilities{Codecs: []sdp.Codec{audio}},
		Video: sdp.MediaCapabilities{Codecs: []sdp.Codec{
			{Codec: media.H264, FMTP: "profile-level-id=42E01F;packetization-mode=1", PayloadType: videoPT},
		}},
	}
}

// call begins one call, by SIP or without.
func (s *sender) call(ctx context.Context, i int) (end func(), err error) {
	var injector inject.Injector
	session := &rtpio.Session{Caps: s.caps(), Ports: s.ports, OnKeyFrameRequested: injector.RequestKeyFrame, MediaTimeout: -1}
	hangup := func() {}
	if s.ua != nil {
		call, err := s.ua.Trunk("sender").Dial(ctx, session, trunk.DialOptions{Number: fmt.Sprint(i)})
		if err != nil {
			return nil, err
		}
		hangup = func() { _ = call.Hangup(ctx, "") }
	} else if err := s.connect(ctx, session, i); err != nil {
		return nil, err
	}
	f, err := os.Open(s.Clip)
	if err != nil {
		return nil, err
	}
	st, err := f.Stat()
	if err != nil {
		return nil, err
	}
	if injector.Source, err = inject.Open(ctx, f, st.Size(), inject.FileOptions{}); err != nil {
		return nil, err
	}
	injector.Sink, injector.Loop = session, true
	injector.Audio = []media.Codec{s.Audio}
	injector.Codecs = []media.AudioCodec{opus.Codec{}, g711.ALaw{}}
	if err := injector.Start(ctx); err != nil {
		return nil, err
	}
	return func() { injector.Close(); hangup(); session.Close() }, nil
}

// connect has the media go to a pair of ports.
func (s *sender) connect(ctx context.Context, session *rtpio.Session, i int) error {
	if _, err := session.Offer(ctx); err != nil {
		return err
	}
	return session.Accept(ctx, []byte(describe(s.Audio, s.Ports[i])))
}

// describe is the SDP of one that receives on ports: an answer, and what an
// ffmpeg reads.
func describe(audio media.Codec, ports [2]int) string {
	pt, rtpmap := 8, "PCMA/8000"
	if audio == media.Opus {
		pt, rtpmap = audioPT, "opus/48000/2"
	}
	return strings.Join([]string{
		"v=0", "o=- 1 1 IN IP4 127.0.0.1", "s=call", "c=IN IP4 127.0.0.1", "t=0 0",
		fmt.Sprintf("m=audio %d RTP/AVP %d", ports[0], pt), fmt.Sprintf("a=rtpmap:%d %s", pt, rtpmap), "a=recvonly",
		fmt.Sprintf("m=video %d RTP/AVP %d", ports[1], videoPT), fmt.Sprintf("a=rtpmap:%d H264/90000", videoPT),
		fmt.Sprintf("a=fmtp:%d profile-level-id=42E01F;packetization-mode=1", videoPT), "a=recvonly", "",
	}, "\r\n")
}
