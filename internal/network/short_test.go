//go:build peers && !long

package network

import "time"

const (
	long      = false
	watchTime = 12 * time.Second
)

// outages are how long the RTMP server is away.
var outages = []time.Duration{100 * time.Millisecond, 5 * time.Second}
