//go:build !linux && !darwin && !windows

package record

import "errors"

// freeSpace is not known here: a full disk is met when it is full.
func freeSpace(string) (int64, error) { return 0, errors.ErrUnsupported }
