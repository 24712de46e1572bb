//go:build peers

package aac

import (
	"fmt"
	"math"
	"math/rand/v2"
	"os"
	"slices"
	"strconv"
	"testing"

	"github.com/trunkcast/trunkcast/media"
)

// A syntaxWriter makes frames at random of all that the syntax of the profile
// allows, whether an encoder would do it or not; but no noise substitution, as
// decoders differ in it.
type syntaxWriter struct {
	r        *rand.Rand
	w        bitWriter
	bands    *bandTable
	channels int
	last     [2]windowSequence
	last0    int // scalefactor around which all are
}

// An ics is what the parts of a channel must agree on.
type ics struct {
	sequence windowSequence
	shape    int
	perGroup int
	windows  []int // in each group
	books    []int
}

// frame makes a raw_data_block (4.4.2.1).
func (s *syntaxWriter) frame() []byte {
	s.w.reset(nil)
	if s.r.IntN(4) == 0 {
		s.data()
	}
	if s.channels == 1 {
		s.w.put(elementSCE, 3)
		s.w.put(0, 4)
		s.channel(s.info(0), nil, false)
	} else {
		s.pair()
	}
	if s.r.IntN(4) == 0 {
		s.fill()
	}
	s.w.put(elementEND, 3)
	return s.w.finish()
}

// data writes a data_stream_element.
func (s *syntaxWriter) data() {
	s.w.put(elementDSE, 3)
	s.w.put(0, 4)
	align := s.r.IntN(2) == 0
	s.w.putBool(align)
	n := s.r.IntN(20)
	s.w.put(uint32(n), 8)
	for align && (uint(len(s.w.buf))*8+s.w.held)%8 != 0 {
		s.w.put(0, 1)
	}
	for range n {
		s.w.put(uint32(s.r.IntN(256)), 8)
	}
}

// fill writes a fill_element of zeros.
func (s *syntaxWriter) fill() {
	s.w.put(elementFIL, 3)
	n := s.r.IntN(40)
	if n < 15 {
		s.w.put(uint32(n), 4)
	} else {
		s.w.put(15, 4)
		s.w.put(uint32(n-14), 8)
	}
	for range n {
		s.w.put(0, 8)
	}
}

// pair writes a channel_pair_element.
func (s *syntaxWriter) pair() {
	s.w.put(elementCPE, 3)
	s.w.put(0, 4)
	common := s.last[0] == s.last[1] && s.r.IntN(4) > 0
	s.w.putBool(common)
	if !common {
		s.channel(s.info(0), nil, false)
		s.channel(s.info(1), nil, false)
		return
	}
	left := s.info(0)
	s.last[1] = s.last[0]
	s.writeInfo(left)
	mask := s.r.IntN(3)
	s.w.put(uint32(mask), 2)
	if mask == maskBands {
		for range left.perGroup * len(left.windows) {
			s.w.put(uint32(s.r.IntN(2)), 1)
		}
	}
	right := *left
	s.channel(left, left, false)
	// ffmpeg turns the sign of intensity stereo if all bands are M/S, too, which
	// is only meant where each tells for itself (4.6.8.2.3).
	s.channel(&right, left, mask != maskAll)
}

// info chooses windows and groups.
func (s *syntaxWriter) info(channel int) *ics {
	i := &ics{shape: s.r.IntN(2), windows: []int{1}}
	open := s.last[channel] == longStart || s.last[channel] == eightShort
	switch change := s.r.IntN(2) == 0; {
	case open && change:
		i.sequence = longStop
	case open:
		i.sequence = eightShort
	case change:
		i.sequence = longStart
	}
	s.last[channel] = i.sequence
	i.perGroup = s.r.IntN(len(s.bands.of(i.sequence)))
	if i.sequence == eightShort {
		for range shortWindows - 1 {
			if s.r.IntN(2) == 0 {
				i.windows = append(i.windows, 0)
			}
			i.windows[len(i.windows)-1]++
		}
		if s.r.IntN(2) == 0 {
			i.windows[len(i.windows)-1]++
		} else {
			i.windows = append(i.windows, 1)
		}
		i.windows = regroup(i.windows)
	}
	return i
}

