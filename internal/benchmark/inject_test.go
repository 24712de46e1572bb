//go:build peers && bench

package benchmark

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/trunkcast/trunkcast/gateway"
	"github.com/trunkcast/trunkcast/internal/peertest"
	"github.com/trunkcast/trunkcast/media"
	"github.com/trunkcast/trunkcast/media/rtpio"
	"github.com/trunkcast/trunkcast/media/sdp"
	"github.com/trunkcast/trunkcast/trunk"
)

const (
	injectSettle = 3 * time.Second
	injectWindow = 15 * time.Second
	// sharedCalls is how many calls one vod-live file is played to.
	sharedCalls = 100
)

// injectServer, in the environment, makes this test program a gateway whose
// calls are published nowhere: what it costs is what it plays to them.
const injectServer = "TRUNKCAST_BENCHMARK_INJECT"

// injectPlan is where that gateway listens and what it has.
type injectPlan struct {
	SIP, HTTP int
	Folder    string
}

// TestServeInjections is that gateway; it ends with its standard input.
func TestServeInjections(t *testing.T) {
	text := os.Getenv(injectServer)
	if text == "" {
		t.Skip("for the benchmarks of injections")
	}
	var p injectPlan
	if err := json.Unmarshal([]byte(text), &p); err != nil {
		t.Fatal(err)
	}
	register := false
	cfg := gateway.Config{
		Trunks: []trunk.Config{{
			Name: "bench", LocalPort: p.SIP, ListenAddress: "127.0.0.1", ProxyIP: "127.0.0.1", Register: &register,
			Allow: []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8")},
		}},
		RTMPListen: "off", HTTPListen: peertest.Loopback(p.HTTP), MediaFolder: p.Folder,
	}
	ctx, cancel := context.WithCancel(t.Context())
	go func() {
		_, _ = bufio.NewReader(os.Stdin).ReadByte()
		cancel()
	}()
	if err := gateway.Run(ctx, cfg, gateway.Options{OnReady: func(*gateway.Gateway) { fmt.Println("gateway ready") }}); err != nil {
		t.Fatal(err)
	}
}

// injected is a gateway with calls.
type injected struct {
	process  *peertest.Process
	rest     string
	pictures atomic.Int64 // that all callers got
	calls    []string
}

// startInjected starts a gateway and n callers that want that codec of sound.
func startInjected(t *testing.T, folder string, audio media.Codec, n int) *injected {
	t.Helper()
	p := injectPlan{SIP: peertest.Port(t), HTTP: peertest.Port(t), Folder: folder}
	text, err := json.Marshal(p)
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(os.Args[0], "-test.run", "^TestServeInjections$")
	cmd.Env = append(os.Environ(), injectServer+"="+string(text))
	in, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	s := &injected{process: peertest.StartCmd(t, cmd), rest: "http://" + peertest.Loopback(p.HTTP) + "/rest-api"}
	peertest.Eventually(t, time.Minute, "gateway ready", func() bool { return strings.Contains(s.process.Output(), "gateway ready") })
	register := false
	ua := &trunk.Server{Trunks: []trunk.Config{{
		Name: "phones", ListenAddress: "127.0.0.1", ProxyIP: "127.0.0.1", RemotePort: p.SIP, Register: &register,
	}}}
	ctx, cancel := context.WithCancel(context.Background())
	if err := ua.Start(ctx); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = ua.Close()
		cancel()
		_ = in.Close()
		if err := s.process.Wait(20 * time.Second); err != nil {
			t.Errorf("gateway: %v", err)
		}
	})
	ports := &rtpio.Ports{First: 40000, Last: 49999, Addr: netip.MustParseAddr("127.0.0.1")}
	for i := range n {
		s.dial(t, ua.Trunk("phones"), ports, audio, i)
	}
	return s
}

func (s *injected) dial(t *testing.T, to *trunk.Trunk, ports *rtpio.Ports, audio media.Codec, i int) {
	t.Helper()
	session := &rtpio.Session{
		Caps: &sdp.Capabilities{
			Audio: sdp.MediaCapabilities{Codecs: []sdp.Codec{{Codec: audio}}},
			Video: sdp.MediaCapabilities{Codecs: []sdp.Codec{{Codec: media.H264, FMTP: "profile-level-id=42E01F;packetization-mode=1"}}},
		},
		Ports: ports, MediaTimeout: -1,
		Output: media.SinkFunc(func(_ context.Context, f *media.Frame) error {
			if f.Track.Codec.Video() {
				s.pictures.Add(1)
			}
			return nil
		}),
	}
	call, err := to.Dial(t.Context(), session, trunk.DialOptions{Number: fmt.Sprint(i)})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
		defer cancel()
		_ = call.Hangup(ctx, "")
		_ = session.Close()
	})
	s.calls = append(s.calls, call.ID())
}

