package inject

import (
	"context"
	"fmt"
	"io"
	"time"

	"github.com/trunkcast/trunkcast/media"
)

// An FLV file (Adobe FLV 10.1, annex E) is a header and tags, each of 11 bytes,
// data, and the length of both.
const (
	flvHeader    = 9
	flvTagHeader = 11
	flvPrevious  = 4
	flvAudio     = 8
	flvVideo     = 9

	// flvProbe is how many tags may come before the first of each kind.
	flvProbe = 1000
	// flvStep is the length of a last frame whose length is not known.
	flvStep = 40 * time.Millisecond
)

// flvTag is the header of a tag.
type flvTag struct {
	kind  byte
	at    time.Duration // as in the file
	body  int64
	size  int64
	start int64
}

func (t flvTag) end() int64 { return t.body + t.size + flvPrevious }

// flv reads an FLV file. Each track is read on its own, so the file need not
// be in the order of times.
type flv struct {
	merger
	r      io.ReaderAt
	size   int64
	first  int64         // the first tag
	origin time.Duration // time of the first frame

	played  []*flvTrack
	damaged uint64
}

// flvTrack is a track and a place in it.
type flvTrack struct {
	file  *flv
	kind  byte
	off   int64 // of the next tag to look at
	video *videoTrack
	audio *media.Track
	lead  time.Duration // DTS of the first frame
	last  time.Duration // DTS given out
	ahead *media.Frame  // was read already
}

func openFLV(ctx context.Context, r io.ReaderAt, size int64, o FileOptions) (demuxer, error) {
	head := make([]byte, flvHeader)
	if err := readFull(r, head, 0); err != nil {
		return nil, fmt.Errorf("inject: FLV header: %w", err)
	}
	f := &flv{r: r, size: size, first: int64(u32(head, 5)) + flvPrevious}
	if f.first < flvHeader+flvPrevious || f.first > size {
		return nil, boundsError("FLV header of %d bytes", f.first)
	}
	if err := f.probe(ctx, o); err != nil {
		return nil, err
	}
	return f, f.measure(ctx)
}

// tag reads the header of a tag, io.EOF after the last whole one.
func (f *flv) tag(off int64) (flvTag, error) {
	if off > f.size-flvTagHeader {
		return flvTag{}, io.EOF
	}
	var b [flvTagHeader]byte
	if err := readFull(f.r, b[:], off); err != nil {
		return flvTag{}, fmt.Errorf("inject: FLV tag at %d: %w", off, err)
	}
	t := flvTag{kind: b[0] & 0x1f, start: off, body: off + flvTagHeader, size: int64(u32(b[:], 0) & 0xffffff)}
	ms := u32(b[:], 4)>>8 | uint32(b[7])<<24
	t.at = time.Duration(ms) * time.Millisecond
	if t.body+t.size > f.size {
		return t, io.EOF
	}
	return t, nil
}

// body reads what is in a tag.
func (f *flv) body(t flvTag) ([]byte, error) {
	b := make([]byte, t.size)
	if err := readFull(f.r, b, t.body); err != nil {
		return nil, fmt.Errorf("inject: FLV tag at %d: %w", t.start, err)
	}
	return b, nil
}

// probe reads until the first frame of each kind is there.
func (f *flv) probe(ctx context.Context, o FileOptions) error {
	var unsupported error
	for _, kind := range []byte{flvVideo, flvAudio} {
		if kind == flvVideo && o.NoVideo || kind == flvAudio && o.NoAudio {
			continue
		}
		k := &flvTrack{file: f, kind: kind, off: f.first}
		frame, err := f.read(ctx, k, flvProbe)
		if codec, ok := err.(*ErrUnsupportedCodec); ok {
			unsupported = codec
			continue
		}
		if err == io.EOF {
			continue // no such track
		}
		if err != nil {
			return err
		}
		k.ahead = frame
		f.played = append(f.played, k)
		f.add(k)
	}
	if unsupported != nil && (!o.SkipUnsupported || len(f.played) == 0) {
		return unsupported
	}
	if len(f.played) == 0 {
		return fmt.Errorf("%w: FLV without a track to play", ErrNotMedia)
	}
	f.origin = f.played[0].ahead.DTS
	for _, k := range f.played {
		f.origin = min(f.origin, k.ahead.DTS)
	}
	for _, k := range f.played {
		k.lead = k.ahead.DTS - f.origin
	}
	return nil
}

