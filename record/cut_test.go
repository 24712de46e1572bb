package record

import (
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/trunkcast/trunkcast/media"
	"github.com/trunkcast/trunkcast/media/mediatest"
)

// allFrames reads files one after the other.
func allFrames(t *testing.T, paths []string) (list []got) {
	t.Helper()
	for _, p := range paths {
		_, part := readFragmented(t, readAll(t, p))
		list = append(list, part...)
	}
	return list
}

// exactlyOnce tells whether the files hold every frame once, in order.
func exactlyOnce(t *testing.T, paths []string, frames []*media.Frame) {
	t.Helper()
	got, want := allFrames(t, paths), wantedOf(frames, 0)
	for _, video := range []bool{true, false} {
		a, b := ofKind(got, video), ofKind(want, video)
		if len(a) != len(b) {
			t.Errorf("video %v: %d frames, want %d", video, len(a), len(b))
			continue
		}
		for i := range a {
			if !slices.Equal(a[i].data, b[i].data) {
				t.Errorf("video %v: frame %d differs", video, i)
				break
			}
		}
	}
}

// numbered makes every frame different from all others.
func numbered(frames []*media.Frame) []*media.Frame {
	for i, f := range frames {
		mark := []byte{12, byte(i >> 16), byte(i >> 8), byte(i), 0x80} // H.264 filler data
		if f.Track.Codec.Video() {
			f.Data = append(f.Data, mark)
		} else {
			f.Data = [][]byte{mark}
		}
	}
	return frames
}

func TestRotation(t *testing.T) {
	for _, c := range []struct {
		name     string
		rotation Rotation
		frames   []*media.Frame
		parts    int
	}{
		{"duration", Rotation{Duration: 3 * time.Second},
			mediatest.Merge(12*time.Second, &mediatest.Video{GOP: 25}, aacAudio()), 4},
		{"at key frames only", Rotation{Duration: time.Second},
			mediatest.Merge(12*time.Second, &mediatest.Video{GOP: 100}, aacAudio()), 3},
		{"size", Rotation{Size: 200000},
			mediatest.Merge(12*time.Second, &mediatest.Video{GOP: 25, Size: 4000, KeySize: 4000}, aacAudio()), 6},
		{"sound", Rotation{Duration: 2 * time.Second},
			mediatest.Merge(8*time.Second, opusAudio()), 4},
		{"none", Rotation{}, mediatest.Merge(12*time.Second, &mediatest.Video{GOP: 25}, aacAudio()), 1},
	} {
		t.Run(c.name, func(t *testing.T) {
			r, l := testRecorder(t)
			frames := numbered(c.frames)
			paths := record(t, r, l, Options{Rotation: &c.rotation}, frames)
			if len(paths) != c.parts {
				t.Errorf("files %v, want %d", paths, c.parts)
			}
			exactlyOnce(t, paths, frames)
			for i, p := range paths {
				_, list := readFragmented(t, readAll(t, p))
				if v := ofKind(list, true); len(v) > 0 && !v[0].key {
					t.Errorf("part %d begins without key frame", i)
				}
				if c.rotation == (Rotation{}) {
					continue
				}
				if want := "s-00" + string(rune('1'+i)) + ".mp4"; filepath.Base(p) != want {
					t.Errorf("part %s, want %s", filepath.Base(p), want)
				}
			}
		})
	}
}

// TestLateFrames gives sound that is a little behind the key frame at which
// the file was cut.
func TestLateFrames(t *testing.T) {
	r, l := testRecorder(t)
	frames := numbered(mediatest.Merge(6*time.Second, &mediatest.Video{GOP: 25}, aacAudio()))
	for i := 1; i+1 < len(frames); i++ { // each key frame before the sound before it
		if frames[i].Key && frames[i].Track.Codec.Video() && frames[i-1].Track.Codec.Audio() {
			frames[i-1], frames[i] = frames[i], frames[i-1]
		}
	}
	paths := record(t, r, l, Options{Rotation: &Rotation{Duration: 2 * time.Second}}, frames)
	if len(paths) != 3 {
		t.Errorf("files %v", paths)
	}
	exactlyOnce(t, paths, frames)
}

// TestTracksChange lets tracks come, go and change.
// TestExpectedPictures has the first key frame come long after the sound: it is
// waited for where pictures are expected, but not for ever.
func TestExpectedPictures(t *testing.T) {
	yes := func() bool { return true }
	for _, c := range []struct {
		name     string
		pictures func() bool
		key      time.Duration // when it comes
		parts    int
	}{
		{"expected", yes, 2500 * time.Millisecond, 1},
		{"not expected", func() bool { return false }, 2500 * time.Millisecond, 2},
		{"unknown", nil, 2500 * time.Millisecond, 2},
		{"too late", yes, 6 * time.Second, 2},
	} {
		t.Run(c.name, func(t *testing.T) {
			r, l := testRecorder(t)
			frames := numbered(mediatest.Merge(8*time.Second, &mediatest.Video{GOP: 25}, aacAudio()))
			frames = slices.DeleteFunc(frames, func(f *media.Frame) bool { return f.Track.Codec.Video() && f.DTS < c.key })
			if paths := record(t, r, l, Options{Pictures: c.pictures}, frames); len(paths) != c.parts {
				t.Errorf("%d files, want %d", len(paths), c.parts)
			}
		})
	}
}

