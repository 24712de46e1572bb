package record

import (
	"time"

	"github.com/trunkcast/trunkcast/media"
)

const (
	// startWait is how long the first frames of a file wait for a second kind
	// of media: the tracks stand at its beginning.
	startWait = time.Second
	// keyWait is the same for the first key frame of pictures that are expected.
	keyWait = 5 * time.Second
	// gone is the time without frames after which a kind of media no longer
	// counts as present.
	gone = 5 * time.Second
	// maxHeld bounds the frames that are held, and their bytes.
	maxHeld      = 4096
	maxHeldBytes = 4 << 20
	// keyInterval is the least time between two requests for a key frame.
	keyInterval = time.Second
)

// cutter decides which frame goes into which file. Every frame goes into
// exactly one. It belongs to the goroutine of a Recording, the methods of
// which are in this file.
type cutter struct {
	began time.Time
	part  *part
	// number of the last part that was begun.
	number int
	// held are frames that wait for the next part: all of them while there is
	// no part; audio with another configuration while there is one, up to the
	// next key frame.
	held      []*media.Frame
	heldBytes int
	heldAt    time.Time // when the first was held

	retryAt  time.Time // of a pause
	paused   bool
	keyAsked time.Time
	checked  [2]verdict // audio, video
	buf      []byte     // for the bytes of a flush
	spaceAt  time.Time  // of the last look at the free space
}

// verdict is whether frames of a track can be recorded.
type verdict struct {
	track *media.Track
	err   error
}

// take puts a frame where it belongs.
func (r *Recording) take(f *media.Frame) {
	switch {
	case !r.recordable(f.Track):
		r.lose(1)
	case r.part == nil:
		r.gather(f)
	case f.Track.Codec.Video():
		r.takeVideo(f)
	default:
		r.takeAudio(f)
	}
}

// recordable tells whether the format has a place for a track, and says so
// once for each if not.
func (r *Recording) recordable(t *media.Track) bool {
	v := &r.checked[0]
	if t.Codec.Video() {
		v = &r.checked[1]
	}
	if v.track == t {
		return v.err == nil
	}
	before := v.err
	v.track, v.err = t, r.format.check(t)
	if v.err != nil && (before == nil || before.Error() != v.err.Error()) {
		r.emit(Event{Type: TrackSkipped, Err: v.err})
	}
	return v.err == nil
}

// gather holds frames until it is known which tracks there are.
func (r *Recording) gather(f *media.Frame) {
	video, audio := r.heldKinds()
	switch {
	case time.Now().Before(r.retryAt):
		r.lose(1)
		return
	case f.Track.Codec.Video() && !f.Key && video == nil:
		r.lose(1)
		r.askKey()
		return
	}
	r.hold(f)
	if f.Track.Codec.Video() {
		video = f
	} else {
		audio = f
	}
	if video != nil && audio != nil || f.DTS-r.held[0].DTS >= r.startWait(video) || r.heldTooMuch() {
		r.begin(nil)
	}
}

// startWait is how long the frames that are held wait for another kind. video
// is the first of their pictures.
func (r *Recording) startWait(video *media.Frame) time.Duration {
	if video == nil && r.pictures != nil && r.pictures() {
		return keyWait
	}
	return startWait
}

// heldKinds returns the first frame of each kind that is held.
func (r *Recording) heldKinds() (video, audio *media.Frame) {
	for _, f := range r.held {
		switch {
		case f.Track.Codec.Video() && video == nil:
			video = f
		case f.Track.Codec.Audio() && audio == nil:
			audio = f
		}
		if video != nil && audio != nil {
			break
		}
	}
	return video, audio
}

func (r *Recording) hold(f *media.Frame) {
	if len(r.held) == 0 {
		r.heldAt = time.Now()
	}
	r.held = append(r.held, f)
	r.heldBytes += f.Size()
}

func (r *Recording) heldTooMuch() bool {
	return len(r.held) >= maxHeld || r.heldBytes >= maxHeldBytes
}

