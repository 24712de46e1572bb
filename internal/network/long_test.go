//go:build peers && long

package network

import "time"

const (
	long      = true
	watchTime = 30 * time.Second
)

// outages are how long the RTMP server is away.
var outages = []time.Duration{100 * time.Millisecond, 5 * time.Second, 60 * time.Second}
