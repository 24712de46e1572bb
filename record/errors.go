package record

import (
	"errors"
	"fmt"

	"github.com/trunkcast/trunkcast/media"
)

var (
	// ErrTemplate tells that the template of file names cannot be used.
	ErrTemplate = errors.New("record: bad file name template")
	// ErrRotation tells that a rotation or a size cannot be read.
	ErrRotation = errors.New("record: bad rotation")
	// ErrOptions tells that a setting is out of its range.
	ErrOptions = errors.New("record: bad setting")
	// ErrDiskFull tells that less than the reserve is free.
	ErrDiskFull = errors.New("record: disk is full")
	// ErrStalled tells that the disk does not take data in time.
	ErrStalled = errors.New("record: disk does not respond")
	// ErrNoName tells that all numbered variants of a file name are taken.
	ErrNoName = errors.New("record: no free file name")
	// ErrNoMedia tells that a file holds no complete fragment.
	ErrNoMedia = errors.New("record: no media in the file")
	// ErrDamaged tells that a file is not what this package writes.
	ErrDamaged = errors.New("record: damaged file")
	// ErrJournal tells that a file of the journal cannot be used.
	ErrJournal = errors.New("record: bad journal")
	// ErrJournalInUse tells that another program uses the journal.
	ErrJournalInUse = errors.New("record: journal in use by another program")
	// ErrPending tells that jobs are left: with a journal they go on after the
	// next start, without they are lost.
	ErrPending = errors.New("record: jobs are left")
	// ErrTimeout tells that a command was ended because it ran too long.
	ErrTimeout = errors.New("record: command took too long and was ended")
	// ErrPanic tells of a mistake in this program that ended a recording or job.
	ErrPanic = errors.New("record: panic")
)

// ErrUnsupportedTrack tells that frames cannot be recorded: their codec, or
// its configuration, has no place in the file format. Other tracks go on.
type ErrUnsupportedTrack struct {
	Codec  media.Codec
	Format Format
	Reason string
}

func (e *ErrUnsupportedTrack) Error() string {
	return fmt.Sprintf("record: %s cannot go into %s: %s", e.Codec, e.Format, e.Reason)
}
