//go:build peers && linux

package rtpio

import (
	"bytes"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/pion/rtp"

	"github.com/trunkcast/trunkcast/internal/peertest"
	"github.com/trunkcast/trunkcast/media"
)

// TestPeerEncoders takes what real encoders make, through ffmpeg's RTP, and
// lets ffprobe decode what comes out.
func TestPeerEncoders(t *testing.T) {
	const pictures = 75
	x264 := func(params string) []string {
		return []string{"-c:v", "libx264", "-preset", "ultrafast", "-x264-params", "keyint=25:scenecut=0:" + params}
	}
	for name, c := range map[string]struct {
		h265    bool
		reorder bool
		encoder []string
	}{
		"H.264 baseline":      {encoder: append(x264("slices=1"), "-profile:v", "baseline")},
		"H.264 four slices":   {encoder: append(x264("slices=4"), "-tune", "zerolatency")},
		"H.264 B pictures":    {encoder: x264("bframes=3:b-pyramid=normal:b-adapt=0:aud=1"), reorder: true},
		"H.264 refresh":       {encoder: x264("intra-refresh=1")},
		"H.265":               {encoder: []string{"-c:v", "libx265", "-preset", "ultrafast", "-x265-params", "keyint=25:bframes=0:log-level=none"}, h265: true},
		"H.265 B pictures":    {encoder: []string{"-c:v", "libx265", "-preset", "ultrafast", "-x265-params", "keyint=25:bframes=3:b-adapt=0:log-level=none"}, h265: true, reorder: true},
		"H.265 open pictures": {encoder: []string{"-c:v", "libx265", "-preset", "ultrafast", "-x265-params", "keyint=25:bframes=2:open-gop=1:log-level=none"}, h265: true, reorder: true},
	} {
		t.Run(name, func(t *testing.T) {
			conn := listenLoopback(t, "127.0.0.1")
			args := append([]string{"-hide_banner", "-loglevel", "error", "-re", "-f", "lavfi", "-i",
				"testsrc2=size=320x240:rate=25", "-frames:v", strconv.Itoa(pictures), "-pix_fmt", "yuv420p"}, c.encoder...)
			args = append(args, "-payload_type", map[bool]string{false: "96", true: "97"}[c.h265], "-f", "rtp",
				"rtp://127.0.0.1:"+strconv.Itoa(port(conn))+"?pkt_size=1200&localrtpport="+freePort(t))
			p := peertest.Start(t, "ffmpeg", args...)
			l := newLab(t, &Session{})
			l.receive(conn, p)
			frames := l.of(true)
			if len(frames) != pictures {
				t.Fatalf("%d pictures of %d", len(frames), pictures)
			}
			checkTimes(t, frames, c.reorder)
			if tr := frames[0].Track; tr.Width != 320 || tr.Height != 240 {
				t.Errorf("%dx%d", tr.Width, tr.Height)
			}
			if n, messages := decode(t, frames); n != pictures || messages != "" {
				t.Errorf("ffprobe decodes %d pictures\n%s", n, messages)
			}
		})
	}
}

// freePort is a UDP port that was free a moment ago.
func freePort(t *testing.T) string {
	c := listenLoopback(t, "127.0.0.1")
	defer func() { _ = c.Close() }()
	return strconv.Itoa(port(c))
}

// receive takes packets until the program has ended and none comes any more.
func (l *lab) receive(conn *net.UDPConn, p *peertest.Process) {
	buf := make([]byte, maxDatagram)
	begin := time.Now()
	for end := begin.Add(30 * time.Second); time.Now().Before(end); {
		_ = conn.SetReadDeadline(time.Now().Add(time.Second))
		n, err := conn.Read(buf)
		at := time.Since(begin)
		l.until(at)
		if err != nil {
			if len(l.frames) > 0 {
				break
			}
			continue
		}
		var pkt rtp.Packet
		if classify(buf[:n]) == classRTP && pkt.Unmarshal(buf[:n]) == nil {
			l.r.Packet(1, &pkt, l.start.Add(at))
		}
	}
	l.r.Flush(l.emit(l.now))
}

// checkTimes checks that pictures are 40 ms apart, in their output order.
func checkTimes(t *testing.T, frames []*media.Frame, reorder bool) {
	var pts []time.Duration
	differ := false
	for _, f := range frames {
		pts = append(pts, f.PTS)
		differ = differ || f.PTS != f.DTS
	}
	slices.Sort(pts)
	for i := 1; i < len(pts); i++ {
		if d := pts[i] - pts[i-1]; (d - 40*ms).Abs() > ms {
			t.Errorf("picture %d is %v after the one before", i, d)
		}
	}
	if differ != reorder {
		t.Errorf("PTS and DTS differ: %v", differ)
	}
}

// decode counts the pictures that ffprobe decodes.
func decode(t *testing.T, frames []*media.Frame) (n int, messages string) {
	var b []byte
	start := []byte{0, 0, 0, 1}
	for _, f := range frames {
		if f.Key {
			for _, nal := range f.Track.Config {
				b = append(append(b, start...), nal...)
			}
		}
		for _, nal := range f.Data {
			b = append(append(b, start...), nal...)
		}
	}
	format := "h264"
	if frames[0].Track.Codec == media.H265 {
		format = "hevc"
	}
	file := filepath.Join(t.TempDir(), "stream")
	if err := os.WriteFile(file, b, 0o600); err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(peertest.Look(t, "ffprobe"), "-v", "error", "-f", format, "-count_frames", "-select_streams", "v",
		"-show_entries", "stream=nb_read_frames", "-of", "csv=p=0", file)
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		t.Fatal(err)
	}
	n, _ = strconv.Atoi(strings.TrimSpace(string(out)))
	return n, stderr.String()
}
