package inject

import (
	"context"
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/trunkcast/trunkcast/media"
)

// Bounds of an MP4 file.
const (
	maxMovie    = 64 << 20 // bytes of the moov box
	maxTracks   = 64
	maxTopBoxes = 1 << 20
	maxFrame    = 16 << 20 // bytes of an access unit
)

// openMP4 finds the moov box, wherever it is, and opens the file by it.
func openMP4(ctx context.Context, r io.ReaderAt, size int64, o FileOptions) (demuxer, error) {
	moov, at, err := findMovie(ctx, r, size)
	if err != nil {
		return nil, err
	}
	tracks, err := movieTracks(moov, o)
	if err != nil {
		return nil, err
	}
	if child(moov, "mvex") != nil {
		return openFragments(ctx, r, size, at, moov, tracks)
	}
	return newProgressive(r, size, tracks)
}

// findMovie returns the body of the moov box and where the box ends.
func findMovie(ctx context.Context, r io.ReaderAt, size int64) (body []byte, end int64, err error) {
	off := int64(0)
	for range maxTopBoxes {
		if off > size-boxHeader {
			break
		}
		if err := ctx.Err(); err != nil {
			return nil, 0, err
		}
		b, err := readBox(r, off, size)
		if err != nil {
			return nil, 0, err
		}
		if b.kind == "moov" {
			body, err := readBody(r, b, size, maxMovie)
			return body, b.end, err
		}
		off = b.end
	}
	return nil, 0, fmt.Errorf("%w: MP4 without moov box, perhaps cut short", ErrNotMedia)
}

// movieTracks returns the tracks to play: the first of each kind, an enabled
// one rather than another.
func movieTracks(moov []byte, o FileOptions) ([]*mp4Track, error) {
	scale, err := movieScale(child(moov, "mvhd"))
	if err != nil {
		return nil, err
	}
	var video, audio *mp4Track
	var unsupported error
	count := 0
	for rest := moov; len(rest) > 0; {
		var kind string
		var body []byte
		if kind, body, rest = nextBox(rest); kind != "trak" {
			continue
		}
		if count++; count > maxTracks {
			return nil, boundsError("more than %d tracks", maxTracks)
		}
		t, err := newMP4Track(body, scale)
		if codec := (*ErrUnsupportedCodec)(nil); errors.As(err, &codec) {
			unsupported = err
			continue
		}
		switch {
		case err != nil:
			return nil, err
		case t == nil:
		case t.video != nil && !o.NoVideo && (video == nil || t.enabled && !video.enabled):
			video = t
		case t.video == nil && !o.NoAudio && (audio == nil || t.enabled && !audio.enabled):
			audio = t
		}
	}
	return chosen(video, audio, unsupported, o)
}

func chosen(video, audio *mp4Track, unsupported error, o FileOptions) (tracks []*mp4Track, err error) {
	if unsupported != nil && !o.SkipUnsupported {
		return nil, unsupported
	}
	if video != nil {
		tracks = append(tracks, video)
	}
	if audio != nil {
		tracks = append(tracks, audio)
	}
	switch {
	case tracks != nil:
		return tracks, nil
	case unsupported != nil:
		return nil, unsupported
	default:
		return nil, fmt.Errorf("%w: no track to play", ErrNotMedia)
	}
}

// progressive reads an MP4 file whose samples are listed in its moov box.
type progressive struct {
	merger
	source mp4Source
	played []*playedTrack
}

// playedTrack is a track and a place in it.
type playedTrack struct {
	*mp4Track
	source *mp4Source
	cursor sampleCursor
	first  int // the sample to begin with
}

func newProgressive(r io.ReaderAt, size int64, tracks []*mp4Track) (demuxer, error) {
	p := &progressive{source: mp4Source{r: r, size: size}}
	var shift time.Duration
	for _, t := range tracks {
		k := &playedTrack{mp4Track: t, source: &p.source}
		k.first = k.begin()
		k.cursor = t.table.at(k.first)
		shift = max(shift, -k.dts())
		p.played = append(p.played, k)
		p.add(k)
	}
	for _, k := range p.played {
		k.shift = shift
		k.lead = k.dts()
		p.length = max(p.length, k.end())
	}
	if p.length == 0 {
		return nil, fmt.Errorf("%w: MP4 without samples", ErrNotMedia)
	}
	return p, nil
}

// begin finds the first sample to play: the one at the beginning of the edit,
// or the key frame before it.
func (k *playedTrack) begin() int {
	n := k.table.atTime(k.edit.trim)
	if k.video == nil {
		return n
	}
	for key := k.table.keyBefore(n); key > 0; key = k.table.keyBefore(key - 1) {
		if c := k.table.at(key); c.pts() <= k.edit.trim {
			return key
		}
	}
	return 0
}

