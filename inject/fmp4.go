package inject

import (
	"context"
	"fmt"
	"io"
	"sort"
	"time"

	"github.com/trunkcast/trunkcast/media"
)

// fragmented reads an MP4 file in movie fragments (ISO 14496-12, section 8.8).
// Of each fragment its place is kept, and of each track the samples of one.
type fragmented struct {
	source mp4Source
	played []*fragTrack
	length time.Duration
}

// fragTrack is a track and a place in it.
type fragTrack struct {
	*mp4Track
	reader fragmentReader
	refs   []fragRef
	least  int64 // smallest PTS - DTS, at most 0

	at      int // in refs, of the samples
	samples []fragSample
	n       int // the next sample
}

// fragRef is a fragment that has samples of a track.
type fragRef struct {
	moof     boxAt // no kind: the samples that the moov box lists
	dts, end int64 // ticks
	key      bool  // there is a key frame in it
}

func openFragments(ctx context.Context, r io.ReaderAt, size, off int64, moov []byte, tracks []*mp4Track) (demuxer, error) {
	f := &fragmented{source: mp4Source{r: r, size: size}}
	mvex := child(moov, "mvex")
	for _, t := range tracks {
		t.edit.length = 0 // is about the moov box alone, where it is there at all
		k := &fragTrack{mp4Track: t, reader: fragmentReader{t.id, readTrex(mvex, t.id)}}
		if err := k.note(boxAt{}, nil); err != nil {
			return nil, err
		}
		f.played = append(f.played, k)
	}
	if err := f.index(ctx, off); err != nil {
		return nil, err
	}
	if err := f.place(); err != nil {
		return nil, err
	}
	_, err := f.seek(0)
	return f, err
}

// index finds the fragments. A last one that was cut short is left.
func (f *fragmented) index(ctx context.Context, off int64) error {
	fragments := 0
	for range maxTopBoxes {
		if off > f.source.size-boxHeader {
			break
		}
		if err := ctx.Err(); err != nil {
			return err
		}
		b, err := readBox(f.source.r, off, f.source.size)
		if err != nil {
			return err
		}
		if off = b.end; b.kind != "moof" {
			continue
		}
		if b.end > f.source.size {
			break
		}
		if fragments++; fragments > maxFragments {
			return boundsError("more than %d fragments", maxFragments)
		}
		body, err := readBody(f.source.r, b, f.source.size, maxFragment)
		if err != nil {
			return err
		}
		for _, k := range f.played {
			if err := k.note(b, body); err != nil {
				return err
			}
		}
	}
	return nil
}

// parse returns the samples of a fragment that begins after dts.
func (k *fragTrack) parse(samples []fragSample, moof boxAt, body []byte, dts int64) ([]fragSample, error) {
	if moof.kind != "" {
		return k.reader.readMoof(samples, body, moof.start, dts)
	}
	if k.table.count > maxFragmentSamples {
		return nil, boundsError("%d samples before the fragments", k.table.count)
	}
	for c := k.table.at(0); !c.end(); c.step() {
		samples = append(samples, fragSample{
			dts: c.dts, offset: int32(c.pts() - c.dts), length: uint32(c.length()),
			size: uint32(c.size()), key: k.table.isKey(c.n), pos: c.pos,
		})
	}
	return samples, nil
}

// note takes a fragment into refs if it has samples of the track.
func (k *fragTrack) note(moof boxAt, body []byte) error {
	end := int64(0)
	if n := len(k.refs); n > 0 {
		end = k.refs[n-1].end
	}
	samples, err := k.parse(k.samples[:0], moof, body, end)
	if k.samples = samples; err != nil || len(samples) == 0 {
		return err
	}
	last := samples[len(samples)-1]
	ref := fragRef{moof: moof, dts: samples[0].dts, end: last.dts + int64(last.length)}
	for _, s := range samples {
		ref.key = ref.key || s.key
		k.least = min(k.least, int64(s.offset))
	}
	if ref.dts < end {
		return boundsError("fragment at %d begins before the end of the one before", moof.start)
	}
	if ref.end/int64(k.scale) > int64(maxDuration/time.Second)+ref.dts/int64(k.scale) {
		return boundsError("fragment at %d of more than %v", moof.start, maxDuration)
	}
	k.refs = append(k.refs, ref)
	return nil
}

