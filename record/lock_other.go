//go:build !unix || aix || solaris || illumos

package record

import (
	"io"
	"os"
)

// lockFile opens a file only: that no other program uses the journal is left
// to those who start it.
func lockFile(path string) (io.Closer, error) {
	return os.OpenFile(path, os.O_RDWR|os.O_CREATE, fileMode)
}
