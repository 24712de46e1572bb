package record

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"syscall"
)

// disk is where files go. It is replaced in tests.
type disk interface {
	// create makes a file that is not there yet, and its folder.
	create(path string) (file, error)
	// free is the space for us in the file system of a folder, in bytes; ok
	// tells whether it is known.
	free(folder string) (n int64, ok bool)
}

// file is an open file.
type file interface {
	io.WriterAt
	Truncate(size int64) error
	Close() error
}

type osDisk struct{}

const (
	folderMode = 0o750
	fileMode   = 0o640
)

func (osDisk) create(path string) (file, error) {
	f, err := createNew(path)
	if err != nil {
		return nil, err
	}
	return f, nil
}

// createNew makes a file that is not there yet, and its folder, which
// retention may just be taking away because it is empty.
func createNew(path string) (*os.File, error) {
	for try := 0; ; try++ {
		if err := os.MkdirAll(filepath.Dir(path), folderMode); err != nil {
			return nil, err
		}
		f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, fileMode)
		if err == nil || !errors.Is(err, fs.ErrNotExist) || try == 3 {
			return f, err
		}
	}
}

// free looks at the nearest folder that is there.
func (osDisk) free(folder string) (int64, bool) {
	for {
		n, err := freeSpace(folder)
		if err == nil {
			return n, true
		}
		parent := filepath.Dir(folder)
		if !errors.Is(err, fs.ErrNotExist) || parent == folder {
			return 0, false
		}
		folder = parent
	}
}

// diskError says ErrDiskFull where that is the reason.
func diskError(err error) error {
	if errors.Is(err, syscall.ENOSPC) {
		return fmt.Errorf("%w: %w", ErrDiskFull, err)
	}
	return err
}
