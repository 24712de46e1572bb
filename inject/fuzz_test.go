package inject_test

import (
	"bytes"
	"context"
	"io"
	"path/filepath"
	"runtime"
	"runtime/metrics"
	"testing"
	"time"

	"github.com/trunkcast/trunkcast/inject"
	"github.com/trunkcast/trunkcast/internal/democlip"
)

// budget is what opening and reading a file of n bytes may allocate: its
// tables, a copy of each frame per round, and a fixed part.
func budget(n int) uint64 { return 4<<20 + 400*uint64(n) }

// allocated is the number of bytes allocated so far, without stopping the
// world as runtime.ReadMemStats does. Small objects are counted late.
func allocated() uint64 {
	s := []metrics.Sample{{Name: "/gc/heap/allocs:bytes"}}
	metrics.Read(s)
	return s[0].Value.Uint64()
}

// play opens, reads, seeks and loops, and holds what every file must keep to.
func play(t *testing.T, b []byte) {
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	before := allocated()
	f, err := inject.Open(ctx, bytes.NewReader(b), int64(len(b)), inject.FileOptions{SkipUnsupported: true})
	if err != nil {
		return
	}
	defer f.Close()
	if d := f.Duration(); d < 0 || d > 2000*time.Hour {
		t.Fatalf("duration %v", d)
	}
	read(t, ctx, f, 200)
	for _, at := range []time.Duration{f.Duration() / 2, 0, f.Duration()} {
		if _, err := f.Seek(at); err == nil {
			f.NextKeyFrame(at)
			read(t, ctx, f, 50)
		}
	}
	f.SetLoop(true)
	read(t, ctx, f, 200)
	if used := allocated() - before; used > budget(len(b)) {
		t.Fatalf("%d bytes allocated for a file of %d", used, len(b))
	}
	if ctx.Err() != nil {
		t.Fatal("took too long")
	}
}

// read takes frames, at most so many.
func read(t *testing.T, ctx context.Context, f *inject.File, most int) {
	last := time.Duration(-1 << 62)
	for range most {
		frame, err := f.ReadFrame(ctx)
		if err != nil {
			if err == io.EOF && frame != nil {
				t.Fatal("a frame and the end")
			}
			return
		}
		if frame.DTS < last {
			t.Fatalf("DTS %v after %v", frame.DTS, last)
		}
		last = frame.DTS
		if frame.Track == nil || frame.Track.Codec == "" || len(frame.Data) == 0 {
			t.Fatalf("frame %+v", frame)
		}
	}
}

// fuzzFile runs play on a file in which two places are overwritten and which
// may be cut short. The inputs are small that way: go's fuzzing spends its time
// on making large ones smaller.
func fuzzFile(f *testing.F, name string) {
	b := load(f, name)
	n := uint16(len(b))
	f.Add(uint16(0), []byte(nil), uint16(0), []byte(nil), n)
	for i, c := range b[:len(b)-4] {
		// Where the boxes and chunks are.
		if c >= 'a' && c <= 'z' && b[i+1] >= 'a' && b[i+1] <= 'z' && b[i+2] >= 'a' && b[i+2] <= 'z' {
			f.Add(uint16(i), []byte("free"), uint16(i+4), []byte{0, 0, 0, 1}, n)
		}
	}
	f.Fuzz(func(t *testing.T, at uint16, patch []byte, second uint16, more []byte, length uint16) {
		file := bytes.Clone(b)
		copy(file[min(int(at), len(file)):], patch)
		copy(file[min(int(second), len(file)):], more)
		play(t, file[:min(int(length), len(file))])
	})
}

func FuzzMP4(f *testing.F)       { fuzzFile(f, "bframes.mp4") }
func FuzzHEVC(f *testing.F)      { fuzzFile(f, "hevc.mp4") }
func FuzzFragments(f *testing.F) { fuzzFile(f, "fragments.mp4") }
func FuzzHybrid(f *testing.F)    { fuzzFile(f, "hybrid.mp4") }
func FuzzFLV(f *testing.F)       { fuzzFile(f, "video.flv") }
func FuzzOgg(f *testing.F)       { fuzzFile(f, "sound.ogg") }
func FuzzWAV(f *testing.F)       { fuzzFile(f, "pcm16.wav") }

// TestDamaged overwrites bytes of every file with values that make lengths and
// counts large, and cuts it short.
func TestDamaged(t *testing.T) {
	all, err := filepath.Glob("testdata/*.*")
	if err != nil || len(all) == 0 {
		t.Fatal(err)
	}
	for _, path := range all {
		name := filepath.Base(path)
		if filepath.Ext(name) == ".txt" {
			continue
		}
		t.Run(name, func(t *testing.T) {
			b := load(t, name)
			values := []byte{0, 0x7f, 0xff}
			for n := range 150 {
				i := n * len(b) / 150
				was := b[i]
				b[i] = values[n%len(values)]
				play(t, b)
				b[i] = was
				if n%3 == 0 {
					play(t, b[:i])
				}
			}
		})
	}
}

// TestBlownUp is a file of 4 KB that says that it has 16 million samples.
func TestBlownUp(t *testing.T) {
	b := load(t, "bframes.mp4")
	i := bytes.Index(b, []byte("stsz")) + 8
	copy(b[i:], []byte{0, 0, 0, 1, 0, 0xff, 0xff, 0xff}) // one byte each
	for _, kind := range []string{"stts", "stsc"} {
		i := bytes.Index(b, []byte(kind)) + 12
		copy(b[i:], []byte{0, 0xff, 0xff, 0xff})
	}
	play(t, b)
}

// TestMemory opens a long file: its tables stay as they are, and frames are
// read one at a time.
func TestMemory(t *testing.T) {
	if n := democlip.Size(); n == 0 {
		t.Fatal("no clip")
	}
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	f := democlip.Open()
	defer f.Close()
	runtime.ReadMemStats(&after)
	if used := after.TotalAlloc - before.TotalAlloc; used > 64<<10 {
		t.Errorf("opening %d bytes allocated %d", democlip.Size(), used)
	}
	// A frame, its list of NAL units, its data.
	per := testing.AllocsPerRun(1000, func() {
		if _, err := f.ReadFrame(t.Context()); err != nil {
			t.Fatal(err)
		}
	})
	if per > 5 {
		t.Errorf("%v allocations a frame", per)
	}
}