// regroup takes away what is more than eight windows, and empty groups.
func regroup(windows []int) (groups []int) {
	left := shortWindows
	for _, n := range windows {
		if n = min(n, left); n > 0 {
			groups = append(groups, n)
			left -= n
		}
	}
	if left > 0 {
		groups[len(groups)-1] += left
	}
	return groups
}

// writeInfo writes ics_info (4.4.2.7).
func (s *syntaxWriter) writeInfo(i *ics) {
	s.w.put(0, 1)
	s.w.put(uint32(i.sequence), 2)
	s.w.put(uint32(i.shape), 1)
	if i.sequence != eightShort {
		s.w.put(uint32(i.perGroup), 6)
		s.w.put(0, 1)
		return
	}
	s.w.put(uint32(i.perGroup), 4)
	for g, n := range i.windows {
		for w := range n {
			if g > 0 || w > 0 {
				s.w.putBool(w > 0)
			}
		}
	}
}

// channel writes an individual_channel_stream; common is the ics_info that was
// written for both channels.
func (s *syntaxWriter) channel(i, common *ics, intensity bool) {
	scale := s.last0 + s.r.IntN(9)
	s.w.put(uint32(scale), 8)
	if common == nil {
		s.writeInfo(i)
	}
	s.sections(i, intensity)
	s.scales(i, scale)
	s.pulses(i)
	s.tns(i)
	s.w.put(0, 1) // gain_control_data_present
	bands := s.bands.of(i.sequence)
	for b, book := range i.books {
		group := i.windows[b/max(1, i.perGroup)]
		width := bands[b%i.perGroup+1] - bands[b%i.perGroup]
		writeLines(&s.w, book, s.lines(book, width*group))
	}
}

// sections writes section_data.
func (s *syntaxWriter) sections(i *ics, intensity bool) {
	field := uint(5)
	if i.sequence == eightShort {
		field = 3
	}
	escape := 1<<field - 1
	i.books = nil
	for range i.windows {
		for left := i.perGroup; left > 0; {
			book := s.r.IntN(bookEscape + 1)
			if intensity && s.r.IntN(4) == 0 {
				book = bookOutOfPhase + s.r.IntN(2)
			}
			n := 1 + s.r.IntN(min(left, 6))
			if s.r.IntN(8) == 0 {
				n = left
			}
			s.w.put(uint32(book), 4)
			rest := n
			for ; rest >= escape; rest -= escape {
				s.w.put(uint32(escape), field)
			}
			s.w.put(uint32(rest), field)
			i.books = append(i.books, slices.Repeat([]int{book}, n)...)
			left -= n
		}
	}
}

// scales writes scale_factor_data.
func (s *syntaxWriter) scales(i *ics, scale int) {
	position := 0
	for _, book := range i.books {
		switch {
		case book == bookZero:
		case book >= bookOutOfPhase:
			step := max(-20-position, min(20-position, s.r.IntN(9)-4))
			position += step
			s.w.putCode(scaleBook[step+maxStep])
		default:
			next := s.last0 + s.r.IntN(12)
			s.w.putCode(scaleBook[next-scale+maxStep])
			scale = next
		}
	}
}

// pulses writes pulse_data_present and, at times, pulse_data.
func (s *syntaxWriter) pulses(i *ics) {
	if i.sequence == eightShort || i.perGroup < 8 || s.r.IntN(2) == 0 {
		s.w.put(0, 1)
		return
	}
	s.w.put(1, 1)
	n := 1 + s.r.IntN(4)
	s.w.put(uint32(n-1), 2)
	first := s.r.IntN(i.perGroup)
	s.w.put(uint32(first), 6)
	line, end := s.bands.long[first], s.bands.long[i.perGroup]
	for range n {
		step := min(s.r.IntN(32), end-1-line)
		line += step
		s.w.put(uint32(step), 5)
		s.w.put(uint32(s.r.IntN(16)), 4)
	}
}