// play injects a source into all calls, not all at the same moment. One of a
// channel begins with the next key frame only: they wait side by side.
func (s *injected) play(t *testing.T, source string) {
	t.Helper()
	var wg sync.WaitGroup
	for _, id := range s.calls {
		body, err := json.Marshal(map[string]any{"callId": id, "streamName": source, "loop": strings.HasPrefix(source, "vod:")})
		if err != nil {
			t.Fatal(err)
		}
		wg.Go(func() {
			res, err := http.Post(s.rest+"/call/inject_stream/startup", "application/json", bytes.NewReader(body))
			if err != nil {
				t.Error(err)
				return
			}
			defer res.Body.Close()
			if text, _ := io.ReadAll(res.Body); res.StatusCode != http.StatusOK {
				t.Errorf("%s: %s %s", source, res.Status, text)
			}
		})
		time.Sleep(time.Second / time.Duration(len(s.calls)))
	}
	wg.Wait()
	if t.Failed() {
		t.FailNow()
	}
}

// measureInjected takes the CPU of processes that play to n calls, whose
// pictures are counted. Too few of them are an error.
func measureInjected(t *testing.T, pids []int, n int, pictures *atomic.Int64) figures {
	t.Helper()
	time.Sleep(injectSettle)
	seen, cpu, begun := pictures.Load(), cpuOf(t, pids), time.Now()
	time.Sleep(injectWindow)
	took := time.Since(begun).Seconds()
	f := figures{cpu: (cpuOf(t, pids) - cpu) / took / float64(n)}
	if rate := float64(pictures.Load()-seen) / took / float64(n); rate < 24 || rate > 26 {
		t.Errorf("%.1f pictures a second came to a caller, at %.4f CPU s a call second", rate, f.cpu)
	}
	f.rss, f.pss = memoryOf(t, pids)
	f.rss, f.pss = f.rss/float64(n), f.pss/float64(n)
	return f
}

// injectFolder holds aac.mp4 and opus.mp4, 640x360 at 25 fps with about
// 600 kbit/s, and long.mp4, sixty times aac.mp4.
func injectFolder(t *testing.T) string {
	t.Helper()
	folder := t.TempDir()
	c := peertest.MakeClip(t, peertest.ClipOptions{Seconds: 20})
	aac := filepath.Join(folder, "aac.mp4")
	for _, args := range [][]string{
		{"-i", c.Video, "-i", c.Audio, "-c:v", "copy", "-c:a", "aac", "-b:a", "96k", aac},
		{"-i", c.Video, "-i", c.Audio, "-c:v", "copy", "-c:a", "libopus", "-b:a", "32k", filepath.Join(folder, "opus.mp4")},
		{"-stream_loop", "59", "-i", aac, "-c", "copy", filepath.Join(folder, "long.mp4")},
	} {
		if _, errs, err := peertest.Run(t, 2*time.Minute, "ffmpeg", append([]string{"-v", "error", "-nostdin", "-y"}, args...)...); err != nil {
			t.Fatalf("%v: %v\n%s", args, err, errs)
		}
	}
	return folder
}

// throughFFmpegRTP plays a file by one ffmpeg a call, as one would without a
// gateway.
func throughFFmpegRTP(t *testing.T, file string, n int) figures {
	t.Helper()
	var pictures atomic.Int64
	var pids []int
	for range n {
		video, audio := listenRTP(t, &pictures), listenRTP(t, nil)
		p := peertest.Start(t, "ffmpeg", "-v", "error", "-nostdin", "-re", "-stream_loop", "-1", "-i", file,
			"-map", "0:v", "-c:v", "copy", "-f", "rtp", fmt.Sprintf("rtp://127.0.0.1:%d?pkt_size=1200", video),
			"-map", "0:a", "-c:a", "libopus", "-b:a", "32k", "-ac", "1", "-f", "rtp", fmt.Sprintf("rtp://127.0.0.1:%d", audio))
		pids = append(pids, p.PID())
		time.Sleep(time.Second / time.Duration(n))
	}
	return measureInjected(t, pids, n, &pictures)
}

// listenRTP takes packets and counts pictures by their markers.
func listenRTP(t *testing.T, pictures *atomic.Int64) (port int) {
	t.Helper()
	conn, err := net.ListenUDP("udp4", &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1), Port: peertest.Ports(t, 2)})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close() })
	go func() {
		b := make([]byte, 2048)
		for {
			n, _, err := conn.ReadFromUDPAddrPort(b)
			if err != nil {
				return
			}
			if pictures != nil && n > 12 && b[1]&0x80 != 0 {
				pictures.Add(1)
			}
		}
	}()
	return conn.LocalAddr().(*net.UDPAddr).Port
}

