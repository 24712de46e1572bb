//go:build peers && !long

package network

import "time"

const (
	long      = false
	watchTime = 12 * time.Second
)
