package record

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"runtime/debug"
	"slices"
	"sync"
	"time"

	"github.com/trunkcast/trunkcast/media"
)

// Uploader puts files somewhere else: see package record/s3.
type Uploader interface {
	// Upload copies the file of a job. It is called again with the same job
	// after an error or a restart, also when the file has arrived meanwhile,
	// and overwrites nothing but its own. It returns soon after ctx is done.
	Upload(ctx context.Context, j Job) (url string, err error)
}

// Finisher works on files that are complete, in this order: finalize and name
// them, run the command, upload, remove. Its jobs outlive the calls, and with
// a Journal the program too; a step that a kill interrupted is done again. The
// zero value finalizes and names only. The fields are set before the first
// method is called.
type Finisher struct {
	// Command is run for each file, without a shell, with two more arguments:
	// the stream's name and the absolute path of the file.
	Command []string
	// CommandTimeout ends a command that runs longer, and its children.
	// Default 1 minute.
	CommandTimeout time.Duration
	// Uploader gets each file. Nil: none is uploaded.
	Uploader Uploader
	// RemoveLocal removes files once they were uploaded.
	RemoveLocal bool
	// Journal is a folder that keeps the jobs, for this program only. Files
	// that were left by a kill are finished too, after the next start. Empty:
	// jobs end with the program.
	Journal string
	// Workers is the number of jobs at a time. Default 2.
	Workers int
	// Retry is the time before the second upload; it doubles with each one up
	// to MaxRetry. Defaults 5 s and 10 minutes.
	Retry, MaxRetry time.Duration
	// GiveUp is the time after which an upload, or the work on files in a folder
	// that is not there, is not tried again. The file stays. Default 3 days.
	GiveUp time.Duration
	// CloseTimeout is how long Close waits for what it has ended, which with a
	// disk that does not respond may be for ever. Default 5 s.
	CloseTimeout time.Duration
	// OnEvent gets what happens, from several goroutines. It must not block.
	OnEvent func(Event)
	// Logger gets it too. Nil discards.
	Logger *slog.Logger

	finisherState
}

const (
	defaultCommandTimeout = time.Minute
	defaultWorkers        = 2
	defaultUploadRetry    = 5 * time.Second
	defaultMaxRetry       = 10 * time.Minute
	defaultGiveUp         = 72 * time.Hour
	defaultFinisherClose  = 5 * time.Second
)

type finisherState struct {
	setup    sync.Once
	setupErr error
	journal  *journal
	ctx      context.Context // of the jobs that run
	cancel   context.CancelFunc
	workers  sync.WaitGroup
	wake     chan struct{} // of capacity Workers

	mu       sync.Mutex
	jobs     []*Job
	change   chan struct{} // closed when a job ends
	draining bool          // no job is tried again
	closed   bool
}

// Start loads the jobs that were left and begins with them. Without it, that
// happens with the first file.
func (f *Finisher) Start() error {
	f.setup.Do(func() {
		if f.CommandTimeout < 0 || f.Workers < 0 || f.Retry < 0 || f.MaxRetry < 0 || f.GiveUp < 0 || f.CloseTimeout < 0 {
			f.setupErr = fmt.Errorf("%w: negative setting of a Finisher", ErrOptions)
			return
		}
		if f.Journal != "" {
			if f.journal, f.setupErr = openJournal(f.Journal); f.setupErr != nil {
				return
			}
		}
		jobs, errs := f.journal.load()
		for _, err := range errs {
			f.logError("a job of the journal is left out", err)
		}
		for _, j := range jobs {
			if j.Stage == stageRecording {
				j.Recovered, j.Stage = true, stageSettle
			}
		}
		f.start(jobs)
	})
	return f.setupErr
}

// start begins the workers.
func (f *Finisher) start(jobs []*Job) {
	n := cmpOr(f.Workers, defaultWorkers)
	f.ctx, f.cancel = context.WithCancel(context.Background())
	f.wake = make(chan struct{}, n)
	f.mu.Lock()
	defer f.mu.Unlock()
	f.jobs = jobs
	f.change = make(chan struct{})
	if f.closed {
		return
	}
	for range n {
		f.workers.Go(f.work)
	}
}

func (f *Finisher) logError(text string, err error) {
	if f.Logger != nil {
		f.Logger.Error(text, "error", err)
	}
}

// begin notes that a file is being written.
func (f *Finisher) begin(j *Job) error {
	if err := f.Start(); err != nil {
		return err
	}
	return f.journal.put(j)
}

