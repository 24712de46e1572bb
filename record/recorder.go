package record

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"path/filepath"
	"slices"
	"sync"
	"time"
	_ "time/tzdata" // zones are there on machines without a database of them

	"github.com/trunkcast/trunkcast/media"
)

// Recorder makes recordings. The zero value works. The fields are set before
// the first method is called.
type Recorder struct {
	// Folder is where files go. Default "records".
	Folder string
	// Template makes the names: see [ParseTemplate]. Default [DefaultTemplate].
	Template string
	Format   Format
	Rotation Rotation
	// PartDuration is how much of an MP4 or transport stream is kept in memory
	// and lost if the program is killed. Default 1 s, at least 100 ms, at most
	// a minute.
	PartDuration time.Duration
	// Finalize makes plain MP4 files with the index first of the fragmented
	// ones, once they are complete. It needs room for a second copy meanwhile.
	Finalize bool
	// Location is the time zone of names. Default UTC.
	Location *time.Location
	// Retention removes old files. The zero value keeps all.
	Retention Retention
	// Reserve is the space in bytes that recordings leave free: below it they
	// pause. Default 64 MiB; negative: none.
	Reserve int64
	// Warn is the free space in bytes below which DiskLow tells. Default 1 GiB;
	// negative: never.
	Warn int64
	// Retry is the time after which a recording that was paused tries again.
	// Default 5 s.
	Retry time.Duration
	// CloseTimeout is how long Recording.Close waits for the disk. Default 2 s.
	CloseTimeout time.Duration
	// Finisher takes the files that are complete. Nil: one of our own without
	// command, upload and journal.
	Finisher *Finisher
	// OnEvent gets what happens, in order for each recording, and from several
	// goroutines. It must not block. If Finisher is nil it gets the events of
	// the files too.
	OnEvent func(Event)
	// Logger gets them too. Nil discards.
	Logger *slog.Logger

	recorderState
}

type recorderState struct {
	setup    sync.Once
	setupErr error
	folder   string // absolute
	disk     disk
	finisher *Finisher
	sweeper  *sweeper

	mu         sync.Mutex
	closed     bool
	recordings []*Recording
	low        bool // DiskLow was told
}

// Options are settings of one recording that differ from the Recorder's.
type Options struct {
	// Template replaces the Recorder's if it is not empty.
	Template string
	// Rotation replaces the Recorder's if it is not nil.
	Rotation *Rotation
	// Format replaces the Recorder's if it is not nil.
	Format *Format
	// NeedKeyFrame is called when the next file can begin with a key frame
	// only: at most once a second, from the goroutine of the recording. Nil:
	// the next one is waited for.
	NeedKeyFrame func()
	// Pictures tells whether pictures are to be expected though none have come:
	// a file without them then waits 5 s for their first key frame, so that it
	// is not one of sound alone, followed by another. Nil, or false: 1 s.
	Pictures func() bool
}

const (
	defaultFolder       = "records"
	defaultPart         = time.Second
	defaultReserve      = 64 << 20
	defaultWarn         = 1 << 30
	defaultRetry        = 5 * time.Second
	defaultCloseTimeout = 2 * time.Second
)

// init makes what the zero value lacks.
func (r *Recorder) init() error {
	r.setup.Do(func() {
		if r.setupErr = r.check(); r.setupErr != nil {
			return
		}
		r.folder, r.setupErr = filepath.Abs(cmpOr(r.Folder, defaultFolder))
		if r.disk == nil {
			r.disk = osDisk{}
		}
		if r.finisher = r.Finisher; r.finisher == nil {
			r.finisher = &Finisher{OnEvent: r.OnEvent, Logger: r.Logger}
		}
		r.sweeper = newSweeper(r)
	})
	return r.setupErr
}

func cmpOr[T comparable](v, other T) T {
	var zero T
	if v == zero {
		return other
	}
	return v
}

func (r *Recorder) check() error {
	if _, err := ParseTemplate(r.Template); err != nil {
		return err
	}
	if err := r.Rotation.check(); err != nil {
		return err
	}
	const shortest, longest = 100 * time.Millisecond, time.Minute
	if p := r.PartDuration; p != 0 && (p < shortest || p > longest) {
		return fmt.Errorf("%w: part duration %v is not between %v and %v", ErrOptions, p, shortest, longest)
	}
	if r.Format != MP4 && r.Format != MPEGTS {
		return fmt.Errorf("%w: format %d", ErrOptions, r.Format)
	}
	return r.Retention.check()
}

