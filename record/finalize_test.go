package record

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/trunkcast/trunkcast/media"
	"github.com/trunkcast/trunkcast/media/mediatest"
)

// fragmented makes a file in memory, with a fragment for each second.
func fragmented(t testing.TB, video, audio *media.Track, frames []*media.Frame) []byte {
	t.Helper()
	m, err := newFragmenter(video, audio, time.Date(2026, 11, 24, 9, 5, 7, 0, time.UTC))
	if err != nil {
		t.Fatal(err)
	}
	var b []byte
	next := time.Second
	for _, f := range frames {
		m.write(f, f.PTS, f.DTS)
		if f.DTS >= next {
			next += time.Second
			if b, err = m.flush(b, false); err != nil {
				t.Fatal(err)
			}
		}
	}
	if b, err = m.flush(b, true); err != nil {
		t.Fatal(err)
	}
	if m.pending() != 0 {
		t.Errorf("%d bytes are left", m.pending())
	}
	return b
}

func smallCall() (video, audio *media.Track, frames []*media.Frame) {
	video = mediatest.H264Track(32, 16)
	sound := &mediatest.Audio{Track: opusTrack, Samples: 960}
	sound.At = 300 * time.Millisecond
	frames = mediatest.Merge(1500*time.Millisecond, &mediatest.Video{Track: video, GOP: 25, Interval: 100 * time.Millisecond}, sound)
	for _, f := range frames {
		if f.Track.Codec.Audio() {
			f.Data = [][]byte{f.Data[0][:8]}
		}
	}
	return video, opusTrack, frames
}

func plainOf(t testing.TB, b []byte) []byte {
	t.Helper()
	m, err := readMovie(context.Background(), bytes.NewReader(b), int64(len(b)))
	if err != nil {
		t.Fatal(err)
	}
	var out bytes.Buffer
	if err := m.writePlain(context.Background(), &out); err != nil {
		t.Fatal(err)
	}
	return out.Bytes()
}

// outline lists the boxes of a file, with the content of those that are short.
func outline(b []byte, indent string) string {
	var text strings.Builder
	for r := (reading{b: b}); ; {
		wide := len(r.b) >= 16 && binary.BigEndian.Uint32(r.b) == 1
		kind, body, ok := "", []byte(nil), false
		if wide {
			kind = string(r.b[4:8])
			r.skip(16)
			body, ok = r.take(len(r.b)), true
		} else {
			kind, body, ok = r.child()
		}
		if !ok {
			return text.String()
		}
		fmt.Fprintf(&text, "%s%s %d", indent, kind, len(body))
		switch kind {
		case "moov", "trak", "mdia", "minf", "dinf", "stbl", "edts", "mvex", "moof", "traf":
			text.WriteString("\n" + outline(body, indent+"  "))
		case "mdat":
			text.WriteString("\n")
		default:
			fmt.Fprintf(&text, " %x\n", body[:min(len(body), 100)])
		}
	}
}

// TestGolden compares the boxes with those that players were seen to play.
func TestGolden(t *testing.T) {
	video, audio, frames := smallCall()
	b := fragmented(t, video, audio, frames)
	for name, data := range map[string][]byte{"fragmented": b, "plain": plainOf(t, b)} {
		path := filepath.Join("testdata", name+".txt")
		got := outline(data, "")
		if os.Getenv("UPDATE_GOLDEN") != "" {
			if err := os.WriteFile(path, []byte(got), 0o600); err != nil {
				t.Fatal(err)
			}
		}
		if want := string(readAll(t, path)); got != want {
			t.Errorf("%s has changed (UPDATE_GOLDEN=1 writes it anew):\n%s", path, got)
		}
	}
}

// TestCutShort reads a file cut at every place.
func TestCutShort(t *testing.T) {
	video, audio, frames := smallCall()
	b := fragmented(t, video, audio, frames)
	first := bytes.Index(b, []byte("mdat")) - 4
	complete := int64(first) + int64(binary.BigEndian.Uint32(b[first:]))
	for n := range b {
		m, err := readMovie(t.Context(), bytes.NewReader(b[:n]), int64(n))
		if int64(n) < complete {
			if !errors.Is(err, ErrNoMedia) {
				t.Fatalf("cut at %d: %v", n, err)
			}
			continue
		}
		if err != nil || m.good != complete {
			t.Fatalf("cut at %d: good up to %d, %v", n, m.good, err)
		}
	}
}

