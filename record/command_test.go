//go:build unix

package record

import (
	"errors"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"
)

// script makes an executable file.
func script(t *testing.T, text string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "hook.sh")
	if err := os.WriteFile(path, []byte("#!/bin/sh\n"+text), 0o700); err != nil {
		t.Fatal(err)
	}
	return path
}

func TestCommand(t *testing.T) {
	out := filepath.Join(t.TempDir(), "out")
	f := &Finisher{Command: []string{script(t, `printf '%s|' "$#" "$@" > "`+out+`"`), "first argument"}}
	r, l := finisherRecorder(t, f)
	rec, err := r.Record(Info{Stream: "a b;$(touch x)"}, Options{})
	if err != nil {
		t.Fatal(err)
	}
	feed(t, rec, shortCall())
	if err := rec.Close(); err != nil {
		t.Fatal(err)
	}
	e := l.wait(t, CommandDone, 1)[0]
	want := "3|first argument|a b;$(touch x)|" + filepath.Join(r.folder, "a_b___touch_x_.mp4") + "|"
	if got := string(readAll(t, out)); got != want || !filepath.IsAbs(e.Path) {
		t.Errorf("arguments %q, want %q", got, want)
	}
}

func TestCommandFails(t *testing.T) {
	for _, c := range []struct {
		name, text, want string
	}{
		{"exit", "echo what is wrong >&2; exit 3", "what is wrong"},
		{"much output", "while true; do echo xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx || exit 1; i=x$i; [ ${#i} -gt 5000 ] && exit 4; done", "exit status 4"},
	} {
		t.Run(c.name, func(t *testing.T) {
			f := &Finisher{Command: []string{script(t, c.text)}, Uploader: &uploader{}}
			r, l := finisherRecorder(t, f)
			record(t, r, l, Options{}, shortCall())
			e := l.wait(t, CommandFailed, 1)[0]
			if !strings.Contains(e.Err.Error(), c.want) || len(e.Err.Error()) > 2*maxOutput {
				t.Errorf("error of %d bytes: %.200v", len(e.Err.Error()), e.Err)
			}
			l.wait(t, Uploaded, 1) // it goes on all the same
		})
	}
	f := &Finisher{Command: []string{filepath.Join(t.TempDir(), "missing")}}
	r, l := finisherRecorder(t, f)
	record(t, r, l, Options{}, shortCall())
	if e := l.wait(t, CommandFailed, 1)[0]; !errors.Is(e.Err, os.ErrNotExist) {
		t.Errorf("error %v", e.Err)
	}
}

// TestHangingCommand ends a command with its child. A machine that is too busy
// to start the command in that time gets more of it.
func TestHangingCommand(t *testing.T) {
	t.Parallel()
	for _, limit := range []time.Duration{time.Second, 5 * time.Second, 25 * time.Second} {
		if child, ok := hang(t, limit); ok {
			eventually(t, "the child ends", func() bool { return !running(child) })
			return
		}
	}
	t.Error("the command was never started")
}

// hang runs a command that does not end, and returns its child, if it came so
// far as to start it.
func hang(t *testing.T, limit time.Duration) (child int, ok bool) {
	t.Helper()
	pid := filepath.Join(t.TempDir(), "pid")
	f := &Finisher{Command: []string{script(t, "sleep 300 & echo $! > "+pid+".new; mv "+pid+".new "+pid+"; wait")},
		CommandTimeout: limit}
	r, l := finisherRecorder(t, f)
	record(t, r, l, Options{}, shortCall())
	eventually(t, "the command is ended", func() bool { return len(l.of(CommandFailed)) > 0 })
	if e := l.of(CommandFailed)[0]; !errors.Is(e.Err, ErrTimeout) {
		t.Errorf("error %v", e.Err)
	}
	text, err := os.ReadFile(pid)
	if errors.Is(err, os.ErrNotExist) {
		return 0, false
	}
	if err != nil {
		t.Fatal(err)
	}
	child, err = strconv.Atoi(strings.TrimSpace(string(text)))
	if err != nil {
		t.Fatal(err)
	}
	return child, true
}

// running tells whether a process does anything still: one that has ended may
// be waiting for its parent to notice.
func running(pid int) bool {
	if syscall.Kill(pid, 0) != nil {
		return false
	}
	b, err := os.ReadFile("/proc/" + strconv.Itoa(pid) + "/stat")
	return err != nil || !strings.Contains(string(b), ") Z ")
}

// TestBackgroundCommand lets a command leave a child behind.
func TestBackgroundCommand(t *testing.T) {
	t.Parallel()
	if err := runCommand(t.Context(), []string{script(t, "sleep 20 & exit 0")}, patience, "s", "p"); err != nil {
		t.Error(err)
	}
}
