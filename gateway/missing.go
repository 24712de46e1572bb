package gateway

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"

	"github.com/trunkcast/trunkcast/trunk"
)

// needsServer tells whether there is a trunk that leads to the embedded server,
// having no URL of its own.
func (c *Config) needsServer() bool {
	return len(c.Trunks) == 0 || slices.ContainsFunc(c.Trunks, func(t trunk.Config) bool { return t.URL == "" })
}

// errNowhere is the error of a gateway that would answer calls for nothing.
var errNowhere = errors.New("gateway: rtmpListen (-rtmp) is off, and there are no trunks with a url (-trunks) and no key record...: calls would be answered and go nowhere")

// check finds what makes calls go nowhere.
func (c *Config) check(o *Options) error {
	if len(c.Trunks) == 0 && c.RTMPListen == "off" && c.Record == (RecordConfig{}) && o.Plan == nil {
		return errNowhere
	}
	return nil
}

// missing tells what the configuration names and is not there, or has no
// effect: it may come yet, so the gateway starts all the same. c is as it was
// written, without defaults.
func (c *Config) missing() (warnings []string) {
	warn := func(key, format string, args ...any) {
		warnings = append(warnings, key+": "+fmt.Sprintf(format, args...))
	}
	folder := func(key, path string) {
		if path == "" {
			return
		}
		if info, err := os.Stat(path); err != nil {
			warn(key, "%v", err)
		} else if !info.IsDir() {
			warn(key, "%s is no folder", path)
		}
	}
	folder("mediaFolder", c.MediaFolder)
	folder("recordFolder", c.Record.Folder)
	if hook := c.Record.Hook; hook != "" {
		info, err := os.Stat(hook)
		switch {
		case err != nil:
			warn("recordHook", "%v", err)
		case info.IsDir() || runtime.GOOS != "windows" && info.Mode()&0o111 == 0:
			warn("recordHook", "%s is no program that can be run", hook)
		}
	}
	for _, clip := range []struct{ key, url string }{{"standBy", c.StandBy}, {"recordNotice", c.Record.Notice}} {
		if err := c.statClip(clip.url); err != nil {
			warn(clip.key, "%s: %v", clip.url, err)
		}
	}
	if c.RTMPListen == "" && !c.needsServer() && (c.PublishKey != "" || c.PlayKey != "" || c.RTMPCert != "") {
		warn("rtmpListen", "without it the embedded RTMP server is off, and its keys and certificate have no effect")
	}
	return warnings
}

// statClip looks for the file of a URL that leads into the media folder.
func (c *Config) statClip(url string) error {
	scheme, path, _ := strings.Cut(url, "://")
	if scheme != "vod" && scheme != "vod-live" || strings.HasPrefix(path, "s3/") {
		return nil
	}
	path, _, _ = strings.Cut(path, "?")
	root, err := os.OpenRoot(filepath.Clean(c.withDefaults().MediaFolder))
	if err != nil {
		return err
	}
	defer root.Close()
	if _, err := root.Stat(filepath.FromSlash(path)); errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return nil // other schemes of names are the opener's to judge
}
