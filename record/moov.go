package record

import (
	"math"
	"time"
)

// movieScale is the time scale of a movie: milliseconds.
const movieScale = 1000

// movieTrack is a track of a file.
type movieTrack struct {
	id            uint32
	video         bool
	scale         uint32 // ticks in a second
	width, height int
	entry         []byte  // the sample entry
	start         uint64  // of the first sample, in ticks
	duration      uint64  // of all samples, in ticks
	tables        *tables // nil in a fragmented file
}

// length is where the track ends, in movie ticks.
func (t *movieTrack) length() uint64 { return t.movieTicks(t.start + t.duration) }

func (t *movieTrack) movieTicks(n uint64) uint64 {
	s, rest := n/uint64(t.scale), n%uint64(t.scale)
	return s*movieScale + (rest*movieScale+uint64(t.scale)/2)/uint64(t.scale)
}

// moov writes the movie box (ISO 14496-12, section 8.2.1).
func (w *boxes) moov(created time.Time, tracks []*movieTrack) {
	fragmented := false
	length, next := uint64(0), uint32(1)
	for _, t := range tracks {
		fragmented = fragmented || t.tables == nil
		length = max(length, t.length())
		next = max(next, t.id+1)
	}
	w.box("moov", func() {
		w.full("mvhd", 0, 0, func() {
			w.u32(time1904(created))
			w.u32(time1904(created))
			w.u32(movieScale)
			w.u32(uint32(min(length, math.MaxUint32)))
			w.u32(0x10000) // rate 1
			w.u16(0x100)   // volume 1
			w.zeros(10)
			w.matrix()
			w.zeros(24)
			w.u32(next)
		})
		for _, t := range tracks {
			w.trak(created, t)
		}
		if fragmented {
			w.box("mvex", func() {
				for _, t := range tracks {
					w.full("trex", 0, 0, func() {
						w.u32(t.id)
						w.u32(1) // default_sample_description_index
						w.zeros(12)
					})
				}
			})
		}
	})
}

func (w *boxes) trak(created time.Time, t *movieTrack) {
	w.box("trak", func() {
		const enabledInMovie = 3
		w.full("tkhd", 0, enabledInMovie, func() {
			w.u32(time1904(created))
			w.u32(time1904(created))
			w.u32(t.id)
			w.u32(0)
			w.u32(uint32(min(t.length(), math.MaxUint32)))
			w.zeros(12)
			if t.video {
				w.u16(0)
			} else {
				w.u16(0x100) // volume 1
			}
			w.u16(0)
			w.matrix()
			w.u32(uint32(t.width) << 16)
			w.u32(uint32(t.height) << 16)
		})
		if t.tables != nil {
			w.editList(t)
		}
		w.box("mdia", func() { w.mdia(created, t) })
	})
}

// editList writes an edit list (section 8.6.6): all of the track, after an
// empty edit if its first frame is shown later than the movie begins. The
// media time of the edit is when that frame is shown, which with B-frames is
// not 0.
func (w *boxes) editList(t *movieTrack) {
	shown := uint64(t.tables.offsets[0].value)
	w.box("edts", func() {
		w.full("elst", 0, 0, func() {
			if empty := t.movieTicks(t.start + shown); empty == 0 {
				w.u32(1)
			} else {
				w.u32(2)
				w.u32(uint32(min(empty, math.MaxUint32)))
				w.u32(math.MaxUint32) // media_time -1: empty
				w.u32(0x10000)
			}
			w.u32(uint32(min(t.movieTicks(t.duration), math.MaxUint32)))
			w.u32(uint32(shown))
			w.u32(0x10000)
		})
	})
}

func (w *boxes) mdia(created time.Time, t *movieTrack) {
	w.mdhd(created, t)
	handler, name := "soun", "SoundHandler"
	if t.video {
		handler, name = "vide", "VideoHandler"
	}
	w.full("hdlr", 0, 0, func() {
		w.u32(0)
		w.text(handler)
		w.zeros(12)
		w.text(name + "\x00")
	})
	w.box("minf", func() {
		if t.video {
			w.full("vmhd", 0, 1, func() { w.zeros(8) })
		} else {
			w.full("smhd", 0, 0, func() { w.zeros(4) })
		}
		w.box("dinf", func() {
			w.full("dref", 0, 0, func() {
				w.u32(1)
				w.full("url ", 0, 1, func() {}) // 1: the media are in this file
			})
		})
		w.box("stbl", func() { w.stbl(t) })
	})
}

func (w *boxes) mdhd(created time.Time, t *movieTrack) {
	const undetermined = 0x55c4 // the language "und"
	version := byte(0)
	if t.duration > math.MaxUint32 {
		version = 1
	}
	w.full("mdhd", version, 0, func() {
		if version == 1 {
			w.u64(uint64(time1904(created)))
			w.u64(uint64(time1904(created)))
			w.u32(t.scale)
			w.u64(t.duration)
		} else {
			w.u32(time1904(created))
			w.u32(time1904(created))
			w.u32(t.scale)
			w.u32(uint32(t.duration))
		}
		w.u16(undetermined)
		w.u16(0)
	})
}

func (w *boxes) stbl(t *movieTrack) {
	w.full("stsd", 0, 0, func() {
		w.u32(1)
		w.u8(t.entry...)
	})
	if t.tables != nil {
		t.tables.write(w)
		return
	}
	empty := func() { w.u32(0) }
	w.full("stts", 0, 0, empty)
	w.full("stsc", 0, 0, empty)
	w.full("stsz", 0, 0, func() { w.zeros(8) })
	w.full("stco", 0, 0, empty)
}
