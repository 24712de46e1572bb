//go:build linux

package peertest

import (
	"math"
	"os"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"
)

// seconds is a time as ffmpeg's options take it.
func seconds(d time.Duration) string { return strconv.FormatFloat(d.Seconds(), 'f', 3, 64) }

// number reads the number at the start of text; "-inf" and what is none are
// minus infinity.
func number(text string) float64 {
	field, _, _ := strings.Cut(strings.TrimSpace(text), " ")
	v, err := strconv.ParseFloat(field, 64)
	if err != nil || math.IsNaN(v) {
		return math.Inf(-1)
	}
	return v
}

// sample is a value at a time of the file.
type sample struct {
	at    time.Duration
	value float64
}

// metadata is what ffmpeg's filters say of a track, by key.
type metadata struct {
	samples map[string][]sample
	end     time.Duration // of the last frame
}

// readMetadata reads what the filter metadata=print has written. A track that
// is not there says nothing.
func readMetadata(t testing.TB, file string) metadata {
	t.Helper()
	m := metadata{samples: map[string][]sample{}}
	b, err := os.ReadFile(file)
	if os.IsNotExist(err) {
		return m
	}
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(string(b)) {
		line = strings.TrimSpace(line)
		if _, rest, ok := strings.Cut(line, "pts_time:"); ok {
			m.end = time.Duration(number(rest) * float64(time.Second))
		} else if key, value, ok := strings.Cut(line, "="); ok {
			m.samples[key] = append(m.samples[key], sample{m.end, number(value)})
		}
	}
	return m
}

func (m metadata) values(key string) []sample { return m.samples[key] }

// spans returns how long together something lasted that is told by its start
// and, at its end, by its length. What lasts to the end of the file is told by
// its start only.
func (m metadata) spans(start, length string) time.Duration {
	var sum float64
	for _, s := range m.samples[length] {
		sum += s.value
	}
	if starts := m.samples[start]; len(starts) > len(m.samples[length]) {
		sum += m.end.Seconds() - starts[len(starts)-1].value
	}
	return time.Duration(sum * float64(time.Second)).Round(time.Millisecond)
}

// pulse is a flash or a beep.
type pulse struct {
	at   time.Duration
	long bool
}

// pulses finds where the values rise over the threshold, at least half a
// second apart. What is above at the very start is not counted: its beginning
// was not seen.
func pulses(all []sample, threshold float64) []pulse {
	const long = time.Duration((flashLength + longFlash) / 2 * float64(time.Second))
	var found []pulse
	above, began := true, false
	for _, s := range all {
		now := s.value > threshold
		switch {
		case now && !above:
			if began = len(found) == 0 || s.at-found[len(found)-1].at > 500*time.Millisecond; began {
				found = append(found, pulse{at: s.at})
			}
		case !now && above && began:
			p := &found[len(found)-1]
			p.long = s.at-p.at > long
		}
		above = now
	}
	return found
}

// pair returns beep - flash for each flash whose beep is there. The long ones,
// five seconds apart, tell which beep belongs to which flash if they are
// further apart than half a second.
func pair(flashes, beeps []pulse) []time.Duration {
	const window = 500 * time.Millisecond
	rough := median(nearest(onlyLong(flashes), onlyLong(beeps), 0, 2500*time.Millisecond))
	return nearest(flashes, beeps, rough, window)
}

// nearest returns, for each flash, how far after it the beep is that is
// nearest to flash + offset, if it is within the window.
func nearest(flashes, beeps []pulse, offset, window time.Duration) []time.Duration {
	var found []time.Duration
	for _, f := range flashes {
		best := window
		for _, b := range beeps {
			if d := b.at - f.at - offset; d.Abs() < best.Abs() {
				best = d
			}
		}
		if best < window {
			found = append(found, best+offset)
		}
	}
	return found
}

func onlyLong(all []pulse) []pulse {
	return slices.DeleteFunc(slices.Clone(all), func(p pulse) bool { return !p.long })
}

func median(all []time.Duration) time.Duration {
	if len(all) == 0 {
		return 0
	}
	sorted := slices.Clone(all)
	slices.Sort(sorted)
	return sorted[len(sorted)/2]
}