// TestBenchInject plays the same file into calls by the gateway, with and
// without transcoding, and by one ffmpeg each.
func TestBenchInject(t *testing.T) {
	n, folder := calls(t), injectFolder(t)
	gatewayPlays := func(source string, audio media.Codec) func(t *testing.T) figures {
		return func(t *testing.T) figures {
			s := startInjected(t, folder, audio, n)
			s.play(t, source)
			return measureInjected(t, []int{s.process.PID()}, n, &s.pictures)
		}
	}
	cases := []struct {
		name    string
		measure func(t *testing.T) figures
	}{
		{"ffmpeg, AAC to Opus", func(t *testing.T) figures { return throughFFmpegRTP(t, filepath.Join(folder, "aac.mp4"), n) }},
		{"gateway, AAC to Opus", gatewayPlays("vod://aac.mp4", media.Opus)},
		{"gateway, AAC to G.711", gatewayPlays("vod://aac.mp4", media.PCMA)},
		{"gateway, Opus kept", gatewayPlays("vod://opus.mp4", media.Opus)},
	}
	all := make([][]figures, len(cases))
	names := make([]string, len(cases))
	for range rounds {
		for i, c := range cases {
			names[i] = c.name
			ok := t.Run(c.name, func(t *testing.T) {
				f := c.measure(t)
				t.Logf("%.4f CPU s a call second, %.1f MB resident (%.1f proportional) a call", f.cpu, f.rss, f.pss)
				all[i] = append(all[i], f)
			})
			if !ok {
				t.FailNow()
			}
		}
	}
	var b strings.Builder
	fmt.Fprintf(&b, "\n### Files played into calls, %s, %d calls at once, %s, %d cores\n\n", time.Now().UTC().Format("2006-01-02"), n, runtime.Version(), runtime.NumCPU())
	b.WriteString("| | CPU s a call second, median (min to max) | of ffmpeg | MB resident a call | proportional |\n|---|---|---|---|---|\n")
	for i, name := range names {
		var cpu, ratio, rss, pss []float64
		for r, f := range all[i] {
			cpu, rss, pss = append(cpu, f.cpu), append(rss, f.rss), append(pss, f.pss)
			ratio = append(ratio, f.cpu/all[0][r].cpu)
		}
		fmt.Fprintf(&b, "| %s | %.4f (%.4f to %.4f) | %.2f | %.1f | %.1f |\n",
			name, median(cpu), slices.Min(cpu), slices.Max(cpu), median(ratio), median(rss), median(pss))
	}
	addToReport(t, injectSection, b.String())
}

// TestBenchInjectShared plays one file into many calls, each reading it and all
// sharing one reading, and a file that is sixty times as long.
func TestBenchInjectShared(t *testing.T) {
	folder := injectFolder(t)
	var b strings.Builder
	fmt.Fprintf(&b, "\n### One file played into many calls, AAC to G.711, %s, %s, %d cores\n\n", time.Now().UTC().Format("2006-01-02"), runtime.Version(), runtime.NumCPU())
	b.WriteString("| | calls | times the file is open | read, MB/s | CPU s a call second | MB resident, all calls |\n|---|---|---|---|---|---|\n")
	for _, c := range []struct {
		source string
		calls  int
	}{
		{"vod-live://aac.mp4", 1}, {"vod-live://aac.mp4", sharedCalls}, {"vod://aac.mp4", sharedCalls},
		{"vod://aac.mp4", calls(t)}, {"vod://long.mp4", calls(t)},
	} {
		ok := t.Run(fmt.Sprintf("%s to %d calls", strings.Replace(c.source, "://", " ", 1), c.calls), func(t *testing.T) {
			s := startInjected(t, folder, media.PCMA, c.calls)
			s.play(t, c.source)
			read, begun := readOf(t, s.process.PID()), time.Now()
			f := measureInjected(t, []int{s.process.PID()}, c.calls, &s.pictures)
			rate := (readOf(t, s.process.PID()) - read) / time.Since(begun).Seconds() / 1e6
			open := openFiles(t, s.process.PID(), folder)
			if live := strings.HasPrefix(c.source, "vod-live"); live && open != 1 || !live && open != c.calls {
				t.Errorf("the file is open %d times", open)
			}
			fmt.Fprintf(&b, "| %s | %d | %d | %.2f | %.4f | %.1f |\n", c.source, c.calls, open, rate, f.cpu, f.rss*float64(c.calls))
		})
		if !ok {
			t.FailNow()
		}
	}
	addToReport(t, injectSection, b.String())
}

// readOf is what a process has read so far by files and pipes, in bytes (proc(5),
// io: rchar). Sockets count too if they are read by read(2), which those of RTP
// are not.
func readOf(t *testing.T, pid int) float64 {
	t.Helper()
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/io", pid))
	if err != nil {
		t.Fatal(err)
	}
	var n float64
	if _, err := fmt.Sscanf(string(text), "rchar: %f", &n); err != nil {
		t.Fatal(err)
	}
	return n
}

// openFiles is how many files of a folder a process has open.
func openFiles(t *testing.T, pid int, folder string) (n int) {
	t.Helper()
	links, err := filepath.Glob(fmt.Sprintf("/proc/%d/fd/*", pid))
	if err != nil {
		t.Fatal(err)
	}
	for _, l := range links {
		if to, err := os.Readlink(l); err == nil && strings.HasPrefix(to, folder+"/") {
			n++
		}
	}
	return n
}
