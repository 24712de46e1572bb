package record

import (
	"log/slog"
	"time"
)

// EventType tells what an [Event] is about.
type EventType int

// The events of a file, in the order in which they come, and those of the
// disk.
const (
	PartStarted   EventType = iota // a file has its first media: see Path
	PartFinished                   // a file is complete under its final name
	CommandDone                    // the command ended well
	CommandFailed                  // it did not: see Err
	Uploaded                       // see URL
	UploadRetry                    // an upload failed and will be tried again
	UploadFailed                   // it was given up: see Err
	Removed                        // the local file was removed: after its upload, or by retention
	Paused                         // nothing is written: see Err
	Resumed                        // writing goes on
	Stalled                        // the disk is too slow, frames are lost
	DiskLow                        // the disk will be full soon: see Free
	TrackSkipped                   // a track cannot be recorded: see Err
)

func (t EventType) String() string {
	names := [...]string{"part_started", "part_finished", "command_done", "command_failed", "uploaded",
		"upload_retry", "upload_failed", "removed", "paused", "resumed", "stalled", "disk_low", "track_skipped"}
	if t >= 0 && int(t) < len(names) {
		return names[t]
	}
	return "unknown"
}

// Event tells what happened to a file or the disk. Fields that do not apply
// are zero.
type Event struct {
	Type EventType
	Time time.Time
	Info Info
	// Path is absolute.
	Path string
	// Part counts the files of a recording from 1.
	Part int
	// Start is when the first frame of the file was written, Duration the
	// length of its media, Bytes its size.
	Start    time.Time
	Duration time.Duration
	Bytes    int64
	// Recovered is set if the file was left by a program that was killed.
	Recovered bool
	URL       string
	// Free is the space on the disk in bytes.
	Free int64
	// Attempts counts uploads that failed.
	Attempts int
	Err      error
}

// attrs are those for a log line.
func (e *Event) attrs() []any {
	list := []any{"stream", e.Info.Stream}
	add := func(key string, v any, ok bool) {
		if ok {
			list = append(list, key, v)
		}
	}
	add("call_id", e.Info.CallID, e.Info.CallID != "")
	add("path", e.Path, e.Path != "")
	add("part", e.Part, e.Part > 0)
	add("duration", e.Duration, e.Duration > 0)
	add("bytes", e.Bytes, e.Bytes > 0)
	add("recovered", true, e.Recovered)
	add("url", e.URL, e.URL != "")
	add("free_bytes", e.Free, e.Type == DiskLow)
	add("attempts", e.Attempts, e.Attempts > 0)
	add("error", e.Err, e.Err != nil)
	return list
}

func (e *Event) level() slog.Level {
	switch e.Type {
	case CommandFailed, UploadRetry, UploadFailed, Paused, Stalled, DiskLow, TrackSkipped:
		return slog.LevelWarn
	case PartFinished:
		if e.Err != nil {
			return slog.LevelWarn
		}
	}
	return slog.LevelInfo
}