// end takes the job on a file that is complete. What the journal does not take
// is worked on all the same.
func (f *Finisher) end(j *Job) error {
	if err := f.Start(); err != nil {
		return err
	}
	j.Stage = stageSettle
	err := f.journal.put(j)
	f.mu.Lock()
	if f.closed {
		f.mu.Unlock()
		return errors.Join(err, media.ErrClosed)
	}
	f.jobs = append(f.jobs, j)
	f.mu.Unlock()
	signal(f.wake)
	return err
}

// drop forgets a file of which there is nothing.
func (f *Finisher) drop(j *Job) error {
	if err := f.Start(); err != nil {
		return err
	}
	return f.journal.remove(j)
}

// Pending returns the jobs that have not ended.
func (f *Finisher) Pending() []Job {
	f.mu.Lock()
	defer f.mu.Unlock()
	list := make([]Job, len(f.jobs))
	for i, j := range f.jobs {
		list[i] = *j
	}
	return list
}

// Shutdown lets the jobs end that can, without waiting for another try of
// uploads that fail, and closes the Finisher. When ctx is done it does so at
// once. What is left is ErrPending: with a journal it goes on after the next
// start.
func (f *Finisher) Shutdown(ctx context.Context) error {
	if f.Start() != nil {
		return nil
	}
	f.mu.Lock()
	f.draining = true
	f.mu.Unlock()
	for ctx.Err() == nil {
		f.mu.Lock()
		busy := slices.ContainsFunc(f.jobs, func(j *Job) bool { return j.running || j.next.IsZero() })
		change := f.change
		f.mu.Unlock()
		if !busy || f.isClosed() {
			break
		}
		select {
		case <-change:
		case <-ctx.Done():
		}
	}
	return f.Close()
}

func (f *Finisher) isClosed() bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.closed
}

