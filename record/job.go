package record

import (
	"crypto/rand"
	"fmt"
	"path/filepath"
	"time"
)

// stage is how far a job has come.
type stage string

const (
	stageRecording stage = "recording" // the file is being written
	stageSettle    stage = "settle"    // to be finalized and named
	stageCommand   stage = "command"
	stageUpload    stage = "upload"
	stageRemove    stage = "remove"
	stageDone      stage = "done"
)

// Job is the work on one file. It is what the journal keeps.
type Job struct {
	ID   string `json:"id"`
	Info Info   `json:"info"`
	Part int    `json:"part"`
	// Folder is the Recorder's; Path is where the file is. Both are absolute.
	Folder string `json:"folder"`
	Path   string `json:"path"`
	// Final is the name that was taken for the file.
	Final    string `json:"final,omitempty"`
	Template string `json:"template"`
	Rotated  bool   `json:"rotated,omitempty"`
	// Zone names the time zone of the name.
	Zone       string        `json:"zone"`
	Format     Format        `json:"format"`
	Finalize   bool          `json:"finalize,omitempty"`
	VideoCodec string        `json:"video_codec,omitempty"`
	AudioCodec string        `json:"audio_codec,omitempty"`
	Start      time.Time     `json:"start"`
	End        time.Time     `json:"end,omitzero"`
	Duration   time.Duration `json:"duration,omitempty"` // ns
	Bytes      int64         `json:"bytes,omitempty"`
	Recovered  bool          `json:"recovered,omitempty"`
	Stage      stage         `json:"stage"`
	Attempts   int           `json:"attempts,omitempty"` // of the upload
	FirstTry   time.Time     `json:"first_try,omitzero"`
	LastError  string        `json:"last_error,omitempty"`

	next    time.Time // not before
	running bool
	reserve int64
}

// newID makes the name of a job: random, so that nothing has to be counted.
func newID() string { return rand.Text() }

// Key is the slash path of the file below the folder, the name that an upload
// gives it.
func (j *Job) Key() string {
	rel, err := filepath.Rel(j.Folder, j.Path)
	if err != nil || !filepath.IsLocal(rel) {
		return filepath.Base(j.Path)
	}
	return filepath.ToSlash(rel)
}

// values are those of the template; the zero End while the file is written.
func (j *Job) values() Values {
	v := Values{Info: j.Info, Part: j.Part, Start: j.Start, End: j.End, Duration: j.Duration,
		VideoCodec: j.VideoCodec, AudioCodec: j.AudioCodec, Rotated: j.Rotated}
	if zone, err := time.LoadLocation(j.Zone); err == nil && j.Zone != "Local" {
		v.Start = v.Start.In(zone)
		if !v.End.IsZero() {
			v.End = v.End.In(zone)
		}
	}
	return v
}

func (j *Job) event(t EventType) Event {
	return Event{Type: t, Info: j.Info, Path: j.Path, Part: j.Part, Start: j.Start, Duration: j.Duration,
		Bytes: j.Bytes, Recovered: j.Recovered, Attempts: j.Attempts}
}

// check tells whether a job that was read can be worked on.
func (j *Job) check() error {
	switch j.Stage {
	case stageRecording, stageSettle, stageCommand, stageUpload, stageRemove:
	default:
		return fmt.Errorf("%w: stage %q", ErrJournal, j.Stage)
	}
	if j.Format != MP4 && j.Format != MPEGTS || !filepath.IsAbs(j.Folder) || !filepath.IsAbs(j.Path) ||
		j.Final != "" && !filepath.IsAbs(j.Final) || j.Part < 1 || !validID(j.ID) {
		return fmt.Errorf("%w: job %q", ErrJournal, j.ID)
	}
	_, err := ParseTemplate(j.Template)
	return err
}

// validID tells whether an id can be part of a file name.
func validID(id string) bool {
	for _, c := range []byte(id) {
		if (c < 'A' || c > 'Z') && (c < '0' || c > '9') {
			return false
		}
	}
	return len(id) > 0 && len(id) <= 64
}
