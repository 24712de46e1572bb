//go:build linux

package peertest

import (
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// S3Bucket is the bucket of an [S3] server.
const S3Bucket = "calls"

// S3 is a server of an S3 that is not ours, gofakes3: it takes any access key,
// keeps objects on disk, and forgets uploads that were begun when it is
// killed.
type S3 struct {
	Addr string // host:port, http

	t       testing.TB
	program string
	folder  string
	process *Process
}

// StartS3 starts a server with an empty bucket. It is built on the first call,
// from the module of tools.
func StartS3(t testing.TB) *S3 {
	t.Helper()
	mod, errs, err := Run(t, time.Minute, "go", "env", "GOMOD")
	if err != nil {
		t.Fatalf("go env: %v %s", err, errs)
	}
	tools := filepath.Join(filepath.Dir(strings.TrimSpace(mod)), "internal", "tools")
	program, errs, err := Run(t, 3*time.Minute, "go", "-C", tools, "tool", "-n", "gofakes3")
	if err != nil {
		t.Fatalf("gofakes3 cannot be built: %v %s", err, errs)
	}
	s := &S3{Addr: Loopback(Port(t)), t: t, program: strings.TrimSpace(program), folder: t.TempDir()}
	s.Restart()
	return s
}

// Kill ends the server at once.
func (s *S3) Kill() { s.process.Kill() }

// Restart starts the server again on the same port, with the objects that it
// had.
func (s *S3) Restart() {
	s.t.Helper()
	s.process = StartCmd(s.t, exec.Command(s.program, "-host", s.Addr, "-initialbucket", S3Bucket, "-quiet",
		"-backend", "bolt", "-bolt.db", filepath.Join(s.folder, "objects.db")))
	waitListening(s.t, s.process, s.Addr)
}
