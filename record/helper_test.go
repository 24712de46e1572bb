package record

import (
	"context"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/trunkcast/trunkcast/media"
	"github.com/trunkcast/trunkcast/media/mediatest"
)

// patience is for what is to happen soon, on a machine that has other things
// to do.
const patience = 30 * time.Second

var (
	aacTrack  = &media.Track{Codec: media.AAC, ClockRate: 48000, Channels: 1, Config: [][]byte{{0x11, 0x88}}}
	opusTrack = &media.Track{Codec: media.Opus, ClockRate: 48000, Channels: 2}
)

// aacAudio generates frames that are AAC by their length only.
func aacAudio() *mediatest.Audio { return &mediatest.Audio{Track: aacTrack, Samples: 1024} }

func opusAudio() *mediatest.Audio { return &mediatest.Audio{Track: opusTrack, Samples: 960} }

// events keeps what a recorder tells.
type events struct {
	mu   sync.Mutex
	list []Event
}

func (l *events) add(e Event) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.list = append(l.list, e)
}

func (l *events) of(types ...EventType) (list []Event) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, e := range l.list {
		if slices.Contains(types, e.Type) {
			list = append(list, e)
		}
	}
	return list
}

// wait returns the events of a type when there are n of them.
func (l *events) wait(t *testing.T, typ EventType, n int) []Event {
	t.Helper()
	eventually(t, typ.String(), func() bool { return len(l.of(typ)) >= n })
	return l.of(typ)
}

func eventually(t *testing.T, what string, ok func() bool) {
	t.Helper()
	for end := time.Now().Add(patience); !ok(); time.Sleep(5 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("%s: not within %v", what, patience)
		}
	}
}

// testRecorder returns a recorder in a folder of the test, and its events.
func testRecorder(t *testing.T) (*Recorder, *events) {
	t.Helper()
	l := &events{}
	r := &Recorder{Folder: filepath.Join(t.TempDir(), "records"), OnEvent: l.add, Template: "{stream}",
		CloseTimeout: patience, Reserve: -1, Warn: -1}
	t.Cleanup(func() {
		if err := r.Close(); err != nil {
			t.Errorf("Recorder.Close: %v", err)
		}
	})
	return r, l
}

// record writes frames as one recording and returns its files, complete.
func record(t *testing.T, r *Recorder, l *events, o Options, frames []*media.Frame) []string {
	t.Helper()
	before := len(l.of(PartFinished))
	rec, err := r.Record(Info{Stream: "s"}, o)
	if err != nil {
		t.Fatal(err)
	}
	feed(t, rec, frames)
	if err := rec.Close(); err != nil {
		t.Fatal(err)
	}
	parts := rec.Stats().Parts
	var paths []string
	list := l.wait(t, PartFinished, before+parts)[before:]
	slices.SortFunc(list, func(a, b Event) int { return a.Part - b.Part })
	for _, e := range list {
		if e.Err != nil {
			t.Errorf("%s: %v", e.Path, e.Err)
		}
		paths = append(paths, e.Path)
	}
	return paths
}

func feed(t *testing.T, sink media.Sink, frames []*media.Frame) {
	t.Helper()
	if err := mediatest.Feed(context.Background(), sink, frames); err != nil {
		t.Fatal(err)
	}
}

func readAll(t *testing.T, path string) []byte {
	t.Helper()
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return b
}
