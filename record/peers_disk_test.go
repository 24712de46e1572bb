//go:build peers && linux

package record_test

import (
	"context"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/trunkcast/trunkcast/internal/peertest"
	"github.com/trunkcast/trunkcast/media"
	"github.com/trunkcast/trunkcast/media/mediatest"
	"github.com/trunkcast/trunkcast/record"
)

var avc = []string{"-c:v", "libx264", "-preset", "veryfast", "-bf", "0", "-c:a", "aac", "-ac", "1"}

// childFolder is set in the process that is killed.
const childFolder = "RECORD_TEST_FOLDER"

// TestPeerChild is no test: TestPeerKilled runs it as a process of its own.
func TestPeerChild(t *testing.T) {
	folder := os.Getenv(childFolder)
	if folder == "" {
		t.Skip("run by TestPeerKilled")
	}
	format, err := record.ParseFormat(os.Getenv("RECORD_TEST_FORMAT"))
	if err != nil {
		t.Fatal(err)
	}
	r := &record.Recorder{Folder: folder, Template: "{stream}-{end}", Format: format, Finalize: true,
		Finisher: &record.Finisher{Journal: filepath.Join(folder, "jobs")}}
	rec, err := r.Record(record.Info{Stream: "killed"}, record.Options{})
	if err != nil {
		t.Fatal(err)
	}
	frames := fileFrames(t, os.Getenv("RECORD_TEST_CLIP"))
	if err := mediatest.Play(context.Background(), rec, frames); err != nil {
		t.Fatal(err)
	}
	select {} // as a call of which nothing comes any more
}

// TestPeerKilled kills a process that records with SIGKILL, plays what it left,
// and then what the next start makes of it.
func TestPeerKilled(t *testing.T) {
	t.Parallel()
	clip := filepath.Join(t.TempDir(), "clip.mp4")
	if _, errs, err := peertest.Run(t, patience, "ffmpeg", append(append([]string{"-v", "error", "-f", "lavfi", "-i", "testsrc=size=320x180:rate=25:duration=60",
		"-f", "lavfi", "-i", "sine=sample_rate=48000:duration=60", "-pix_fmt", "yuv420p", "-g", "25"}, avc...), clip)...); err != nil {
		t.Fatalf("ffmpeg: %v %s", err, errs)
	}
	for _, format := range []string{"mp4", "ts"} {
		t.Run(format, func(t *testing.T) {
			folder := t.TempDir()
			cmd := exec.Command(os.Args[0], "-test.run", "^TestPeerChild$", "-test.v")
			cmd.Env = append(os.Environ(), childFolder+"="+folder, "RECORD_TEST_FORMAT="+format, "RECORD_TEST_CLIP="+clip)
			p := peertest.StartCmd(t, cmd)
			var left string
			peertest.Eventually(t, patience, "the file grows", func() bool {
				list, _ := filepath.Glob(filepath.Join(folder, "killed-*."+format))
				if len(list) == 0 {
					return false
				}
				left = list[0]
				info, err := os.Stat(left)
				return err == nil && info.Size() > 0
			})
			// It has run for a second of media at least, and another four to come.
			time.Sleep(4 * time.Second)
			p.Kill()
			_, errs, err := peertest.Run(t, patience, "ffmpeg", "-v", "error", "-nostdin", "-i", left, "-f", "null", "-")
			if err != nil || errs != "" {
				t.Errorf("ffmpeg on what is left: %v %s", err, errs)
			}
			pictures, sound := decode(t, left)
			if pictures < 3*25 || sound < 3 {
				t.Errorf("ffmpeg: %d pictures, %.2f s of sound of 4 s and more", pictures, sound)
			}
			if n := peertest.DecodeVLC(t, left); n < pictures-peertest.VLCHeldBack {
				t.Errorf("VLC: %d pictures, ffmpeg %d", n, pictures)
			}
			t.Logf("%d pictures, %.2f s of sound", pictures, sound)

			var got results
			f := &record.Finisher{Journal: filepath.Join(folder, "jobs"), OnEvent: got.add}
			if err := f.Start(); err != nil {
				t.Fatal(err)
			}
			if err := f.Shutdown(t.Context()); err != nil {
				t.Error(err)
			}
			list := got.of(record.PartFinished)
			if len(list) != 1 || list[0].Err != nil || !list[0].Recovered || strings.Contains(list[0].Path, "recording") {
				t.Fatalf("events %+v", list)
			}
			again, soundAgain := decode(t, list[0].Path)
			if again != pictures || soundAgain != sound {
				t.Errorf("recovered: %d pictures, %.2f s of sound; before %d and %.2f", again, soundAgain, pictures, sound)
			}
		})
	}
}

