package record

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
)

// journal keeps jobs in a folder, one file each, so that a restart loses none.
// A nil journal keeps nothing.
type journal struct {
	folder string
	lock   io.Closer
}

const (
	jobExtension = ".job.json"
	maxJob       = 64 << 10 // bytes of a job
	maxJobs      = 100000
)

// openJournal makes the folder and takes it for this program.
func openJournal(folder string) (*journal, error) {
	folder, err := filepath.Abs(folder)
	if err != nil {
		return nil, err
	}
	if err := os.MkdirAll(folder, folderMode); err != nil {
		return nil, err
	}
	lock, err := lockFile(filepath.Join(folder, "lock"))
	if err != nil {
		return nil, err
	}
	return &journal{folder, lock}, nil
}

func (l *journal) close() {
	if l != nil {
		_ = l.lock.Close()
	}
}

func (l *journal) path(id string) string { return filepath.Join(l.folder, id+jobExtension) }

// put writes a job in place of what is there of it.
func (l *journal) put(j *Job) error {
	if l == nil {
		return nil
	}
	b, err := json.MarshalIndent(j, "", " ")
	if err != nil {
		return err
	}
	temp := filepath.Join(l.folder, j.ID+".tmp")
	if err := writeSynced(temp, b); err != nil {
		return err
	}
	return os.Rename(temp, l.path(j.ID))
}

func writeSynced(path string, b []byte) error {
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_TRUNC, fileMode)
	if err != nil {
		return err
	}
	_, err = f.Write(b)
	return errors.Join(err, f.Sync(), f.Close())
}

// remove forgets a job.
func (l *journal) remove(j *Job) error {
	if l == nil {
		return nil
	}
	return os.Remove(l.path(j.ID))
}

// load reads all jobs. One that cannot be read is left where it is, told, and
// stops no other.
func (l *journal) load() (jobs []*Job, errs []error) {
	if l == nil {
		return nil, nil
	}
	entries, err := os.ReadDir(l.folder)
	if err != nil {
		return nil, []error{err}
	}
	for _, e := range entries {
		id, ok := strings.CutSuffix(e.Name(), jobExtension)
		if !ok {
			continue
		}
		if len(jobs) == maxJobs {
			return jobs, append(errs, fmt.Errorf("%w: more than %d jobs", ErrJournal, maxJobs))
		}
		j, err := readJob(filepath.Join(l.folder, e.Name()))
		if err == nil && j.ID != id {
			err = fmt.Errorf("%w: %s holds job %q", ErrJournal, e.Name(), j.ID)
		}
		if err != nil {
			errs = append(errs, err)
			continue
		}
		jobs = append(jobs, j)
	}
	return jobs, errs
}

func readJob(path string) (*Job, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer func() { _ = f.Close() }()
	b, err := io.ReadAll(io.LimitReader(f, maxJob+1))
	if err != nil {
		return nil, err
	}
	return parseJob(b)
}

// parseJob reads what put writes.
func parseJob(b []byte) (*Job, error) {
	if len(b) > maxJob {
		return nil, fmt.Errorf("%w: a job of more than %d bytes", ErrJournal, maxJob)
	}
	j := &Job{}
	if err := json.Unmarshal(b, j); err != nil {
		return nil, fmt.Errorf("%w: %w", ErrJournal, err)
	}
	return j, j.check()
}
