package record

import (
	"encoding/binary"
	"fmt"
	"math"
	"time"

	"github.com/trunkcast/trunkcast/media"
)

// fragmenter makes a fragmented MP4: a movie without samples, then fragments
// of a moof and an mdat with a run of samples for each track.
type fragmenter struct {
	created  time.Time
	tracks   []*fragTrack // video first
	sequence uint32       // of the last fragment; 0: the movie is to be written
	bytes    int          // of the samples that wait
}

// fragTrack is a track of a fragmenter.
type fragTrack struct {
	movieTrack
	codec   media.Codec
	last    *media.Track // of the last sample
	frame   int64        // a duration for the last sample, in ticks
	samples []sample
}

// sample is a frame that waits for its fragment.
type sample struct {
	sets   [][]byte // parameter sets before the frame
	data   [][]byte
	size   int
	dts    int64 // ticks
	offset int64 // PTS less DTS, ticks
	key    bool
}

func newFragmenter(video, audio *media.Track, created time.Time) (*fragmenter, error) {
	m := &fragmenter{created: created}
	for _, t := range []*media.Track{video, audio} {
		if t == nil {
			continue
		}
		entry, err := sampleEntry(t)
		if err != nil {
			return nil, err
		}
		ft := &fragTrack{codec: t.Codec, frame: int64(t.ClockRate) / 50}
		ft.movieTrack = movieTrack{id: uint32(len(m.tracks) + 1), video: t.Codec.Video(), scale: uint32(t.ClockRate), entry: entry}
		switch {
		case ft.video:
			ft.width, ft.height = pictureSize(t)
			ft.frame = int64(t.ClockRate) / 25
		case t.Codec == media.AAC:
			ft.frame = 1024
		}
		m.tracks = append(m.tracks, ft)
	}
	return m, nil
}

func (m *fragmenter) write(f *media.Frame, pts, dts time.Duration) {
	for _, t := range m.tracks {
		if t.codec == f.Track.Codec {
			m.bytes += t.add(f, pts, dts)
			return
		}
	}
}

// add takes a frame and returns its size in the file.
func (t *fragTrack) add(f *media.Frame, pts, dts time.Duration) int {
	s := sample{data: f.Data, dts: max(ticks(dts, t.scale), 0), key: f.Key || !t.video}
	if n := len(t.samples); n > 0 {
		s.dts = max(s.dts, t.samples[n-1].dts)
		if d := s.dts - t.samples[n-1].dts; d > 0 && d < int64(t.scale) { // no gap
			t.frame = d
		}
	}
	if t.video {
		s.offset = max(ticks(pts-dts, t.scale), 0)
		if f.Key || t.last == nil || !sameConfig(t.last, f.Track) {
			s.sets = f.Track.Config
		}
	}
	t.last = f.Track
	for _, list := range [2][][]byte{s.sets, s.data} {
		for _, d := range list {
			s.size += len(d)
			if t.video {
				s.size += nalLength
			}
		}
	}
	t.samples = append(t.samples, s)
	return s.size
}

// nalLength is the length before each NAL unit in bytes.
const nalLength = 4

func (m *fragmenter) pending() int { return m.bytes }

// maxFragment bounds a fragment in bytes, far above what is let wait.
const maxFragment = 1 << 30

// run is what one track gives to a fragment.
type run struct {
	track   *fragTrack
	samples []sample
	end     int64 // DTS after the last one, ticks
	at      int   // where the offset of its data stands
	size    int   // bytes
}

func (m *fragmenter) flush(b []byte, end bool) ([]byte, error) {
	w := &boxes{b}
	if m.sequence == 0 {
		m.movie(w)
	}
	var runs []*run
	size := 0
	for _, t := range m.tracks {
		if r := t.run(end); r != nil {
			runs = append(runs, r)
			size += r.size
		}
	}
	if runs == nil {
		return w.b, nil
	}
	if size > maxFragment {
		return b, fmt.Errorf("%w: a fragment of %d bytes", ErrDamaged, size)
	}
	m.fragment(w, runs, size)
	for _, r := range runs {
		r.track.taken(r)
	}
	m.bytes -= size
	return w.b, nil
}

