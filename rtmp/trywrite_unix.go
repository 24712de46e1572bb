//go:build unix

package rtmp

import "syscall"

const canTryWrite = true

// tryWrite writes what the kernel takes now, and returns how much that is.
func tryWrite(fd uintptr, b []byte) int {
	for {
		n, err := syscall.Write(int(fd), b)
		if err == syscall.EINTR {
			continue
		}
		return max(n, 0)
	}
}
