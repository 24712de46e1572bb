package inject

import (
	"encoding/binary"
	"math"
	"sort"
)

// sampleTable is where the samples of a track are (ISO 14496-12, section 8.6
// and 8.7). The tables stay as they are in the file: a film of two hours needs
// the 2 MB that they have there, and nothing can be blown up.
type sampleTable struct {
	count   int
	size    uint32 // of every sample, 0 if sizes tells
	sizes   []byte // stsz
	deltas  []byte // stts: runs of count and DTS difference
	offsets []byte // ctts: runs of count and PTS - DTS, nil if all are 0
	chunked []byte // stsc: first chunk, samples in each, description
	chunks  []byte // stco or co64
	keys    []byte // stss: numbers of the key samples
	wide    bool   // chunks are of 64 bits
	hasKeys bool   // false: every sample is one
	least   int64  // smallest PTS - DTS, at most 0
}

// maxSamples is 90 hours of 20 ms packets.
const maxSamples = 1 << 24

func newSampleTable(stbl []byte) (*sampleTable, error) {
	t := &sampleTable{}
	var err error
	load := func(kind string, skip, width int) (b []byte) {
		if err == nil {
			b, err = table(child(stbl, kind), skip, width)
		}
		return b
	}
	t.deltas = load("stts", 0, 8)
	t.offsets = load("ctts", 0, 8)
	t.chunked = load("stsc", 0, 12)
	t.keys = load("stss", 0, 4)
	t.hasKeys = child(stbl, "stss") != nil
	if t.chunks = load("stco", 0, 4); t.chunks == nil {
		t.chunks, t.wide = load("co64", 0, 8), true
	}
	if err != nil {
		return nil, err
	}
	if err := t.loadSizes(child(stbl, "stsz")); err != nil {
		return nil, err
	}
	return t, t.check()
}

// loadSizes reads stsz: one size for all, or a table of them.
func (t *sampleTable) loadSizes(b []byte) error {
	if len(b) < 12 {
		return formError("MP4 track without sample sizes")
	}
	t.size = binary.BigEndian.Uint32(b[4:])
	count := binary.BigEndian.Uint32(b[8:])
	if count > maxSamples {
		return boundsError("track of %d samples", count)
	}
	t.count = int(count)
	if t.size != 0 {
		return nil
	}
	var err error
	t.sizes, err = table(b, 4, 4)
	return err
}

func u32(b []byte, i int) uint32 { return binary.BigEndian.Uint32(b[i:]) }

// check finds what the walk through the tables relies on.
func (t *sampleTable) check() error {
	var samples uint64
	var ticks uint64
	for i := 0; i < len(t.deltas); i += 8 {
		n, delta := uint64(u32(t.deltas, i)), uint64(u32(t.deltas, i+4))
		samples += n
		ticks += n * delta
		if samples > maxSamples || ticks > math.MaxInt64/4 {
			return boundsError("times of %d samples, %d ticks", samples, ticks)
		}
	}
	// Samples without a time or without a place are not there.
	t.count = min(t.count, int(samples), t.placed())
	last := uint32(0)
	for i := 0; i < len(t.keys); i += 4 {
		n := u32(t.keys, i)
		if n <= last {
			return boundsError("key frames out of order")
		}
		last = n
	}
	for i := 0; i < len(t.offsets); i += 8 {
		t.least = min(t.least, int64(int32(u32(t.offsets, i+4))))
	}
	return nil
}

func (t *sampleTable) chunkCount() int {
	if t.wide {
		return len(t.chunks) / 8
	}
	return len(t.chunks) / 4
}

// chunkOffset is where chunk i begins in the file.
func (t *sampleTable) chunkOffset(i int) int64 {
	if t.wide {
		return int64(binary.BigEndian.Uint64(t.chunks[8*i:]) & math.MaxInt64)
	}
	return int64(u32(t.chunks, 4*i))
}

// run returns the entry i of stsc: the chunks from first to the one before
// end, from 0 on, have so many samples each.
func (t *sampleTable) run(i int) (first, end int, samples int64) {
	first = int(u32(t.chunked, 12*i)) - 1
	end = t.chunkCount()
	if next := 12 * (i + 1); next < len(t.chunked) {
		end = min(end, int(u32(t.chunked, next))-1)
	}
	return max(first, 0), end, int64(u32(t.chunked, 12*i+4))
}

// placed counts the samples that are in some chunk.
func (t *sampleTable) placed() int {
	var total int64
	for i := range len(t.chunked) / 12 {
		first, end, n := t.run(i)
		if end > first {
			total += int64(end-first) * n
		}
		if total >= maxSamples {
			return maxSamples
		}
	}
	return int(total)
}

// chunkOf finds the run and the chunk in which sample n is, and how many of
// its samples stand before it.
func (t *sampleTable) chunkOf(n int) (run, chunk int, before int64) {
	left := int64(n)
	for i := range len(t.chunked) / 12 {
		first, end, samples := t.run(i)
		if end <= first || samples == 0 {
			continue
		}
		if all := int64(end-first) * samples; left >= all {
			left -= all
			continue
		}
		return i, first + int(left/samples), left % samples
	}
	return 0, 0, 0
}

func (t *sampleTable) sizeOf(n int) int64 {
	if t.size != 0 {
		return int64(t.size)
	}
	return int64(u32(t.sizes, 4*n))
}

// ticks is the sum of all DTS differences.
func (t *sampleTable) ticks() int64 {
	c := t.at(t.count)
	return c.dts
}