// TestParameterSets are in the index alone if they never change.
func TestParameterSets(t *testing.T) {
	small, large := mediatest.H264Track(32, 16), mediatest.H264Track(64, 32)
	generator := &mediatest.Video{Track: small, GOP: 5}
	frames := mediatest.Merge(2*time.Second, generator)
	sps := small.Config[0]
	if n := bytes.Count(fragmented(t, small, nil, frames), sps); n < 5 {
		t.Errorf("the SPS is %d times in the fragmented file", n)
	}
	if n := bytes.Count(plainOf(t, fragmented(t, small, nil, frames)), sps); n != 1 {
		t.Errorf("the SPS is %d times in the plain file", n)
	}
	generator.Track = large
	frames = append(frames, mediatest.Merge(4*time.Second, generator)...)
	plain := plainOf(t, fragmented(t, small, nil, frames))
	if bytes.Count(plain, sps) < 5 || bytes.Count(plain, large.Config[0]) < 5 {
		t.Error("a plain file with two sizes lacks parameter sets")
	}
	_, list := readPlain(t, plain)
	if err := compareFrames(list, wantedOf(frames, 0)); err != nil {
		t.Error(err)
	}
}

// TestReorderedPictures begins with the first picture that is shown, 80 ms
// after the sound, as the fragmented file does.
func TestReorderedPictures(t *testing.T) {
	video := mediatest.H264Track(32, 16)
	frames := mediatest.Merge(time.Second, &mediatest.Video{Track: video})
	for i, f := range frames {
		f.PTS += []time.Duration{80, 160, 40, 40}[i%4] * time.Millisecond
	}
	plain := plainOf(t, fragmented(t, video, nil, frames))
	at := bytes.Index(plain, []byte("elst"))
	want := []byte{0, 0, 0, 2, 0, 0, 0, 80, 0xff, 0xff, 0xff, 0xff, 0, 1, 0, 0, 0, 0, 0x03, 0xe8, 0, 0, 0x1c, 0x20, 0, 1, 0, 0}
	if got := plain[at+8 : at+8+len(want)]; !bytes.Equal(got, want) {
		t.Errorf("edit list %x, want %x", got, want)
	}
}

// TestLongGap has nothing for hours, as a call on hold.
func TestLongGap(t *testing.T) {
	video := &mediatest.Video{Track: mediatest.H264Track(32, 16), GOP: 5}
	frames := mediatest.Merge(time.Second, video)
	video.At = 11 * time.Hour
	frames = append(frames, mediatest.Merge(11*time.Hour+time.Second, video)...)
	b := fragmented(t, video.Track, nil, frames)
	_, list := readFragmented(t, b)
	if err := compareFrames(list, wantedOf(frames, 0)); err != nil {
		t.Error(err)
	}
	_, list = readPlain(t, plainOf(t, b))
	if err := compareFrames(list, wantedOf(frames, 0)); err != nil {
		t.Error(err)
	}
}

func TestWideOffsets(t *testing.T) {
	tables := &tables{wide: true}
	if err := tables.add(1, 1, 0, true); err != nil {
		t.Fatal(err)
	}
	tables.chunks = []chunk{{1 << 40, 1}}
	var w boxes
	tables.write(&w)
	at := bytes.Index(w.b, []byte("co64"))
	if at < 0 || binary.BigEndian.Uint64(w.b[at+12:]) != 1<<40 {
		t.Errorf("%x", w.b)
	}
}

func TestTicks(t *testing.T) {
	for _, c := range []struct {
		d    time.Duration
		rate uint32
		want int64
	}{
		{time.Second, 90000, 90000}, {40 * time.Millisecond, 90000, 3600}, {33333333, 90000, 3000},
		{-40 * time.Millisecond, 90000, -3600}, {1000 * time.Hour, 192000, 691200000000},
	} {
		if got := ticks(c.d, c.rate); got != c.want {
			t.Errorf("%v at %d: %d, want %d", c.d, c.rate, got, c.want)
		}
		if c.d > 0 && (ticksTo(uint64(c.want), c.rate)-c.d).Abs() > time.Second/time.Duration(c.rate) {
			t.Errorf("%v at %d: back %v", c.d, c.rate, ticksTo(uint64(c.want), c.rate))
		}
	}
}

// FuzzFinalize reads files that are not ours, or damaged: it neither panics nor
// takes more memory than the file is worth.
func FuzzFinalize(f *testing.F) {
	video, audio, frames := smallCall()
	b := fragmented(f, video, audio, frames)
	f.Add(b)
	f.Add(plainOf(f, b))
	f.Add(b[:len(b)/2])
	f.Fuzz(func(t *testing.T, b []byte) {
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		m, err := readMovie(t.Context(), bytes.NewReader(b), int64(len(b)))
		if err == nil {
			err = m.writePlain(t.Context(), io.Discard)
		}
		runtime.ReadMemStats(&after)
		if used := after.TotalAlloc - before.TotalAlloc; used > 4<<20+200*uint64(len(b)) {
			t.Errorf("%d bytes of memory for %d: %v", used, len(b), err)
		}
	})
}