// dts and pts are those of the sample at the cursor, on the file's timeline.
// Where PTS could be before DTS, all DTS are earlier.
func (k *playedTrack) dts() time.Duration { return k.time(k.cursor.dts + k.table.least) }
func (k *playedTrack) pts() time.Duration { return k.time(k.cursor.pts()) }

// end is the length of the track: its pause, what has to be shown before its
// edit begins, and its edit.
func (k *playedTrack) end() time.Duration {
	if k.table.count == 0 {
		return 0
	}
	first := k.table.at(k.first)
	// By how much pictures are shown after they are decoded. Some writers
	// forget it in the length of the edit, which then is a few frames short.
	late := max(first.pts()-first.dts, 0)
	whole := duration(k.table.ticks()+late-k.edit.trim, k.scale)
	length := whole
	if cut := whole - k.edit.length; k.edit.length > 0 && cut > duration(late, k.scale) {
		length = k.edit.length
	}
	if k.video != nil {
		length += duration(max(k.edit.trim-first.pts(), 0), k.scale)
	}
	return max(k.edit.delay+length, 0)
}

// over tells whether the track has no more samples to play. Pictures are
// played as long as their DTS is inside the edit, so that none is missing that
// others refer to.
func (k *playedTrack) over() bool {
	return k.cursor.end() || k.edit.length > 0 && duration(k.cursor.dts-k.edit.trim, k.scale) >= k.edit.length
}

func (k *playedTrack) peek(context.Context) (time.Duration, bool, error) {
	if k.over() {
		return 0, false, nil
	}
	return k.dts(), true, nil
}

func (k *playedTrack) take() (*media.Frame, error) {
	s := sample{dts: k.dts(), pts: k.pts(), pos: k.cursor.pos, size: k.cursor.size(),
		key: k.table.isKey(k.cursor.n), listed: k.table.hasKeys}
	k.cursor.step()
	return k.source.frame(k.mp4Track, s)
}

func (k *playedTrack) rewind() error {
	k.cursor = k.table.at(k.first)
	return nil
}

func (k *playedTrack) start() time.Duration { return k.lead }

func (p *progressive) skipped() uint64 { return p.source.damaged }

func (p *progressive) seek(at time.Duration) (time.Duration, error) {
	at = min(at, p.length)
	for _, k := range p.played { // the video is before the sound
		if k.table.count == 0 {
			continue
		}
		n := max(k.table.atTime(k.ticks(at)-k.table.least), k.first)
		if k.video != nil {
			n = max(k.table.keyBefore(n), k.first)
		}
		k.cursor = k.table.at(n)
		if k.video != nil {
			at = max(k.dts(), 0)
		}
	}
	p.sought()
	return at, nil
}

func (p *progressive) nextKey(after time.Duration) (time.Duration, bool) {
	for _, k := range p.played {
		if k.video == nil || k.table.count == 0 {
			continue
		}
		n := k.table.keyAfter(k.table.atTime(k.ticks(after) - k.table.least))
		if n < 0 {
			return 0, false
		}
		c := *k
		c.cursor = k.table.at(n)
		return c.dts(), !c.over()
	}
	return 0, false
}

// sample is one of an MP4 file, on its timeline.
type sample struct {
	dts, pts  time.Duration
	pos, size int64
	key       bool
	listed    bool // the file lists its key frames
}

// mp4Source reads samples.
type mp4Source struct {
	r       io.ReaderAt
	size    int64
	damaged uint64
}

// frame reads a sample. It is nil without an error if there is nothing in it
// that can be played.
func (m *mp4Source) frame(t *mp4Track, s sample) (*media.Frame, error) {
	if s.size == 0 {
		return nil, nil
	}
	if s.size > maxFrame || s.pos > m.size-s.size {
		return nil, boundsError("sample of %d bytes at %d in a file of %d", s.size, s.pos, m.size)
	}
	b := make([]byte, s.size)
	if err := readFull(m.r, b, s.pos); err != nil {
		return nil, fmt.Errorf("inject: sample at %d: %w", s.pos, err)
	}
	f := &media.Frame{DTS: s.dts, PTS: max(s.pts, 0)}
	if t.video == nil {
		f.Track, f.PTS, f.Data = t.audio, s.dts, [][]byte{b}
		return f, nil
	}
	nals, random, ok := t.video.unit(b)
	if !ok {
		m.damaged++
		return nil, nil
	}
	if len(nals) == 0 {
		return nil, nil
	}
	// A file that lists no key frames says that all are: only of some is it true.
	f.Track, f.Data, f.Key = t.video.track, nals, s.key && (s.listed || random)
	return f, nil
}