// isKey tells whether sample n is a key frame.
func (t *sampleTable) isKey(n int) bool {
	i := t.keyIndex(n)
	return !t.hasKeys || i >= 0 && int(u32(t.keys, 4*i)) == n+1
}

// keyIndex is the place in keys of the last key frame at or before sample n,
// -1 if there is none.
func (t *sampleTable) keyIndex(n int) int {
	return sort.Search(len(t.keys)/4, func(i int) bool { return int(u32(t.keys, 4*i)) > n+1 }) - 1
}

// keyBefore returns the last key frame at or before sample n, or the first
// sample.
func (t *sampleTable) keyBefore(n int) int {
	if !t.hasKeys {
		return n
	}
	if i := t.keyIndex(n); i >= 0 {
		return int(u32(t.keys, 4*i)) - 1
	}
	return 0
}

// keyAfter returns the first key frame after sample n, or -1.
func (t *sampleTable) keyAfter(n int) int {
	key := n + 1
	if t.hasKeys {
		i := t.keyIndex(n) + 1
		if i >= len(t.keys)/4 {
			return -1
		}
		key = int(u32(t.keys, 4*i)) - 1
	}
	if key >= t.count {
		return -1
	}
	return key
}

// atTime returns the number of the last sample whose DTS is at or before
// ticks, 0 if there is none.
func (t *sampleTable) atTime(ticks int64) int {
	n := int64(0)
	for i := 0; i < len(t.deltas) && ticks >= 0; i += 8 {
		count, delta := int64(u32(t.deltas, i)), int64(u32(t.deltas, i+4))
		if delta > 0 && ticks < count*delta {
			n += ticks / delta
			break
		}
		ticks -= count * delta
		n += count
	}
	return max(int(min(n, int64(t.count)-1)), 0)
}

// sampleCursor walks through the samples.
type sampleCursor struct {
	t   *sampleTable
	n   int   // the sample, t.count at the end
	dts int64 // ticks

	delta, offset tableRun
	chunk         chunkRun
	pos           int64 // in the file
}

// tableRun is a place in stts or ctts.
type tableRun struct {
	i    int    // of the entry
	left uint32 // samples of it from here on
}

// chunkRun is a place in stsc.
type chunkRun struct {
	run, chunk int
	left       int64 // samples of the chunk from here on
}

// at returns a cursor that stands on sample n.
func (t *sampleTable) at(n int) sampleCursor {
	c := sampleCursor{t: t, n: n}
	left := int64(n)
	c.delta = seekRun(t.deltas, int64(n))
	for i := 0; i < c.delta.i && i < len(t.deltas); i += 8 {
		count := int64(u32(t.deltas, i))
		c.dts += count * int64(u32(t.deltas, i+4))
		left -= count
	}
	if c.delta.i < len(t.deltas) {
		c.dts += left * int64(u32(t.deltas, c.delta.i+4))
	}
	c.offset = seekRun(t.offsets, int64(n))
	if n < t.count {
		c.place()
	}
	return c
}

// seekRun finds the run in which sample n is.
func seekRun(b []byte, n int64) tableRun {
	for i := 0; i < len(b); i += 8 {
		count := int64(u32(b, i))
		if n < count {
			return tableRun{i, uint32(count - n)}
		}
		n -= count
	}
	return tableRun{i: len(b)}
}

func (r *tableRun) step(b []byte) {
	if r.left > 0 {
		r.left--
	}
	for r.left == 0 && r.i < len(b) {
		if r.i += 8; r.i < len(b) {
			r.left = u32(b, r.i)
		}
	}
}

// place finds the sample in the file.
func (c *sampleCursor) place() {
	run, chunk, before := c.t.chunkOf(c.n)
	_, _, samples := c.t.run(run)
	c.chunk = chunkRun{run, chunk, samples - before}
	c.pos = c.t.chunkOffset(chunk)
	if c.t.size != 0 {
		c.pos += before * int64(c.t.size)
		return
	}
	for i := c.n - int(before); i < c.n; i++ {
		c.pos += c.t.sizeOf(i)
	}
}

func (c *sampleCursor) end() bool { return c.n >= c.t.count }

// size is that of the sample in bytes.
func (c *sampleCursor) size() int64 { return c.t.sizeOf(c.n) }

// pts is the composition time in ticks.
func (c *sampleCursor) pts() int64 {
	if c.offset.i < len(c.t.offsets) {
		return c.dts + int64(int32(u32(c.t.offsets, c.offset.i+4)))
	}
	return c.dts
}

// length is the time to the next sample in ticks.
func (c *sampleCursor) length() int64 {
	if c.delta.i < len(c.t.deltas) {
		return int64(u32(c.t.deltas, c.delta.i+4))
	}
	return 0
}

// step goes to the next sample.
func (c *sampleCursor) step() {
	c.dts += c.length()
	c.pos += c.size()
	c.n++
	c.delta.step(c.t.deltas)
	c.offset.step(c.t.offsets)
	if c.chunk.left--; c.chunk.left == 0 && !c.end() {
		c.nextChunk()
	}
}

func (c *sampleCursor) nextChunk() {
	_, end, samples := c.t.run(c.chunk.run)
	c.chunk.chunk++
	for c.chunk.chunk >= end && c.chunk.run+1 < len(c.t.chunked)/12 {
		c.chunk.run++
		c.chunk.chunk, end, samples = c.t.run(c.chunk.run)
		if samples == 0 {
			end = 0
		}
	}
	c.chunk.left = samples
	c.pos = c.t.chunkOffset(c.chunk.chunk)
}