// movie writes what stands before the fragments.
func (m *fragmenter) movie(w *boxes) {
	w.box("ftyp", func() {
		w.text("iso5")
		w.u32(0x200)
		w.text("iso5iso6mp41")
	})
	var tracks []*movieTrack
	for _, t := range m.tracks {
		tracks = append(tracks, &t.movieTrack)
	}
	w.moov(m.created, tracks)
	m.sequence = 1
}

// run returns the samples that can be written: all at the end, else all but
// the last one, the duration of which is not known yet.
func (t *fragTrack) run(end bool) *run {
	n := len(t.samples)
	if n == 0 || n == 1 && !end {
		return nil
	}
	r := &run{track: t}
	if end {
		r.samples, r.end = t.samples, t.samples[n-1].dts+t.frame
	} else {
		r.samples, r.end = t.samples[:n-1], t.samples[n-1].dts
	}
	for i := range r.samples {
		r.size += r.samples[i].size
	}
	return r
}

// taken removes the samples of r, which were written.
func (t *fragTrack) taken(r *run) {
	if t.duration == 0 {
		t.start = uint64(r.samples[0].dts)
	}
	t.duration = uint64(r.end) - t.start
	rest := copy(t.samples, t.samples[len(r.samples):])
	clear(t.samples[rest:])
	t.samples = t.samples[:rest]
}

// fragment writes a moof (ISO 14496-12, section 8.8.4) and its mdat.
func (m *fragmenter) fragment(w *boxes, runs []*run, size int) {
	moof := len(w.b)
	w.box("moof", func() {
		w.full("mfhd", 0, 0, func() { w.u32(m.sequence) })
		for _, r := range runs {
			w.traf(r)
		}
	})
	m.sequence++
	w.u32(uint32(8 + size))
	w.text("mdat")
	for _, r := range runs {
		w.put32(r.at, uint32(len(w.b)-moof))
		for i := range r.samples {
			w.sample(&r.samples[i], r.track.video)
		}
	}
}

const (
	// The flags of tfhd and trun (sections 8.8.7 and 8.8.8).
	baseIsMoof    = 0x020000
	trunOffset    = 0x000001
	trunDurations = 0x000100
	trunSizes     = 0x000200
	trunFlags     = 0x000400
	trunComposed  = 0x000800
	// The flags of a sample (section 8.8.3.1).
	flagKey    = 0x02000000 // depends on no other
	flagNotKey = 0x01010000 // depends on others, is no sync sample
)

// traf writes the description of a run.
func (w *boxes) traf(r *run) {
	flags := uint32(trunOffset | trunDurations | trunSizes)
	if r.track.video {
		flags |= trunFlags
	}
	for i := range r.samples {
		if r.samples[i].offset != 0 {
			flags |= trunComposed
		}
	}
	w.box("traf", func() {
		w.full("tfhd", 0, baseIsMoof, func() { w.u32(r.track.id) })
		w.full("tfdt", 1, 0, func() { w.u64(uint64(r.samples[0].dts)) })
		w.full("trun", 1, flags, func() {
			w.u32(uint32(len(r.samples)))
			r.at = len(w.b)
			w.u32(0) // the offset of the data, once it is known
			for i := range r.samples {
				w.trunEntry(r, i, flags)
			}
		})
	})
}

func (w *boxes) trunEntry(r *run, i int, flags uint32) {
	s := &r.samples[i]
	next := r.end
	if i+1 < len(r.samples) {
		next = r.samples[i+1].dts
	}
	w.u32(uint32(min(next-s.dts, math.MaxUint32)))
	w.u32(uint32(s.size))
	if flags&trunFlags != 0 {
		if s.key {
			w.u32(flagKey)
		} else {
			w.u32(flagNotKey)
		}
	}
	if flags&trunComposed != 0 {
		w.u32(uint32(min(s.offset, math.MaxInt32)))
	}
}

func (w *boxes) sample(s *sample, video bool) {
	for _, list := range [2][][]byte{s.sets, s.data} {
		for _, d := range list {
			if video {
				w.b = binary.BigEndian.AppendUint32(w.b, uint32(len(d)))
			}
			w.b = append(w.b, d...)
		}
	}
}
