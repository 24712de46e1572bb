package gateway_test

import (
	"bytes"
	"context"
	"errors"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/trunkcast/trunkcast"
	"github.com/trunkcast/trunkcast/gateway"
	"github.com/trunkcast/trunkcast/inject"
	"github.com/trunkcast/trunkcast/media"
	"github.com/trunkcast/trunkcast/record"
	"github.com/trunkcast/trunkcast/trunk"
)

// TestRecordedCall records a call because its trunk says so, and once more in
// the middle by Session.Record. Both files have sound and picture, and the
// hook sees them.
func TestRecordedCall(t *testing.T) {
	folder := t.TempDir()
	hook := filepath.Join(folder, "hook.sh")
	if err := os.WriteFile(hook, []byte("#!/bin/sh\nprintf '%s %s\\n' \"$1\" \"$2\" >>\""+folder+"/hooked\"\n"), 0o700); err != nil {
		t.Fatal(err)
	}
	cfg := pbx("rtmp://127.0.0.1:1/live")
	cfg.Record = true
	r := startGateway(t, gateway.Config{
		Trunks: []trunk.Config{cfg}, RTMPListen: "off", HTTPListen: "off",
		Record: gateway.RecordConfig{Folder: folder, Template: "{stream}-{part}", Hook: hook},
	}, gateway.Options{Plan: func(_ context.Context, _ *trunk.Call, p *trunkcast.Plan) error {
		p.Targets = nil
		return nil
	}})
	hangup := r.call("100")
	s := r.Bridge.Sessions()[0]
	second, err := s.Record(record.Options{Template: "second"})
	if err != nil {
		t.Fatal(err)
	}
	eventually(t, "two seconds of frames", func() bool { return second.Stats().Frames > 160 })
	hangup()
	eventually(t, "both files hooked", func() bool {
		text, _ := os.ReadFile(filepath.Join(folder, "hooked"))
		return bytes.Count(text, []byte("\n")) == 2
	})
	files, err := filepath.Glob(filepath.Join(folder, "*.mp4"))
	if err != nil || len(files) != 2 {
		t.Fatalf("files %v, %v", files, err)
	}
	for _, name := range files {
		kinds := fileKinds(t, name)
		t.Logf("%s: %v", filepath.Base(name), kinds)
		if kinds[media.H264] < 40 || kinds[media.Opus] < 80 {
			t.Errorf("%s has %v", name, kinds)
		}
		if !strings.Contains(name, "rtmp_100-001") && !strings.Contains(name, "second") {
			t.Errorf("name %s", name)
		}
	}
}

// fileKinds counts the frames of a file by their codec.
func fileKinds(t testing.TB, name string) map[media.Codec]int {
	t.Helper()
	kinds := map[media.Codec]int{}
	for _, f := range fileFrames(t, name) {
		kinds[f.Track.Codec]++
	}
	return kinds
}

// fileFrames reads a file to its end, which must be that of its last frame.
func fileFrames(t testing.TB, name string) (list []*media.Frame) {
	t.Helper()
	data, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	f, err := inject.Open(t.Context(), bytes.NewReader(data), int64(len(data)), inject.FileOptions{})
	if err != nil {
		t.Fatalf("%s: %v", name, err)
	}
	for {
		frame, err := f.ReadFrame(t.Context())
		if errors.Is(err, io.EOF) {
			return list
		}
		if err != nil {
			t.Fatalf("%s after %d frames: %v", name, len(list), err)
		}
		list = append(list, frame)
	}
}
