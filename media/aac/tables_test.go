package aac

import (
	"math"
	"testing"
)

var allBooks = [...][]codeword{
	1: book1[:], 2: book2[:], 3: book3[:], 4: book4[:], 5: book5[:], 6: book6[:],
	7: book7[:], 8: book8[:], 9: book9[:], 10: book10[:], 11: book11[:],
}

// TestBooksComplete sees that the codes of each book fill all bit patterns and
// that no two share one: Kraft's sum is 1, and each code is read back.
func TestBooksComplete(t *testing.T) {
	sizes := [...]int{1: 81, 2: 81, 3: 81, 4: 81, 5: 81, 6: 81, 7: 64, 8: 64, 9: 169, 10: 169, 11: 289}
	for n, book := range allBooks {
		if n > 0 {
			if len(book) != sizes[n] {
				t.Errorf("book %d: %d codes, want %d", n, len(book), sizes[n])
			}
			checkBook(t, n, book)
		}
	}
	checkBook(t, 0, scaleBook[:])
}

func checkBook(t *testing.T, n int, book []codeword) {
	t.Helper()
	kraft := 0.0
	table := newCodeTable(book, func(i int) uint32 { return uint32(i) })
	for i, c := range book {
		kraft += math.Exp2(-float64(c.length()))
		var w bitWriter
		w.putCode(c)
		w.put(0xffffffff, 32)
		r := bitReader{data: w.finish()}
		if got := table.read(&r); got != uint32(i) || r.pos != int(c.length()) {
			t.Errorf("book %d: code %d is read as %d of %d bits, want %d", n, i, got, r.pos, c.length())
		}
	}
	if kraft != 1 {
		t.Errorf("book %d: Kraft's sum is %v", n, kraft)
	}
}

// TestBandTables looks at what all tables have in common: bands of whole
// quadruples that never get narrower by much and end with the spectrum.
func TestBandTables(t *testing.T) {
	counts := [...]struct{ long, short int }{
		{41, 12}, {41, 12}, {47, 12}, {49, 14}, {49, 14}, {51, 14}, {47, 15}, {47, 15}, {43, 15}, {43, 15}, {43, 15}, {40, 15}, {40, 15},
	}
	for i, table := range bandTables {
		checkBands(t, samplingRates[i], table.long, frameSize, counts[i].long)
		checkBands(t, samplingRates[i], table.short, shortSize, counts[i].short)
		if table.tnsLong >= len(table.long) || table.tnsShort >= len(table.short) {
			t.Errorf("%d Hz: TNS reaches beyond the last band", samplingRates[i])
		}
	}
}

func checkBands(t *testing.T, rate int, bands []int, lines, count int) {
	t.Helper()
	if len(bands) != count+1 || bands[0] != 0 || bands[count] != lines {
		t.Fatalf("%d Hz: %d bands from %d to %d, want %d to %d", rate, len(bands)-1, bands[0], bands[len(bands)-1], count, lines)
	}
	for b := range count {
		width := bands[b+1] - bands[b]
		if width < 4 || width%4 != 0 || width > 128 {
			t.Errorf("%d Hz: band %d of %d has %d lines", rate, b, lines, width)
		}
	}
}

func TestRateIndex(t *testing.T) {
	for i, rate := range samplingRates[:12] {
		if got := rateIndex(rate); got != i {
			t.Errorf("rate %d: index %d, want %d", rate, got, i)
		}
	}
	for rate, want := range map[int]int{92016: 1, 46009: 3, 46008: 4, 37565: 5, 7350: 11, 9390: 11} {
		if got := rateIndex(rate); got != want {
			t.Errorf("rate %d: index %d, want %d", rate, got, want)
		}
	}
}

func TestLog2(t *testing.T) {
	for e := -40.0; e < 60; e += .137 {
		if got := float64(log2(float32(math.Exp2(e)))); math.Abs(got-e) > .006 {
			t.Errorf("log2(2^%.3f) = %.4f", e, got)
		}
	}
}
