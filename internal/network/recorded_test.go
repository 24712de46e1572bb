//go:build peers

package network

import (
	"fmt"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"github.com/trunkcast/trunkcast/internal/peertest"
	"github.com/trunkcast/trunkcast/record"
)

// startRecording runs a gateway that publishes nothing and records to a folder.
func startRecording(t *testing.T) (g *rig, folder string) {
	g, folder = startGateway(t, ""), t.TempDir()
	g.Bridge.Recorder.Folder = folder // before its first recording
	return g, folder
}

// recordFor records the call to a number for a while and returns the file.
func (r *rig) recordFor(number, folder string, length time.Duration) (file string) {
	r.t.Helper()
	s := r.session(number)
	peertest.Eventually(r.t, 30*time.Second, "sound and picture", func() bool { return len(s.Stream().Tracks()) == 2 })
	rec, err := s.Record(record.Options{Template: "{number}"})
	if err != nil {
		r.t.Fatal(err)
	}
	time.Sleep(length)
	if err := s.StopRecording(rec); err != nil {
		r.t.Error(err)
	}
	if st := rec.Stats(); st.Lost > 0 || st.Parts != 1 {
		r.t.Logf("measured: %+v", st)
	}
	return filepath.Join(folder, number+".mp4")
}

// TestPeerRecorded records calls over bad networks: sound and picture are
// together in the files.
func TestPeerRecorded(t *testing.T) {
	t.Parallel()
	f := testFilm(t)
	g, folder := startRecording(t)
	for i, c := range cells() {
		if !long && !c.short {
			continue
		}
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			g := &rig{Gateway: g.Gateway, t: t}
			number := fmt.Sprint(300 + i)
			caller, way := g.over(c.way, number, f, uint64(i))
			time.Sleep(4 * time.Second) // a call that begins while the machine stumbles is in step then
			m := peertest.MeasureFile(t, g.recordFor(number, folder, watchTime))
			caller.hangup()
			median := percentile(m.Offsets, 50)
			t.Logf("measured: %v, |A-V| median %v p95 %v;%s", m, median, percentile(m.Offsets, 95-c.unsure), relayed(way))
			m.Check(t, peertest.Expect{Width: 640, Height: 360, MinPairs: int(watchTime/time.Second) / 2, AudioCodec: "opus"})
			if median > goalMedian {
				t.Errorf("median of |A-V| is %v", median)
			}
		})
	}
}

// TestPeerRecordedResolutions changes from 720p to 360p in a recorded call: the
// file is one, and ffmpeg and VLC decode it to its end.
func TestPeerRecordedResolutions(t *testing.T) {
	t.Parallel()
	first, second := makeFilm(t, 1280, 720, 1_500_000, 1), testFilm(t)
	g, folder := startRecording(t)
	c := dial(t, g.addr(), "400", first, nil)
	time.AfterFunc(5*time.Second, func() { c.camera.film.Store(second) })
	file := g.recordFor("400", folder, 9*time.Second)
	c.hangup()
	got := sizes(t, file)
	if want := []string{"1280x720", "640x360"}; !slices.Equal(got, want) {
		t.Errorf("ffmpeg shows pictures of %v, want %v", got, want)
	}
	m := peertest.MeasureFile(t, file)
	t.Logf("measured: %v", m)
	m.Check(t, peertest.Expect{MinPairs: 2, AudioCodec: "opus"})
	// What VLC makes of them has 25 pictures a second, half of the film's.
	if n := peertest.DecodeVLC(t, file); n < m.Frames*25/frameRate-peertest.VLCHeldBack {
		t.Errorf("VLC: %d pictures, ffmpeg %d", n, m.Frames)
	}
}
