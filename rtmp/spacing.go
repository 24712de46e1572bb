package rtmp

import (
	"time"

	"github.com/trunkcast/trunkcast/media"
)

const (
	// writeSpacing is the shortest time between two writes of a publisher. What
	// it adds to the delay is less than a frame.
	writeSpacing = 30 * time.Millisecond
	// pictureSpacing is that between two writes of a picture. A call gives its
	// frames each 20 or 40 ms, the picture of a time behind the sound: both go
	// out then.
	pictureSpacing = 15 * time.Millisecond
	// soundSpacing is for sound that pictures go with: it waits for the next one.
	soundSpacing = 2 * writeSpacing
	// sameMoment is how long after a write frames count as given together with
	// those that were written: they would wait for the next moment.
	sameMoment = 5 * time.Millisecond
	// pictureLately is how long ago the last picture was at most that sound
	// waits for the next.
	pictureLately = 200 * time.Millisecond
)

// spacing is the shortest time from the write before to that of f.
func (p *Publisher) spacing(f *media.Frame, isVideo bool) time.Duration {
	switch {
	case isVideo:
		return pictureSpacing
	case p.stats.VideoFrames > 0 && f.DTS-p.pictureAt < pictureLately:
		return soundSpacing
	default:
		return writeSpacing
	}
}
