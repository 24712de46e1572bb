//go:build unix

package inject_test

import (
	"errors"
	"path/filepath"
	"syscall"
	"testing"

	"github.com/trunkcast/trunkcast/inject"
)

// TestPipe refuses a pipe, which would be waited for.
func TestPipe(t *testing.T) {
	dir := t.TempDir()
	if err := syscall.Mkfifo(filepath.Join(dir, "pipe.mp4"), 0o644); err != nil {
		t.Fatal(err)
	}
	if _, err := (inject.FolderOpener{Dir: dir}).Open(t.Context(), "vod://pipe.mp4"); !errors.Is(err, inject.ErrNoSource) {
		t.Errorf("got %v", err)
	}
}
