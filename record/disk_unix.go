//go:build linux || darwin

package record

import (
	"os"
	"syscall"
)

// freeSpace is what users without privileges can still write, in bytes.
func freeSpace(folder string) (int64, error) {
	var st syscall.Statfs_t
	for {
		err := syscall.Statfs(folder, &st)
		if err == nil {
			return int64(st.Bavail) * int64(st.Bsize), nil
		}
		if err != syscall.EINTR {
			return 0, &os.PathError{Op: "statfs", Path: folder, Err: err}
		}
	}
}
