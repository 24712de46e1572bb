//go:build peers && bench

package benchmark

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/trunkcast/trunkcast/internal/peertest"
	"github.com/trunkcast/trunkcast/media"
)

const (
	settle = 5 * time.Second
	window = 20 * time.Second
	rounds = 3
)

// calls is how many run at once.
func calls(t testing.TB) int {
	text := os.Getenv("BENCH_CALLS")
	if text == "" {
		return 20
	}
	n, err := strconv.Atoi(text)
	if err != nil || n < 1 {
		t.Fatalf("BENCH_CALLS=%s is no number of calls", text)
	}
	return n
}

// figures are what some processes together spent in a window.
type figures struct {
	cpu      float64 // CPU seconds for each second of a call
	rss, pss float64 // MB for each call
}

// TestBenchCalls takes the same calls through the gateway and through one
// ffmpeg each, both into nginx-rtmp.
func TestBenchCalls(t *testing.T) {
	n := calls(t)
	dir := t.TempDir()
	clip := makeClip(t, dir)
	gateway := buildGateway(t, dir)
	aac := []string{"-c:a", "aac", "-ac", "1", "-ar", "48000", "-b:a", "64k"}
	cases := []struct {
		name    string
		measure func(t *testing.T) figures
	}{
		{"gateway, Opus to AAC", func(t *testing.T) figures { return throughGateway(t, gateway, clip, media.Opus, "aac", n) }},
		{"ffmpeg, Opus to AAC", func(t *testing.T) figures { return throughFFmpeg(t, clip, media.Opus, n, aac...) }},
		{"gateway, G.711 kept", func(t *testing.T) figures { return throughGateway(t, gateway, clip, media.PCMA, "copy", n) }},
		{"ffmpeg, G.711 kept", func(t *testing.T) figures { return throughFFmpeg(t, clip, media.PCMA, n, "-c:a", "copy") }},
	}
	all := make([][]figures, len(cases))
	for range rounds {
		for i, c := range cases {
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
	names := make([]string, len(cases))
	for i, c := range cases {
		if len(all[i]) < rounds {
			return // only some of them were asked for
		}
		names[i] = c.name
	}
	report(t, n, names, all)
}

// report adds a table to docs/performance.md. The ratios are to ffmpeg with
// AAC, round by round.
func report(t *testing.T, n int, names []string, all [][]figures) {
	var b strings.Builder
	fmt.Fprintf(&b, "\n### %s, %d calls at once, %s, %d cores\n\n", time.Now().UTC().Format("2006-01-02"), n, runtime.Version(), runtime.NumCPU())
	b.WriteString("| | CPU s a call second, median (min to max) | of ffmpeg with AAC | MB resident a call | proportional |\n|---|---|---|---|---|\n")
	for i, name := range names {
		var cpu, ratio, rss, pss []float64
		for r, f := range all[i] {
			cpu, rss, pss = append(cpu, f.cpu), append(rss, f.rss), append(pss, f.pss)
			ratio = append(ratio, f.cpu/all[1][r].cpu)
		}
		fmt.Fprintf(&b, "| %s | %.4f (%.4f to %.4f) | %.2f | %.1f | %.1f |\n",
			name, median(cpu), slices.Min(cpu), slices.Max(cpu), median(ratio), median(rss), median(pss))
	}
	addToReport(t, callsSection, b.String())
}

// makeClip makes what every call sends: 640x360 at 25 fps, 600 kbit/s, and
// Opus mono.
func makeClip(t testing.TB, dir string) string {
	c := peertest.MakeClip(t, peertest.ClipOptions{Seconds: 20})
	file := filepath.Join(dir, "clip.mp4")
	_, errs, err := peertest.Run(t, time.Minute, "ffmpeg", "-v", "error", "-y", "-i", c.Video, "-i", c.Audio,
		"-c:v", "copy", "-c:a", "libopus", "-b:a", "32k", file)
	if err != nil {
		t.Fatalf("clip: %v\n%s", err, errs)
	}
	return file
}

// throughGateway measures n calls by SIP through one gateway.
func throughGateway(t *testing.T, binary, clip string, sent media.Codec, audio string, n int) figures {
	nginx := peertest.StartNginx(t)
	port := peertest.Port(t)
	trunks := filepath.Join(t.TempDir(), "sip_trunk.yml")
	text := fmt.Sprintf("trunks:\n bench:\n  localPort: %d\n  listenAddress: 127.0.0.1\n  proxyIp: 127.0.0.1\n  register: false\n"+
		"  url: %s/live\n  audio: %s\n", port, nginx.RTMPURL, audio)
	if err := os.WriteFile(trunks, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	p := peertest.Start(t, binary, "-trunks", trunks, "-rtmp", "off", "-log", "warn")
	peertest.Eventually(t, 20*time.Second, "gateway listens", func() bool { return strings.Contains(p.Output(), "trunk bench") })
	stop := startSender(t, job{Clip: clip, Audio: sent, Calls: n, Gateway: peertest.Loopback(port)})
	defer stop()
	waitStreams(t, nginx, n)
	return measure(t, nginx, n, []int{p.PID()})
}

// throughFFmpeg measures n processes that take the same media without SIP.
func throughFFmpeg(t *testing.T, clip string, sent media.Codec, n int, audio ...string) figures {
	nginx := peertest.StartNginx(t)
	j := job{Clip: clip, Audio: sent, Calls: n}
	var pids []int
	for i := range n {
		first := peertest.Ports(t, 4)
		ports := [2]int{first, first + 2}
		j.Ports = append(j.Ports, ports)
		file := filepath.Join(t.TempDir(), "call.sdp")
		if err := os.WriteFile(file, []byte(describe(sent, ports)), 0o600); err != nil {
			t.Fatal(err)
		}
		args := append([]string{"-v", "error", "-nostdin", "-protocol_whitelist", "file,udp,rtp", "-i", file, "-c:v", "copy"}, audio...)
		p := peertest.Start(t, "ffmpeg", append(args, "-f", "flv", fmt.Sprintf("%s/live/%d", nginx.RTMPURL, i))...)
		pids = append(pids, p.PID())
	}
	stop := startSender(t, j)
	defer stop()
	waitStreams(t, nginx, n)
	return measure(t, nginx, n, pids)
}

func waitStreams(t *testing.T, nginx *peertest.Nginx, n int) {
	t.Helper()
	peertest.Eventually(t, 40*time.Second, fmt.Sprintf("%d streams", n), func() bool {
		live := 0
		for _, s := range nginx.Streams() {
			if s.Publishing() && s.Meta.Video.Width > 0 && s.Meta.Audio.Codec != "" {
				live++
			}
		}
		return live == n
	})
}

// measure takes the CPU of some processes over the window in which they carry
// n calls. Streams that brought less than they should are an error.
func measure(t *testing.T, nginx *peertest.Nginx, n int, pids []int) figures {
	t.Helper()
	time.Sleep(settle)
	in0, cpu0, begun := received(nginx), cpuOf(t, pids), time.Now()
	time.Sleep(window)
	took := time.Since(begun).Seconds()
	cpu, in := cpuOf(t, pids)-cpu0, received(nginx)-in0
	rate := float64(in) * 8 / took / float64(n)
	if rate < 350_000 { // the clip's picture alone has about 600 kbit/s at its peaks
		t.Errorf("only %.0f bit/s of a stream arrived", rate)
	}
	rss, pss := memoryOf(t, pids)
	return figures{cpu: cpu / took / float64(n), rss: rss / float64(n), pss: pss / float64(n)}
}

// received is the number of bytes that came to the server.
func received(nginx *peertest.Nginx) int64 {
	var sum int64
	for _, s := range nginx.Streams() {
		sum += s.BytesIn
	}
	return sum
}

// cpuOf is the time in seconds that processes have run, as the scheduler
// measures it for each thread (proc(5), schedstat). The user and system time
// of /proc/PID/stat is sampled at the timer's interrupts on many systems, and
// wrong for programs that wake by the clock as these do.
func cpuOf(t *testing.T, pids []int) float64 {
	t.Helper()
	sum := 0.0
	for _, pid := range pids {
		threads, err := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/schedstat", pid))
		if err != nil || len(threads) == 0 {
			t.Fatalf("process %d has no schedstat: %v", pid, err)
		}
		for _, name := range threads {
			text, err := os.ReadFile(name)
			if errors.Is(err, os.ErrNotExist) {
				continue // the thread has just ended
			}
			if err != nil {
				t.Fatal(err)
			}
			ns, _, _ := strings.Cut(string(text), " ")
			n, err := strconv.ParseFloat(ns, 64)
			if err != nil {
				t.Fatal(err)
			}
			sum += n
		}
	}
	return sum / 1e9
}

// memoryOf is the resident and the proportional memory of processes in MB.
func memoryOf(t *testing.T, pids []int) (rss, pss float64) {
	t.Helper()
	for _, pid := range pids {
		text, err := os.ReadFile(fmt.Sprintf("/proc/%d/smaps_rollup", pid))
		if err != nil {
			t.Fatal(err)
		}
		for line := range strings.Lines(string(text)) {
			f := strings.Fields(line)
			if len(f) < 3 {
				continue
			}
			kb, _ := strconv.ParseFloat(f[1], 64)
			switch f[0] {
			case "Rss:":
				rss += kb / 1024
			case "Pss:":
				pss += kb / 1024
			}
		}
	}
	return rss, pss
}
