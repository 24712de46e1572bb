package record

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"time"

	"github.com/trunkcast/trunkcast/media"
)

// part is the file that is being written.
type part struct {
	mux          muxer
	file         file
	size         int64 // written and good
	job          *Job
	video, audio *media.Track
	base         time.Duration // DTS of the first frame
	end          time.Duration // highest DTS
	lastVideo    time.Duration // DTS
	lastAudio    time.Duration
	flushedTo    time.Duration // DTS at the last flush
	flushed      time.Time
	pictures     bool // there was video
	failed       bool // the disk did not take a flush
}

// maxPending bounds the bytes that wait for a flush.
const maxPending = 4 << 20

// due tells whether the part has reached a limit of the rotation.
func (p *part) due(dts time.Duration, o Rotation) bool {
	if p.video != nil && !p.pictures {
		return false
	}
	return o.Duration > 0 && dts-p.base >= o.Duration ||
		o.Size > 0 && p.size+int64(p.mux.pending()) >= o.Size
}

// openPart makes the file for the frames that are held.
func (r *Recording) openPart(video, audio *media.Track, held []*media.Frame) error {
	if err := r.recorder.watchSpace(r.recorder.reserve() / 4); err != nil {
		return err
	}
	base := held[0].DTS
	for _, f := range held {
		base = min(base, f.DTS)
	}
	// The first frame came as long ago as those that are held last.
	start := time.Now().Add(base - held[len(held)-1].DTS).In(r.location())
	mux, err := r.format.newMuxer(video, audio, start)
	if err != nil {
		return err
	}
	r.number++
	job := r.newJob(start, video, audio)
	f, path, err := r.createFile(job)
	if err != nil {
		r.number--
		return err
	}
	job.Path = path
	if err := r.recorder.finisher.begin(job); err != nil {
		r.recorder.logError("recording is not in the journal", err)
	}
	now := time.Now()
	r.part = &part{mux: mux, file: f, job: job, video: video, audio: audio,
		base: base, end: base, lastVideo: base, lastAudio: base, flushedTo: base, flushed: now}
	r.count(func(s *RecordingStats) { s.Path, s.Parts = path, r.number })
	return nil
}

func (r *Recorder) logError(text string, err error) {
	if r.Logger != nil {
		r.Logger.Error(text, "error", err)
	}
}

func (r *Recording) location() *time.Location {
	if l := r.recorder.Location; l != nil {
		return l
	}
	return time.UTC
}

// newJob describes a part to the finisher.
func (r *Recording) newJob(start time.Time, video, audio *media.Track) *Job {
	j := &Job{ID: newID(), Info: r.info, Part: r.number, Folder: r.recorder.folder, Template: r.template.text,
		Zone: r.location().String(), Format: r.format, Finalize: r.recorder.Finalize && r.format == MP4,
		Start: start, Rotated: r.rotation != Rotation{}, Stage: stageRecording, reserve: r.recorder.reserve()}
	if video != nil {
		j.VideoCodec = string(video.Codec)
	}
	if audio != nil {
		j.AudioCodec = string(audio.Codec)
	}
	return j
}

// maxVariants bounds the numbers that are tried for a name in use.
const maxVariants = 10000

// createFile makes the file of a part under a name that is free.
func (r *Recording) createFile(j *Job) (file, string, error) {
	return createFree(j.Folder, r.template.Name(j.values()), j.Format.extension(), r.recorder.disk.create)
}

// createFree calls create with the first of name, name_2, name_3... for which
// there is no file yet.
func createFree[F any](folder, name, extension string, create func(path string) (F, error)) (f F, path string, err error) {
	for i := 1; i <= maxVariants; i++ {
		path = filepath.Join(folder, filepath.FromSlash(name)+extension)
		if i > 1 {
			path = filepath.Join(folder, fmt.Sprintf("%s_%d%s", filepath.FromSlash(name), i, extension))
		}
		if f, err = create(path); !errors.Is(err, fs.ErrExist) {
			return f, path, err
		}
	}
	return f, path, fmt.Errorf("%w: %s", ErrNoName, path)
}

// put writes a frame into the part.
func (r *Recording) put(f *media.Frame) {
	p := r.part
	p.mux.write(f, f.PTS-p.base, f.DTS-p.base)
	p.end = max(p.end, f.DTS)
	if f.Track.Codec.Video() {
		p.lastVideo, p.pictures = f.DTS, true
	} else {
		p.lastAudio = f.DTS
	}
	r.count(func(s *RecordingStats) { s.Frames++ })
	if f.DTS-p.flushedTo >= r.partDuration() || p.mux.pending() > maxPending {
		r.flush()
	}
}

// flush writes what the muxer has. A part that cannot be written ends.
func (r *Recording) flush() {
	p := r.part
	p.flushedTo, p.flushed = p.end, time.Now()
	err := r.writeOut(false)
	if err == nil {
		err = r.lookAtSpace()
	}
	if err != nil {
		r.endPart(err)
	}
}

// writeOut appends the muxer's bytes to the file. Of those that fail nothing
// stays in it.
func (r *Recording) writeOut(end bool) error {
	p := r.part
	b, err := p.mux.flush(r.buf[:0], end)
	if err != nil || len(b) == 0 {
		return err
	}
	if cap(b) <= maxPending {
		r.buf = b[:0]
	}
	if _, err := p.file.WriteAt(b, p.size); err != nil {
		p.failed = true
		return diskError(errors.Join(err, p.file.Truncate(p.size)))
	}
	if p.size == 0 {
		r.emit(p.job.event(PartStarted))
	}
	p.size += int64(len(b))
	r.count(func(s *RecordingStats) { s.Bytes += int64(len(b)) })
	return nil
}

// spaceInterval is the time between two looks at the free space.
const spaceInterval = time.Second

func (r *Recording) lookAtSpace() error {
	if time.Since(r.spaceAt) < spaceInterval {
		return nil
	}
	r.spaceAt = time.Now()
	return r.recorder.watchSpace(0)
}

// endPart closes the file and gives it to the finisher. With a reason the
// recording pauses.
func (r *Recording) endPart(reason error) {
	p := r.part
	if !p.failed {
		if err := r.writeOut(true); err != nil && reason == nil {
			reason = err
		}
	}
	if err := p.file.Close(); err != nil && reason == nil {
		reason = diskError(err)
	}
	r.part = nil
	defer r.count(func(s *RecordingStats) { s.Path = "" }) // see Recorder.busy
	j := p.job
	if p.size == 0 { // the disk took nothing of it
		r.number--
		r.count(func(s *RecordingStats) { s.Parts = r.number })
		if err := errors.Join(os.Remove(j.Path), r.recorder.finisher.drop(j)); err != nil {
			r.recorder.logError("empty file cannot be removed", err)
		}
		r.pause(cmpOr(reason, ErrNoMedia))
		return
	}
	j.Duration, j.Bytes = p.end-p.base, p.size
	j.End = j.Start.Add(j.Duration)
	if err := r.recorder.finisher.end(j); err != nil {
		r.recorder.logError("file is not in the journal", err)
	}
	if reason != nil {
		r.pause(reason)
	}
}
