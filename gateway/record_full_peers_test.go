//go:build peers && linux

package gateway_test

import (
	"errors"
	"os"
	"path/filepath"
	"syscall"
	"testing"
	"time"

	"github.com/trunkcast/trunkcast"
	"github.com/trunkcast/trunkcast/gateway"
	"github.com/trunkcast/trunkcast/record"
	"github.com/trunkcast/trunkcast/trunk"
)

// TestPeerRecordFull fills the disk under a recorded call and makes room
// again: the recording goes on in a new part, and neither the call nor the
// RTMP stream has noticed.
func TestPeerRecordFull(t *testing.T) {
	if os.Getuid() != 0 {
		t.Skip("mounts a file system: needs root")
	}
	folder := t.TempDir()
	if err := syscall.Mount("tmpfs", folder, "tmpfs", 0, "size=4m"); err != nil {
		t.Skip("no tmpfs here: ", err)
	}
	t.Cleanup(func() {
		if err := syscall.Unmount(folder, 0); err != nil {
			t.Error(err)
		}
	})
	a, events := startAudience(t), &recordEvents{}
	cfg := pbx(a.url)
	cfg.Record, cfg.Audio = true, "opus"
	r := startGateway(t, gateway.Config{
		Trunks: []trunk.Config{cfg}, RTMPListen: "off",
		Record: gateway.RecordConfig{Folder: folder, Template: "{number}", Reserve: -1, Warn: 2 << 20},
	}, gateway.Options{OnRecord: events.add})
	s, hangup := r.callWithMedia("100")
	a.keep("rtmp_100")
	eventually(t, "a part", func() bool { return len(events.of(record.PartStarted)) == 1 })
	rec := s.Recordings()[0]
	ballast := filepath.Join(folder, "ballast")
	if err := os.WriteFile(ballast, make([]byte, 3<<20), 0o600); err != nil {
		t.Fatal(err)
	}
	eventually(t, "the warning", func() bool { return len(events.of(record.DiskLow)) == 1 })
	if n := len(events.of(record.Paused)); n > 0 {
		t.Error("paused before the disk was full")
	}
	if err := os.WriteFile(ballast, make([]byte, 8<<20), 0o600); !errors.Is(err, syscall.ENOSPC) {
		t.Fatalf("the disk is not full: %v", err)
	}
	eventually(t, "the pause", func() bool { return len(events.of(record.Paused)) == 1 })
	if e := events.of(record.Paused)[0]; !errors.Is(e.Err, record.ErrDiskFull) {
		t.Errorf("paused by %v", e.Err)
	}
	if err := os.Remove(ballast); err != nil {
		t.Fatal(err)
	}
	eventually(t, "recording again", func() bool { return len(events.of(record.Resumed)) == 1 })
	at := rec.Stats().Frames
	eventually(t, "more frames", func() bool { return rec.Stats().Frames > at+60 })
	if r.has(trunkcast.OutputEnded) || r.has(trunkcast.CallEnded) {
		t.Error("the call or an output noticed")
	}
	for _, o := range s.Stats().Outputs {
		if o.RTMP != nil && (o.RTMP.VideoDropped > 0 || o.RTMP.Connects != 1) {
			t.Errorf("output %+v", o.RTMP)
		}
	}
	hangup()
	eventually(t, "two files", func() bool { return len(events.of(record.PartFinished)) == 2 })
	streamed := a.of("rtmp_100", true)
	for i := 1; i < len(streamed); i++ {
		if d := streamed[i].DTS - streamed[i-1].DTS; d > 250*time.Millisecond {
			t.Errorf("the stream has a gap of %v", d)
		}
	}
	for _, e := range events.of(record.PartFinished) {
		pictures := kind(fileFrames(t, e.Path), true)
		t.Logf("%s: %d pictures of %d streamed", filepath.Base(e.Path), len(pictures), len(streamed))
		if e.Err != nil || len(pictures) < 15 || !pictures[0].Key {
			t.Errorf("%+v has %d pictures", e, len(pictures))
		}
	}
}
