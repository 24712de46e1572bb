package inject

import (
	"context"
	"fmt"
	"io"
	"sync"
	"sync/atomic"
	"time"

	"github.com/trunkcast/trunkcast/media"
)

// FileOptions tell how a file is read. The zero value plays it once.
type FileOptions struct {
	// Loop goes on at the start when the end is reached, without a gap: see
	// File.SetLoop.
	Loop bool
	// SkipUnsupported plays what can be played of a file in which some track
	// cannot. Otherwise such a file is refused with an *ErrUnsupportedCodec.
	SkipUnsupported bool
	// NoVideo and NoAudio leave the tracks of a kind away.
	NoVideo, NoAudio bool
}

// File is a media.Source of a file. Its times are those of the file: an edit
// list is followed, and where sound or pictures that have to be decoded first
// would be before 0 all tracks are shifted alike.
type File struct {
	r       io.ReaderAt
	closed  atomic.Bool
	loop    atomic.Bool
	closing sync.Once
	err     error // of closing

	mu    sync.Mutex
	demux demuxer
}

// demuxer reads a file of one form. It is not safe for concurrent use.
type demuxer interface {
	tracks() []*media.Track
	// duration is the length of a round.
	duration() time.Duration
	// round is how often it was played to its end.
	round() int
	// next returns the next frame or, when not looping, io.EOF.
	next(ctx context.Context, looping bool) (*media.Frame, error)
	// seek goes to the last key frame at or before that time and returns its
	// time; without video, to the frame in which that time is.
	seek(at time.Duration) (time.Duration, error)
	// nextKey is the time of the first key frame after that time.
	nextKey(after time.Duration) (time.Duration, bool)
	// skipped counts the frames that were damaged.
	skipped() uint64
}

// Open reads the head of a file of size bytes and finds its form by the
// content. r is used by one goroutine at a time; if it is an io.Closer, it is
// closed by File.Close, and by Open when that fails.
//
// Errors are ErrNotMedia, ErrBounds, ErrUnsupportedForm, *ErrUnsupportedCodec,
// or those of r.
func Open(ctx context.Context, r io.ReaderAt, size int64, o FileOptions) (*File, error) {
	d, err := openDemuxer(ctx, r, size, o)
	if err != nil {
		if c, ok := r.(io.Closer); ok {
			_ = c.Close()
		}
		return nil, err
	}
	f := &File{r: r, demux: d}
	f.loop.Store(o.Loop)
	return f, nil
}

func openDemuxer(ctx context.Context, r io.ReaderAt, size int64, o FileOptions) (demuxer, error) {
	const magic = 12
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	if size < magic {
		return nil, fmt.Errorf("%w: %d bytes", ErrNotMedia, size)
	}
	head := make([]byte, magic)
	if err := readFull(r, head, 0); err != nil {
		return nil, fmt.Errorf("inject: start of the file: %w", err)
	}
	switch string(head[4:8]) {
	case "ftyp", "styp", "moov", "mdat", "free", "skip", "wide", "pnot":
		return openMP4(ctx, r, size, o)
	}
	switch {
	case string(head[:4]) == "RIFF" && string(head[8:]) == "WAVE":
		return openWAV(r, size, o)
	case string(head[:4]) == "OggS":
		return openOgg(ctx, r, size, o)
	case string(head[:3]) == "FLV" && head[3] == 1:
		return openFLV(ctx, r, size, o)
	}
	return nil, ErrNotMedia
}

// Tracks returns the tracks as they are now.
func (f *File) Tracks() []*media.Track {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.demux.tracks()
}

// Duration is the length of the file; rounds of a loop follow each other by
// it.
func (f *File) Duration() time.Duration { return f.demux.duration() }

// Skipped counts the frames that were left away because they were damaged.
func (f *File) Skipped() uint64 {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.demux.skipped()
}

// SetLoop begins or ends looping: from the end of the file, reading goes on at
// its start, the times of the n-th round being n times Duration later. It may
// be called at any time and counts when the end is reached.
func (f *File) SetLoop(on bool) { f.loop.Store(on) }

// ReadFrame returns the next frame of any track, in the order of their DTS.
func (f *File) ReadFrame(ctx context.Context) (*media.Frame, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.closed.Load() {
		return nil, media.ErrClosed
	}
	frame, err := f.demux.next(ctx, f.loop.Load())
	if err != nil && f.closed.Load() {
		return nil, media.ErrClosed // and not what the closed reader said
	}
	return frame, err
}

// Seek goes to the key frame at or before that time of the file, or without
// video to the sound at it, and returns where that is. The times of the frames
// that follow are those of the file again, plus the rounds of a loop that were
// played. A time past the end leads to the last key frame.
func (f *File) Seek(at time.Duration) (time.Duration, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.closed.Load() {
		return 0, media.ErrClosed
	}
	return f.demux.seek(max(at, 0))
}

// Round is the number of times the file was played to its end in a loop, and
// the time at which the present round began.
func (f *File) Round() (n int, start time.Duration) {
	f.mu.Lock()
	defer f.mu.Unlock()
	n = f.demux.round()
	return n, time.Duration(n) * f.demux.duration()
}

// NextKeyFrame is the time in the file of the first key frame after that time,
// false if there is none before the end.
func (f *File) NextKeyFrame(after time.Duration) (time.Duration, bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.demux.nextKey(after)
}

// Close closes the reader that was given to Open. It may be called more than
// once and from any goroutine.
func (f *File) Close() error {
	f.closing.Do(func() {
		f.closed.Store(true)
		// The mutex is not taken: a read that hangs must be ended by this.
		if c, ok := f.r.(io.Closer); ok {
			f.err = c.Close()
		}
	})
	return f.err
}
