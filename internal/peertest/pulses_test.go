//go:build linux

package peertest

import (
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"
)

// train makes pulses as a clip has them, each fifth long, late by offset.
func train(from, to int, offset time.Duration) []pulse {
	var p []pulse
	for s := from; s < to; s++ {
		p = append(p, pulse{at: time.Duration(s)*time.Second + offset, long: s%5 == 0})
	}
	return p
}

func TestPair(t *testing.T) {
	for _, offset := range []time.Duration{
		0, 120 * time.Millisecond, -120 * time.Millisecond, 480 * time.Millisecond,
		time.Second, -time.Second, 1700 * time.Millisecond, -2300 * time.Millisecond,
	} {
		got := pair(train(3, 23, 0), train(3, 23, offset))
		if len(got) < 17 || slices.Min(got) != offset || slices.Max(got) != offset {
			t.Errorf("late by %v: %d pairs, %v", offset, len(got), got)
		}
	}
	// A beep that was lost belongs to no flash.
	beeps := slices.Delete(train(0, 10, 0), 3, 5)
	if got := pair(train(0, 10, 0), beeps); len(got) != 8 {
		t.Errorf("%d pairs: %v", len(got), got)
	}
	if got := pair(train(0, 10, 0), nil); got != nil {
		t.Errorf("pairs with nothing: %v", got)
	}
}

func TestPulses(t *testing.T) {
	var all []sample
	for at := time.Duration(0); at < 8*time.Second; at += 5 * time.Millisecond {
		length := 120 * time.Millisecond
		if at%(5*time.Second) < time.Second {
			length = 400 * time.Millisecond
		}
		v := 0.0
		if at%time.Second < length {
			v = 1
		}
		all = append(all, sample{at, v})
	}
	// The one at 0 began before what was seen.
	if got := pulses(all, 0.5); !slices.Equal(got, train(1, 8, 0)) {
		t.Errorf("got %v", got)
	}
}

func TestTimes(t *testing.T) {
	var p probed
	for _, dts := range []string{"1.000", "1.040", "1.040", "1.020", "1.500", "N/A"} {
		p.Packets = append(p.Packets, struct {
			StreamIndex int    `json:"stream_index"`
			DTS         string `json:"dts_time"`
		}{1, dts})
	}
	got := p.times(1)
	want := track{count: 5, backwards: 2, first: time.Second, last: 1500 * time.Millisecond, gap: 480 * time.Millisecond}
	if got != want {
		t.Errorf("got %+v, want %+v", got, want)
	}
}

func TestMetadataSpans(t *testing.T) {
	file := filepath.Join(t.TempDir(), "m")
	const text = `frame:1 pts:1 pts_time:1
lavfi.freezedetect.freeze_start=0.5
frame:2 pts:2 pts_time:2.5
lavfi.freezedetect.freeze_duration=1.75
lavfi.freezedetect.freeze_end=2.25
lavfi.x=-inf
frame:3 pts:3 pts_time:4
lavfi.freezedetect.freeze_start=3
frame:4 pts:4 pts_time:6
`
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	m := readMetadata(t, file)
	if got := m.spans("lavfi.freezedetect.freeze_start", "lavfi.freezedetect.freeze_duration"); got != 4750*time.Millisecond {
		t.Errorf("frozen for %v", got)
	}
	if got := readMetadata(t, file+"none"); len(got.samples) != 0 {
		t.Errorf("%v", got)
	}
}
