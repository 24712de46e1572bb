//go:build peers && long && linux

package gateway_test

import (
	"path/filepath"
	"testing"
	"time"

	"github.com/trunkcast/trunkcast/internal/peertest"
)

// TestPeerRecordKilled is TestRecordKilled over a minute with files of 5 s,
// each of which ffmpeg decodes without a complaint, also the last one as the
// kill has left it.
func TestPeerRecordKilled(t *testing.T) {
	files := 0
	killed(t, 5*time.Second, 62500*time.Millisecond, func(file string) {
		files++
		_, errs, err := peertest.Run(t, time.Minute, "ffmpeg", "-v", "error", "-nostdin", "-i", file, "-f", "null", "-")
		if err != nil || errs != "" {
			t.Errorf("ffmpeg %s: %v %s", filepath.Base(file), err, errs)
		}
	})
	if files < 12 {
		t.Errorf("%d files", files)
	}
}