// Close ends commands and uploads that run, and returns when they have ended
// or, with ErrStalled, after CloseTimeout. The jobs that are left are ErrPending, as in Shutdown. It may be called more
// than once and from any goroutine but OnEvent's.
func (f *Finisher) Close() error {
	if f.Start() != nil {
		return nil
	}
	f.mu.Lock()
	first := !f.closed
	f.closed = true
	f.mu.Unlock()
	f.cancel()
	ended := f.wait(cmpOr(f.CloseTimeout, defaultFinisherClose))
	if first && ended {
		f.journal.close()
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	switch n := len(f.jobs); {
	case !ended:
		return fmt.Errorf("%w: %w: %d", ErrStalled, ErrPending, n)
	case n > 0:
		return fmt.Errorf("%w: %d", ErrPending, n)
	}
	return nil
}

// wait waits for the workers, and tells whether they have ended.
func (f *Finisher) wait(limit time.Duration) bool {
	ended := make(chan struct{})
	go func() {
		f.workers.Wait()
		close(ended)
	}()
	t := time.NewTimer(limit)
	defer t.Stop()
	select {
	case <-ended:
		return true
	case <-t.C:
		return false
	}
}

// work is the goroutine of a worker.
func (f *Finisher) work() {
	for f.ctx.Err() == nil {
		j, wait := f.take(time.Now())
		if j != nil {
			f.do(j)
			continue
		}
		t := time.NewTimer(wait)
		select {
		case <-f.wake:
		case <-t.C:
		case <-f.ctx.Done():
		}
		t.Stop()
	}
}

// idle is how long a worker waits that has nothing to wait for.
const idle = time.Hour

// take returns the job that has waited longest, or how long there is none.
func (f *Finisher) take(now time.Time) (*Job, time.Duration) {
	f.mu.Lock()
	defer f.mu.Unlock()
	var first *Job
	for _, j := range f.jobs {
		if !j.running && (first == nil || j.next.Before(first.next)) {
			first = j
		}
	}
	switch {
	case first == nil || f.draining && !first.next.IsZero():
		return nil, idle
	case first.next.After(now):
		return nil, first.next.Sub(now)
	}
	first.running = true
	return first, 0
}

// do works on a job until it ends or has to wait.
func (f *Finisher) do(j *Job) {
	for f.ctx.Err() == nil && j.Stage != stageDone {
		next, e, again := f.step(*j)
		if f.ctx.Err() != nil && e != nil && e.Err != nil {
			break // ended by Close: to be done again
		}
		f.update(j, next)
		if e != nil {
			emit(f.OnEvent, f.Logger, *e)
		}
		if again {
			f.release(j, time.Now().Add(f.backoff(j.Attempts)))
			return
		}
	}
	f.release(j, time.Time{})
}

// update writes a job as it is after a step.
func (f *Finisher) update(j *Job, next Job) {
	next.running, next.next = true, j.next
	f.mu.Lock()
	*j = next
	f.mu.Unlock()
	var err error
	if next.Stage == stageDone {
		err = f.journal.remove(&next)
	} else {
		err = f.journal.put(&next)
	}
	if err != nil {
		f.logError("journal cannot be written", err)
	}
}

// release lets a job wait, or forgets one that is done.
func (f *Finisher) release(j *Job, next time.Time) {
	f.mu.Lock()
	j.running, j.next = false, next
	if j.Stage == stageDone {
		f.jobs = slices.DeleteFunc(f.jobs, func(x *Job) bool { return x == j })
	}
	close(f.change)
	f.change = make(chan struct{})
	f.mu.Unlock()
}

func (f *Finisher) backoff(attempts int) time.Duration {
	d := cmpOr(f.Retry, defaultUploadRetry)
	most := cmpOr(f.MaxRetry, defaultMaxRetry)
	for i := 1; i < attempts && d < most; i++ {
		d *= 2
	}
	return min(d, most)
}

// step does the next step of a job and returns the job after it. again tells
// that it is to be done again later.
func (f *Finisher) step(j Job) (next Job, e *Event, again bool) {
	defer func() {
		if v := recover(); v != nil {
			f.logError("job panicked", fmt.Errorf("%w: %v\n%s", ErrPanic, v, debug.Stack()))
			failed := j.event(map[stage]EventType{stageSettle: PartFinished, stageCommand: CommandFailed,
				stageUpload: UploadFailed, stageRemove: Removed}[j.Stage])
			failed.Err = fmt.Errorf("%w: %v", ErrPanic, v)
			next, e, again = j, &failed, false
			next.Stage = stageDone
		}
	}()
	switch j.Stage {
	case stageSettle:
		return f.settleStep(j)
	case stageCommand:
		return f.commandStep(j)
	case stageUpload:
		return f.uploadStep(j)
	default:
		return f.removeStep(j)
	}
}

func (f *Finisher) settleStep(j Job) (Job, *Event, bool) {
	if j.folderGone() && !f.tooLate(&j) { // a disk that is not mounted yet
		j.Attempts++
		return j, nil, true
	}
	if j.Final == "" { // the name is noted before the media stand under it
		if err := claim(&j); err != nil {
			j.Final = j.Path
			f.logError("recording keeps its first name", err)
		}
		return j, nil, false
	}
	err := settle(f.ctx, &j)
	e := j.event(PartFinished)
	e.Err = err
	j.Stage, j.Attempts, j.FirstTry = f.after(stageSettle), 0, time.Time{}
	if errors.Is(err, ErrNoMedia) {
		j.Stage = stageDone
	}
	return j, &e, false
}

// after is the stage that follows, as far as there is something to do.
func (f *Finisher) after(s stage) stage {
	switch {
	case s == stageSettle && len(f.Command) > 0:
		return stageCommand
	case (s == stageSettle || s == stageCommand) && f.Uploader != nil:
		return stageUpload
	case s == stageUpload && f.RemoveLocal:
		return stageRemove
	}
	return stageDone
}

// tooLate tells whether a step that may be tried again has been for too long,
// and notes when that began.
func (f *Finisher) tooLate(j *Job) bool {
	if j.FirstTry.IsZero() {
		j.FirstTry = time.Now()
	}
	return time.Since(j.FirstTry) >= cmpOr(f.GiveUp, defaultGiveUp)
}

func (f *Finisher) commandStep(j Job) (Job, *Event, bool) {
	j.Stage = f.after(stageCommand)
	if len(f.Command) == 0 { // another configuration than before the restart
		return j, nil, false
	}
	err := runCommand(f.ctx, f.Command, cmpOr(f.CommandTimeout, defaultCommandTimeout), j.Info.Stream, j.Path)
	e := j.event(CommandDone)
	if err != nil {
		e.Type, e.Err = CommandFailed, err
	}
	return j, &e, false
}

func (f *Finisher) uploadStep(j Job) (Job, *Event, bool) {
	if f.Uploader == nil {
		j.Stage = stageDone
		return j, nil, false
	}
	late := f.tooLate(&j)
	url, err := f.Uploader.Upload(f.ctx, j)
	if err == nil {
		j.Stage = f.after(stageUpload)
		e := j.event(Uploaded)
		e.URL = url
		return j, &e, false
	}
	j.Attempts++
	j.LastError = err.Error()
	e := j.event(UploadRetry)
	e.Err = err
	if late || final(err) && !j.folderGone() {
		e.Type, j.Stage = UploadFailed, stageDone
		return j, &e, false
	}
	return j, &e, true
}
