package rtpio

import (
	"math"
	"time"
)

const (
	defaultAudioBandwidth = 64_000    // bit/s
	defaultVideoBandwidth = 1_000_000 // bit/s
	reportOverhead        = 28        // IPv4 and UDP, counted by RFC 3550 section 6.2
	minReportInterval     = time.Second
	maxReportInterval     = 5 * time.Second
)

// reportInterval is the mean time between two reports of a session of two
// (RFC 3550 section 6.2), of size bytes each: together they take 5 % of the
// bandwidth in bit/s, at least the reduced minimum of 360 s / (kbit/s) apart.
// It is kept between 1 and 5 s: sound and picture of the caller's receiver
// are in step only after our first reports.
func reportInterval(bandwidth, size int) time.Duration {
	if bandwidth <= 0 {
		return maxReportInterval
	}
	share := 2 * float64(size+reportOverhead) * 8 / (0.05 * float64(bandwidth))
	reduced := 360_000 / float64(bandwidth)
	d := time.Duration(max(share, reduced) * float64(time.Second))
	return min(max(d, minReportInterval), maxReportInterval)
}

// nextReport draws the time to the next report: the mean halved for the first
// one, randomized, and divided by e-3/2 as the timer algorithm with
// reconsideration does (RFC 3550 section 6.3.1).
func nextReport(mean time.Duration, first bool) time.Duration {
	if first {
		mean /= 2
	}
	return time.Duration(float64(randomized(mean)) / (math.E - 1.5))
}
