//go:build long

package rtpio

import (
	"testing"
	"testing/synctest"
	"time"
)

const matrixStep = 1

// TestHourOfSkew has clocks that run 200 ppm too fast and too slow for an
// hour, with right, missing and wrong reports, on a network that loses.
func TestHourOfSkew(t *testing.T) {
	t.Parallel()
	for i, w := range []weather{
		{loss: 0.01, jitter: 30 * ms, ppm: 200, nack: true},
		{loss: 0.01, jitter: 30 * ms, ppm: -200, reports: reportsMissing, nack: true},
		{loss: 0.05, bursts: true, jitter: 100 * ms, mess: true, ppm: 200, reports: reportsWrong, nack: true},
	} {
		t.Run(w.String(), func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) { w.check(t, time.Hour, uint64(i)) })
		})
	}
}
