package g722

// qmf is the memory of a quadrature mirror filter of 24 taps (G.722, sections
// 3.1 and 4.4), split into the samples of even and of odd index.
type qmf struct{ even, odd [12]int }

// qmfTaps are every second coefficient; the other ones are the same in reverse
// (table 11).
var qmfTaps = [12]int{3, -11, 12, 32, -210, 951, 3876, -805, 362, -156, 53, -11}

// push takes in two samples.
func (q *qmf) push(even, odd int) {
	copy(q.even[:], q.even[1:])
	copy(q.odd[:], q.odd[1:])
	q.even[11], q.odd[11] = even, odd
}

// sums returns the two half filters' outputs: in synthesis the earlier and the
// later sample, in analysis the two of which sum and difference are the bands.
func (q *qmf) sums() (first, second int) {
	for i, c := range qmfTaps {
		second += q.even[i] * c
		first += q.odd[i] * qmfTaps[11-i]
	}
	return first, second
}

// saturate limits to 16 bits.
func saturate(v int) int { return max(-32768, min(32767, v)) }

// limit15 limits to 15 bits, the width of a sample in a band.
func limit15(v int) int { return max(-16384, min(16383, v)) }
