//go:build peers && linux

package record_test

import (
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/trunkcast/trunkcast/inject"
	"github.com/trunkcast/trunkcast/internal/peertest"
	"github.com/trunkcast/trunkcast/media"
	"github.com/trunkcast/trunkcast/record"
)

const patience = 60 * time.Second

// clipFrames makes media with ffmpeg and returns their frames. The arguments
// choose the encoders; size is of the pictures.
func clipFrames(t *testing.T, size string, seconds int, args ...string) []*media.Frame {
	t.Helper()
	path := filepath.Join(t.TempDir(), "clip.mp4")
	all := []string{"-v", "error", "-nostdin", "-y",
		"-f", "lavfi", "-i", fmt.Sprintf("testsrc=size=%s:rate=25:duration=%d", size, seconds),
		"-f", "lavfi", "-i", fmt.Sprintf("sine=frequency=440:sample_rate=48000:duration=%d", seconds),
		"-pix_fmt", "yuv420p", "-g", "25"}
	all = append(append(all, args...), "-shortest", path)
	if _, errs, err := peertest.Run(t, patience, "ffmpeg", all...); err != nil {
		t.Fatalf("ffmpeg: %v\n%s", err, errs)
	}
	return fileFrames(t, path)
}

func fileFrames(t *testing.T, path string) (list []*media.Frame) {
	t.Helper()
	f, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	info, err := f.Stat()
	if err != nil {
		t.Fatal(err)
	}
	src, err := inject.Open(t.Context(), f, info.Size(), inject.FileOptions{})
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = src.Close() }()
	for {
		fr, err := src.ReadFrame(t.Context())
		if err == io.EOF {
			return list
		}
		if err != nil {
			t.Fatal(err)
		}
		list = append(list, fr)
	}
}

// later moves frames in time.
func later(frames []*media.Frame, by time.Duration) []*media.Frame {
	list := make([]*media.Frame, len(frames))
	for i, f := range frames {
		g := *f
		g.PTS += by
		g.DTS += by
		list[i] = &g
	}
	return list
}

func count(frames []*media.Frame, video bool) (n int) {
	for _, f := range frames {
		if f.Track.Codec.Video() == video {
			n++
		}
	}
	return n
}

// results collects the files of a recorder.
type results struct {
	mu   sync.Mutex
	list []record.Event
}

func (r *results) add(e record.Event) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.list = append(r.list, e)
}

func (r *results) of(typ record.EventType) (list []record.Event) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, e := range r.list {
		if e.Type == typ {
			list = append(list, e)
		}
	}
	return list
}

// write records frames and returns the paths of the files, in order.
func write(t *testing.T, r *record.Recorder, frames []*media.Frame) (paths []string) {
	t.Helper()
	var got results
	r.OnEvent = got.add
	r.CloseTimeout = patience
	rec, err := r.Record(record.Info{Stream: "peer"}, record.Options{})
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range frames {
		if err := rec.WriteFrame(t.Context(), f); err != nil {
			t.Fatal(err)
		}
	}
	if err := rec.Close(); err != nil {
		t.Fatal(err)
	}
	if err := r.Close(); err != nil { // waits for the jobs
		t.Fatal(err)
	}
	for _, e := range got.of(record.PartFinished) {
		if e.Err != nil {
			t.Errorf("%s: %v", e.Path, e.Err)
		}
		paths = append(paths, e.Path)
	}
	slices.Sort(paths)
	if st := rec.Stats(); st.Lost != 0 || len(paths) != st.Parts {
		t.Errorf("%d frames lost, %d files of %d", st.Lost, len(paths), st.Parts)
	}
	return paths
}

