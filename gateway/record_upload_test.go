package gateway_test

import (
	"bytes"
	"errors"
	"io/fs"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/trunkcast/trunkcast/gateway"
	"github.com/trunkcast/trunkcast/record"
	"github.com/trunkcast/trunkcast/record/s3/s3test"
)

// uploading is a gateway whose recordings go to a server.
func uploading(s *s3test.Server, folder string) func(*gateway.Config) {
	return func(c *gateway.Config) {
		c.Trunks[0].Record = true
		c.S3 = gateway.S3Config{Endpoint: s.URL, Region: "us-east-1", AccessKey: "key", SecretKey: "secret"}
		c.Record = gateway.RecordConfig{Folder: folder, Template: "{number}", Upload: gateway.UploadConfig{
			Bucket: "calls", Prefix: "day", RemoveLocal: true,
		}}
	}
}

// TestUploadAfterRestart ends a gateway while its server takes no uploads. The
// next one goes on with them, without a call.
func TestUploadAfterRestart(t *testing.T) {
	t.Parallel()
	server, folder := s3test.New(t), t.TempDir()
	server.SetFail(func(w http.ResponseWriter, r *http.Request) bool {
		if r.Method == http.MethodPut {
			s3test.Refuse(w, http.StatusForbidden, "AccessDenied")
		}
		return r.Method == http.MethodPut
	})
	var whole []byte
	t.Run("first", func(t *testing.T) {
		r, events := recording(t, uploading(server, folder))
		s, hangup := r.callWithMedia("100")
		eventually(t, "frames", func() bool { return len(s.Recordings()) == 1 && s.Recordings()[0].Stats().Frames > 60 })
		hangup()
		eventually(t, "an upload that fails", func() bool { return len(events.of(record.UploadRetry)) > 0 })
		var err error
		if whole, err = os.ReadFile(filepath.Join(folder, "100.mp4")); err != nil {
			t.Fatal(err)
		}
	})
	server.SetFail(nil)
	_, events := recording(t, uploading(server, folder))
	eventually(t, "the file removed", func() bool { return len(events.of(record.Removed)) == 1 })
	if e := events.of(record.Uploaded); len(e) != 1 || e[0].URL != "s3://calls/day/100.mp4" {
		t.Errorf("events %+v", e)
	}
	if o, ok := server.Get("day/100.mp4"); !ok || len(whole) == 0 || !bytes.Equal(o.Data, whole) {
		t.Errorf("object %v of %d bytes, want %d", ok, len(o.Data), len(whole))
	}
	if _, err := os.Stat(filepath.Join(folder, "100.mp4")); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("local file: %v", err)
	}
	if left, err := filepath.Glob(filepath.Join(folder, ".jobs", "*.json")); err != nil || len(left) > 0 {
		t.Errorf("journal holds %v, %v", left, err)
	}
}

// TestHangingHook ends a hook that hangs; the next file is not kept waiting
// for ever, and the gateway ends.
func TestHangingHook(t *testing.T) {
	t.Parallel()
	folder := t.TempDir()
	hook := filepath.Join(folder, "hook.sh")
	if err := os.WriteFile(hook, []byte("#!/bin/sh\necho \"$1 $2\" >>\""+folder+"/seen\"\nexec sleep 600\n"), 0o700); err != nil {
		t.Fatal(err)
	}
	r, events := recording(t, func(c *gateway.Config) {
		c.Trunks[0].Record = true
		c.Record = gateway.RecordConfig{Folder: folder, Template: "{number}", Hook: hook, HookTimeout: 2 * time.Second}
	})
	for _, number := range []string{"100", "101"} {
		s, hangup := r.callWithMedia(number)
		eventually(t, "frames", func() bool { return len(s.Recordings()) == 1 && s.Recordings()[0].Stats().Frames > 10 })
		hangup()
	}
	eventually(t, "both hooks ended", func() bool { return len(events.of(record.CommandFailed)) == 2 })
	for _, e := range events.of(record.CommandFailed) {
		if !errors.Is(e.Err, record.ErrTimeout) {
			t.Errorf("hook: %v", e.Err)
		}
	}
	seen, err := os.ReadFile(filepath.Join(folder, "seen"))
	if want := "rtmp_100 " + filepath.Join(folder, "100.mp4") + "\n"; err != nil || !strings.Contains(string(seen), want) {
		t.Errorf("the hook saw %q, %v, want %q", seen, err, want)
	}
}

func TestRecordConfig(t *testing.T) {
	load := func(text string) (gateway.Config, error) {
		file := filepath.Join(t.TempDir(), "gateway.yml")
		if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		return gateway.LoadConfig(file)
	}
	c, err := load(`recordFolder: /r
recordTemplate: "{number}/{start}"
recordRotation: 20M,600
recordFormat: ts
recordPartDuration: 500ms
recordFinalize: true
recordTimezone: Europe/Berlin
recordMaxAge: 720h
recordMaxSize: 2G
recordReserve: 0
recordWarn: 3M
recordNotice: vod://n.mp4
recordHook: /hook
recordHookTimeout: 30
recordJournal: /j
recordBucket: b
recordPrefix: p
recordRemoveUploaded: true
recordS3Endpoint: https://s3.example.com
recordS3Region: r
recordS3AccessKey: "007"
recordS3SecretKey: s
recordS3PathStyle: true
`)
	if err != nil {
		t.Fatal(err)
	}
	want := gateway.RecordConfig{
		Folder: "/r", Template: "{number}/{start}", Rotation: record.Rotation{Size: 20 << 20, Duration: 10 * time.Minute}, Format: record.MPEGTS,
		PartDuration: 500 * time.Millisecond, Finalize: true, Timezone: "Europe/Berlin",
		Retention: record.Retention{Age: 720 * time.Hour, Size: 2 << 30}, Reserve: -1, Warn: 3 << 20, Notice: "vod://n.mp4",
		Hook: "/hook", HookTimeout: 30 * time.Second, Journal: "/j",
		Upload: gateway.UploadConfig{Bucket: "b", Prefix: "p", RemoveLocal: true, S3: gateway.S3Config{
			Endpoint: "https://s3.example.com", Region: "r", AccessKey: "007", SecretKey: "s", PathStyle: true,
		}},
	}
	if c.Record != want {
		t.Errorf("got %+v\nwant %+v", c.Record, want)
	}
	for text, want := range map[string]string{
		"recordTemplate: ../x":                  "gateway.yml:1: recordTemplate: ",
		"recordFolder: x\nrecordRotation: 20m":  "gateway.yml:2: recordRotation: ",
		"recordMaxAge: 1s":                      "recordMaxAge: 1s is not between",
		"recordMaxSize: 5":                      "recordMaxSize: ",
		"recordReserve: much":                   "recordReserve: ",
		"recordPrefix: x":                       "need recordBucket",
		"recordRemoveUploaded: true":            "need recordBucket",
		"recordHookTimeout: 5s":                 "needs recordHook",
		"recordTimezone: Mars/Base":             "recordTimezone: ",
		"recordPartDuration: 1h":                "recordPartDuration: ",
		"recordBucket: b\nrecordBuckett: twice": "gateway.yml:2: ",
	} {
		if _, err := load(text); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: %v, want %q in it", text, err, want)
		}
	}
}
