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
	merger
	source mp4Source
	played []*fragTrack
}

// fragTrack is a track and a place in it.
type fragTrack struct {
	*mp4Track
	source *mp4Source
	reader fragmentReader
	refs   []fragRef
	least  int64 // smallest PTS - DTS, at most 0
	end    int64 // ticks, of the last fragment noted

	at      int // in refs, of the samples
	samples []fragSample
	n       int // the next sample
}

// fragRef is a fragment that has samples of a track.
type fragRef struct {
	moof     boxAt // no kind: the samples that the moov box lists
	after    int64 // ticks, the end of the fragment before
	dts, end int64 // ticks
	key      bool  // there is a key frame in it
}

func openFragments(ctx context.Context, r io.ReaderAt, size, off int64, moov []byte, tracks []*mp4Track) (demuxer, error) {
	f := &fragmented{source: mp4Source{r: r, size: size}}
	mvex := child(moov, "mvex")
	for _, t := range tracks {
		t.edit.length = 0 // is about the moov box alone, where it is there at all
		k := &fragTrack{mp4Track: t, source: &f.source, reader: fragmentReader{t.id, readTrex(mvex, t.id)}}
		if err := k.note(boxAt{}, nil); err != nil {
			return nil, err
		}
		f.played = append(f.played, k)
		f.add(k)
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
	samples, err := k.parse(k.samples[:0], moof, body, k.end)
	if k.samples = samples; err != nil || len(samples) == 0 {
		return err
	}
	last := samples[len(samples)-1]
	ref := fragRef{moof: moof, after: k.end, dts: samples[0].dts, end: last.dts + int64(last.length)}
	if ref.dts < k.end {
		return boundsError("fragment at %d begins before the end of the one before", moof.start)
	}
	if ref.end/int64(k.scale) > int64(maxDuration/time.Second)+ref.dts/int64(k.scale) {
		return boundsError("fragment at %d of more than %v", moof.start, maxDuration)
	}
	k.end = ref.end
	if samples = k.trimmed(samples); len(samples) == 0 {
		return nil
	}
	ref.dts = samples[0].dts
	for _, s := range samples {
		ref.key = ref.key || s.key
		k.least = min(k.least, int64(s.offset))
	}
	k.refs = append(k.refs, ref)
	return nil
}

// trimmed leaves sound away that ends before the edit begins.
func (k *fragTrack) trimmed(samples []fragSample) []fragSample {
	for k.video == nil && len(samples) > 0 && samples[0].dts+int64(samples[0].length) <= k.edit.trim {
		samples = samples[1:]
	}
	return samples
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

func (f *fragmented) skipped() uint64 { return f.source.damaged }

// load reads the samples of fragment i of the track.
func (k *fragTrack) load(i int) error {
	k.at, k.n, k.samples = i, 0, k.samples[:0]
	if i >= len(k.refs) {
		return nil
	}
	ref := k.refs[i]
	var body []byte
	var err error
	if ref.moof.kind != "" {
		if body, err = readBody(k.source.r, ref.moof, k.source.size, maxFragment); err != nil {
			return err
		}
	}
	all, err := k.parse(k.samples, ref.moof, body, ref.after)
	k.samples = k.trimmed(all)
	return err
}

func (k *fragTrack) peek(context.Context) (time.Duration, bool, error) {
	for k.n >= len(k.samples) {
		if k.at+1 >= len(k.refs) {
			return 0, false, nil
		}
		if err := k.load(k.at + 1); err != nil {
			return 0, false, err
		}
	}
	return k.time(k.samples[k.n].dts + k.least), true, nil
}

func (k *fragTrack) take() (*media.Frame, error) {
	s := k.samples[k.n]
	k.n++
	return k.source.frame(k.mp4Track, sample{
		dts: k.time(s.dts + k.least), pts: k.time(s.dts + int64(s.offset)),
		pos: s.pos, size: int64(s.size), key: s.key, listed: true,
	})
}

func (k *fragTrack) rewind() error        { return k.load(0) }
func (k *fragTrack) start() time.Duration { return k.lead }

// find goes to the last sample at or before ticks, to a key frame if there are
// pictures.
func (k *fragTrack) find(ticks int64) error {
	after := sort.Search(len(k.refs), func(i int) bool { return k.refs[i].dts > ticks })
	for i := after - 1; i >= 0; i-- {
		if k.video != nil && !k.refs[i].key {
			continue
		}
		if err := k.load(i); err != nil {
			return err
		}
		for n := len(k.samples) - 1; n >= 0; n-- {
			if s := k.samples[n]; s.dts <= ticks && (k.video == nil || s.key) {
				k.n = n
				return nil
			}
		}
	}
	return k.load(0)
}

func (f *fragmented) seek(at time.Duration) (time.Duration, error) {
	at = min(at, f.length)
	for _, k := range f.played { // the video is before the sound
		if err := k.find(k.ticks(at) - k.least); err != nil {
			return 0, err
		}
		if k.video != nil && k.n < len(k.samples) {
			at = max(k.time(k.samples[k.n].dts+k.least), 0)
		}
	}
	f.sought()
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
