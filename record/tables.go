package record

import "fmt"

// tables are the sample tables of a track in a plain MP4 (ISO 14496-12,
// sections 8.6 and 8.7).
type tables struct {
	sizes     []uint32
	durations []repeated // stts
	offsets   []repeated // ctts
	composed  bool       // some offset is not 0
	keys      []uint32   // numbers of sync samples, from 1
	chunks    []chunk
	wide      bool // chunk offsets of 64 bits
}

// repeated is a value and how often it comes in a row.
type repeated struct{ count, value uint32 }

// chunk is a run of samples in one place.
type chunk struct {
	offset  int64 // in the file, once shifted
	samples uint32
}

// maxSamples bounds a track: 20 days of 25 frames a second.
const maxSamples = 1 << 26

func (t *tables) add(size, duration, offset uint32, key bool) error {
	if len(t.sizes) == maxSamples {
		return fmt.Errorf("%w: more than %d samples", ErrDamaged, maxSamples)
	}
	t.sizes = append(t.sizes, size)
	t.durations = repeat(t.durations, duration)
	t.offsets = repeat(t.offsets, offset)
	t.composed = t.composed || offset != 0
	if key {
		t.keys = append(t.keys, uint32(len(t.sizes)))
	}
	return nil
}

func repeat(list []repeated, v uint32) []repeated {
	if n := len(list); n > 0 && list[n-1].value == v {
		list[n-1].count++
		return list
	}
	return append(list, repeated{1, v})
}

// shift moves all chunks.
func (t *tables) shift(by int64) {
	for i := range t.chunks {
		t.chunks[i].offset += by
	}
}

// write writes what stands in the sample table box after the descriptions.
func (t *tables) write(w *boxes) {
	w.full("stts", 0, 0, func() { w.repeated(t.durations) })
	if t.composed {
		w.full("ctts", 0, 0, func() { w.repeated(t.offsets) })
	}
	if len(t.keys) < len(t.sizes) {
		w.full("stss", 0, 0, func() {
			w.u32(uint32(len(t.keys)))
			for _, n := range t.keys {
				w.u32(n)
			}
		})
	}
	w.full("stsc", 0, 0, func() { w.stsc(t.chunks) })
	w.full("stsz", 0, 0, func() {
		w.u32(0)
		w.u32(uint32(len(t.sizes)))
		for _, n := range t.sizes {
			w.u32(n)
		}
	})
	w.chunkOffsets(t)
}

func (w *boxes) repeated(list []repeated) {
	w.u32(uint32(len(list)))
	for _, r := range list {
		w.u32(r.count)
		w.u32(r.value)
	}
}

// stsc writes the numbers of samples in the chunks, where they change.
func (w *boxes) stsc(chunks []chunk) {
	at := len(w.b)
	w.u32(0)
	count, last := uint32(0), uint32(0)
	for i, c := range chunks {
		if c.samples != last {
			w.u32(uint32(i + 1))
			w.u32(c.samples)
			w.u32(1) // sample_description_index
			count, last = count+1, c.samples
		}
	}
	w.put32(at, count)
}

// chunkOffsets writes stco or co64.
func (w *boxes) chunkOffsets(t *tables) {
	kind := "stco"
	if t.wide {
		kind = "co64"
	}
	w.full(kind, 0, 0, func() {
		w.u32(uint32(len(t.chunks)))
		for _, c := range t.chunks {
			if t.wide {
				w.u64(uint64(c.offset))
			} else {
				w.u32(uint32(c.offset))
			}
		}
	})
}
