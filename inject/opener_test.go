package inject_test

import (
	"context"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/trunkcast/trunkcast/inject"
	"github.com/trunkcast/trunkcast/media"
)

// folder has a clip, one in a folder, one beside it, and ways to leave it.
func folder(t *testing.T) (dir string) {
	t.Helper()
	dir = filepath.Join(t.TempDir(), "media")
	if err := os.MkdirAll(filepath.Join(dir, "en"), 0o755); err != nil {
		t.Fatal(err)
	}
	clip := load(t, "bframes.mp4")
	for _, name := range []string{"clip.mp4", "en/my clip.mp4", "../secret.mp4"} {
		if err := os.WriteFile(filepath.Join(dir, name), clip, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.WriteFile(filepath.Join(dir, "note.txt"), []byte("just text, no media"), 0o644); err != nil {
		t.Fatal(err)
	}
	for link, to := range map[string]string{"out.mp4": "../secret.mp4", "in.mp4": "clip.mp4", "up": ".."} {
		if err := os.Symlink(to, filepath.Join(dir, link)); err != nil {
			t.Skipf("no symbolic links: %v", err)
		}
	}
	return dir
}

func TestFolder(t *testing.T) {
	dir := folder(t)
	o := inject.Mux{"vod": inject.FolderOpener{Dir: dir}}
	for _, url := range []string{"vod://clip.mp4", "VOD://en/my%20clip.mp4", "vod://en/my clip.mp4", "vod://in.mp4"} {
		s, err := o.Open(t.Context(), url)
		if err != nil {
			t.Errorf("%s: %v", url, err)
			continue
		}
		if n := len(s.Tracks()); n != 2 {
			t.Errorf("%s: %d tracks", url, n)
		}
		if err := s.Close(); err != nil {
			t.Errorf("%s: Close: %v", url, err)
		}
	}
	s, err := inject.FolderOpener{Dir: dir, File: inject.FileOptions{NoAudio: true}}.Open(t.Context(), "vod://clip.mp4")
	if err != nil {
		t.Fatal(err)
	}
	if n := len(s.Tracks()); n != 1 {
		t.Errorf("%d tracks without sound", n)
	}
	s.Close()
	for url, want := range map[string]error{
		"vod://none.mp4":               fs.ErrNotExist,
		"vod://../secret.mp4":          inject.ErrNoSource,
		"vod://en/../../secret.mp4":    inject.ErrNoSource,
		"vod://%2e%2e/secret.mp4":      inject.ErrNoSource,
		"vod:///etc/passwd":            inject.ErrNoSource,
		"vod://" + dir + "/clip.mp4":   inject.ErrNoSource,
		"vod://out.mp4":                inject.ErrNoSource,
		"vod://up/secret.mp4":          inject.ErrNoSource,
		"vod://en":                     inject.ErrNoSource,
		"vod://":                       inject.ErrNoSource,
		"vod://clip.mp4%00":            inject.ErrNoSource,
		"vod://%zz":                    inject.ErrNoSource,
		"vod://note.txt":               inject.ErrNotMedia,
		"clip.mp4":                     inject.ErrNoSource,
		"://clip.mp4":                  inject.ErrNoSource,
		"s3://bucket/secretkey/x.mp4":  inject.ErrNoSource,
		"rtmp://user:secretkey@host/x": inject.ErrNoSource,
	} {
		s, err := o.Open(t.Context(), url)
		if !errors.Is(err, want) {
			t.Errorf("%s: %v", url, err)
		}
		if err != nil && (strings.Contains(err.Error(), "secretkey") || strings.Contains(err.Error(), filepath.Dir(dir))) {
			t.Errorf("%s: the error tells too much: %v", url, err)
		}
		if s != nil {
			s.Close()
		}
	}
}

func TestOpenerFunc(t *testing.T) {
	called := ""
	m := inject.Mux{"x": inject.OpenerFunc(func(_ context.Context, url string) (media.Source, error) {
		called = url
		return nil, media.ErrClosed
	})}
	if _, err := m.Open(t.Context(), "X://a/b?c"); !errors.Is(err, media.ErrClosed) || called != "X://a/b?c" {
		t.Errorf("%q, %v", called, err)
	}
}
