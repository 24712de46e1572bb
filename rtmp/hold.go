package rtmp

import (
	"time"

	"github.com/trunkcast/trunkcast/media"
)

// holdQueue keeps the last frames while there is no connection to give them
// to. It is bounded by bytes and by age; what does not fit any more goes by
// whole groups of pictures.
type holdQueue struct {
	frames []*media.Frame
	bytes  int
	keys   int
}

func (h *holdQueue) empty() bool  { return len(h.frames) == 0 }
func (h *holdQueue) hasKey() bool { return h.keys > 0 }

func isKey(f *media.Frame) bool { return f.Key && f.Track.Codec.Video() }

// push adds f and returns how many frames had to go.
func (h *holdQueue) push(f *media.Frame, maxBytes int, maxAge time.Duration) (video, audio int) {
	h.frames = append(h.frames, f)
	h.bytes += f.Size()
	if isKey(f) {
		h.keys++
	}
	for len(h.frames) > 0 && (h.bytes > maxBytes || f.DTS-h.frames[0].DTS > maxAge) {
		v, a := h.dropGroup()
		video, audio = video+v, audio+a
	}
	return video, audio
}

// dropGroup drops the first frame and those after it that need it: up to the
// next key frame, or, without video, one.
func (h *holdQueue) dropGroup() (video, audio int) {
	for {
		f := h.frames[0]
		h.frames[0] = nil
		h.frames = h.frames[1:]
		h.bytes -= f.Size()
		if isKey(f) {
			h.keys--
		}
		if f.Track.Codec.Video() {
			video++
		} else {
			audio++
		}
		if len(h.frames) == 0 || h.keys == 0 && !h.frames[0].Track.Codec.Video() || isKey(h.frames[0]) {
			return video, audio
		}
	}
}

// take empties the queue and returns the frames from the first key frame on,
// all of them if there is none but audio, and how many came before it.
func (h *holdQueue) take() (frames []*media.Frame, video, audio int) {
	for h.keys > 0 && !isKey(h.frames[0]) {
		v, a := h.dropGroup()
		video, audio = video+v, audio+a
	}
	frames = h.frames
	*h = holdQueue{}
	return frames, video, audio
}

// clear empties the queue and returns how many frames were in it.
func (h *holdQueue) clear() (video, audio int) {
	for _, f := range h.frames {
		if f.Track.Codec.Video() {
			video++
		} else {
			audio++
		}
	}
	*h = holdQueue{}
	return video, audio
}