func (r *Recording) takeVideo(f *media.Frame) {
	p := r.part
	other := p.video == nil || p.video.Codec != f.Track.Codec
	due := p.due(f.DTS, r.rotation)
	switch {
	case f.Key && (other || due || len(r.held) > 0):
		r.cut(f)
	case other:
		r.lose(1)
		r.askKey()
	default:
		if due || len(r.held) > 0 {
			r.askKey()
		}
		r.put(f)
	}
}

func (r *Recording) takeAudio(f *media.Frame) {
	p := r.part
	videoThere := p.video != nil && f.DTS-p.lastVideo < gone
	fits := p.audio != nil && sameConfig(p.audio, f.Track)
	switch {
	case fits && (videoThere || !p.due(f.DTS, r.rotation)):
		r.put(f)
	case !fits && videoThere && !r.heldTooMuch() && (len(r.held) == 0 || f.DTS-r.held[0].DTS < gone):
		r.hold(f)
		r.askKey()
	default:
		r.cut(f)
	}
}

// cut ends the part and begins the next one with what is held and f.
func (r *Recording) cut(f *media.Frame) {
	audio := r.part.audio
	if audio != nil && f.DTS-r.part.lastAudio > gone {
		audio = nil
	}
	r.hold(f)
	r.endPart(nil)
	if r.paused {
		r.lose(len(r.held))
		r.held, r.heldBytes = nil, 0
		return
	}
	r.begin(audio)
}

// begin begins a part with the frames that are held. audio is a track that it
// has even if none of its frames is among them.
func (r *Recording) begin(audio *media.Track) {
	first, sound := r.heldKinds()
	var video *media.Track
	if first != nil {
		video = first.Track
	}
	if sound != nil {
		audio = sound.Track
	}
	held := r.held
	r.held, r.heldBytes = nil, 0
	if err := r.openPart(video, audio, held); err != nil {
		r.lose(len(held))
		r.pause(err)
		return
	}
	r.resume()
	for i, f := range held {
		if r.part == nil { // the disk failed meanwhile
			r.lose(len(held) - i)
			return
		}
		r.take(f)
	}
}

// askKey asks for a key frame, not too often.
func (r *Recording) askKey() {
	now := time.Now()
	if r.needKey == nil || !r.keyAsked.IsZero() && now.Sub(r.keyAsked) < keyInterval {
		return
	}
	r.keyAsked = now
	r.needKey()
}

// tick is called now and then while no frame comes.
func (r *Recording) tick() {
	now := time.Now()
	switch {
	case r.part == nil:
		if len(r.held) == 0 {
			return
		}
		if video, _ := r.heldKinds(); now.Sub(r.heldAt) >= r.startWait(video) {
			r.begin(nil)
		}
	case now.Sub(r.part.flushed) >= r.partDuration():
		r.flush()
	}
}

// pause writes nothing for a while. A reason that is there for long is told
// once.
func (r *Recording) pause(err error) {
	r.retryAt = time.Now().Add(cmpOr(r.recorder.Retry, defaultRetry))
	if r.paused {
		return
	}
	r.paused = true
	r.count(func(s *RecordingStats) { s.Paused, s.Path = true, "" })
	r.emit(Event{Type: Paused, Part: r.number, Err: err})
}

func (r *Recording) resume() {
	if !r.paused {
		return
	}
	r.paused = false
	r.count(func(s *RecordingStats) { s.Paused = false })
	r.emit(Event{Type: Resumed, Part: r.number})
}

// finish writes what is left and ends the last part.
func (r *Recording) finish() {
	if r.part == nil && len(r.held) > 0 {
		r.begin(nil)
	}
	if r.part == nil {
		return
	}
	if len(r.held) > 0 { // audio of another configuration, for which no key frame came
		r.endPart(nil)
		r.begin(nil)
	}
	if r.part != nil {
		r.endPart(nil)
	}
}
