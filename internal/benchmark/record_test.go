//go:build peers && bench

package benchmark

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/trunkcast/trunkcast/internal/peertest"
	"github.com/trunkcast/trunkcast/media"
)

// manyRecorded is how many calls are recorded on one disk at once.
const manyRecorded = 100

// written are the figures of calls that are recorded.
type written struct {
	figures
	rate float64 // bytes in files for each second of a call
	lost uint64  // frames
}

// TestBenchRecord records the same calls by the gateway and by one ffmpeg
// each, both into fragmented MP4 without transcoding, then many at once.
func TestBenchRecord(t *testing.T) {
	n := calls(t)
	dir := t.TempDir()
	clip := makeClip(t, dir)
	gateway := buildGateway(t, dir)
	var ours, theirs []written
	for range rounds {
		if !t.Run("gateway", func(t *testing.T) { ours = append(ours, recordedByGateway(t, gateway, clip, n)) }) ||
			!t.Run("ffmpeg", func(t *testing.T) { theirs = append(theirs, recordedByFFmpeg(t, clip, n)) }) {
			t.FailNow()
		}
	}
	var many []written
	t.Run("many", func(t *testing.T) { many = append(many, recordedByGateway(t, gateway, clip, manyRecorded)) })
	reportRecorded(t, n, ours, theirs, many)
}

func reportRecorded(t *testing.T, n int, ours, theirs, many []written) {
	var b strings.Builder
	fmt.Fprintf(&b, "\n### %s, recordings, %s, %d cores\n\n", time.Now().UTC().Format("2006-01-02"), runtime.Version(), runtime.NumCPU())
	b.WriteString("Fragmented MP4 of H.264 and Opus as they came, nothing published; `ffmpeg -c copy`, one process a call.\n\n")
	b.WriteString("| | calls at once | CPU s a call second, median (min to max) | of ffmpeg | bytes written a call second | of ffmpeg | MB resident a call | frames lost |\n|---|---|---|---|---|---|---|---|\n")
	row := func(name string, calls int, list []written, compare bool) {
		var cpu, cpuRatio, rate, rateRatio, rss []float64
		lost := uint64(0)
		for r, w := range list {
			cpu, rate, rss = append(cpu, w.cpu), append(rate, w.rate), append(rss, w.rss)
			lost += w.lost
			if compare {
				cpuRatio, rateRatio = append(cpuRatio, w.cpu/theirs[r].cpu), append(rateRatio, w.rate/theirs[r].rate)
			}
		}
		ratio := func(list []float64) string {
			if len(list) == 0 {
				return ""
			}
			return fmt.Sprintf("%.2f", median(list))
		}
		fmt.Fprintf(&b, "| %s | %d | %.4f (%.4f to %.4f) | %s | %.0f | %s | %.1f | %d |\n", name, calls, median(cpu),
			slices.Min(cpu), slices.Max(cpu), ratio(cpuRatio), median(rate), ratio(rateRatio), median(rss), lost)
	}
	row("gateway", n, ours, true)
	row("ffmpeg -c copy", n, theirs, true)
	if len(many) > 0 {
		row("gateway", manyRecorded, many, false)
	}
	addToReport(t, recordSection, b.String())
}

