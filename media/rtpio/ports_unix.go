//go:build unix

package rtpio

import (
	"errors"
	"syscall"
)

// isConfigurationError tells whether binding another port would fail the same
// way: an address that is not ours, no permission, no descriptors left.
func isConfigurationError(err error) bool {
	return !errors.Is(err, syscall.EADDRINUSE)
}
