package record

import (
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"
)

// Retention tells which files of the folder are removed: all .mp4 and .ts
// files below it count, also those of earlier runs, but for those that are
// being written or wait for their command or upload. The zero value removes
// none.
type Retention struct {
	// Age removes files that were not changed for so long. 0: any age;
	// otherwise at least a minute.
	Age time.Duration
	// Size in bytes removes the oldest ones until the others have less.
	// 0: any size.
	Size int64
}

func (o Retention) check() error {
	if o.Age < 0 || o.Age > 0 && o.Age < time.Minute || o.Size < 0 {
		return fmt.Errorf("%w: retention of %v and %d bytes", ErrOptions, o.Age, o.Size)
	}
	return nil
}

// sweepInterval is the time between two looks for old files.
const sweepInterval = 5 * time.Minute

// sweeper removes old files.
type sweeper struct {
	recorder *Recorder
	wake     chan struct{}
	quit     chan struct{}
	once     sync.Once
	begun    sync.Once
	done     chan struct{}
}

func newSweeper(r *Recorder) *sweeper {
	return &sweeper{recorder: r, wake: make(chan struct{}, 1), quit: make(chan struct{}), done: make(chan struct{})}
}

func (s *sweeper) start() {
	s.begun.Do(func() {
		if s.recorder.Retention == (Retention{}) {
			close(s.done)
			return
		}
		go s.run()
	})
}

// hurry looks for old files now.
func (s *sweeper) hurry() { signal(s.wake) }

// stop returns when no more is removed, or without that from a disk that does
// not respond.
func (s *sweeper) stop() {
	s.begun.Do(func() { close(s.done) })
	s.once.Do(func() { close(s.quit) })
	t := time.NewTimer(cmpOr(s.recorder.CloseTimeout, defaultCloseTimeout))
	defer t.Stop()
	select {
	case <-s.done:
	case <-t.C:
	}
}

func (s *sweeper) run() {
	defer close(s.done)
	t := time.NewTicker(sweepInterval)
	defer t.Stop()
	for {
		s.sweep(time.Now())
		select {
		case <-t.C:
		case <-s.wake:
		case <-s.quit:
			return
		}
	}
}

// oldFile is a file that may be removed.
type oldFile struct {
	path string
	time time.Time
	size int64
}

func (s *sweeper) sweep(now time.Time) {
	r := s.recorder
	busy := r.busy()
	files := listFiles(r.folder, s.quit)
	slices.SortFunc(files, func(a, b oldFile) int { return a.time.Compare(b.time) })
	total := int64(0)
	for _, f := range files {
		total += f.size
	}
	for _, f := range files {
		old := r.Retention.Age > 0 && now.Sub(f.time) > r.Retention.Age
		if !old && (r.Retention.Size == 0 || total <= r.Retention.Size) {
			break
		}
		if busy[f.path] || s.stopped() {
			continue
		}
		if err := os.Remove(f.path); err != nil {
			r.logError("old recording cannot be removed", err)
			continue
		}
		total -= f.size
		removeEmpty(r.folder, filepath.Dir(f.path))
		r.emit(Event{Type: Removed, Path: f.path, Bytes: f.size})
	}
}

func (s *sweeper) stopped() bool {
	select {
	case <-s.quit:
		return true
	default:
		return false
	}
}

// busy are the files that must stay.
func (r *Recorder) busy() map[string]bool {
	m := map[string]bool{}
	// In this order: a file that is complete becomes a job before its recording
	// lets go of it.
	for _, rec := range r.Recordings() {
		m[rec.Stats().Path] = true
	}
	for _, j := range r.finisher.Pending() {
		m[j.Path] = true
		m[j.Final] = true
	}
	return m
}

// listFiles lists recordings below a folder; links are not followed.
func listFiles(folder string, quit <-chan struct{}) (list []oldFile) {
	_ = filepath.WalkDir(folder, func(path string, d fs.DirEntry, err error) error {
		select {
		case <-quit:
			return fs.SkipAll
		default:
		}
		if err != nil {
			return nil // what cannot be read stays
		}
		ext := strings.ToLower(filepath.Ext(path))
		if !d.Type().IsRegular() || ext != ".mp4" && ext != ".ts" {
			return nil
		}
		if info, err := d.Info(); err == nil {
			list = append(list, oldFile{path, info.ModTime(), info.Size()})
		}
		return nil
	})
	return list
}

// removeEmpty removes folders that are empty, up to the root, which stays.
func removeEmpty(root, folder string) {
	for folder != root && strings.HasPrefix(folder, root+string(filepath.Separator)) {
		if os.Remove(folder) != nil {
			return
		}
		folder = filepath.Dir(folder)
	}
}
