//go:build linux

package gateway_test

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"github.com/trunkcast/trunkcast/internal/peertest"
	"github.com/trunkcast/trunkcast/media"
)

// TestRecordKilled kills a gateway in a recorded call that rotates.
func TestRecordKilled(t *testing.T) {
	t.Parallel()
	killed(t, 2*time.Second, 6800*time.Millisecond, func(string) {})
}

// killed kills a gateway with SIGKILL when it has recorded a call for a while,
// lets look see each file as it was left, and finds the frames of the RTMP
// stream in the files: each once, up to the last second.
func killed(t *testing.T, rotation, length time.Duration, look func(file string)) {
	folder, a := t.TempDir(), startAudience(t)
	config := fmt.Sprintf("recordRotation: %d\n", int(rotation.Seconds()))
	p := startProcess(t, folder, a.url, config)
	hangup := p.call(t, "100")
	a.keep("rtmp_100")
	pictures := func() []*media.Frame { return a.of("rtmp_100", true) }
	peertest.Eventually(t, length+60*time.Second, "pictures of the call", func() bool { return span(pictures()) >= length })
	p.Kill()
	parts := func() []string {
		list, err := filepath.Glob(filepath.Join(folder, "100-*.mp4"))
		if err != nil {
			t.Fatal(err)
		}
		slices.Sort(list)
		return list
	}
	for _, file := range parts() {
		look(file)
	}
	hangup()
	again := startProcess(t, folder, a.url, config)
	again.prints(t, "recovered=true", 1)
	again.Stop()

	var recorded []*media.Frame
	for _, file := range parts() {
		frames := fileFrames(t, file)
		t.Logf("%s: %d pictures, %d pieces of sound", filepath.Base(file), len(kind(frames, true)), len(kind(frames, false)))
		if first := kind(frames, true); len(first) == 0 || !first[0].Key {
			t.Errorf("%s does not begin with a key frame", file)
		}
		if n := samples(t, file); n != len(frames) { // the reader leaves out what it cannot use
			t.Errorf("%s holds %d frames, %d of them were read", file, n, len(frames))
		}
		recorded = append(recorded, frames...)
	}
	if n, want := len(parts()), int(length/rotation); n < want {
		t.Errorf("%d parts, want %d", n, want)
	}
	for _, video := range []bool{true, false} {
		contained(t, kind(recorded, video), a.of("rtmp_100", video))
	}
	if left, _ := os.ReadDir(filepath.Join(folder, ".jobs")); len(left) > 1 { // the lock
		t.Errorf("journal holds %v", left)
	}
}

// samples counts the frames of a fragmented MP4 by its track runs (ISO
// 14496-12, section 8.8.8).
func samples(t *testing.T, file string) (n int) {
	t.Helper()
	b, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	var walk func(b []byte)
	walk = func(b []byte) {
		for len(b) >= 8 {
			size := int(binary.BigEndian.Uint32(b))
			if size < 8 || size > len(b) {
				t.Fatalf("%s: a box of %d bytes in %d", file, size, len(b))
			}
			switch body := b[8:size]; string(b[4:8]) {
			case "moof", "traf":
				walk(body)
			case "trun":
				n += int(binary.BigEndian.Uint32(body[4:]))
			}
			b = b[size:]
		}
	}
	walk(b)
	return n
}

// span is the time from the first to the last frame.
func span(frames []*media.Frame) time.Duration {
	if len(frames) == 0 {
		return 0
	}
	return frames[len(frames)-1].DTS - frames[0].DTS
}

// contained finds what was recorded in what was streamed: the same frames in
// the same order, from one that came within the first two seconds to one that
// came within the last second before the kill, or a busy machine's two: none
// left out, none twice.
func contained(t *testing.T, recorded, streamed []*media.Frame) {
	t.Helper()
	if len(recorded) == 0 || len(streamed) == 0 {
		t.Fatalf("%d frames recorded, %d streamed", len(recorded), len(streamed))
	}
	codec := recorded[0].Track.Codec
	first := slices.IndexFunc(streamed, func(f *media.Frame) bool { return equal(f, recorded[0]) })
	if first < 0 {
		t.Fatalf("%s: the first recorded frame was not streamed", codec)
	}
	for i, f := range recorded {
		if first+i == len(streamed) {
			recorded = recorded[:i] // the stream had less when the program was killed
			break
		}
		if !equal(f, streamed[first+i]) {
			t.Fatalf("%s: frame %d of %d recorded is not frame %d of %d streamed", codec, i, len(recorded), first+i, len(streamed))
		}
	}
	missing := span(streamed[first+len(recorded)-1:])
	t.Logf("%s: %d frames recorded of %d, from the %d. on; the last %v are missing", codec, len(recorded), len(streamed), first+1, missing)
	if d := streamed[first].DTS - streamed[0].DTS; d > 2*time.Second {
		t.Errorf("%s: recorded from %v on", codec, d)
	}
	if missing > 2*time.Second {
		t.Errorf("%s: the last %v are missing", codec, missing)
	}
}

func equal(a, b *media.Frame) bool {
	return a.Key == b.Key && slices.EqualFunc(a.Data, b.Data, bytes.Equal)
}
