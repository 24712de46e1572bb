package record

import (
	"bufio"
	"cmp"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"slices"
	"time"
)

// Bounds of what is read back: a moov of ours has about a kilobyte, a moof
// about 20 bytes a frame.
const (
	maxMoov = 1 << 20
	maxMoof = 16 << 20
	maxSet  = 1 << 16 // a parameter set
)

// movieFile is a fragmented MP4 of ours that is read back.
type movieFile struct {
	r       io.ReaderAt
	size    int64
	created time.Time
	tracks  []*movieTrack
	h265    bool
	sets    [][]byte // of the first picture
	changed bool     // others came later
	skips   []span   // where sets stand in the samples
	media   []span   // the samples of all fragments, in the order of the file
	good    int64    // end of the last complete fragment
}

// span is a range of bytes of a file.
type span struct{ at, size int64 }

// errPlain tells that a file is a plain MP4 already.
var errPlain = errors.New("record: a plain MP4")

// readMovie reads the descriptions and the index of a fragmented MP4. What is
// after the last complete fragment is left out.
func readMovie(ctx context.Context, r io.ReaderAt, size int64) (*movieFile, error) {
	m := &movieFile{r: r, size: size}
	var moof *boxHead
	for at := int64(0); ; {
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		h, err := readHead(r, at, size)
		if errors.Is(err, io.EOF) || errors.Is(err, errCut) {
			break
		}
		if err != nil {
			return nil, err
		}
		switch h.kind {
		case "moov":
			err = m.readMoov(h)
		case "moof":
			moof = h
		case "mdat":
			if moof != nil {
				err = m.readFragment(moof, h)
				moof, m.good = nil, h.end()
			}
		}
		if err != nil {
			return nil, err
		}
		at = h.end()
	}
	m.tracks = slices.DeleteFunc(m.tracks, func(t *movieTrack) bool { return len(t.tables.sizes) == 0 })
	if len(m.tracks) == 0 {
		return nil, ErrNoMedia
	}
	return m, nil
}

// duration is that of the longest track.
func (m *movieFile) duration() (d time.Duration) {
	for _, t := range m.tracks {
		d = max(d, ticksTo(t.start+t.duration, t.scale))
	}
	return d
}

func (m *movieFile) readMoov(h *boxHead) error {
	b, err := readBody(m.r, h, maxMoov)
	if err != nil {
		return err
	}
	if find(b, "mvex") == nil {
		return errPlain
	}
	if m.tracks != nil {
		return fmt.Errorf("%w: a second moov", ErrDamaged)
	}
	mvhd := reading{b: find(b, "mvhd")}
	mvhd.skip(4)
	if s := mvhd.u32(); s > 0 {
		m.created = time.Unix(int64(s)-2082844800, 0)
	}
	for r := (reading{b: b}); ; {
		kind, body, ok := r.child()
		if !ok {
			return nil
		}
		if kind == "trak" {
			t, err := readTrak(body)
			if err != nil {
				return err
			}
			m.h265 = m.h265 || t.video && string(t.entry[4:8]) == "hev1"
			m.tracks = append(m.tracks, t)
		}
	}
}

func readTrak(b []byte) (*movieTrack, error) {
	t := &movieTrack{tables: &tables{}}
	tkhd := reading{b: find(b, "tkhd")}
	tkhd.skip(12)
	t.id = tkhd.u32()
	tkhd.skip(60)
	t.width, t.height = int(tkhd.u32()>>16), int(tkhd.u32()>>16)
	mdhd := reading{b: find(b, "mdia", "mdhd")}
	version, _ := mdhd.full()
	mdhd.skip(8)
	t.scale = mdhd.u32()
	hdlr := reading{b: find(b, "mdia", "hdlr")}
	hdlr.skip(8)
	t.video = string(hdlr.take(4)) == "vide"
	stsd := reading{b: find(b, "mdia", "minf", "stbl", "stsd")}
	stsd.skip(8)
	t.entry = slices.Clone(stsd.b)
	if tkhd.short || mdhd.short || hdlr.short || version != 0 || t.scale == 0 || len(t.entry) < 8 {
		return nil, fmt.Errorf("%w: track header", ErrDamaged)
	}
	return t, nil
}

