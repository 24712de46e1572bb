//go:build peers

package inject_test

import (
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/trunkcast/trunkcast/inject"
	"github.com/trunkcast/trunkcast/internal/democlip"
	"github.com/trunkcast/trunkcast/internal/peertest"
	"github.com/trunkcast/trunkcast/media"
	"github.com/trunkcast/trunkcast/media/aac"
	"github.com/trunkcast/trunkcast/media/opus"
	"github.com/trunkcast/trunkcast/rtmp"
)

// packet is what ffprobe says of one.
type packet struct {
	video    bool
	dts, pts time.Duration
	key      bool
	size     int
}

// probe returns the packets of a file, those apart that ffmpeg leaves away
// because an edit list says so.
func probe(t *testing.T, file string) (packets []packet) {
	t.Helper()
	out, errs, err := peertest.Run(t, time.Minute, "ffprobe", "-v", "error",
		"-show_entries", "packet=codec_type,pts_time,dts_time,duration_time,size,flags", "-of", "csv=p=0", file)
	if err != nil {
		t.Fatalf("ffprobe: %v\n%s", err, errs)
	}
	for line := range strings.Lines(out) {
		f := strings.Split(strings.TrimSpace(line), ",")
		if len(f) < 6 {
			continue
		}
		p := packet{video: f[0] == "video", pts: seconds(f[1]), dts: seconds(f[2]), key: strings.HasPrefix(f[5], "K")}
		p.size, _ = strconv.Atoi(f[4])
		if !p.video && p.pts < 0 && p.pts+seconds(f[3]) <= time.Microsecond {
			continue // priming
		}
		packets = append(packets, p)
	}
	return packets
}

func seconds(s string) time.Duration {
	v, _ := strconv.ParseFloat(s, 64)
	return time.Duration(v * float64(time.Second))
}

// compare holds a file against what ffprobe says: every frame of each kind, in
// order, at the same distance from the first picture.
func compare(t *testing.T, file string) {
	t.Helper()
	b, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	f := mustOpen(t, b, inject.FileOptions{})
	frames := readAll(t, f)
	checkFrames(t, frames)
	var mine []packet
	for _, fr := range frames {
		mine = append(mine, packet{fr.Track.Codec.Video(), fr.DTS, fr.PTS, fr.Key, fr.Size()})
	}
	theirs := probe(t, file)
	shift, found := time.Duration(0), false
	for _, video := range []bool{true, false} {
		a, b := kindOf(mine, video), kindOf(theirs, video)
		if len(a) != len(b) {
			t.Fatalf("video %v: %d frames, ffprobe has %d", video, len(a), len(b))
		}
		for i := range a {
			if !found {
				shift, found = a[i].pts-b[i].pts, true
			}
			if d := a[i].pts - b[i].pts - shift; d.Abs() > time.Millisecond {
				t.Fatalf("video %v: frame %d at %v, ffprobe says %v (shift %v)", video, i, a[i].pts, b[i].pts, shift)
			}
			if d := a[i].dts - b[i].dts - shift; d.Abs() > time.Millisecond {
				t.Fatalf("video %v: frame %d has DTS %v, ffprobe says %v (shift %v)", video, i, a[i].dts, b[i].dts, shift)
			}
			if video && a[i].key != b[i].key || !video && a[i].size != b[i].size {
				t.Fatalf("video %v: frame %d is %+v, ffprobe says %+v", video, i, a[i], b[i])
			}
		}
	}
}

func kindOf(packets []packet, video bool) (list []packet) {
	for _, p := range packets {
		if p.video == video {
			list = append(list, p)
		}
	}
	return list
}

// TestPeerProbe compares the files of testdata, and others made now, with what
// ffprobe says about them.
func TestPeerProbe(t *testing.T) {
	for _, name := range files {
		if filepath.Ext(name) == ".wav" {
			continue // is cut into other frames
		}
		t.Run(name, func(t *testing.T) { compare(t, filepath.Join("testdata", name)) })
	}
	const (
		video = "-f lavfi -i testsrc=size=320x180:rate=25:duration=4 "
		sound = "-f lavfi -i sine=frequency=440:sample_rate=48000:duration=4 "
		h264  = "-c:v libx264 -preset veryfast -pix_fmt yuv420p -g 25 "
	)
	for name, args := range map[string]string{
		"deep.mp4":      video + sound + h264 + "-bf 4 -refs 4 -c:a aac",
		"dash.mp4":      video + sound + h264 + "-c:a aac -movflags +dash -frag_duration 500000",
		"each.mp4":      video + sound + h264 + "-c:a libopus -movflags +frag_every_frame+empty_moov",
		"offset.mp4":    video + sound + h264 + "-bf 2 -c:a aac -movflags +negative_cts_offsets",
		"quicktime.mov": video + sound + h264 + "-bf 2 -c:a aac",
		"late.mp4":      video + "-itsoffset 0.7 " + sound + h264 + "-c:a aac",
		"hevcb.mp4":     video + sound + "-c:v libx265 -preset ultrafast -x265-params log-level=error:keyint=25:open-gop=0 -pix_fmt yuv420p -tag:v hev1 -c:a aac",
		"g711.flv":      video + sound + h264 + "-bf 0 -c:a pcm_mulaw -ar 8000",
		"long.ogg":      sound + "-c:a libopus -b:a 96k -frame_duration 60",
	} {
		t.Run(name, func(t *testing.T) {
			file := filepath.Join(t.TempDir(), name)
			command := append(strings.Fields("-v error -nostdin -y "+args), file)
			if _, errs, err := peertest.Run(t, time.Minute, "ffmpeg", command...); err != nil {
				t.Fatalf("ffmpeg: %v\n%s", err, errs)
			}
			compare(t, file)
		})
	}
}

// TestPeerInject plays the demo clip over its seam to a server, the sound
// transcoded, and measures what a player gets.
func TestPeerInject(t *testing.T) {
	n := peertest.StartNginx(t)
	p := &rtmp.Publisher{URL: n.RTMPURL + "/live/demo"}
	i := &inject.Injector{
		Source: democlip.Open(), Sink: p,
		Audio: []media.Codec{media.AAC}, Codecs: []media.AudioCodec{aac.Codec{}, opus.Codec{}},
	}
	if err := i.Seek(8 * time.Second); err != nil {
		t.Fatal(err)
	}
	if err := i.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	defer p.Close()
	defer i.Close()
	n.WaitStream("demo", 20*time.Second)
	m := peertest.Watch(t, n.RTMPURL+"/live/demo", 7*time.Second)
	t.Logf("measured: %v", m)
	m.Check(t, peertest.Expect{
		Width: 640, Height: 360, FrameRate: 25, MaxOffset: 60 * time.Millisecond, MinFlashes: 4, MinBeeps: 4,
	})
	if st := i.Status(); st.Rounds == 0 {
		t.Errorf("the seam was not passed: %+v", st)
	}
}