// decode plays a file with ffmpeg's decoders to its end and returns how many
// pictures and seconds of sound came out. Anything that they complain of is an
// error.
func decode(t *testing.T, path string) (pictures int, sound float64) {
	t.Helper()
	out, errs, err := peertest.Run(t, patience, "ffprobe", "-v", "warning", "-show_entries", "frame=media_type,nb_samples",
		"-of", "csv=p=0", path)
	if err != nil || errs != "" {
		t.Errorf("ffprobe %s: %v\n%s", filepath.Base(path), err, errs)
	}
	for line := range strings.Lines(out) {
		kind, samples, _ := strings.Cut(strings.TrimSpace(line), ",")
		if kind == "video" {
			pictures++
			continue
		}
		n, _ := strconv.Atoi(strings.Trim(samples, ","))
		sound += float64(n) / 48000
	}
	return pictures, sound
}

var encoders = map[string][]string{
	"H264 and AAC":          {"-c:v", "libx264", "-preset", "veryfast", "-bf", "0", "-c:a", "aac", "-ac", "1"},
	"H264 B-frames, stereo": {"-c:v", "libx264", "-preset", "veryfast", "-bf", "2", "-c:a", "aac", "-ac", "2"},
	"H264 and Opus":         {"-c:v", "libx264", "-preset", "veryfast", "-bf", "0", "-c:a", "libopus", "-ac", "2"},
	"H265 and AAC":          {"-c:v", "libx265", "-preset", "ultrafast", "-x265-params", "log-level=none:bframes=0", "-c:a", "aac", "-ac", "1"},
	"H264":                  {"-c:v", "libx264", "-preset", "veryfast", "-bf", "0", "-an"},
	"AAC":                   {"-vn", "-c:a", "aac", "-ac", "1"},
	"Opus":                  {"-vn", "-c:a", "libopus", "-ac", "1"},
}

// forms are the kinds of files.
var forms = map[string]func(r *record.Recorder){
	"fragmented": func(*record.Recorder) {},
	"plain":      func(r *record.Recorder) { r.Finalize = true },
	"ts":         func(r *record.Recorder) { r.Format = record.MPEGTS },
}

func TestPeerDecode(t *testing.T) {
	t.Parallel()
	for name, args := range encoders {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			frames := clipFrames(t, "640x360", 4, args...)
			for form, set := range forms {
				t.Run(form, func(t *testing.T) {
					t.Parallel()
					r := &record.Recorder{Folder: t.TempDir()}
					set(r)
					paths := write(t, r, frames)
					if len(paths) != 1 {
						t.Fatalf("files %v", paths)
					}
					if _, sound := plays(t, paths[0], frames); count(frames, false) > 0 && (sound < 3.9 || sound > 4.2) {
						t.Errorf("ffmpeg: %.2f s of sound", sound)
					}
				})
			}
		})
	}
}

// plays has ffmpeg and VLC play a file that holds all of the frames.
func plays(t *testing.T, path string, frames []*media.Frame) (pictures int, sound float64) {
	t.Helper()
	pictures, sound = decode(t, path)
	want := count(frames, true)
	if pictures != want {
		t.Errorf("ffmpeg: %d pictures, want %d", pictures, want)
	}
	if want > 0 {
		if n := peertest.DecodeVLC(t, path); n < want-peertest.VLCHeldBack {
			t.Errorf("VLC: %d pictures, want %d", n, want)
		}
	}
	return pictures, sound
}

// TestPeerResolution changes the picture size three times.
func TestPeerResolution(t *testing.T) {
	t.Parallel()
	for _, codec := range []string{"H264 and AAC", "H265 and AAC"} {
		t.Run(codec, func(t *testing.T) {
			t.Parallel()
			var frames []*media.Frame
			at := time.Duration(0)
			for _, size := range []string{"640x360", "320x240", "1280x720", "640x360"} {
				frames = append(frames, later(clipFrames(t, size, 2, encoders[codec]...), at)...)
				at += 2 * time.Second
			}
			slices.SortStableFunc(frames, func(a, b *media.Frame) int { return int(a.DTS - b.DTS) })
			for form, set := range forms {
				t.Run(form, func(t *testing.T) {
					t.Parallel()
					r := &record.Recorder{Folder: t.TempDir()}
					set(r)
					paths := write(t, r, frames)
					if len(paths) != 1 {
						t.Fatalf("files %v", paths)
					}
					plays(t, paths[0], frames)
				})
			}
		})
	}
}