// tns writes tns_data_present and, at times, tns_data, with coefficients that
// do not ring for long.
func (s *syntaxWriter) tns(i *ics) {
	if s.r.IntN(2) == 0 {
		s.w.put(0, 1)
		return
	}
	s.w.put(1, 1)
	windows, count, length, order, most := 1, uint(2), uint(6), uint(5), maxTNSOrder
	if i.sequence == eightShort {
		windows, count, length, order, most = shortWindows, 1, 4, 3, 7
	}
	for range windows {
		filters := s.r.IntN(1 << count)
		s.w.put(uint32(filters), count)
		if filters == 0 {
			continue
		}
		resolution := s.r.IntN(2)
		s.w.put(uint32(resolution), 1)
		for range filters {
			s.w.put(uint32(s.r.IntN(1<<length/2)), length)
			n := s.r.IntN(most + 1)
			s.w.put(uint32(n), order)
			if n == 0 {
				continue
			}
			s.w.put(uint32(s.r.IntN(2)), 1)
			compress := s.r.IntN(2)
			s.w.put(uint32(compress), 1)
			for range n {
				bits := uint(resolution + 3 - compress)
				s.w.put(uint32(s.r.IntN(3)-1)&(1<<bits-1), bits)
			}
		}
	}
}

// lines makes quantized lines that a book can code.
func (s *syntaxWriter) lines(book, n int) []int16 {
	most := [...]int{0, 1, 1, 2, 2, 4, 4, 7, 7, 12, 12, 40, 0, 0, 0, 0}[book]
	q := make([]int16, n)
	for i := range q {
		q[i] = int16(s.r.IntN(2*most+1) - most)
		if book == bookEscape && s.r.IntN(100) == 0 {
			q[i] = int16(s.r.IntN(2*maxLine+1) - maxLine)
		}
	}
	return q
}

// TestPeerSyntax compares our decoder with ffmpeg's on frames made at random,
// always the same ones unless SEED in the environment is another number.
func TestPeerSyntax(t *testing.T) {
	seed := uint64(1)
	if text := os.Getenv("SEED"); text != "" {
		var err error
		if seed, err = strconv.ParseUint(text, 10, 64); err != nil {
			t.Fatal(err)
		}
	}
	for index, rate := range samplingRates {
		for channels := 1; channels <= 2; channels++ {
			t.Run(fmt.Sprintf("%dHz/%d", rate, channels), func(t *testing.T) {
				t.Parallel()
				s := &syntaxWriter{
					r: rand.New(rand.NewPCG(seed, uint64(2*index+channels))), bands: &bandTables[index], channels: channels, last0: 90,
				}
				var frames [][]byte
				for range 200 {
					frames = append(frames, s.frame())
				}
				c := Config{SampleRate: rate, Channels: channels}
				want := ffmpegDecode(t, c, frames)
				got := decodeAll(t, mustDecoder(t, &media.Track{Codec: media.AAC, ClockRate: rate, Channels: channels}), frames)
				if len(want) != len(got) {
					t.Fatalf("seed %d: ffmpeg decodes %d samples of %d", seed, len(want), len(got))
				}
				worst, at := math.Inf(1), 0
				for i := range frames {
					from, to := i*frameSize*channels, (i+1)*frameSize*channels
					if snr := signalToNoise(want[from:to], got[from:to], 0); snr < worst && power(want[from:to]) > 1e-9 {
						worst, at = snr, i
					}
				}
				if worst < 80 {
					t.Errorf("seed %d: frame %d agrees within %.1f dB, want 80", seed, at, worst)
				}
			})
		}
	}
}