// readFragment reads a moof and finds the samples in the mdat after it.
func (m *movieFile) readFragment(moof, mdat *boxHead) error {
	b, err := readBody(m.r, moof, maxMoof)
	if err != nil {
		return err
	}
	at := mdat.body()
	for r := (reading{b: b}); ; {
		kind, body, ok := r.child()
		if !ok {
			break
		}
		if kind == "traf" {
			if at, err = m.readTraf(moof.at, span{at, mdat.end() - at}, body); err != nil {
				return err
			}
		}
	}
	m.media = append(m.media, span{mdat.body(), mdat.size - mdat.header})
	return nil
}

// readTraf reads the run of a track, the samples of which begin where rest
// begins, and returns where they end. base is that of the offsets.
func (m *movieFile) readTraf(base int64, rest span, b []byte) (int64, error) {
	tfhd, tfdt, trun := reading{b: find(b, "tfhd")}, reading{b: find(b, "tfdt")}, reading{b: find(b, "trun")}
	tfhd.skip(4)
	id := tfhd.u32()
	i := slices.IndexFunc(m.tracks, func(t *movieTrack) bool { return t.id == id })
	if i < 0 {
		return 0, fmt.Errorf("%w: fragment of track %d", ErrDamaged, id)
	}
	tfdt.skip(4)
	begin := tfdt.u64()
	_, flags := trun.full()
	count := int(trun.u32())
	at := base + int64(trun.u32())
	const need = trunOffset | trunDurations | trunSizes
	if tfhd.short || tfdt.short || trun.short || flags&need != need || at != rest.at ||
		count <= 0 || count > len(trun.b)/8 {
		return 0, fmt.Errorf("%w: fragment header", ErrDamaged)
	}
	t := m.tracks[i]
	if err := t.begin(begin); err != nil {
		return 0, err
	}
	t.tables.chunks = append(t.tables.chunks, chunk{offset: at, samples: uint32(count)})
	for range count {
		s := readSample(&trun, flags)
		if s.size == 0 || int64(s.size) > rest.at+rest.size-at {
			return 0, fmt.Errorf("%w: a sample outside of its fragment", ErrDamaged)
		}
		if err := m.addSample(t, at, s); err != nil {
			return 0, err
		}
		at += int64(s.size)
	}
	return at, nil
}

// begin sets the time of the next fragment of a track, in ticks.
func (t *movieTrack) begin(at uint64) error {
	if at > 1<<48 {
		return fmt.Errorf("%w: fragment time", ErrDamaged)
	}
	if len(t.tables.sizes) == 0 {
		t.start = at
		return nil
	}
	end := t.start + t.duration
	if at < end || at > end && !t.tables.stretch(at-end) {
		return fmt.Errorf("%w: fragment time", ErrDamaged)
	}
	t.duration = at - t.start
	return nil
}

// runSample is an entry of a trun.
type runSample struct {
	duration, size, offset uint32
	key                    bool
}

func readSample(r *reading, flags uint32) runSample {
	s := runSample{duration: r.u32(), size: r.u32(), key: true}
	if flags&trunFlags != 0 {
		const notSync = 0x10000
		s.key = r.u32()&notSync == 0
	}
	if flags&trunComposed != 0 {
		s.offset = r.u32()
	}
	return s
}

// stretch makes the last sample longer, where a fragment begins later than the
// one before it ends.
func (t *tables) stretch(by uint64) bool {
	n := len(t.sizes)
	if n == 0 || by > 1<<31 {
		return false
	}
	last := &t.durations[len(t.durations)-1]
	v := last.value + uint32(by)
	if last.count--; last.count == 0 {
		t.durations = t.durations[:len(t.durations)-1]
	}
	t.durations = repeat(t.durations, v)
	return true
}

// addSample puts a sample into the tables, and looks for parameter sets in it.
func (m *movieFile) addSample(t *movieTrack, at int64, s runSample) error {
	if t.video {
		n, err := m.readSets(at, int64(s.size))
		if err != nil {
			return err
		}
		if n > 0 && n < int64(s.size) {
			m.skips = append(m.skips, span{at, n})
		}
	}
	t.duration += uint64(s.duration)
	return t.tables.add(s.size, s.duration, s.offset, s.key)
}

