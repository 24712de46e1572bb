package gateway_test

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/trunkcast/trunkcast"
	"github.com/trunkcast/trunkcast/gateway"
	"github.com/trunkcast/trunkcast/inject"
	"github.com/trunkcast/trunkcast/trunk"
)

// TestNowhere: calls that would be answered and go nowhere are not taken.
func TestNowhere(t *testing.T) {
	off := gateway.Config{SIPListen: "127.0.0.1:0", RTMPListen: "off", HTTPListen: "off"}
	err := gateway.Run(t.Context(), off, gateway.Options{})
	if err == nil || !strings.Contains(err.Error(), "rtmpListen") {
		t.Errorf("got %v", err)
	}
	recorded := off
	recorded.Record.Folder = t.TempDir()
	startGateway(t, recorded, gateway.Options{})
	startGateway(t, off, gateway.Options{Plan: func(context.Context, *trunk.Call, *trunkcast.Plan) error { return nil }})
}

// TestEmbeddedOnlyIfNeeded: with trunks that have URLs nothing is opened beside
// another RTMP server of this host.
func TestEmbeddedOnlyIfNeeded(t *testing.T) {
	trunks := []trunk.Config{pbx("rtmp://127.0.0.1:1/live")}
	if g := startGateway(t, gateway.Config{Trunks: trunks}, gateway.Options{}); g.RTMP != nil || g.URL("live") != "" {
		t.Errorf("a server at %s", g.RTMPAddr)
	} else if _, err := g.Bridge.Sources.Open(t.Context(), "camera"); !errors.Is(err, inject.ErrNoSource) || !strings.Contains(err.Error(), "rtmpListen") {
		t.Errorf("a stream by its name: %v", err)
	}
	if g := startGateway(t, gateway.Config{Trunks: trunks, RTMPListen: "127.0.0.1:0"}, gateway.Options{}); g.RTMP == nil {
		t.Error("no server where one was asked for")
	}
}

// TestMissing: what is named and is not there is told at the start.
func TestMissing(t *testing.T) {
	dir := t.TempDir()
	plain := filepath.Join(dir, "plain.txt")
	if err := os.WriteFile(plain, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	const nowhere = "/nowhere/at/all"
	for name, c := range map[string]struct {
		cfg  gateway.Config
		says string // empty: nothing
	}{
		"all there":       {gateway.Config{MediaFolder: dir, StandBy: "vod://plain.txt", Record: gateway.RecordConfig{Folder: dir}}, ""},
		"defaults":        {gateway.Config{StandBy: "black"}, ""},
		"media":           {gateway.Config{MediaFolder: nowhere}, "mediaFolder: stat " + nowhere},
		"media file":      {gateway.Config{MediaFolder: plain}, "mediaFolder: " + plain + " is no folder"},
		"records":         {gateway.Config{Record: gateway.RecordConfig{Folder: nowhere}}, "recordFolder: stat " + nowhere},
		"hook":            {gateway.Config{Record: gateway.RecordConfig{Hook: nowhere}}, "recordHook: stat " + nowhere},
		"hook, no script": {gateway.Config{Record: gateway.RecordConfig{Hook: plain}}, "recordHook: " + plain + " is no program"},
		"stand-by":        {gateway.Config{MediaFolder: dir, StandBy: "vod://nofile.mp4"}, "standBy: vod://nofile.mp4"},
		"notice":          {gateway.Config{MediaFolder: dir, Record: gateway.RecordConfig{Notice: "vod-live://nofile.mp4"}}, "recordNotice: vod-live://nofile.mp4"},
		"other sources":   {gateway.Config{MediaFolder: dir, StandBy: "vod://s3/bucket/clip.mp4"}, ""},
		"keys":            {gateway.Config{PlayKey: "secret", Trunks: []trunk.Config{pbx("rtmp://127.0.0.1:1/live")}}, "rtmpListen: without it"},
	} {
		t.Run(name, func(t *testing.T) {
			var log bytes.Buffer
			ctx, cancel := context.WithCancel(t.Context())
			c.cfg.SIPListen, c.cfg.HTTPListen = "127.0.0.1:0", "off"
			if c.cfg.Trunks == nil {
				c.cfg.RTMPListen = "127.0.0.1:0"
			}
			err := gateway.Run(ctx, c.cfg, gateway.Options{
				Logger: slog.New(slog.NewTextHandler(&log, &slog.HandlerOptions{Level: slog.LevelWarn})), OnReady: func(*gateway.Gateway) { cancel() },
			})
			if err != nil {
				t.Fatal(err)
			}
			if text := log.String(); (c.says == "") != (text == "") || !strings.Contains(text, c.says) {
				t.Errorf("got %q, want %q", text, c.says)
			}
		})
	}
}

// TestTrunkFileOfConfig: what is wrong is told with the line that leads there,
// and all of it at once.
func TestTrunkFileOfConfig(t *testing.T) {
	dir := t.TempDir()
	file := filepath.Join(dir, "gateway.yml")
	for text, says := range map[string][]string{
		"logLevel: info\ntrunks: nix.yml\n":               {file + ":2: trunks: ", "nix.yml"},
		"maxCalls: -1\nlogLevel: loud\ntrunks: nix.yml\n": {file + ":1: maxCalls", file + ":2: logLevel", file + ":3: trunks: "},
	} {
		if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		_, err := gateway.LoadConfig(file)
		for _, s := range says {
			if err == nil || !strings.Contains(err.Error(), s) {
				t.Errorf("%q: no %q in %v", text, s, err)
			}
		}
	}
}
