package mediatest

import (
	"errors"
	"fmt"
	"time"

	"github.com/trunkcast/trunkcast/media"
)

// Checks are the bounds for [Check]. The zero value checks what holds for
// every stream.
type Checks struct {
	// Reorder is how far the DTS of one track may be behind that of another
	// one that came earlier. 0: any.
	Reorder time.Duration
	// MaxGap is the longest time between the DTS of two frames of a track.
	// 0: any.
	MaxGap time.Duration
	// SameTracks refuses a change of the codec, rate or channels of audio.
	SameTracks bool
}

// Check tells what in the frames that came to a sink, or from a source, breaks
// the rules: every frame has data and a track with the configuration that its
// codec needs, times are not negative and do not go back in a track, and the
// first video frame is a key frame.
func Check(frames []*media.Frame, c Checks) error {
	var errs []error
	var last [2]*media.Frame // video, audio
	var top time.Duration
	for i, f := range frames {
		fail := func(format string, args ...any) {
			errs = append(errs, fmt.Errorf("frame %d: %w", i, fmt.Errorf(format, args...)))
		}
		if err := wellFormed(f); err != nil {
			fail("%w", err)
			continue
		}
		kind := 1
		if f.Track.Codec.Video() {
			kind = 0
		}
		before := last[kind]
		last[kind] = f
		if c.Reorder > 0 && f.DTS < top-c.Reorder {
			fail("DTS %v is %v behind another track", f.DTS, top-f.DTS)
		}
		top = max(top, f.DTS)
		if before == nil {
			if kind == 0 && !f.Key {
				fail("the first video frame is no key frame")
			}
			continue
		}
		if err := follows(before, f, c); err != nil {
			fail("%w", err)
		}
	}
	return errors.Join(errs...)
}

func follows(before, f *media.Frame, c Checks) error {
	switch a, b := before.Track, f.Track; {
	case f.DTS < before.DTS:
		return fmt.Errorf("DTS %v after %v", f.DTS, before.DTS)
	case c.MaxGap > 0 && f.DTS-before.DTS > c.MaxGap:
		return fmt.Errorf("DTS %v after %v: a gap of %v", f.DTS, before.DTS, f.DTS-before.DTS)
	case c.SameTracks && a.Codec.Audio() && (a.Codec != b.Codec || a.ClockRate != b.ClockRate || a.Channels != b.Channels):
		return fmt.Errorf("track changed from %s/%d/%d to %s/%d/%d",
			a.Codec, a.ClockRate, a.Channels, b.Codec, b.ClockRate, b.Channels)
	}
	return nil
}

// wellFormed checks a frame alone.
func wellFormed(f *media.Frame) error {
	switch {
	case f == nil || f.Track == nil:
		return errors.New("no frame or no track")
	case f.Size() == 0:
		return errors.New("no data")
	case f.DTS < 0 || f.PTS < 0:
		return fmt.Errorf("negative time: PTS %v, DTS %v", f.PTS, f.DTS)
	case f.Track.Codec.Audio() && len(f.Data) != 1:
		return fmt.Errorf("%d elements in an audio frame", len(f.Data))
	case f.Track.ClockRate <= 0:
		return errors.New("no clock rate")
	}
	need := map[media.Codec]int{media.H264: 2, media.H265: 3, media.AAC: 1}[f.Track.Codec]
	if len(f.Track.Config) < need {
		return fmt.Errorf("%s with %d of %d configuration elements", f.Track.Codec, len(f.Track.Config), need)
	}
	for _, c := range f.Track.Config {
		if len(c) == 0 {
			return fmt.Errorf("%s with an empty configuration element", f.Track.Codec)
		}
	}
	return nil
}
