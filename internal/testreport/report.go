package main

import (
	"bufio"
	"bytes"
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"
)

// event is a line of go test -json: see go doc test2json. A build tells its
// package in ImportPath, a test in Package.
type event struct {
	Action, Package, ImportPath, Test, Output string
	Elapsed                                   float64 // in seconds
	FailedBuild                               string
}

// key names what an event belongs to: a test, a package ("" for Test) or a
// build.
type key struct{ pkg, test, build string }

func (k key) String() string {
	return strings.TrimSpace(k.pkg + k.build + " " + k.test)
}

// outcome is a test that has ended.
type outcome struct {
	key  key
	took time.Duration
}

// report collects events. What has not ended keeps its output, which is
// printed if it fails, and forgotten if it passes.
type report struct {
	out                     io.Writer
	open                    map[key][]string
	order                   []key // of open, by first event, with some that have ended
	failedIn                map[string]int
	ended                   []outcome
	passed, failed, skipped int
}

func newReport(out io.Writer) *report {
	return &report{out: out, open: map[key][]string{}, failedIn: map[string]int{}}
}

// read takes events until the end of in.
func (r *report) read(in io.Reader) error {
	lines := bufio.NewReader(in)
	for {
		line, err := lines.ReadBytes('\n')
		if line = bytes.TrimSpace(line); len(line) > 0 {
			r.line(line)
		}
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
	}
}

// line takes one event. What is none comes from the go command itself, such
// as an error in a module file.
func (r *report) line(line []byte) {
	var e event
	if json.Unmarshal(line, &e) != nil || e.Action == "" {
		r.printf("%s\n", line)
		return
	}
	k := key{pkg: e.Package, test: e.Test, build: e.ImportPath}
	if _, known := r.open[k]; !known {
		r.order = append(r.order, k)
		r.open[k] = nil
	}
	switch e.Action {
	case "output", "build-output":
		r.open[k] = append(r.open[k], e.Output)
		if e.Test != "" && strings.Contains(e.Output, "measured:") {
			r.printf("%s", e.Output)
		}
	case "fail", "build-fail":
		r.fail(k, e)
	case "pass", "skip":
		r.pass(k, e)
	}
}

// fail prints what a test, package or build said. A package fails once more
// for a reason of its own only: its build, a panic, a time-out, an exit.
func (r *report) fail(k key, e event) {
	if k.test == "" && k.build == "" {
		r.unfinished(k.pkg)
		if r.failedIn[k.pkg] == 0 && e.FailedBuild == "" {
			r.failed++
		}
	} else {
		r.failed++
		r.failedIn[k.pkg]++
	}
	r.print(k)
}

// unfinished counts as failed what a package had not ended when it ended:
// after a panic or a time-out.
func (r *report) unfinished(pkg string) {
	for _, k := range slices.Clone(r.order) {
		if _, open := r.open[k]; open && k.pkg == pkg && k.test != "" {
			r.failed++
			r.failedIn[pkg]++
			r.printf("not ended: %s\n", k)
			r.print(k)
		}
	}
}

func (r *report) pass(k key, e event) {
	if e.Action == "skip" && k.test != "" {
		r.skipped++
		r.printf("skipped: %s: %s\n", k, reason(r.open[k]))
	} else if k.test != "" {
		r.passed++
		r.ended = append(r.ended, outcome{k, time.Duration(e.Elapsed * float64(time.Second))})
	}
	r.forget(k)
}

// reason is the line by which a test says why it was skipped.
func reason(output []string) string {
	for _, line := range output {
		line = strings.TrimSpace(line)
		if line != "" && !strings.HasPrefix(line, "===") && !strings.HasPrefix(line, "---") {
			return line
		}
	}
	return "no reason given"
}

// close reports what never ended, because go test itself was killed, the
// slowest tests, and the sums.
func (r *report) close() {
	for _, k := range slices.Clone(r.order) {
		if _, open := r.open[k]; open && k.build == "" {
			r.failed++
			r.printf("not ended: %s\n", k)
			r.print(k)
		}
	}
	slices.SortFunc(r.ended, func(a, b outcome) int { return cmp.Compare(b.took, a.took) })
	for _, o := range r.ended[:min(10, len(r.ended))] {
		if o.took > time.Second {
			r.printf("slow: %6.1fs %s\n", o.took.Seconds(), o.key)
		}
	}
	r.printf("%d passed, %d failed, %d skipped\n", r.passed, r.failed, r.skipped)
}

// print writes the output of k, which has ended.
func (r *report) print(k key) {
	r.printf("%s", strings.Join(r.open[k], ""))
	r.forget(k)
}

func (r *report) forget(k key) {
	delete(r.open, k)
	if len(r.order) > 2*len(r.open)+100 {
		r.order = slices.DeleteFunc(r.order, func(k key) bool { _, open := r.open[k]; return !open })
	}
}

// printf cannot fail in a way that could still be told: out is the terminal.
func (r *report) printf(format string, args ...any) { _, _ = fmt.Fprintf(r.out, format, args...) }
