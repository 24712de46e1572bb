package g711

import (
	"math"
	"testing"
)

// The tests take the codes from the definition in ITU-T G.711 rather than from
// formulas: a sequence of segments, of 16 steps each.

// intervals returns where the positive intervals of a law begin, as 16 bit
// samples: tables 1a and 2a, first columns.
func intervals(first, step int, segments int) []int {
	var all []int
	at := 0
	for segment := range segments {
		n := 16
		if segment == 0 {
			n = first
		}
		for range n {
			all = append(all, at)
			at += step
		}
		step *= 2
	}
	return all
}

// alawStarts: 32 steps of 2, then 16 each of 4, 8, ... 128, in 1/4096; µ-law:
// one step of 1, 15 of 2, then 16 each of 4, 8, ... 256, in 1/8192 of full
// scale. Half of the µ-law interval around 0 is negative.
func alawStarts() []int { return intervals(32, 16, 7) }

func ulawStarts() []int {
	all := []int{0}
	for _, at := range intervals(15, 8, 8) {
		all = append(all, at+4)
	}
	return all
}

func TestLawsByDefinition(t *testing.T) {
	t.Parallel()
	for _, law := range []struct {
		name   string
		starts []int
		encode func(int) byte
		decode func(byte) int
		octet  func(interval int, negative bool) byte
		end    int // of the last interval
		zero   int // its level
	}{
		{"A-law", alawStarts(), encodeALaw, decodeALaw, func(i int, negative bool) byte {
			b := byte(i) | 0x80 // character signal
			if negative {
				b = byte(i)
			}
			return b ^ 0x55
		}, 32768, 8},
		{"µ-law", ulawStarts(), encodeULaw, decodeULaw, func(i int, negative bool) byte {
			b := byte(127-i) | 0x80
			if negative {
				b = byte(127 - i)
			}
			return b
		}, 32636, 0},
	} {
		if len(law.starts) != 128 {
			t.Fatalf("%s: %d intervals", law.name, len(law.starts))
		}
		for i, start := range law.starts {
			end := law.end
			if i < 127 {
				end = law.starts[i+1]
			}
			level := (start + end) / 2
			if i == 0 {
				level = law.zero
			}
			for s := start; s < min(end, 32768); s++ {
				if got, want := law.encode(s), law.octet(i, false); got != want {
					t.Fatalf("%s: %d is %#x, want %#x", law.name, s, got, want)
				}
				if got, want := law.encode(-s-1), law.octet(i, true); got != want {
					t.Fatalf("%s: %d is %#x, want %#x", law.name, -s-1, got, want)
				}
			}
			if got := law.decode(law.octet(i, false)); got != level {
				t.Errorf("%s: interval %d is decoded to %d, want %d", law.name, i, got, level)
			}
			if got := law.decode(law.octet(i, true)); got != -level {
				t.Errorf("%s: negative interval %d is decoded to %d, want %d", law.name, i, got, -level)
			}
		}
		for s := law.end; s < 32768; s++ {
			if got, want := law.encode(s), law.octet(127, false); got != want {
				t.Fatalf("%s: %d is %#x, want %#x", law.name, s, got, want)
			}
		}
	}
}

// TestValues are octets that every implementation knows.
func TestValues(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name      string
		got, want int
	}{
		{"µ-law 0xff", decodeULaw(0xff), 0},
		{"µ-law 0x80", decodeULaw(0x80), 32124},
		{"µ-law 0x00", decodeULaw(0x00), -32124},
		{"µ-law of 0", int(encodeULaw(0)), 0xff},
		{"A-law 0xd5", decodeALaw(0xd5), 8},
		{"A-law 0x55", decodeALaw(0x55), -8},
		{"A-law 0xaa", decodeALaw(0xaa), 32256},
		{"A-law 0x2a", decodeALaw(0x2a), -32256},
		{"A-law of 0", int(encodeALaw(0)), 0xd5},
	} {
		if c.got != c.want {
			t.Errorf("%s: %#x, want %#x", c.name, c.got, c.want)
		}
	}
	for b := range 256 {
		if got := encodeALaw(decodeALaw(byte(b))); got != byte(b) {
			t.Errorf("A-law %#x comes back as %#x", b, got)
		}
		// µ-law has two octets for 0.
		if got := encodeULaw(decodeULaw(byte(b))); got != byte(b) && b != 0x7f {
			t.Errorf("µ-law %#x comes back as %#x", b, got)
		}
	}
}

func TestLinear(t *testing.T) {
	t.Parallel()
	nan, inf := float32(math.NaN()), float32(math.Inf(1))
	for _, c := range []struct {
		in   float32
		want int
	}{
		{0, 0}, {1, 32767}, {-1, -32768}, {7, 32767}, {-7, -32768}, {inf, 32767}, {-inf, -32768}, {nan, 0},
		{0.5, 16384}, {-0.5, -16384}, {0.6 / 32768, 1}, {-0.6 / 32768, -1}, {0.4 / 32768, 0}, {-0.4 / 32768, 0},
		{1 - 0.6/32768, 32767},
	} {
		if got := linear(c.in); got != c.want {
			t.Errorf("linear(%g) = %d, want %d", c.in, got, c.want)
		}
	}
}
