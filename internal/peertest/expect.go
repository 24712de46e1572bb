//go:build linux

package peertest

import (
	"math"
	"testing"
	"time"
)

// Expect is what a test asks of a [Measured]; zero fields are not asked.
type Expect struct {
	Width, Height int
	FrameRate     float64       // within 10 %
	MaxOffset     time.Duration // of every pair of flash and beep
	MinPairs      int
	MaxFrozen     time.Duration // see [Measured.Frozen]
	MaxSilent     time.Duration
	MaxGap        time.Duration
	AnyErrors     bool // decode errors are expected, as after loss
	MinFlashes    int
	MinBeeps      int
	NoVideo       bool
	NoAudio       bool
	AudioCodec    string // default "aac"
}

// Check fails the test where m is not what is expected.
func (m *Measured) Check(t testing.TB, e Expect) {
	t.Helper()
	if e.AudioCodec == "" {
		e.AudioCodec = "aac"
	}
	if m.ErrorCount > 0 && !e.AnyErrors {
		t.Errorf("%d decode errors: %s", m.ErrorCount, m.DecodeErrors)
	}
	if m.Backwards > 0 {
		t.Errorf("%d timestamps do not rise", m.Backwards)
	}
	if !e.NoVideo {
		if m.VideoCodec == "" || (e.Width != 0 && (m.Width != e.Width || m.Height != e.Height)) {
			t.Errorf("video is %q %dx%d, want %dx%d", m.VideoCodec, m.Width, m.Height, e.Width, e.Height)
		}
		if e.FrameRate != 0 && math.Abs(m.FrameRate-e.FrameRate) > e.FrameRate/10 {
			t.Errorf("frame rate %.2f, want %.2f within 10 %%", m.FrameRate, e.FrameRate)
		}
	}
	if !e.NoAudio && m.AudioCodec != e.AudioCodec {
		t.Errorf("audio is %q, want %q", m.AudioCodec, e.AudioCodec)
	}
	if len(m.Flashes) < e.MinFlashes || len(m.Beeps) < e.MinBeeps {
		t.Errorf("%d flashes and %d beeps, want at least %d and %d", len(m.Flashes), len(m.Beeps), e.MinFlashes, e.MinBeeps)
	}
	m.checkPauses(t, e)
	if len(m.Offsets) < e.MinPairs {
		t.Errorf("%d pairs of flash and beep, want at least %d", len(m.Offsets), e.MinPairs)
	}
	if e.MaxOffset > 0 {
		if len(m.Offsets) == 0 {
			t.Error("no pair of flash and beep")
		} else if m.Worst().Abs() > e.MaxOffset {
			t.Errorf("flash and beep are up to %v apart (median %v), want at most %v", m.Worst(), m.Median(), e.MaxOffset)
		}
	}
}

func (m *Measured) checkPauses(t testing.TB, e Expect) {
	t.Helper()
	for _, c := range []struct {
		what      string
		got, most time.Duration
	}{
		{"the picture is frozen for", m.Frozen, e.MaxFrozen},
		{"there is silence for", m.Silent, e.MaxSilent},
		{"pictures are apart by", m.Gap, e.MaxGap},
	} {
		if c.most > 0 && c.got > c.most {
			t.Errorf("%s %v, want at most %v", c.what, c.got, c.most)
		}
	}
}
