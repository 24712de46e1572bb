package rtpio

import (
	"slices"
	"time"
)

// maxReorder is the most that H.264 and H.265 allow (max_num_reorder_frames,
// sps_max_num_reorder_pics).
const maxReorder = 16

// decodeOrder gives DTS to pictures that come in decoding order with their PTS.
//
// If no picture has more than depth pictures before it in decoding order that
// follow it in output order, then the n-th smallest PTS is known when picture
// n+depth has come, and is not above its PTS. It is its DTS. Where the
// parameter sets do not tell depth it is learned: the picture that shows it is
// moved in time, and no other.
type decodeOrder struct {
	depth int
	high  [maxReorder + 2]time.Duration // the highest PTS, in order
	n     int
	last  time.Duration // DTS
	begun bool
}

// reset begins a stream whose depth is known to be depth at least.
func (d *decodeOrder) reset(depth int) {
	*d = decodeOrder{depth: min(max(depth, 0), maxReorder), last: d.last, begun: d.begun}
}

// next returns the DTS of a picture, and its PTS, not below it.
func (d *decodeOrder) next(pts time.Duration) (dts, at time.Duration) {
	at = pts
	d.insert(pts)
	list := d.high[:d.n]
	dts = list[0]
	if missing := d.depth + 1 - d.n; missing > 0 {
		dts -= time.Duration(missing) * time.Millisecond
	}
	if d.begun {
		dts = max(dts, d.last)
	}
	dts = max(dts, 0)
	d.begun, d.last = true, dts
	return dts, max(at, dts)
}

// insert keeps the depth+1 highest PTS.
func (d *decodeOrder) insert(pts time.Duration) {
	list := d.high[:d.n]
	i, _ := slices.BinarySearch(list, pts)
	d.depth = min(max(d.depth, d.n-i), maxReorder)
	switch {
	case d.n <= d.depth:
		d.n++
		list = d.high[:d.n]
		copy(list[i+1:], list[i:])
		list[i] = pts
	case i > 0: // in place of the smallest, which had its turn
		copy(list, list[1:i])
		list[i-1] = pts
	}
}