// measure finds the length by going back from the end of the file.
func (f *flv) measure(ctx context.Context) error {
	const most = 400 // tags: several seconds
	seen := map[byte][]time.Duration{}
	off := f.size
	for range most {
		var b [flvPrevious]byte
		if off -= flvPrevious; off < f.first || readFull(f.r, b[:], off) != nil {
			break
		}
		off -= int64(u32(b[:], 0))
		t, err := f.tag(max(off, 0))
		if off < f.first || err != nil || t.end() > f.size {
			break
		}
		if t.kind == flvVideo || t.kind == flvAudio {
			seen[t.kind] = append(seen[t.kind], t.at)
		}
	}
	for _, k := range f.played {
		times := seen[k.kind]
		if len(times) == 0 {
			return f.measureAll(ctx)
		}
		step := flvStep
		if len(times) > 1 && times[0] > times[1] {
			step = min(times[0]-times[1], time.Second)
		}
		f.length = max(f.length, times[0]+step-f.origin)
	}
	return nil
}

// measureAll is for a file whose end is damaged.
func (f *flv) measureAll(ctx context.Context) error {
	for off := f.first; ; {
		if err := ctx.Err(); err != nil {
			return err
		}
		t, err := f.tag(off)
		if err == io.EOF {
			return nil
		}
		if err != nil {
			return err
		}
		off = t.end()
		f.length = max(f.length, t.at+flvStep-f.origin)
	}
}

// read returns the next frame of a track with the times of the file, looking
// at most that many tags far; 0 is without a bound.
func (f *flv) read(ctx context.Context, k *flvTrack, most int) (*media.Frame, error) {
	for n := 0; most == 0 || n < most; n++ {
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		t, err := f.tag(k.off)
		if err != nil {
			return nil, err
		}
		k.off = t.end()
		if t.kind != k.kind || t.size == 0 {
			continue
		}
		b, err := f.body(t)
		if err != nil {
			return nil, err
		}
		frame, err := k.frame(t, b)
		if err == errDamaged {
			f.damaged++
			continue
		}
		if frame != nil || err != nil {
			return frame, err
		}
	}
	return nil, io.EOF
}

func (f *flv) skipped() uint64 { return f.damaged }

func (k *flvTrack) current() *media.Track {
	if k.video != nil {
		return k.video.track
	}
	return k.audio
}

func (k *flvTrack) peek(ctx context.Context) (time.Duration, bool, error) {
	if k.ahead == nil {
		f, err := k.file.read(ctx, k, 0)
		if err == io.EOF {
			return 0, false, nil
		}
		if err != nil {
			return 0, false, err
		}
		k.ahead = f
	}
	return max(k.ahead.DTS-k.file.origin, k.last), true, nil
}

func (k *flvTrack) take() (*media.Frame, error) {
	f := k.ahead
	k.ahead = nil
	offset := f.PTS - f.DTS
	f.DTS = max(f.DTS-k.file.origin, k.last)
	f.PTS = max(f.DTS+offset, 0)
	k.last = f.DTS
	return f, nil
}

func (k *flvTrack) rewind() error {
	k.place(k.file.first)
	return nil
}

func (k *flvTrack) start() time.Duration { return k.lead }

func (k *flvTrack) place(off int64) { k.off, k.ahead, k.last = off, nil, 0 }

// seek goes through the tags from the start: there is no index.
func (f *flv) seek(at time.Duration) (time.Duration, error) {
	at += f.origin
	for _, k := range f.played { // the video is before the sound
		place := f.first
		found := time.Duration(-1)
		for off := f.first; ; {
			t, err := f.tag(off)
			if err == io.EOF || err == nil && t.at > at && found >= 0 {
				break
			}
			if err != nil {
				return 0, err
			}
			off = t.end()
			if t.kind == k.kind && f.begins(t) {
				place, found = t.start, t.at
			}
		}
		k.place(place)
		if k.kind == flvVideo && found >= 0 {
			at = min(at, found)
		}
	}
	f.sought()
	return max(at-f.origin, 0), nil
}

// begins tells whether playing can begin at a tag.
func (f *flv) begins(t flvTag) bool {
	if t.kind != flvVideo {
		return true
	}
	var b [2]byte
	if t.size < int64(len(b)) || readFull(f.r, b[:], t.body) != nil || b[0]>>4&7 != flvKeyFrame {
		return false
	}
	if b[0]&flvExtended != 0 {
		return b[0]&0xf == flvFrames || b[0]&0xf == flvFramesX
	}
	return b[1] == flvFrames
}

func (f *flv) nextKey(after time.Duration) (time.Duration, bool) {
	const most = 1000 // tags: some ten seconds
	for _, k := range f.played {
		if k.kind != flvVideo {
			continue
		}
		off := k.off
		for range most {
			t, err := f.tag(off)
			if err != nil {
				return 0, false
			}
			off = t.end()
			if t.kind == flvVideo && t.at-f.origin > after && f.begins(t) {
				return t.at - f.origin, true
			}
		}
	}
	return 0, false
}