func TestTracksChange(t *testing.T) {
	sec := time.Second
	at := func(from time.Duration, g mediatest.Generator) mediatest.Generator {
		switch g := g.(type) {
		case *mediatest.Video:
			g.At = from
		case *mediatest.Audio:
			g.At = from
		}
		return g
	}
	cut := func(frames []*media.Frame, audioTo time.Duration) []*media.Frame {
		return slices.DeleteFunc(frames, func(f *media.Frame) bool { return f.Track.Codec.Audio() && f.DTS >= audioTo })
	}
	video := func() *mediatest.Video { return &mediatest.Video{GOP: 25} }
	both := func(a, b []*media.Frame) []*media.Frame {
		list := append(a, b...)
		slices.SortStableFunc(list, func(x, y *media.Frame) int { return int(x.DTS - y.DTS) })
		return list
	}
	sizes := video()
	sized := both(mediatest.Merge(2*sec, sizes), nil)
	sizes.Track = mediatest.H264Track(640, 480)
	sized = both(sized, mediatest.Merge(4*sec, sizes))
	for _, c := range []struct {
		name   string
		frames []*media.Frame
		parts  int
	}{
		{"video later", mediatest.Merge(6*sec, at(3*sec, video()), aacAudio()), 2},
		{"sound later", mediatest.Merge(6*sec, video(), at(3*sec+500*time.Millisecond, aacAudio())), 2},
		{"sound a little later", mediatest.Merge(6*sec, video(), at(sec/2, aacAudio())), 1},
		{"sound ends", cut(mediatest.Merge(20*sec, video(), aacAudio()), 3*sec), 1},
		{"codec of sound when video ends", both(cut(mediatest.Merge(3*sec, video(), aacAudio()), 3*sec), mediatest.Merge(6*sec, at(3*sec, opusAudio()))), 2},
		{"codec of sound beside video", both(mediatest.Merge(6*sec, video()), both(cut(mediatest.Merge(4*sec, aacAudio()), 3*sec+sec/2), mediatest.Merge(6*sec, at(3*sec+sec/2, opusAudio())))), 2},
		{"size of pictures", sized, 1},
		{"one frame", mediatest.Merge(time.Millisecond, video()), 1},
		{"sound for a moment", mediatest.Merge(50*time.Millisecond, opusAudio()), 1},
		{"codec of sound alone", both(mediatest.Merge(3*sec, aacAudio()), mediatest.Merge(6*sec, at(3*sec+sec/10, opusAudio()))), 2},
	} {
		t.Run(c.name, func(t *testing.T) {
			r, l := testRecorder(t)
			frames := numbered(c.frames)
			paths := record(t, r, l, Options{}, frames)
			if len(paths) != c.parts {
				t.Errorf("files %v, want %d", paths, c.parts)
			}
			exactlyOnce(t, paths, frames)
		})
	}
}

// TestHeldSound goes with the next key frame, and is bounded if none comes.
func TestHeldSound(t *testing.T) {
	r, l := testRecorder(t)
	video := mediatest.Merge(6*time.Second, &mediatest.Video{GOP: 50})
	late := opusAudio()
	late.At = 3 * time.Second
	frames := append(video, mediatest.Merge(6*time.Second, late)...)
	slices.SortStableFunc(frames, func(x, y *media.Frame) int { return int(x.DTS - y.DTS) })
	paths := record(t, r, l, Options{}, frames)
	if len(paths) != 2 {
		t.Fatalf("files %v", paths)
	}
	_, list := readFragmented(t, readAll(t, paths[1]))
	if v, a := len(ofKind(list, true)), len(ofKind(list, false)); v != 50 || a != 150 {
		t.Errorf("%d pictures and %d frames of sound in the second file, want those from the key frame at 4 s and all", v, a)
	}

	rec, err := newRecording(r, Info{Stream: "held"}, Options{})
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range video[:40] {
		rec.take(f)
	}
	most := 0
	for i := range 2 * maxHeld {
		at := 1600*time.Millisecond + time.Duration(i)*100*time.Microsecond
		rec.take(&media.Frame{Track: opusTrack, PTS: at, DTS: at, Data: [][]byte{{1}}})
		most = max(most, len(rec.held))
	}
	if most > maxHeld || most < maxHeld/2 {
		t.Errorf("%d frames held", most)
	}
	rec.finish()
}