// recordedByGateway measures n calls that requests have recorded.
func recordedByGateway(t *testing.T, binary, clip string, n int) written {
	folder := t.TempDir()
	sip, rest := peertest.Port(t), peertest.Port(t)
	config := filepath.Join(t.TempDir(), "gateway.yml")
	text := fmt.Sprintf("sipListen: %s\nrtmpListen: off\nhttpListen: %s\nrecordFolder: %s\n", peertest.Loopback(sip), peertest.Loopback(rest), folder)
	if err := os.WriteFile(config, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	p := peertest.Start(t, binary, "-config", config, "-log", "warn")
	peertest.Eventually(t, 20*time.Second, "gateway listens", func() bool { return strings.Contains(p.Output(), "trunk default") })
	stop := startSender(t, job{Clip: clip, Audio: media.Opus, Calls: n, Gateway: peertest.Loopback(sip)})
	defer stop()
	type item struct {
		CallID       string `json:"callId"`
		Frames, Lost uint64
	}
	ask := func(path string, body any) (list []item) {
		return post[item](t, "http://"+peertest.Loopback(rest)+"/rest-api"+path, body)
	}
	for _, c := range ask("/call/find_all", nil) {
		ask("/recorder/startup", map[string]string{"mediaSessionId": c.CallID})
	}
	peertest.Eventually(t, 40*time.Second, "all calls recorded", func() bool {
		list := ask("/recorder/find_all", nil)
		return len(list) == n && !slices.ContainsFunc(list, func(r item) bool { return r.Frames == 0 })
	})
	before := ask("/recorder/find_all", nil)
	w := measureFiles(t, folder, n, []int{p.PID()})
	for i, r := range ask("/recorder/find_all", nil) {
		w.lost += r.Lost - before[i].Lost
	}
	return w
}

// post asks a REST interface, whose answer is a list or nothing.
func post[T any](t *testing.T, url string, body any) (list []T) {
	t.Helper()
	data, err := json.Marshal(body)
	if err != nil {
		t.Fatal(err)
	}
	if body == nil {
		data = nil
	}
	res, err := http.Post(url, "application/json", bytes.NewReader(data))
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = res.Body.Close() }()
	text, err := io.ReadAll(res.Body)
	if err != nil || res.StatusCode != http.StatusOK {
		t.Fatalf("%s: %d %s %v", url, res.StatusCode, text, err)
	}
	if len(text) > 0 {
		if err := json.Unmarshal(text, &list); err != nil {
			t.Fatal(err)
		}
	}
	return list
}

// recordedByFFmpeg measures n processes that write the same media without SIP.
func recordedByFFmpeg(t *testing.T, clip string, n int) written {
	folder := t.TempDir()
	j := job{Clip: clip, Audio: media.Opus, Calls: n}
	var pids []int
	for i := range n {
		first := peertest.Ports(t, 4)
		ports := [2]int{first, first + 2}
		j.Ports = append(j.Ports, ports)
		file := filepath.Join(t.TempDir(), "call.sdp")
		if err := os.WriteFile(file, []byte(describe(media.Opus, ports)), 0o600); err != nil {
			t.Fatal(err)
		}
		p := peertest.Start(t, "ffmpeg", "-v", "error", "-nostdin", "-protocol_whitelist", "file,udp,rtp", "-i", file, "-c", "copy",
			"-movflags", "frag_keyframe+empty_moov", filepath.Join(folder, fmt.Sprintf("%d.mp4", i)))
		pids = append(pids, p.PID())
	}
	stop := startSender(t, j)
	defer stop()
	peertest.Eventually(t, 40*time.Second, "all calls recorded", func() bool {
		count, _ := sizes(t, folder)
		return count == n
	})
	return measureFiles(t, folder, n, pids)
}

// measureFiles takes the CPU of some processes, and what they write, over the
// window in which they record n calls.
func measureFiles(t *testing.T, folder string, n int, pids []int) written {
	t.Helper()
	time.Sleep(settle)
	_, size0 := sizes(t, folder)
	cpu0, begun := cpuOf(t, pids), time.Now()
	time.Sleep(window)
	took := time.Since(begun).Seconds()
	cpu := cpuOf(t, pids) - cpu0
	count, size := sizes(t, folder)
	if count != n {
		t.Errorf("%d files of %d calls", count, n)
	}
	w := written{figures: figures{cpu: cpu / took / float64(n)}, rate: float64(size-size0) / took / float64(n)}
	if w.rate*8 < 350_000 { // as in measure
		t.Errorf("only %.0f bytes/s of a call were written", w.rate)
	}
	w.rss, w.pss = memoryOf(t, pids)
	w.rss, w.pss = w.rss/float64(n), w.pss/float64(n)
	t.Logf("%.4f CPU s a call second, %.0f bytes written, %.1f MB resident a call", w.cpu, w.rate, w.rss)
	return w
}

// sizes counts the files of a folder that have something in them, and their
// bytes.
func sizes(t *testing.T, folder string) (count int, bytes int64) {
	t.Helper()
	list, err := os.ReadDir(folder)
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range list {
		info, err := e.Info()
		if err != nil {
			t.Fatal(err)
		}
		if info.Size() > 0 {
			count++
			bytes += info.Size()
		}
	}
	return count, bytes
}
