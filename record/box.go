package record

import (
	"encoding/binary"
	"math"
	"time"
)

// boxes writes ISO 14496-12 boxes into memory.
type boxes struct{ b []byte }

func (w *boxes) u8(v ...byte)  { w.b = append(w.b, v...) }
func (w *boxes) u16(v uint16)  { w.b = binary.BigEndian.AppendUint16(w.b, v) }
func (w *boxes) u32(v uint32)  { w.b = binary.BigEndian.AppendUint32(w.b, v) }
func (w *boxes) u64(v uint64)  { w.b = binary.BigEndian.AppendUint64(w.b, v) }
func (w *boxes) text(s string) { w.b = append(w.b, s...) }
func (w *boxes) zeros(n int)   { w.b = append(w.b, make([]byte, n)...) }

// box writes a box with what fill writes in it.
func (w *boxes) box(kind string, fill func()) {
	at := len(w.b)
	w.u32(0)
	w.text(kind)
	fill()
	w.put32(at, uint32(len(w.b)-at))
}

// full writes a box with version and flags.
func (w *boxes) full(kind string, version byte, flags uint32, fill func()) {
	w.box(kind, func() {
		w.u32(uint32(version)<<24 | flags)
		fill()
	})
}

func (w *boxes) put32(at int, v uint32) { binary.BigEndian.PutUint32(w.b[at:], v) }

// matrix is the unity matrix of movie and track headers.
func (w *boxes) matrix() {
	for _, v := range [9]uint32{0x10000, 0, 0, 0, 0x10000, 0, 0, 0, 0x40000000} {
		w.u32(v)
	}
}

// time1904 is t in seconds since the epoch of ISO 14496-12, 0 if it does not
// fit into 32 bits.
func time1904(t time.Time) uint32 {
	s := t.Unix() + 2082844800
	if t.IsZero() || s < 0 || s > math.MaxUint32 {
		return 0
	}
	return uint32(s)
}

// ticks turns a duration into units of 1/rate s. Whole seconds go first, so
// that nothing overflows.
func ticks(d time.Duration, rate uint32) int64 {
	s, rest := int64(d/time.Second), int64(d%time.Second)
	half := int64(time.Second / 2)
	if rest < 0 {
		half = -half
	}
	return s*int64(rate) + (rest*int64(rate)+half)/int64(time.Second)
}

// ticksTo is the inverse of ticks.
func ticksTo(n uint64, rate uint32) time.Duration {
	s, rest := n/uint64(rate), n%uint64(rate)
	return time.Duration(s)*time.Second + time.Duration(rest*uint64(time.Second)/uint64(rate))
}