// Start begins the work that needs no recording: retention, and the jobs that
// were left to the Finisher. Without it, that begins with the first recording.
func (r *Recorder) Start() error {
	if err := r.init(); err != nil {
		return err
	}
	// First the jobs of the journal: their files must stay.
	if err := r.finisher.Start(); err != nil {
		return err
	}
	r.sweeper.start()
	return nil
}

// SinkOptions are those with which a Recording is attached to a media.Stream:
// audio that no file takes is transcoded to AAC.
func (r *Recorder) SinkOptions() media.SinkOptions {
	return media.SinkOptions{
		Name:     "record",
		Audio:    []media.Codec{media.AAC, media.Opus},
		MaxQueue: 16 << 20,
		MaxDelay: 10 * time.Second, // a disk may take a while
	}
}

// Record makes a recording. Nothing is written before its first frame: a
// folder that cannot be written gives an event, since it may be back later.
func (r *Recorder) Record(info Info, o Options) (*Recording, error) {
	if err := r.Start(); err != nil {
		return nil, err
	}
	rec, err := newRecording(r, info, o)
	if err != nil {
		return nil, err
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.closed {
		return nil, media.ErrClosed
	}
	r.recordings = append(r.recordings, rec)
	go rec.run()
	return rec, nil
}

// Recordings are those that have not ended, in the order of their start.
func (r *Recorder) Recordings() []*Recording {
	r.mu.Lock()
	defer r.mu.Unlock()
	return slices.Clone(r.recordings)
}

// forget takes out a recording that has ended.
func (r *Recorder) forget(rec *Recording) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.recordings = slices.DeleteFunc(r.recordings, func(x *Recording) bool { return x == rec })
}

// Close ends all recordings, side by side, and a Finisher of our own, which
// gets the time it needs to finalize. It may be called more than once and from
// any goroutine but OnEvent's. A Finisher that was given stays open.
func (r *Recorder) Close() error {
	if r.init() != nil {
		return nil // nothing was started
	}
	r.mu.Lock()
	r.closed = true
	list := slices.Clone(r.recordings)
	r.mu.Unlock()
	errs := make([]error, len(list))
	var wg sync.WaitGroup
	for i, rec := range list {
		wg.Go(func() { errs[i] = rec.Close() })
	}
	wg.Wait()
	r.sweeper.stop()
	if r.Finisher == nil {
		errs = append(errs, r.finisher.Shutdown(context.Background()))
	}
	return errors.Join(errs...)
}

// emit tells of an event.
func (r *Recorder) emit(e Event) { emit(r.OnEvent, r.Logger, e) }

func emit(fn func(Event), logger *slog.Logger, e Event) {
	e.Time = time.Now()
	if logger != nil {
		logger.Log(context.Background(), e.level(), "record: "+e.Type.String(), e.attrs()...)
	}
	if fn == nil {
		return
	}
	defer func() {
		if v := recover(); v != nil && logger != nil {
			logger.Error("record: OnEvent panicked", "panic", v)
		}
	}()
	fn(e)
}

func (r *Recorder) reserve() int64 { return max(cmpOr(r.Reserve, defaultReserve), 0) }

// watchSpace tells when the disk gets low, once until there is room again, and
// returns ErrDiskFull below the reserve and what is to be free beside it.
func (r *Recorder) watchSpace(beside int64) error {
	free, ok := r.disk.free(r.folder)
	if !ok {
		return nil
	}
	warn := max(cmpOr(r.Warn, defaultWarn), 0)
	r.mu.Lock()
	tell := free < warn && !r.low
	r.low = free < warn || r.low && free < warn+warn/8
	r.mu.Unlock()
	if tell {
		r.emit(Event{Type: DiskLow, Path: r.folder, Free: free})
		r.sweeper.hurry()
	}
	if reserve := r.reserve(); reserve > 0 && free < reserve+beside {
		return fmt.Errorf("%w: %d bytes free, %d are kept in reserve", ErrDiskFull, free, reserve)
	}
	return nil
}
