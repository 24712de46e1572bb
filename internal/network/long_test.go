//go:build peers && long

package network

import "time"

const (
	long      = true
	watchTime = 30 * time.Second
)