// readSets returns the length of the parameter sets that a sample begins with,
// and compares them with those before.
func (m *movieFile) readSets(at, size int64) (int64, error) {
	var sets [][]byte
	var head [nalLength + 1]byte
	pos := int64(0)
	for size-pos > int64(len(head)) {
		if _, err := m.r.ReadAt(head[:], at+pos); err != nil {
			return 0, err
		}
		n := int64(binary.BigEndian.Uint32(head[:]))
		if !isParameterSet(m.h265, head[nalLength]) {
			break
		}
		if n > maxSet || n > size-pos-nalLength || len(sets) > 64 {
			return 0, fmt.Errorf("%w: a parameter set of %d bytes", ErrDamaged, n)
		}
		set := make([]byte, n)
		if _, err := m.r.ReadAt(set, at+pos+nalLength); err != nil {
			return 0, err
		}
		sets = append(sets, set)
		pos += nalLength + n
	}
	switch {
	case sets == nil:
	case m.sets == nil:
		m.sets = sets
	case !slices.EqualFunc(m.sets, sets, slices.Equal):
		m.changed = true
	}
	return pos, nil
}

// writePlain writes a plain MP4 with the index before the media. Where one set
// of parameters holds for all of the video they stand in the index only, as
// players want it that know no other form.
func (m *movieFile) writePlain(ctx context.Context, out io.Writer) error {
	if m.changed {
		m.skips = nil
	} else {
		m.strip()
	}
	w := &boxes{}
	w.box("ftyp", func() {
		w.text("isom")
		w.u32(0x200)
		w.text("isomiso2mp41")
	})
	head := len(w.b)
	m.place()
	total := int64(0)
	for _, s := range m.media {
		total += s.size
	}
	for _, s := range m.skips {
		total -= s.size
	}
	const mdatHeader = 16
	w.moov(m.created, m.tracks)
	for _, t := range m.tracks {
		t.tables.shift(int64(len(w.b)) + mdatHeader)
	}
	w.b = w.b[:head]
	w.moov(m.created, m.tracks)
	w.u32(1)
	w.text("mdat")
	w.u64(uint64(total) + mdatHeader)
	if _, err := out.Write(w.b); err != nil {
		return err
	}
	return m.copyMedia(ctx, out)
}

// strip takes the parameter sets out of the samples.
func (m *movieFile) strip() {
	for _, t := range m.tracks {
		if !t.video {
			continue
		}
		complete(t.entry)
		i := 0
		for _, c := range t.tables.chunks {
			at := c.offset
			for range c.samples {
				size := t.tables.sizes[i]
				if j, ok := slices.BinarySearchFunc(m.skips, at, func(s span, at int64) int { return cmp.Compare(s.at, at) }); ok {
					t.tables.sizes[i] -= uint32(m.skips[j].size)
				}
				at += int64(size)
				i++
			}
		}
	}
}

// place turns the offsets of chunks into those in the media that are copied.
func (m *movieFile) place() {
	for _, t := range m.tracks {
		before, i, j := int64(0), 0, 0
		skipped := int64(0)
		for k := range t.tables.chunks {
			c := &t.tables.chunks[k]
			for m.media[i].at+m.media[i].size <= c.offset {
				before += m.media[i].size
				i++
			}
			for j < len(m.skips) && m.skips[j].at < c.offset {
				skipped += m.skips[j].size
				j++
			}
			c.offset = before + c.offset - m.media[i].at - skipped
			t.tables.wide = t.tables.wide || c.offset > wideFrom
		}
	}
}

// wideFrom is the offset from which on chunk offsets have 64 bits; the index
// itself, which comes before, has less than the rest.
const wideFrom = 1 << 31

func (m *movieFile) copyMedia(ctx context.Context, out io.Writer) error {
	w := bufio.NewWriterSize(out, 256<<10)
	skips := m.skips
	for _, s := range m.media {
		if err := ctx.Err(); err != nil {
			return err
		}
		at, end := s.at, s.at+s.size
		for len(skips) > 0 && skips[0].at < end {
			if err := copySpan(w, m.r, at, skips[0].at); err != nil {
				return err
			}
			at = skips[0].at + skips[0].size
			skips = skips[1:]
		}
		if err := copySpan(w, m.r, at, end); err != nil {
			return err
		}
	}
	return w.Flush()
}

func copySpan(w io.Writer, r io.ReaderAt, from, to int64) error {
	_, err := io.Copy(w, io.NewSectionReader(r, from, to-from))
	return err
}