// TestPeerRotation finds every frame of a call once in its parts.
func TestPeerRotation(t *testing.T) {
	t.Parallel()
	frames := clipFrames(t, "640x360", 12, avc...)
	for _, text := range []string{"3", "80K"} {
		for form, set := range forms {
			t.Run(text+" "+form, func(t *testing.T) {
				t.Parallel()
				rotation, err := record.ParseRotation(text)
				if err != nil {
					t.Fatal(err)
				}
				r := &record.Recorder{Folder: t.TempDir(), Rotation: rotation}
				set(r)
				paths := write(t, r, frames)
				if len(paths) < 3 || !strings.Contains(paths[0], "-001.") {
					t.Fatalf("files %v", paths)
				}
				all, packets := 0, 0
				for _, p := range paths {
					n, _ := decode(t, p)
					all += n
					out, _, _ := peertest.Run(t, patience, "ffprobe", "-v", "error", "-select_streams", "a", "-show_entries", "packet=size", "-of", "csv=p=0", p)
					packets += len(strings.Fields(out))
				}
				if want := count(frames, true); all != want {
					t.Errorf("%d pictures in all parts, want %d", all, want)
				}
				if want := count(frames, false); packets != want {
					t.Errorf("%d frames of sound in all parts, want %d", packets, want)
				}
			})
		}
	}
}

// TestPeerOffset measures sound against picture in files of each form.
func TestPeerOffset(t *testing.T) {
	t.Parallel()
	clip := peertest.MakeClip(t, peertest.ClipOptions{Seconds: 12})
	joined := filepath.Join(t.TempDir(), "joined.mp4")
	if _, errs, err := peertest.Run(t, patience, "ffmpeg", "-v", "error", "-i", clip.Video, "-i", clip.Audio,
		"-c:v", "copy", "-c:a", "aac", joined); err != nil {
		t.Fatalf("ffmpeg: %v %s", err, errs)
	}
	frames := fileFrames(t, joined)
	for form, set := range forms {
		t.Run(form, func(t *testing.T) {
			t.Parallel()
			r := &record.Recorder{Folder: t.TempDir(), Rotation: record.Rotation{Duration: 6 * time.Second}}
			set(r)
			for _, p := range write(t, r, frames) {
				m := peertest.MeasureFile(t, p)
				t.Log(m)
				m.Check(t, peertest.Expect{Width: 640, Height: 360, FrameRate: 25, MinPairs: 3, MaxOffset: 80 * time.Millisecond})
			}
		})
	}
}

// TestPeerFull fills a real file system, and makes room again.
func TestPeerFull(t *testing.T) {
	t.Parallel()
	if os.Getuid() != 0 {
		t.Skip("mounts a file system: needs root")
	}
	for _, reserve := range []int64{-1, 1 << 20} {
		t.Run(map[bool]string{true: "reserve", false: "to the last byte"}[reserve > 0], func(t *testing.T) { full(t, reserve) })
	}
}

func full(t *testing.T, reserve int64) {
	folder := t.TempDir()
	if err := syscall.Mount("tmpfs", folder, "tmpfs", 0, "size=8m"); err != nil {
		t.Skip("no tmpfs here: ", err)
	}
	t.Cleanup(func() {
		if err := syscall.Unmount(folder, 0); err != nil {
			t.Error(err)
		}
	})
	ballast := filepath.Join(folder, "ballast")
	if err := os.WriteFile(ballast, make([]byte, 5<<20), 0o600); err != nil {
		t.Fatal(err)
	}
	var got results
	r := &record.Recorder{Folder: folder, Template: "{stream}", Retry: 100 * time.Millisecond, Reserve: reserve, Warn: 4 << 20,
		OnEvent: got.add, CloseTimeout: patience}
	rec, err := r.Record(record.Info{Stream: "full"}, record.Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := r.Close(); err != nil {
			t.Error(err)
		}
	}()
	video := &mediatest.Video{GOP: 25, Size: 4000, KeySize: 4000}
	at := time.Duration(0)
	writeUntil := func(typ record.EventType) []record.Event {
		t.Helper()
		peertest.Eventually(t, patience, typ.String(), func() bool {
			at += 500 * time.Millisecond
			if err := mediatest.Feed(t.Context(), rec, mediatest.Merge(at, video)); err != nil {
				t.Fatal(err)
			}
			return len(got.of(typ)) > 0
		})
		return got.of(typ)
	}
	if e := writeUntil(record.Paused)[0]; !errors.Is(e.Err, record.ErrDiskFull) {
		t.Errorf("paused by %v", e.Err)
	}
	if len(got.of(record.DiskLow)) != 1 {
		t.Errorf("warnings %v", got.of(record.DiskLow))
	}
	if err := os.Remove(ballast); err != nil {
		t.Fatal(err)
	}
	writeUntil(record.Resumed)
	for end := at + 3*time.Second; at < end; {
		at += 500 * time.Millisecond
		if err := mediatest.Feed(t.Context(), rec, mediatest.Merge(at, video)); err != nil {
			t.Fatal(err)
		}
	}
	if err := rec.Close(); err != nil {
		t.Fatal(err)
	}
	peertest.Eventually(t, patience, "two files", func() bool { return len(got.of(record.PartFinished)) == 2 })
	for _, e := range got.of(record.PartFinished) {
		pictures, _ := decode(t, e.Path)
		t.Logf("%s: %d pictures, %d bytes", filepath.Base(e.Path), pictures, e.Bytes)
		if pictures < 50 || e.Err != nil {
			t.Errorf("%s: %d pictures, %v", e.Path, pictures, e.Err)
		}
	}
}

var _ media.Sink = (*record.Recording)(nil)
