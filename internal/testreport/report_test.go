package main

import (
	"os"
	"strings"
	"testing"
)

// The transcripts are go test -json of a package for each way to fail.
func TestReport(t *testing.T) {
	cases := []struct {
		file   string
		sums   string
		prints []string
	}{
		{"pass", "2 passed, 0 failed, 1 skipped", []string{"skipped: ex/good TestS: p_test.go:4: because of rain"}},
		{"fail", "0 passed, 2 failed, 0 skipped", []string{"wrong value 7", "--- FAIL: TestB/sub"}},
		{"build", "0 passed, 1 failed, 0 skipped", []string{"undefined: undefinedThing", "[build failed]"}},
		{"vet", "0 passed, 1 failed, 0 skipped", []string{"Errorf format %d has arg"}},
		{"panic", "0 passed, 1 failed, 0 skipped", []string{"before the panic", "panic: boom in goroutine"}},
		{"timeout", "0 passed, 2 failed, 0 skipped", []string{"started slow\n", "started slow2", "panic: test timed out after 3s"}},
		{"exit", "0 passed, 1 failed, 0 skipped", []string{"not ended: ex/mainexit TestV", "exiting"}},
	}
	for _, c := range cases {
		t.Run(c.file, func(t *testing.T) {
			b, err := os.ReadFile("testdata/" + c.file + ".jsonl")
			if err != nil {
				t.Fatal(err)
			}
			check(t, reportOf(t, string(b)), c.sums, c.prints)
		})
	}
}

// TestReportCut: go test was killed, or said something before it began.
func TestReportCut(t *testing.T) {
	b, err := os.ReadFile("testdata/timeout.jsonl")
	if err != nil {
		t.Fatal(err)
	}
	half, _, _ := strings.Cut(string(b), `{"Action":"output","Package":"ex/slow","Test":"TestT2","Output":"panic`)
	if len(half) == len(b) {
		t.Fatal("the transcript has changed")
	}
	check(t, reportOf(t, half), "0 passed, 3 failed, 0 skipped", []string{"started slow\n", "started slow2", "not ended: ex/slow\n"})
	check(t, reportOf(t, "go: errors parsing go.mod\n"), "0 passed, 0 failed, 0 skipped", []string{"go: errors parsing go.mod\n"})
}

func reportOf(t *testing.T, transcript string) string {
	t.Helper()
	var out strings.Builder
	r := newReport(&out)
	if err := r.read(strings.NewReader(transcript)); err != nil {
		t.Fatal(err)
	}
	r.close()
	return out.String()
}

// check looks for what must be printed, and for the sums as the last line.
func check(t *testing.T, got, sums string, prints []string) {
	t.Helper()
	if !strings.HasSuffix(got, "\n"+sums+"\n") {
		t.Errorf("the last line is not %q:\n%s", sums, got)
	}
	for _, p := range prints {
		if !strings.Contains(got, p) {
			t.Errorf("%q is missing:\n%s", p, got)
		}
	}
}

// TestRun: a failure that no test tells of fails too.
func TestRun(t *testing.T) {
	var out strings.Builder
	ok, err := run([]string{"-nosuchflag"}, &out)
	if ok || err != nil || !strings.HasSuffix(out.String(), "\n0 passed, 1 failed, 0 skipped\n") {
		t.Errorf("%v, %v:\n%s", ok, err, out.String())
	}
}