// TestRefusals counts what no file can take, and tells of it once.
func TestRefusals(t *testing.T) {
	r, l := testRecorder(t)
	asked := make(chan struct{}, 100)
	rec, err := r.Record(Info{Stream: "s"}, Options{NeedKeyFrame: func() { asked <- struct{}{} }})
	if err != nil {
		t.Fatal(err)
	}
	video := &mediatest.Video{GOP: 25}
	frames := mediatest.Merge(3*time.Second, video, &mediatest.Audio{})[1:] // PCMU, and no key frame before 1 s
	feed(t, rec, frames)
	if err := rec.Close(); err != nil {
		t.Fatal(err)
	}
	skipped := l.of(TrackSkipped)
	var e *ErrUnsupportedTrack
	if len(skipped) != 1 || !errors.As(skipped[0].Err, &e) || e.Codec != media.PCMU {
		t.Errorf("events %+v", skipped)
	}
	if st := rec.Stats(); st.Frames != 50 || st.Lost != uint64(len(frames)-50) {
		t.Errorf("%d of %d frames, %d lost", st.Frames, len(frames), st.Lost)
	}
	if len(asked) == 0 {
		t.Error("no key frame was asked for")
	}
	for _, f := range []*media.Frame{nil, {}, {Track: aacTrack}, {Track: aacTrack, Data: [][]byte{{}}}} {
		if err := rec.WriteFrame(t.Context(), f); !errors.Is(err, errFrame) {
			t.Errorf("frame %v: %v", f, err)
		}
	}
}

func TestBadTracks(t *testing.T) {
	good := mediatest.H264Track(320, 240)
	for _, tr := range []*media.Track{
		{Codec: media.H264, ClockRate: 90000},
		{Codec: media.H264, ClockRate: 90000, Config: good.Config[:1]},
		{Codec: media.H264, Config: good.Config},
		{Codec: media.H264, ClockRate: 90000, Config: [][]byte{make([]byte, 1<<17), good.Config[1]}},
		{Codec: media.H265, ClockRate: 90000, Config: [][]byte{{0x40, 1, 2}, {0x42, 1, 2}, {0x44, 1, 2}}},
		{Codec: media.AAC, ClockRate: 48000, Channels: 1},
		{Codec: media.AAC, ClockRate: 48000, Channels: 1, Config: [][]byte{{0xff, 0xff}}},
		{Codec: media.Opus, ClockRate: 48000, Channels: 3},
		{Codec: media.G722, ClockRate: 16000, Channels: 1},
		{Codec: "VP8", ClockRate: 90000},
	} {
		for _, format := range []Format{MP4, MPEGTS} {
			var e *ErrUnsupportedTrack
			if err := format.check(tr); !errors.As(err, &e) || !strings.Contains(e.Error(), string(tr.Codec)) {
				t.Errorf("%s into %s: %v", tr.Codec, format, err)
			}
		}
	}
}

// TestNames gives two recordings one name, and finds the name of a file that
// was there.
func TestNames(t *testing.T) {
	r, l := testRecorder(t)
	r.Template = "{number}/{stream}"
	if err := os.MkdirAll(filepath.Join(r.Folder, "1"), 0o700); err != nil {
		t.Fatal(err)
	}
	mine := filepath.Join(r.Folder, "1", "s.mp4")
	if err := os.WriteFile(mine, []byte("mine"), 0o600); err != nil {
		t.Fatal(err)
	}
	var want []string
	for _, name := range []string{"s_2.mp4", "s_3.mp4"} {
		rec, err := r.Record(Info{Stream: "s", Number: "1"}, Options{})
		if err != nil {
			t.Fatal(err)
		}
		feed(t, rec, mediatest.Merge(time.Second, &mediatest.Video{}))
		if err := rec.Close(); err != nil {
			t.Fatal(err)
		}
		want = append(want, filepath.Join(r.folder, "1", name))
	}
	l.wait(t, PartFinished, 2)
	for _, p := range want {
		if info, err := os.Stat(p); err != nil || info.Size() == 0 {
			t.Errorf("%s: %v", p, err)
		}
	}
	if string(readAll(t, mine)) != "mine" {
		t.Error("a file was overwritten")
	}
}

// TestLateNames puts the end and the length of a file into its name.
func TestLateNames(t *testing.T) {
	for _, finalize := range []bool{false, true} {
		r, l := testRecorder(t)
		r.Finalize = finalize
		r.Template = "{stream}-{duration}-{endTimeMillis}"
		paths := record(t, r, l, Options{}, mediatest.Merge(3*time.Second, &mediatest.Video{}))
		if len(paths) != 1 || !strings.HasPrefix(filepath.Base(paths[0]), "s-3-") || strings.Contains(paths[0], unknown) {
			t.Errorf("files %v", paths)
		}
		all, err := os.ReadDir(r.Folder)
		if err != nil || len(all) != 1 {
			t.Errorf("folder %v %v", all, err)
		}
	}
}
