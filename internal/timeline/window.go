package timeline

import "time"

const (
	bucket  = time.Second
	buckets = 10
)

// window keeps the smallest and the largest of the values of the last ten
// seconds.
type window struct {
	slots [buckets]extremes
}

type extremes struct {
	id       int64 // time in buckets, plus 1; 0: empty
	min, max time.Duration
}

func (w *window) add(now, v time.Duration) {
	id := int64(now/bucket) + 1
	s := &w.slots[id%buckets]
	if s.id != id {
		*s = extremes{id: id, min: v, max: v}
		return
	}
	s.min, s.max = min(s.min, v), max(s.max, v)
}

// get returns the extremes at now; ok is false if there was no value lately.
func (w *window) get(now time.Duration) (low, high time.Duration, ok bool) {
	oldest := int64(now/bucket) + 1 - buckets
	for i := range w.slots {
		s := &w.slots[i]
		if s.id == 0 || s.id <= oldest {
			continue
		}
		if !ok {
			low, high, ok = s.min, s.max, true
			continue
		}
		low, high = min(low, s.min), max(high, s.max)
	}
	return low, high, ok
}

func (w *window) reset() { *w = window{} }
