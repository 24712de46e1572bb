package record

import (
	"fmt"
	"slices"
	"time"

	"github.com/trunkcast/trunkcast/internal/codecconfig"
	"github.com/trunkcast/trunkcast/media"
)

// Format is a file format.
type Format int

// The formats.
const (
	MP4    Format = iota // fragmented while it is written
	MPEGTS               // ISO 13818-1
)

// ParseFormat reads "mp4" or "ts"; empty is MP4.
func ParseFormat(text string) (Format, error) {
	switch text {
	case "", "mp4", "MP4":
		return MP4, nil
	case "ts", "TS", "mpegts":
		return MPEGTS, nil
	}
	return 0, fmt.Errorf("%w: unknown format %q (known: mp4, ts)", ErrOptions, text)
}

func (f Format) String() string {
	if f == MPEGTS {
		return "ts"
	}
	return "mp4"
}

// extension is that of the files.
func (f Format) extension() string { return "." + f.String() }

// A muxer turns frames into the bytes of a file. It belongs to one goroutine.
type muxer interface {
	// write takes a frame, the times of which are relative to the file. It
	// keeps the frame until flush.
	write(f *media.Frame, pts, dts time.Duration)
	// pending is the number of bytes that flush would give at least.
	pending() int
	// flush appends what was taken to b. At the end that is everything;
	// before, the last frame of each track may be kept.
	flush(b []byte, end bool) ([]byte, error)
}

// newMuxer returns a muxer for tracks of which one may be nil.
func (f Format) newMuxer(video, audio *media.Track, created time.Time) (muxer, error) {
	if f == MPEGTS {
		return newTransport(video, audio)
	}
	return newFragmenter(video, audio, created)
}

// check tells whether frames of t can be recorded.
func (f Format) check(t *media.Track) error {
	fail := func(reason string) error { return &ErrUnsupportedTrack{t.Codec, f, reason} }
	switch t.Codec {
	case media.H264, media.H265:
		if _, err := codecconfig.Record(t.Codec, t.Config, false); err != nil {
			return fail(err.Error())
		}
	case media.AAC:
		if _, err := audioConfig(t); err != nil {
			return fail(err.Error())
		}
	case media.Opus:
		if t.Channels != 1 && t.Channels != 2 {
			return fail(fmt.Sprintf("%d channels", t.Channels))
		}
	default:
		return fail("no place for this codec in the format")
	}
	if t.ClockRate <= 0 || t.ClockRate > 192000 {
		return fail(fmt.Sprintf("a clock of %d Hz", t.ClockRate))
	}
	return nil
}

// sameConfig tells whether the frames of two tracks can be decoded with one
// configuration.
func sameConfig(a, b *media.Track) bool {
	return a == b || a.Codec == b.Codec && a.ClockRate == b.ClockRate && a.Channels == b.Channels &&
		slices.EqualFunc(a.Config, b.Config, slices.Equal)
}
