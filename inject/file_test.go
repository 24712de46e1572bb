package inject_test

import (
	"bytes"
	"context"
	"errors"
	"flag"
	"fmt"
	"hash/crc32"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/trunkcast/trunkcast/inject"
	"github.com/trunkcast/trunkcast/media"
	"github.com/trunkcast/trunkcast/media/mediatest"
)

var update = flag.Bool("update", false, "write the golden files")

func load(t testing.TB, name string) []byte {
	t.Helper()
	b, err := os.ReadFile(filepath.Join("testdata", name))
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func open(b []byte, o inject.FileOptions) (*inject.File, error) {
	return inject.Open(context.Background(), bytes.NewReader(b), int64(len(b)), o)
}

func mustOpen(t testing.TB, b []byte, o inject.FileOptions) *inject.File {
	t.Helper()
	f, err := open(b, o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { f.Close() })
	return f
}

// readAll returns the frames up to the end.
func readAll(t testing.TB, f *inject.File) (frames []*media.Frame) {
	t.Helper()
	for {
		frame, err := f.ReadFrame(t.Context())
		if err == io.EOF {
			return frames
		}
		if err != nil {
			t.Fatal(err)
		}
		frames = append(frames, frame)
	}
}

// checkFrames holds what every source promises.
func checkFrames(t testing.TB, frames []*media.Frame) {
	t.Helper()
	last := time.Duration(0)
	for i, f := range frames {
		if f.DTS < last {
			t.Fatalf("frame %d: DTS %v after %v", i, f.DTS, last)
		}
		last = f.DTS
		if f.PTS < f.DTS || f.Track == nil || f.Size() == 0 {
			t.Fatalf("frame %d: %+v", i, f)
		}
		if !f.Track.Codec.Video() {
			if len(f.Data) != 1 {
				t.Fatalf("frame %d has %d pieces", i, len(f.Data))
			}
			continue
		}
		for _, n := range f.Data {
			kind := n[0] & 0x1f
			if f.Track.Codec == media.H264 && (kind == 7 || kind == 8 || kind == 9) {
				t.Fatalf("frame %d has a NAL unit of type %d", i, kind)
			}
		}
	}
}

// dump writes frames as lines.
func dump(f *inject.File, frames []*media.Frame) string {
	var b strings.Builder
	fmt.Fprintf(&b, "duration %v\n", f.Duration())
	var track *media.Track
	tracks := map[*media.Track]bool{}
	for _, fr := range frames {
		if track = fr.Track; !tracks[track] {
			tracks[track] = true
			fmt.Fprintf(&b, "track %s %d Hz, %d channels, %dx%d, config %x\n",
				track.Codec, track.ClockRate, track.Channels, track.Width, track.Height, track.Config)
		}
		sum := crc32.NewIEEE()
		for _, d := range fr.Data {
			sum.Write(d)
		}
		fmt.Fprintf(&b, "%-5s dts %-12v pts %-12v key %-5v %4d bytes in %d, %08x\n",
			track.Codec, fr.DTS, fr.PTS, fr.Key, fr.Size(), len(fr.Data), sum.Sum32())
	}
	return b.String()
}

// files are those of testdata that can be played. They were made with ffmpeg;
// the golden files were compared with ffprobe, as TestPeerProbe does again.
var files = []string{
	"bframes.mp4",   // H.264 with B-frames, AAC with priming, moov at the end, edit lists
	"hevc.mp4",      // H.265, Opus, moov at the start
	"fragments.mp4", // in fragments, an empty moov
	"hybrid.mp4",    // the first samples in moov, the others in fragments
	"video.flv",     // H.264 with B-frames, AAC
	"sound.ogg",     // Opus
	"pcm16.wav", "alaw.wav",
}

func TestGolden(t *testing.T) {
	for _, name := range files {
		t.Run(name, func(t *testing.T) {
			f := mustOpen(t, load(t, name), inject.FileOptions{})
			frames := readAll(t, f)
			checkFrames(t, frames)
			got := dump(f, frames)
			golden := filepath.Join("testdata", name+".txt")
			if *update {
				if err := os.WriteFile(golden, []byte(got), 0o644); err != nil {
					t.Fatal(err)
				}
			}
			if want := string(load(t, name+".txt")); got != want {
				t.Errorf("not as in %s:\n%s", golden, firstDifference(got, want))
			}
		})
	}
}

func firstDifference(got, want string) string {
	g, w := strings.Split(got, "\n"), strings.Split(want, "\n")
	for i := range min(len(g), len(w)) {
		if g[i] != w[i] {
			return fmt.Sprintf("line %d\n got %s\nwant %s", i+1, g[i], w[i])
		}
	}
	return fmt.Sprintf("%d lines, want %d", len(g), len(w))
}

// TestLoop plays each file three times: every round has the same frames (those
// that reach over the seam apart), a duration later.
func TestLoop(t *testing.T) {
	for _, name := range files {
		t.Run(name, func(t *testing.T) {
			f := mustOpen(t, load(t, name), inject.FileOptions{Loop: true})
			var frames []*media.Frame
			for {
				frame, err := f.ReadFrame(t.Context())
				if err != nil {
					t.Fatal(err)
				}
				if n, _ := f.Round(); n == 3 {
					break
				}
				frames = append(frames, frame)
			}
			checkFrames(t, frames)
			rounds(t, frames, f.Duration(), true)
			rounds(t, frames, f.Duration(), false)
			if name != "video.flv" { // begins with 0.2 s of nothing, as FLV has no edit list
				gaps(t, frames)
			}
		})
	}
}

// rounds fails if the frames of a kind are not those of the first round again,
// a length later each time.
func rounds(t *testing.T, frames []*media.Frame, length time.Duration, video bool) {
	t.Helper()
	var list []*media.Frame
	for _, f := range frames {
		if f.Track.Codec.Video() == video {
			list = append(list, f)
		}
	}
	if len(list) == 0 {
		return
	}
	per := 0
	for per < len(list) && list[per].DTS < list[0].DTS+length {
		per++
	}
	if n := len(list); n < 3*per-per/5 || n > 3*per {
		t.Fatalf("video %v: %d frames in three rounds of %d", video, n, per)
	}
	for i, f := range list {
		first := list[i%per]
		if want := first.DTS + time.Duration(i/per)*length; f.DTS != want {
			t.Fatalf("video %v: frame %d at %v, want %v", video, i, f.DTS, want)
		}
		if !bytes.Equal(f.Data[0], first.Data[0]) {
			t.Fatalf("video %v: frame %d is another one", video, i)
		}
	}
}

// gaps fails where a track has a hole, or one frame upon another.
func gaps(t *testing.T, frames []*media.Frame) {
	t.Helper()
	last := map[bool]time.Duration{}
	for i, f := range frames {
		video := f.Track.Codec.Video()
		longest := 45 * time.Millisecond
		if video {
			longest = 150 * time.Millisecond // 10 frames/s
		}
		before, ok := last[video]
		if gap := f.DTS - before; ok && (gap <= 0 || gap > longest) {
			t.Errorf("frame %d (video %v): %v after the one before, at %v", i, video, gap, f.DTS)
		}
		last[video] = f.DTS
	}
}

// TestFileSeek goes to every tenth of a second.
func TestFileSeek(t *testing.T) {
	for _, name := range files {
		t.Run(name, func(t *testing.T) {
			f := mustOpen(t, load(t, name), inject.FileOptions{})
			all := readAll(t, f)
			// Backwards and then forwards, so each place is reached from both.
			var to []time.Duration
			for at := f.Duration() + 300*time.Millisecond; at >= 0; at -= 100 * time.Millisecond {
				to = append(to, at)
			}
			for at := time.Duration(0); at < f.Duration(); at += 100 * time.Millisecond {
				to = append(to, at)
			}
			for _, at := range to {
				reached, err := f.Seek(at)
				if err != nil {
					t.Fatal(err)
				}
				rest := readAll(t, f)
				if len(rest) == 0 {
					t.Fatalf("nothing after %v", at)
				}
				checkFrames(t, rest)
				checkSeek(t, all, rest, at, reached)
			}
		})
	}
}

// checkSeek holds that rest begins at the last key frame before at, or at the
// sound around it, and is the end of all.
func checkSeek(t *testing.T, all, rest []*media.Frame, at, reached time.Duration) {
	t.Helper()
	var key time.Duration
	video := false
	for _, f := range all {
		if f.Track.Codec.Video() {
			if f.Key && (!video || f.DTS <= at) {
				key = f.DTS
			}
			video = true
		}
	}
	at = max(at, key)
	want := at
	if video {
		want = key
	}
	want = min(want, all[len(all)-1].DTS+100*time.Millisecond)
	if reached > at || (reached-want).Abs() > 100*time.Millisecond {
		t.Errorf("sought %v, reached %v, want %v", at, reached, want)
	}
	first := rest[0]
	if first.DTS < reached-100*time.Millisecond || first.DTS > reached+100*time.Millisecond {
		t.Errorf("sought %v, reached %v, first frame at %v", at, reached, first.DTS)
	}
	for _, f := range rest {
		if f.Track.Codec.Video() {
			if !f.Key || f.DTS != key {
				t.Errorf("sought %v: first picture at %v, key %v, want %v", at, f.DTS, f.Key, key)
			}
			break
		}
	}
	tail := all[len(all)-min(len(rest), 5):]
	for i := range tail {
		if g := rest[len(rest)-len(tail)+i]; g.DTS != tail[i].DTS || !bytes.Equal(g.Data[0], tail[i].Data[0]) {
			t.Errorf("sought %v: the end is another one", at)
		}
	}
}

// TestRefused names what cannot be played.
func TestRefused(t *testing.T) {
	he := bytes.Replace(load(t, "bframes.mp4"), []byte{0x05, 0x80, 0x80, 0x80, 0x05, 0x11, 0x88},
		[]byte{0x05, 0x80, 0x80, 0x80, 0x05, 0x29, 0x88}, 1)
	other := bytes.Replace(load(t, "bframes.mp4"), []byte("avc1\x00"), []byte("vp09\x00"), 1)
	surround := bytes.Replace(load(t, "pcm16.wav"), []byte("fmt \x10\x00\x00\x00\x01\x00\x01"),
		[]byte("fmt \x10\x00\x00\x00\x01\x00\x06"), 1)
	for _, c := range []struct {
		name  string
		file  []byte
		codec string // of *ErrUnsupportedCodec
		err   error
	}{
		{name: "HE-AAC", file: he, codec: "HE-AAC"},
		{name: "VP9", file: other, codec: "vp09"},
		{name: "encrypted", file: load(t, "encrypted.mp4"), codec: "enca"},
		{name: "surround", file: surround, codec: "WAV"},
		{name: "text", file: []byte("This is no media file at all."), err: inject.ErrNotMedia},
		{name: "empty", err: inject.ErrNotMedia},
		{name: "moov missing", file: load(t, "bframes.mp4")[:4000], err: inject.ErrNotMedia},
	} {
		t.Run(c.name, func(t *testing.T) {
			_, err := open(c.file, inject.FileOptions{})
			var codec *inject.ErrUnsupportedCodec
			switch {
			case c.codec != "":
				if !errors.As(err, &codec) || codec.Codec != c.codec {
					t.Errorf("got %v", err)
				}
			case !errors.Is(err, c.err):
				t.Errorf("got %v", err)
			}
		})
	}
	f := mustOpen(t, he, inject.FileOptions{SkipUnsupported: true})
	if tracks := f.Tracks(); len(tracks) != 1 || tracks[0].Codec != media.H264 {
		t.Errorf("with SkipUnsupported: %v", tracks)
	}
	frames := readAll(t, f)
	if checkFrames(t, frames); len(frames) != 20 {
		t.Errorf("%d pictures", len(frames))
	}
}

// TestCutShort plays files that end too early as far as they go.
func TestCutShort(t *testing.T) {
	for name, want := range map[string]error{
		"hevc.mp4": inject.ErrBounds, "fragments.mp4": nil, "video.flv": nil, "sound.ogg": nil, "pcm16.wav": nil,
	} {
		t.Run(name, func(t *testing.T) {
			b := load(t, name)
			whole := len(readAll(t, mustOpen(t, b, inject.FileOptions{})))
			f := mustOpen(t, b[:len(b)*9/10], inject.FileOptions{})
			n := 0
			for {
				_, err := f.ReadFrame(t.Context())
				if err == nil {
					n++
					continue
				}
				if err != io.EOF && !errors.Is(err, inject.ErrBounds) || want != nil && !errors.Is(err, want) {
					t.Errorf("it ended by %v", err)
				}
				break
			}
			if n < whole/3 || n >= whole {
				t.Errorf("%d frames of %d", n, whole)
			}
		})
	}
}

// closer counts.
type closer struct {
	*bytes.Reader
	closed int
}

func (c *closer) Close() error { c.closed++; return nil }

func TestFileClose(t *testing.T) {
	r := &closer{Reader: bytes.NewReader(load(t, "bframes.mp4"))}
	f, err := inject.Open(t.Context(), r, r.Size(), inject.FileOptions{})
	if err != nil {
		t.Fatal(err)
	}
	f.Close()
	f.Close()
	if r.closed != 1 {
		t.Errorf("the reader was closed %d times", r.closed)
	}
	if _, err := f.ReadFrame(t.Context()); !errors.Is(err, media.ErrClosed) {
		t.Errorf("read after Close: %v", err)
	}
	if _, err := f.Seek(0); !errors.Is(err, media.ErrClosed) {
		t.Errorf("seek after Close: %v", err)
	}
	bad := &closer{Reader: bytes.NewReader([]byte("no media, no media"))}
	if _, err := inject.Open(t.Context(), bad, bad.Size(), inject.FileOptions{}); err == nil || bad.closed != 1 {
		t.Errorf("Open of no media: %v, closed %d times", err, bad.closed)
	}
	ctx, cancel := context.WithCancel(t.Context())
	g := mustOpen(t, load(t, "bframes.mp4"), inject.FileOptions{})
	cancel()
	if _, err := g.ReadFrame(ctx); !errors.Is(err, context.Canceled) {
		t.Errorf("read with a context that is done: %v", err)
	}
}

// TestNothingToLoop ends where a round has no frame that can be played.
func TestNothingToLoop(t *testing.T) {
	b := load(t, "bframes.mp4")
	i := bytes.Index(b, []byte("mdat"))
	end := bytes.Index(b, []byte("moov"))
	for j := i + 4; j < end-4; j++ {
		b[j] = 0xff // lengths of NAL units, among others
	}
	f := mustOpen(t, b, inject.FileOptions{Loop: true, NoAudio: true})
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	if frame, err := f.ReadFrame(ctx); err != io.EOF {
		t.Errorf("got %v, %v", frame, err)
	}
	if n := f.Skipped(); n != 20 {
		t.Errorf("%d frames skipped", n)
	}
	// The writer of this file has left the delay of its B-frames out of the edit.
	if d := f.Duration(); d != 2*time.Second {
		t.Errorf("20 pictures of 0.1 s last %v", d)
	}
}

// TestConform holds files to what is asked of every source.
func TestConform(t *testing.T) {
	for _, name := range files {
		b := load(t, name)
		err := mediatest.TestSource(func() (media.Source, error) { return open(b, inject.FileOptions{}) }, 0)
		if err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
}
