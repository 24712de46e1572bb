// Package democlip is a clip that is always at hand: 12 s of moving picture
// with a clock, and at each full second three white frames and a beep. It is
// H.264 Constrained Baseline of 640x360 with a key frame each second, and Opus
// mono. scripts/democlip makes it.
package democlip

import (
	"bytes"
	"context"
	_ "embed"
	"fmt"

	"github.com/trunkcast/trunkcast/inject"
)

//go:embed clip.mp4
var clip []byte

// Size is the length of the clip's file in bytes.
func Size() int { return len(clip) }

// Open returns the clip, played again and again without a gap.
func Open() *inject.File {
	f, err := inject.Open(context.Background(), bytes.NewReader(clip), int64(len(clip)), inject.FileOptions{Loop: true})
	if err != nil {
		// The clip is part of the program: this is a fault of the build, which
		// the test of this package finds.
		panic(fmt.Sprintf("democlip: %v", err))
	}
	return f
}
