//go:build linux

package peertest

import (
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"
)

// Clip is a source with a white flash and a beep each second, at the same
// time, the ones of each fifth second longer, so that the pairs are
// unambiguous.
type Clip struct {
	Video string // H.264 in MP4, without sound
	Audio string // WAV, mono, 48 kHz
}

// ClipOptions describe a clip; the zero value is 640x360, 25 fps, 60 s.
type ClipOptions struct {
	Seconds, Width, Height, FrameRate int
}

// flashLength is how long flash and beep last, longFlash those of each fifth
// second.
const (
	flashLength = 0.12
	longFlash   = 0.4
)

// MakeClip makes a clip with ffmpeg.
func MakeClip(t testing.TB, o ClipOptions) Clip {
	t.Helper()
	if o.Seconds == 0 {
		o.Seconds = 60
	}
	if o.Width == 0 {
		o.Width, o.Height = 640, 360
	}
	if o.FrameRate == 0 {
		o.FrameRate = 25
	}
	dir := t.TempDir()
	c := Clip{Video: filepath.Join(dir, "clip.mp4"), Audio: filepath.Join(dir, "clip.wav")}
	clips.Lock()
	defer clips.Unlock()
	if made, ok := clips.made[o]; ok {
		writeFile(t, c.Video, made.video)
		writeFile(t, c.Audio, made.audio)
		return c
	}
	on := fmt.Sprintf("lt(mod(t,1),if(lt(mod(t,5),1),%g,%g))", longFlash, flashLength)
	ffmpeg(t, "-f", "lavfi", "-i",
		fmt.Sprintf("testsrc=size=%dx%d:rate=%d:duration=%d", o.Width, o.Height, o.FrameRate, o.Seconds),
		// The picture is darkened so that the flash stands out.
		"-vf", fmt.Sprintf("lutyuv=y=val*0.5,drawbox=color=white:t=fill:enable='%s',format=yuv420p", on),
		"-c:v", "libx264", "-profile:v", "baseline", "-preset", "veryfast", "-tune", "zerolatency",
		"-g", strconv.Itoa(o.FrameRate), "-b:v", "600k", "-maxrate", "800k", "-bufsize", "400k", c.Video)
	ffmpeg(t, "-f", "lavfi", "-i",
		fmt.Sprintf("aevalsrc='if(%s,0.5*sin(2*PI*1000*t),0)':s=48000:d=%d", on, o.Seconds),
		"-ac", "1", "-c:a", "pcm_s16le", c.Audio)
	clips.made[o] = clipFiles{video: readFile(t, c.Video), audio: readFile(t, c.Audio)}
	return c
}

// Publish sends the clip to an RTMP server in real time, again and again, as
// H.264 and AAC, until the test ends or the process is stopped.
func (c Clip) Publish(t testing.TB, url string) *Process {
	t.Helper()
	return Start(t, "ffmpeg", "-v", "error", "-nostdin", "-re", "-stream_loop", "-1", "-i", c.Video,
		"-stream_loop", "-1", "-i", c.Audio, "-c:v", "copy", "-c:a", "aac", "-f", "flv", url)
}

// clips keeps what was made: tests of a package mostly want the same.
var clips = struct {
	sync.Mutex
	made map[ClipOptions]clipFiles
}{made: map[ClipOptions]clipFiles{}}

type clipFiles struct{ video, audio []byte }

func readFile(t testing.TB, path string) []byte {
	t.Helper()
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func writeFile(t testing.TB, path string, b []byte) {
	t.Helper()
	if err := os.WriteFile(path, b, 0o600); err != nil {
		t.Fatal(err)
	}
}

func ffmpeg(t testing.TB, args ...string) {
	t.Helper()
	if _, errs, err := Run(t, 2*time.Minute, "ffmpeg", append([]string{"-v", "error", "-nostdin", "-y"}, args...)...); err != nil {
		t.Fatalf("ffmpeg %s: %v\n%s", strings.Join(args, " "), err, errs)
	}
}
