package record

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
)

// temporary is the end of the name of a file that is being finalized.
const temporary = ".tmp"

// claim takes the final name of a file: its own, unless that depends on when
// it ended.
func claim(j *Job) error {
	j.Final = j.Path
	t, err := ParseTemplate(j.Template)
	if err != nil || !t.late() {
		return err
	}
	if err := j.lateValues(); err != nil {
		return err
	}
	f, path, err := createFree(j.Folder, t.Name(j.values()), j.Format.extension(), createNew)
	if err != nil {
		return err
	}
	j.Final = path
	return f.Close()
}

// lateValues finds what a killed program could not tell: when the file ended.
func (j *Job) lateValues() error {
	if !j.End.IsZero() {
		return nil
	}
	info, err := os.Stat(j.Path)
	if err != nil {
		return err
	}
	j.End = info.ModTime()
	j.Duration = max(j.End.Sub(j.Start), 0)
	return nil
}

// settle finalizes the file of a job, puts it under its final name, and sees
// to it that it is on the disk. An error tells why the file is not as it was
// to be; it is there all the same, but for ErrNoMedia.
func settle(ctx context.Context, j *Job) error {
	if done, err := settled(j); done || err != nil {
		return err
	}
	if err := j.lateValues(); err != nil {
		return err
	}
	var failed error
	switch {
	case j.empty():
		failed = ErrNoMedia
	case j.Format == MP4 && (j.Finalize || j.Recovered):
		failed = j.readBack(ctx)
		if err := ctx.Err(); err != nil {
			return err // to be done again, from the start
		}
	}
	switch {
	case errors.Is(failed, ErrNoMedia):
		return errors.Join(failed, j.discard())
	case failed == nil && j.Finalize:
		return j.finalized()
	}
	if err := syncFile(j.Path); err != nil {
		failed = errors.Join(failed, err)
	}
	if j.Path != j.Final {
		if err := os.Rename(j.Path, j.Final); err != nil {
			return errors.Join(failed, err)
		}
	}
	return errors.Join(failed, j.arrived())
}

// settled tells whether an earlier run, which was killed, has done it all.
func settled(j *Job) (bool, error) {
	if _, err := os.Stat(j.Path); !errors.Is(err, fs.ErrNotExist) {
		return false, err
	}
	if info, err := os.Stat(j.Final); err != nil || info.Size() == 0 {
		return false, fmt.Errorf("%w: %s is gone", ErrNoMedia, j.Path)
	}
	return true, j.arrived()
}

// finalized removes the fragmented file, where the plain one did not take its
// place.
func (j *Job) finalized() error {
	if j.Path != j.Final {
		if err := os.Remove(j.Path); err != nil {
			return err
		}
	}
	return j.arrived()
}

// arrived notes that the file has its final name.
func (j *Job) arrived() error {
	j.Path = j.Final
	info, err := os.Stat(j.Path)
	if err == nil {
		j.Bytes = info.Size()
	}
	return err
}

func (j *Job) empty() bool {
	info, err := os.Stat(j.Path)
	return err == nil && info.Size() == 0
}

// discard removes a file without media, and what was claimed for it.
func (j *Job) discard() error {
	err := os.Remove(j.Path)
	if j.Final != j.Path {
		err = errors.Join(err, os.Remove(j.Final))
	}
	removeEmpty(j.Folder, filepath.Dir(j.Path))
	return err
}

// readBack reads the index of a fragmented MP4: how long it is, and after a
// kill where it ends. With Finalize it makes a plain one under the final name.
func (j *Job) readBack(ctx context.Context) error {
	f, err := os.OpenFile(j.Path, os.O_RDWR, 0)
	if err != nil {
		return err
	}
	defer func() { _ = f.Close() }()
	info, err := f.Stat()
	if err != nil {
		return err
	}
	m, err := readMovie(ctx, f, info.Size())
	switch {
	case errors.Is(err, errPlain): // finalized by a run that was killed then
		return nil
	case err != nil:
		return err
	}
	j.Duration = m.duration()
	if !j.Finalize {
		if m.good < info.Size() {
			return f.Truncate(m.good)
		}
		return nil
	}
	return j.finalize(ctx, m)
}

// finalize writes the plain MP4 beside the other and then puts it in its
// place.
func (j *Job) finalize(ctx context.Context, m *movieFile) error {
	free, ok := osDisk{}.free(filepath.Dir(j.Path))
	if ok && free < m.size+j.reserve {
		return fmt.Errorf("%w: the file stays fragmented: %d bytes free for a copy of %d", ErrDiskFull, free, m.size)
	}
	temp := j.Final + temporary
	if err := writeFinal(ctx, temp, m); err != nil {
		return fmt.Errorf("the file stays fragmented: %w", errors.Join(diskError(err), os.Remove(temp)))
	}
	return os.Rename(temp, j.Final)
}

func writeFinal(ctx context.Context, path string, m *movieFile) error {
	out, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_TRUNC, fileMode)
	if err != nil {
		return err
	}
	err = m.writePlain(ctx, out)
	return errors.Join(err, out.Sync(), out.Close())
}

func syncFile(path string) error {
	f, err := os.OpenFile(path, os.O_RDWR, 0)
	if err != nil {
		return err
	}
	return errors.Join(f.Sync(), f.Close())
}

// removeStep removes the local file, which was uploaded.
func (f *Finisher) removeStep(j Job) (Job, *Event, bool) {
	err := os.Remove(j.Path)
	if errors.Is(err, fs.ErrNotExist) {
		err = nil
	}
	removeEmpty(j.Folder, filepath.Dir(j.Path))
	j.Stage = stageDone
	e := j.event(Removed)
	e.Err = err
	return j, &e, false
}

// folderGone tells whether the recorder's folder is not there, as that of a
// disk that is not mounted.
func (j *Job) folderGone() bool {
	_, err := os.Stat(j.Folder)
	return errors.Is(err, fs.ErrNotExist)
}

// final tells whether an upload need not be tried again: its file is gone, or
// the error says so.
func final(err error) bool {
	var p interface{ Permanent() bool }
	return errors.Is(err, fs.ErrNotExist) || errors.As(err, &p) && p.Permanent()
}