// place lays the tracks on one timeline that begins at 0: a cut out of a live
// stream may begin anywhere.
func (f *fragmented) place() error {
	first := time.Duration(-1)
	begins := false
	for _, k := range f.played {
		if len(k.refs) == 0 {
			continue
		}
		start, end := k.refs[0].dts, k.refs[len(k.refs)-1].end
		const most = int64(maxDuration / time.Second)
		if start/int64(k.scale) > 1e3*most || (end-start)/int64(k.scale) > most {
			return boundsError("fragments from %d to %d ticks", start, end)
		}
		if at := k.time(start + k.least); !begins || at < first {
			first, begins = at, true
		}
	}
	if !begins {
		return fmt.Errorf("%w: MP4 without samples", ErrNotMedia)
	}
	for _, k := range f.played {
		k.shift = -first
		if len(k.refs) > 0 {
			k.lead = k.time(k.refs[0].dts + k.least)
			f.length = max(f.length, k.time(k.refs[len(k.refs)-1].end+k.least)-k.lead)
		}
	}
	return nil
}

func (f *fragmented) tracks() (list []*media.Track) {
	for _, k := range f.played {
		list = append(list, k.current())
	}
	return list
}

func (f *fragmented) duration() time.Duration { return f.length }
func (f *fragmented) skipped() uint64         { return f.source.damaged }

// load reads the samples of fragment i of the track.
func (f *fragmented) load(k *fragTrack, i int) error {
	k.at, k.n, k.samples = i, 0, k.samples[:0]
	if i >= len(k.refs) {
		return nil
	}
	ref := k.refs[i]
	var body []byte
	var err error
	if ref.moof.kind != "" {
		if body, err = readBody(f.source.r, ref.moof, f.source.size, maxFragment); err != nil {
			return err
		}
	}
	// What it began with is its own time or the end of the one before.
	end := int64(0)
	if i > 0 {
		end = k.refs[i-1].end
	}
	k.samples, err = k.parse(k.samples, ref.moof, body, end)
	return err
}

// ready tells whether the track has a next sample.
func (f *fragmented) ready(k *fragTrack) (bool, error) {
	for k.n >= len(k.samples) {
		if k.at+1 >= len(k.refs) {
			return false, nil
		}
		if err := f.load(k, k.at+1); err != nil {
			return false, err
		}
	}
	return true, nil
}

func (f *fragmented) next(ctx context.Context, looping bool) (*media.Frame, error) {
	for {
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		var first *fragTrack
		var at time.Duration
		for _, k := range f.played {
			ok, err := f.ready(k)
			if err != nil {
				return nil, err
			}
			if !ok {
				continue
			}
			dts := k.time(k.samples[k.n].dts + k.least)
			if looping && dts >= f.length+k.lead {
				continue
			}
			if first == nil || dts < at {
				first, at = k, dts
			}
		}
		if first == nil {
			return nil, io.EOF
		}
		s := first.samples[first.n]
		first.n++
		frame, err := f.source.frame(first.mp4Track, sample{
			dts: at, pts: first.time(s.dts + int64(s.offset)), pos: s.pos, size: int64(s.size), key: s.key, listed: true,
		})
		if frame != nil || err != nil {
			return frame, err
		}
	}
}

// find goes to the last sample at or before ticks, to a key frame if there are
// pictures.
func (f *fragmented) find(k *fragTrack, ticks int64) error {
	after := sort.Search(len(k.refs), func(i int) bool { return k.refs[i].dts > ticks })
	for i := after - 1; i >= 0; i-- {
		if k.video != nil && !k.refs[i].key {
			continue
		}
		if err := f.load(k, i); err != nil {
			return err
		}
		for n := len(k.samples) - 1; n >= 0; n-- {
			if s := k.samples[n]; s.dts <= ticks && (k.video == nil || s.key) {
				k.n = n
				return nil
			}
		}
	}
	return f.load(k, 0)
}

func (f *fragmented) seek(at time.Duration) (time.Duration, error) {
	at = min(at, f.length)
	for _, k := range f.played { // the video is before the sound
		if err := f.find(k, k.ticks(at)-k.least); err != nil {
			return 0, err
		}
		if k.video != nil && k.n < len(k.samples) {
			at = max(k.time(k.samples[k.n].dts+k.least), 0)
		}
	}
	return at, nil
}

func (f *fragmented) nextKey(after time.Duration) (time.Duration, bool) {
	for _, k := range f.played {
		if k.video == nil {
			continue
		}
		ticks := k.ticks(after) - k.least
		for _, s := range k.samples { // the fragment that is being played
			if s.dts > ticks && s.key {
				return k.time(s.dts + k.least), true
			}
		}
		for i := k.at + 1; i < len(k.refs); i++ {
			if r := k.refs[i]; r.key && r.dts > ticks {
				return k.time(r.dts + k.least), true
			}
		}
	}
	return 0, false
}
